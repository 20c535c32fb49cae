/* core/bucket.c: bursts, refilling and what is told to who has to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/bucket.h"

static const struct rate twenty = {.per_second = 20, .burst = 40};

static void a_new_bucket_is_full_at_any_time(void **state)
{
    static const uint64_t times[] = {0, 1, 1762639200123, UINT64_MAX};

    for (int t = 0; t < 4; t++) {
        struct bucket b = {0};
        for (int i = 0; i < 40; i++)
            assert_true(bucket_take(&b, twenty, 1, times[t], NULL));
        assert_false(bucket_take(&b, twenty, 1, times[t], NULL));
    }
}

static void tokens_come_back_one_by_one(void **state)
{
    struct bucket b = {0};
    uint64_t retry = 0;

    assert_true(bucket_take(&b, twenty, 40, 1000, &retry));
    assert_false(bucket_take(&b, twenty, 1, 1000, &retry));
    assert_int_equal(retry, 50);
    assert_false(bucket_take(&b, twenty, 1, 1049, &retry));
    assert_int_equal(retry, 1);
    assert_true(bucket_take(&b, twenty, 1, 1050, &retry));
    assert_false(bucket_take(&b, twenty, 2, 1050, &retry));
    assert_int_equal(retry, 100);
    assert_true(bucket_take(&b, twenty, 2, 1150, &retry));
    assert_false(bucket_take(&b, twenty, 1, 1150, NULL));
}

static void who_waits_as_told_gets_through(void **state)
{
    for (uint32_t rate = 1; rate < 3000; rate += 37) {
        const struct rate r = {.per_second = rate, .burst = 7};
        struct bucket b = {0};
        uint64_t now = 5, retry = 0;
        for (uint32_t i = 0; i < 50; i++) {
            if (!bucket_take(&b, r, 1 + i % 7, now, &retry)) {
                assert_true(retry > 0);
                struct bucket early = b;
                assert_false(bucket_take(&early, r, 1 + i % 7, now + retry - 1, NULL));
                now += retry;
                assert_true(bucket_take(&b, r, 1 + i % 7, now, NULL));
            }
        }
    }
}

static void a_long_rest_saves_no_more_than_the_burst(void **state)
{
    struct bucket b = {0};

    assert_true(bucket_take(&b, twenty, 40, 0, NULL));
    assert_true(bucket_take(&b, twenty, 40, UINT64_MAX, NULL));
    assert_false(bucket_take(&b, twenty, 1, UINT64_MAX, NULL));
}

static void the_long_run_keeps_the_rate(void **state)
{
    const struct rate r = {.per_second = 3, .burst = 1};
    struct bucket b = {0};
    unsigned taken = 0;

    for (uint64_t now = 0; now <= 1000000; now++)
        taken += bucket_take(&b, r, 1, now, NULL);
    /* 1 at once, then one each 334 ms, the next whole millisecond */
    assert_int_equal(taken, 1 + 1000000 / 334);
}

static void more_than_the_burst_passes_a_full_bucket_and_is_paid_back(void **state)
{
    struct bucket b = {0};
    uint64_t retry = 0;

    assert_true(bucket_take(&b, twenty, 1000, 0, NULL));
    assert_false(bucket_take(&b, twenty, 1, 0, &retry));
    assert_int_equal(retry, (1000 - 40 + 1) * 50);
    assert_true(bucket_take(&b, twenty, 1, retry, NULL));
    /* not full: a large one has to wait until it is */
    assert_false(bucket_take(&b, twenty, 1000, retry, &retry));
    assert_int_equal(retry, 40 * 50);
    assert_true(bucket_take(&b, twenty, UINT32_MAX, 1000000000, NULL));
    assert_false(bucket_take(&b, twenty, 1, 1000000000, NULL));
}

static void a_clock_that_goes_back_refills_nothing(void **state)
{
    struct bucket b = {0};

    assert_true(bucket_take(&b, twenty, 40, 10000, NULL));
    assert_false(bucket_take(&b, twenty, 1, 5000, NULL));
    assert_false(bucket_take(&b, twenty, 1, 10049, NULL));
    assert_true(bucket_take(&b, twenty, 1, 10050, NULL));
}

static void without_a_rate_all_passes(void **state)
{
    const struct rate off = {0};
    struct bucket b = {0};

    for (int i = 0; i < 1000; i++)
        assert_true(bucket_take(&b, off, UINT32_MAX, 0, NULL));
}

static void refusing_costs_nothing(void **state)
{
    struct bucket b = {0};

    assert_true(bucket_take(&b, twenty, 39, 0, NULL));
    for (int i = 0; i < 100; i++)
        assert_false(bucket_take(&b, twenty, 2, 0, NULL));
    assert_true(bucket_take(&b, twenty, 1, 0, NULL));
    assert_int_equal(sizeof(struct bucket), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_bucket_is_full_at_any_time),
        cmocka_unit_test(tokens_come_back_one_by_one),
        cmocka_unit_test(who_waits_as_told_gets_through),
        cmocka_unit_test(a_long_rest_saves_no_more_than_the_burst),
        cmocka_unit_test(the_long_run_keeps_the_rate),
        cmocka_unit_test(more_than_the_burst_passes_a_full_bucket_and_is_paid_back),
        cmocka_unit_test(a_clock_that_goes_back_refills_nothing),
        cmocka_unit_test(without_a_rate_all_passes),
        cmocka_unit_test(refusing_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
