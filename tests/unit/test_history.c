/* core/history.c: which positions belong to a history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/history.h"

static struct history_end ends[] = {{10, 100}, {30, 0}, {20, 150}};
static const struct history history = {.head = {40, 200, 0}, .floor = 120, .ends = ends, .n = 3};

static enum resync_reason judge(uint64_t epoch, uint64_t seq, uint64_t n)
{
    return history_judge(&history, (struct position){epoch, seq, n});
}

static void the_present_epoch_reaches_up_to_the_head(void **state)
{
    assert_int_equal(judge(40, 0, 0), RESYNC_NONE);
    assert_int_equal(judge(40, 199, 0), RESYNC_NONE);
    assert_int_equal(judge(40, 200, 0), RESYNC_NONE);
    assert_int_equal(judge(40, 201, 0), RESYNC_AHEAD);
    assert_int_equal(judge(40, UINT64_MAX, 0), RESYNC_AHEAD);
}

static void an_ended_epoch_reaches_up_to_its_end(void **state)
{
    assert_int_equal(judge(10, 100, 0), RESYNC_NONE);
    assert_int_equal(judge(10, 101, 0), RESYNC_EPOCH);
    assert_int_equal(judge(20, 150, 0), RESYNC_NONE);
    assert_int_equal(judge(20, 151, 0), RESYNC_EPOCH);
    assert_int_equal(judge(30, 0, 0), RESYNC_NONE);
    assert_int_equal(judge(30, 1, 0), RESYNC_EPOCH);
}

static void an_unknown_epoch_is_lost_whatever_its_number(void **state)
{
    assert_int_equal(judge(0, 0, 0), RESYNC_EPOCH);
    assert_int_equal(judge(15, 1, 0), RESYNC_EPOCH);
    assert_int_equal(judge(41, 1, 0), RESYNC_EPOCH);
    assert_int_equal(judge(UINT64_MAX, 1, 0), RESYNC_EPOCH);
}

static void foreign_events_belong_to_the_seq_they_carry(void **state)
{
    assert_int_equal(judge(40, 200, 7), RESYNC_NONE);
    assert_int_equal(judge(10, 100, UINT64_MAX), RESYNC_NONE);
    assert_int_equal(judge(40, 201, 1), RESYNC_AHEAD);
}

static void what_is_below_the_floor_still_belongs_to_it(void **state)
{
    assert_int_equal(judge(10, 1, 0), RESYNC_NONE);
}

static void a_history_without_ends_has_the_present_epoch_only(void **state)
{
    struct history h = {.head = {5, 0, 0}};

    assert_int_equal(history_judge(&h, (struct position){5, 0, 0}), RESYNC_NONE);
    assert_int_equal(history_judge(&h, (struct position){5, 1, 0}), RESYNC_AHEAD);
    assert_int_equal(history_judge(&h, (struct position){4, 0, 0}), RESYNC_EPOCH);
}

static void assert_oldest(uint64_t floor, uint64_t epoch)
{
    struct history h = history;

    h.floor = floor;
    assert_int_equal(position_cmp(history_oldest(&h), (struct position){epoch, floor, 0}), 0);
}

/* Ids are ordered by their epoch first: the floor's seq in the present epoch would be after the events of earlier ones.
 */
static void the_oldest_position_is_of_the_epoch_that_the_floor_fell_into(void **state)
{
    assert_oldest(0, 10);
    assert_oldest(100, 10);
    assert_oldest(101, 20);
    assert_oldest(150, 20);
    assert_oldest(151, 40);
}

static void reasons_have_the_names_of_the_protocol(void **state)
{
    assert_string_equal(resync_reason_name(RESYNC_UNKNOWN), "unknown");
    assert_string_equal(resync_reason_name(RESYNC_EPOCH), "epoch");
    assert_string_equal(resync_reason_name(RESYNC_AHEAD), "ahead");
    assert_string_equal(resync_reason_name(RESYNC_EXPIRED), "expired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_present_epoch_reaches_up_to_the_head),
        cmocka_unit_test(an_ended_epoch_reaches_up_to_its_end),
        cmocka_unit_test(an_unknown_epoch_is_lost_whatever_its_number),
        cmocka_unit_test(foreign_events_belong_to_the_seq_they_carry),
        cmocka_unit_test(what_is_below_the_floor_still_belongs_to_it),
        cmocka_unit_test(a_history_without_ends_has_the_present_epoch_only),
        cmocka_unit_test(the_oldest_position_is_of_the_epoch_that_the_floor_fell_into),
        cmocka_unit_test(reasons_have_the_names_of_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
