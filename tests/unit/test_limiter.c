/* PUBLISH_RATE: each subject has its own bucket, and memory follows those who published lately. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "core/limiter.h"

#define NOW 1000000

static struct limiter limiter_of(uint32_t per_second, uint32_t burst)
{
    struct limiter l;

    limiter_init(&l, (struct rate){per_second, burst});
    return l;
}

static void limiter_without_rate_lets_everything_pass_and_keeps_nothing(void **state)
{
    struct limiter l = limiter_of(0, 1);
    uint64_t retry;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 1000, NOW, &retry), LIMITER_OK);
    assert_int_equal(l.count, 0);
    limiter_dispose(&l);
}

static void limiter_stops_one_subject_and_not_the_other(void **state)
{
    struct limiter l = limiter_of(10, 5);
    uint64_t retry = 0;

    (void)state;
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 5, NOW, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 1, NOW, &retry), LIMITER_LATER);
    assert_int_equal(retry, 100);
    assert_int_equal(limiter_take(&l, STR_LIT("key:a"), 5, NOW, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 1, NOW + 100, &retry), LIMITER_OK);
    limiter_dispose(&l);
}

static void limiter_takes_all_of_a_batch_or_none(void **state)
{
    struct limiter l = limiter_of(10, 5);
    uint64_t retry = 0;

    (void)state;
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 3, NOW, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 3, NOW, &retry), LIMITER_LATER);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 2, NOW, &retry), LIMITER_OK);
    limiter_dispose(&l);
}

static void limiter_slows_a_batch_above_the_burst_and_remembers_its_debt(void **state)
{
    struct limiter l = limiter_of(10, 5);
    uint64_t retry = 0;

    (void)state;
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 100, NOW, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:b"), 1, NOW + 9000, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:b"), 1, NOW + 9001, &retry), LIMITER_OK);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 1, NOW + 9000, &retry), LIMITER_LATER);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:a"), 1, NOW + 9600, &retry), LIMITER_OK);
    limiter_dispose(&l);
}

static void limiter_forgets_the_rested_and_only_them(void **state)
{
    struct limiter l = limiter_of(10, 5);
    uint64_t retry = 0;
    char subject[32];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(subject, sizeof(subject), "sub:%d", i);
        assert_int_equal(limiter_take(&l, (struct str){subject, (size_t)n}, 5, NOW, &retry), LIMITER_OK);
    }
    assert_int_equal(l.count, 1000);
    assert_int_equal(limiter_take(&l, STR_LIT("sub:7"), 4, NOW + 400, &retry), LIMITER_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(limiter_take(&l, STR_LIT("sub:one"), 0, NOW + 600, &retry), LIMITER_OK);
    assert_int_equal(l.count, 2); /* sub:7 has published since, sub:one just now */
    assert_int_equal(limiter_take(&l, STR_LIT("sub:7"), 5, NOW + 600, &retry), LIMITER_LATER);
    limiter_dispose(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limiter_without_rate_lets_everything_pass_and_keeps_nothing),
        cmocka_unit_test(limiter_stops_one_subject_and_not_the_other),
        cmocka_unit_test(limiter_takes_all_of_a_batch_or_none),
        cmocka_unit_test(limiter_slows_a_batch_above_the_burst_and_remembers_its_debt),
        cmocka_unit_test(limiter_forgets_the_rested_and_only_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
