/* core/page.c: how far a page is complete, and which positions it has to refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/page.h"

static struct position at(uint64_t epoch, uint64_t seq)
{
    return (struct position){.epoch = epoch, .seq = seq};
}

/* Epoch 10 ended at 100, epoch 20 stands at 200; up to seq 50 all may be gone. */
static struct page page_after(struct position after, size_t logs)
{
    static struct history_end ends[] = {{10, 100}};

    return (struct page){
        .after = after, .history = {.head = {20, 200, 0}, .floor = 50, .ends = ends, .n = 1}, .n = logs};
}

static void a_page_is_complete_up_to_its_head(void **state)
{
    struct page_entry entries[] = {{.id = at(20, 110)}, {.id = at(20, 120)}};
    struct page page = page_after(at(20, 105), 1);
    struct page_log log = {.entries = entries, .n = 2};

    assert_int_equal(position_cmp(page_bound(&page, &log), at(20, 200)), 0);
    log.n = 0;
    assert_int_equal(position_cmp(page_bound(&page, &log), at(20, 200)), 0);
}

static void a_full_one_up_to_its_last_entry(void **state)
{
    struct page_entry entries[] = {{.id = at(10, 90)}, {.id = at(20, 120)}};
    struct page page = page_after(at(10, 80), 1);
    struct page_log log = {.entries = entries, .n = 2, .full = true};

    assert_int_equal(position_cmp(page_bound(&page, &log), at(20, 120)), 0);
    log.n = 1;
    assert_int_equal(position_cmp(page_bound(&page, &log), at(10, 90)), 0);
}

static void a_log_is_incomplete_if_what_came_before_its_first_entry_is_newer(void **state)
{
    struct page_log log = {.first = at(20, 110), .first_prev = at(20, 100)};

    assert_true(page_log_incomplete(&log, at(20, 99)));
    assert_false(page_log_incomplete(&log, at(20, 100)));
    assert_false(page_log_incomplete(&log, at(20, 109)));
    assert_false(page_log_incomplete(&log, at(20, 300)));
    assert_true(page_log_incomplete(&log, at(10, 100)));
    assert_true(page_log_incomplete(&log, (struct position){20, 99, 5}));
    assert_false(page_log_incomplete(&log, (struct position){20, 100, 5}));
}

static void a_log_that_never_lost_an_entry_is_complete_after_everything(void **state)
{
    struct page_log log = {.first = at(10, 1)};
    struct page_log empty = {.empty = true};

    assert_false(page_log_incomplete(&log, at(0, 0)));
    assert_false(page_log_incomplete(&empty, at(0, 0)));
}

static void an_empty_log_whose_last_entry_is_known_is_incomplete_before_that(void **state)
{
    struct page_log empty = {.empty = true, .first = at(20, 110), .first_prev = at(20, 110)};

    assert_true(page_log_incomplete(&empty, at(20, 109)));
    assert_false(page_log_incomplete(&empty, at(20, 110)));
}

static enum resync_reason judge(struct position after, struct position first_prev)
{
    struct page page = page_after(after, 2);

    page.logs[1].first_prev = first_prev;
    return page_judge(&page);
}

static void a_page_that_can_be_served_is_not_refused(void **state)
{
    assert_int_equal(judge(at(20, 150), at(0, 0)), RESYNC_NONE);
    assert_int_equal(judge(at(20, 150), at(20, 150)), RESYNC_NONE);
    assert_int_equal(judge(at(20, 200), at(20, 200)), RESYNC_NONE);
    assert_int_equal(judge(at(10, 100), at(10, 100)), RESYNC_NONE);
    assert_int_equal(judge(at(10, 50), at(0, 0)), RESYNC_NONE);
}

static void below_the_floor_is_expired(void **state)
{
    assert_int_equal(judge(at(10, 49), at(0, 0)), RESYNC_EXPIRED);
    assert_int_equal(judge((struct position){10, 49, 3}, at(0, 0)), RESYNC_EXPIRED);
    assert_int_equal(judge(at(20, 49), at(0, 0)), RESYNC_EXPIRED);
}

static void one_incomplete_log_is_enough(void **state)
{
    assert_int_equal(judge(at(20, 150), at(20, 151)), RESYNC_EXPIRED);
    assert_int_equal(judge(at(10, 100), at(20, 101)), RESYNC_EXPIRED);
}

static void logs_that_were_not_asked_are_not_judged(void **state)
{
    struct page page = page_after(at(20, 150), 1);

    page.logs[1].first_prev = at(20, 151);
    assert_int_equal(page_judge(&page), RESYNC_NONE);
    page.n = 2;
    assert_int_equal(page_judge(&page), RESYNC_EXPIRED);
}

static void a_lost_or_future_position_is_told_before_an_expired_one(void **state)
{
    assert_int_equal(judge(at(10, 101), at(20, 300)), RESYNC_EPOCH);
    assert_int_equal(judge(at(9, 1), at(20, 300)), RESYNC_EPOCH);
    assert_int_equal(judge(at(20, 201), at(20, 300)), RESYNC_AHEAD);
}

static void the_oldest_position_is_where_time_or_the_shortest_log_ends(void **state)
{
    struct page page = page_after(at(0, 0), 2);

    assert_int_equal(position_cmp(page_oldest(&page), at(10, 50)), 0);
    page.logs[1].first_prev = at(10, 49);
    assert_int_equal(position_cmp(page_oldest(&page), at(10, 50)), 0);
    page.logs[0].first_prev = at(10, 60);
    page.logs[1].first_prev = at(20, 130);
    assert_int_equal(position_cmp(page_oldest(&page), at(20, 130)), 0);
    page.n = 1;
    assert_int_equal(position_cmp(page_oldest(&page), at(10, 60)), 0);
    page.after = page_oldest(&page);
    assert_int_equal(page_judge(&page), RESYNC_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_complete_up_to_its_head),
        cmocka_unit_test(a_full_one_up_to_its_last_entry),
        cmocka_unit_test(a_log_is_incomplete_if_what_came_before_its_first_entry_is_newer),
        cmocka_unit_test(a_log_that_never_lost_an_entry_is_complete_after_everything),
        cmocka_unit_test(an_empty_log_whose_last_entry_is_known_is_incomplete_before_that),
        cmocka_unit_test(a_page_that_can_be_served_is_not_refused),
        cmocka_unit_test(below_the_floor_is_expired),
        cmocka_unit_test(one_incomplete_log_is_enough),
        cmocka_unit_test(logs_that_were_not_asked_are_not_judged),
        cmocka_unit_test(a_lost_or_future_position_is_told_before_an_expired_one),
        cmocka_unit_test(the_oldest_position_is_where_time_or_the_shortest_log_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
