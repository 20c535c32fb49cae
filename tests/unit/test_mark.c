/* core/mark.c: what each kind of message proves, forgeries, epochs, and a long random run of a worker against the
 * truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/mark.h"

static struct position at(uint64_t epoch, uint64_t seq, uint64_t n)
{
    return (struct position){epoch, seq, n};
}

static void assert_at(struct position got, struct position expected)
{
    assert_int_equal(got.epoch, expected.epoch);
    assert_int_equal(got.seq, expected.seq);
    assert_int_equal(got.n, expected.n);
}

/* A mark after its first canary, both with head 7-100. */
static struct mark known_mark(void)
{
    struct mark m = {0};

    mark_reset(&m, at(7, 100, 0));
    assert_int_equal(mark_canary(&m, at(7, 100, 0)), MARK_CANARY_OK);
    return m;
}

static void a_broadcast_raises_the_mark_to_its_id_once_it_is_on_the_tape(void **state)
{
    struct mark m = known_mark();
    uint64_t carried = 0;

    assert_int_equal(mark_own(&m, at(7, 103, 0), &carried), MARK_NEW);
    assert_at(m.at, at(7, 102, 0));
    assert_at(m.arrived, at(7, 103, 0));
    assert_int_equal(carried, 103);
    mark_passed(&m, at(7, 103, 0));
    assert_at(m.at, at(7, 103, 0));
}

static void a_targeted_event_raises_the_mark_to_the_id_before_while_it_may_follow_elsewhere(void **state)
{
    struct mark m = known_mark();
    uint64_t ann = 0, bob = 0, eve = 0;

    assert_int_equal(mark_own(&m, at(7, 105, 0), &ann), MARK_NEW);
    assert_at(m.at, at(7, 104, 0));
    assert_int_equal(mark_own(&m, at(7, 105, 0), &bob), MARK_NEW);
    assert_at(m.at, at(7, 104, 0));
    assert_int_equal(mark_own(&m, at(7, 106, 0), &eve), MARK_NEW);
    assert_at(m.at, at(7, 105, 0));
}

static void any_other_message_completes_an_event(void **state)
{
    struct mark m = known_mark();
    uint64_t ann = 0, bob = 0;

    assert_int_equal(mark_own(&m, at(7, 105, 0), &ann), MARK_NEW);
    assert_at(mark_foreign(&m), at(7, 105, 1));
    assert_at(m.at, at(7, 105, 0));
    /* it cannot follow on Bob's channel now: who says so is no publishing script */
    assert_int_equal(mark_own(&m, at(7, 105, 0), &bob), MARK_FOREIGN);
    assert_int_equal(bob, 0);

    m = known_mark();
    ann = 0;
    assert_int_equal(mark_own(&m, at(7, 105, 0), &ann), MARK_NEW);
    assert_int_equal(mark_canary(&m, at(7, 105, 0)), MARK_CANARY_OK);
    assert_at(m.at, at(7, 105, 0));
    assert_int_equal(mark_own(&m, at(7, 105, 0), &bob), MARK_FOREIGN);
}

static void own_looking_ids_that_are_not_in_order_are_foreign(void **state)
{
    struct mark m = known_mark();
    uint64_t ann = 0, bob = 0;

    assert_int_equal(mark_own(&m, at(7, 105, 0), &ann), MARK_NEW);
    struct mark before = m;
    assert_int_equal(mark_own(&m, at(7, 104, 0), &bob), MARK_FOREIGN);
    assert_int_equal(mark_own(&m, at(7, 105, 0), &ann), MARK_FOREIGN);
    assert_int_equal(mark_own(&m, at(7, 0, 0), &bob), MARK_FOREIGN);
    assert_int_equal(mark_own(&m, at(7, 106, 1), &bob), MARK_FOREIGN);
    assert_memory_equal(&m, &before, sizeof(m));
    assert_int_equal(bob, 0);
    /* at or below the head of a canary */
    assert_int_equal(mark_canary(&m, at(7, 110, 0)), MARK_CANARY_OK);
    assert_int_equal(mark_own(&m, at(7, 110, 0), &bob), MARK_FOREIGN);
    assert_int_equal(mark_own(&m, at(7, 111, 0), &bob), MARK_NEW);
}

static void another_epoch_changes_nothing(void **state)
{
    struct mark m = known_mark(), before = m;
    uint64_t ann = 99;

    assert_int_equal(mark_own(&m, at(8, 101, 0), &ann), MARK_EPOCH);
    assert_int_equal(mark_own(&m, at(6, 101, 0), &ann), MARK_EPOCH);
    assert_int_equal(mark_canary(&m, at(8, 101, 0)), MARK_CANARY_EPOCH);
    assert_int_equal(mark_canary(&m, at(6, 50, 0)), MARK_CANARY_EPOCH);
    assert_memory_equal(&m, &before, sizeof(m));
    assert_int_equal(ann, 99);
}

static void foreign_events_count_on_after_what_has_arrived(void **state)
{
    struct mark m = known_mark();
    uint64_t ann = 0;

    assert_at(mark_foreign(&m), at(7, 100, 1));
    assert_at(m.at, at(7, 100, 0));
    assert_at(mark_foreign(&m), at(7, 100, 2));
    assert_at(m.at, at(7, 100, 1));
    mark_passed(&m, at(7, 100, 2));
    assert_at(m.at, at(7, 100, 2));
    /* a canary without news takes nothing back, and does not start the count anew */
    assert_int_equal(mark_canary(&m, at(7, 100, 0)), MARK_CANARY_OK);
    assert_at(m.at, at(7, 100, 2));
    assert_at(mark_foreign(&m), at(7, 100, 3));
    assert_int_equal(mark_own(&m, at(7, 101, 0), &ann), MARK_NEW);
    assert_at(m.at, at(7, 100, 3));
    assert_at(mark_foreign(&m), at(7, 101, 1));
    /* after a canary that tells of events for others, foreign ids are above its head too */
    assert_int_equal(mark_canary(&m, at(7, 120, 0)), MARK_CANARY_OK);
    assert_at(mark_foreign(&m), at(7, 120, 1));
}

static void a_forged_id_is_found_by_the_next_canary(void **state)
{
    struct mark m = known_mark();
    uint64_t ann = 0, bob = 0;

    assert_int_equal(mark_own(&m, at(7, 101, 0), &ann), MARK_NEW);
    assert_int_equal(mark_canary(&m, at(7, 100, 0)), MARK_CANARY_FORGERY);
    assert_at(m.at, at(7, 100, 0));
    assert_int_equal(mark_own(&m, at(7, 5000, 0), &ann), MARK_NEW);
    mark_passed(&m, at(7, 5000, 0));
    assert_int_equal(mark_canary(&m, at(7, 102, 0)), MARK_CANARY_FORGERY);
    assert_at(m.at, at(7, 102, 0));
    assert_at(m.arrived, at(7, 102, 0));
    /* the true ones go on */
    assert_int_equal(mark_own(&m, at(7, 103, 0), &bob), MARK_NEW);
    assert_int_equal(mark_canary(&m, at(7, 103, 0)), MARK_CANARY_OK);
    assert_at(m.at, at(7, 103, 0));
}

static void a_lost_connection_takes_up_whatever_head_it_is_reset_to(void **state)
{
    struct mark m = known_mark();
    uint64_t all = 0;

    /* the new epoch has lost some of the old one's numbers */
    mark_reset(&m, at(8, 60, 0));
    assert_at(m.at, at(8, 60, 0));
    assert_int_equal(mark_own(&m, at(7, 101, 0), &all), MARK_EPOCH);
    assert_int_equal(mark_own(&m, at(8, 61, 0), &all), MARK_NEW);
    assert_int_equal(mark_canary(&m, at(8, 61, 0)), MARK_CANARY_OK);
    assert_at(m.at, at(8, 61, 0));
    /* and may go back within one, where what stood above was forged */
    mark_reset(&m, at(8, 50, 0));
    assert_at(m.at, at(8, 50, 0));
    assert_int_equal(mark_own(&m, at(8, 51, 0), &(uint64_t){0}), MARK_NEW);
}

static void after_a_reset_what_the_page_has_raises_nothing_and_is_no_forgery(void **state)
{
    struct mark m = known_mark();
    uint64_t all = 0;

    mark_reset(&m, at(7, 200, 0));
    assert_at(m.at, at(7, 200, 0));
    assert_at(m.arrived, at(7, 200, 0));
    assert_int_equal(mark_own(&m, at(7, 190, 0), &all), MARK_NEW);
    assert_at(m.at, at(7, 200, 0));
    /* sent before the page was asked */
    assert_int_equal(mark_canary(&m, at(7, 195, 0)), MARK_CANARY_OK);
    assert_at(m.at, at(7, 200, 0));
    assert_int_equal(mark_own(&m, at(7, 195, 0), &all), MARK_FOREIGN);
    assert_at(mark_foreign(&m), at(7, 200, 1));
    assert_int_equal(mark_own(&m, at(7, 201, 0), &all), MARK_NEW);
    assert_at(m.at, at(7, 200, 1));
    assert_int_equal(mark_canary(&m, at(7, 200, 0)), MARK_CANARY_FORGERY);
}

static void a_reset_at_the_same_head_does_not_give_foreign_ids_twice(void **state)
{
    struct mark m = known_mark();

    assert_at(mark_foreign(&m), at(7, 100, 1));
    mark_reset(&m, at(7, 100, 0));
    assert_at(m.at, at(7, 100, 1));
    assert_at(mark_foreign(&m), at(7, 100, 2));
    mark_reset(&m, at(9, 100, 0));
    assert_at(m.at, at(9, 100, 0));
    assert_at(mark_foreign(&m), at(9, 100, 1));
}

/* --- a worker that follows some of the channels, and the truth ------------------------------------------------------
 */

#define CHANNELS 6 /* 0 is broadcast; the worker follows 0 to 3 */
#define FOLLOWED 4

struct truth {
    struct mark m;
    uint64_t head; /* the last seq that was published */
    uint64_t carried[CHANNELS];
    struct position highest; /* given to an event so far */
    struct position mark_before;
    uint64_t incomplete; /* seq of the event that still follows on another channel; 0: none */
};

static void check(struct truth *t, unsigned seed, int step)
{
    struct position limit = {7, t->incomplete > 0 ? t->incomplete - 1 : t->head, UINT64_MAX};

    if (position_cmp(t->m.at, t->mark_before) < 0)
        fail_msg("seed %u step %d: the mark went back", seed, step);
    if (position_cmp(t->m.at, limit) > 0)
        fail_msg("seed %u step %d: the mark is above what has arrived", seed, step);
    t->mark_before = t->m.at;
}

static void deliver_own(struct truth *t, int channel, unsigned seed, int step)
{
    struct position id = {7, t->head, 0};

    if (mark_own(&t->m, id, &t->carried[channel]) != MARK_NEW)
        fail_msg("seed %u step %d: a true event is refused", seed, step);
    if (position_cmp(t->highest, id) > 0 || position_cmp(t->m.at, id) >= 0)
        fail_msg("seed %u step %d: an event is not above the mark", seed, step);
    t->highest = id;
    if (channel == 0)
        mark_passed(&t->m, id);
}

static void publish_targeted(struct truth *t, unsigned seed, int step)
{
    unsigned audience = 2 + (unsigned)rand() % ((1 << CHANNELS) - 2);

    for (int c = 1; c < FOLLOWED; c++) {
        if ((audience & 1u << c) == 0)
            continue;
        t->incomplete = audience >> (c + 1) & ((1u << FOLLOWED >> (c + 1)) - 1) ? t->head : 0;
        deliver_own(t, c, seed, step);
        check(t, seed, step);
    }
}

static void publish_foreign(struct truth *t, unsigned seed, int step)
{
    struct position id = mark_foreign(&t->m);

    if (position_cmp(id, t->highest) <= 0 || position_cmp(id, t->m.at) <= 0)
        fail_msg("seed %u step %d: a foreign id is not above all before it", seed, step);
    t->highest = id;
    if (rand() % 2 == 0)
        mark_passed(&t->m, id);
}

static void repeat_or_forge_an_old_id(struct truth *t, unsigned seed, int step)
{
    struct position id = {7, t->head - (uint64_t)rand() % 5, 0};
    int channel = 0;

    /* on a channel that carried it, or below the last */
    while (channel < FOLLOWED && t->carried[channel] != id.seq)
        channel++;
    if (channel == FOLLOWED && id.seq >= t->m.last.seq)
        return;
    if (mark_own(&t->m, id, &t->carried[channel % FOLLOWED]) != MARK_FOREIGN)
        fail_msg("seed %u step %d: a repeated id passes", seed, step);
    publish_foreign(t, seed, step);
}

static void canary(struct truth *t, unsigned seed, int step)
{
    if (mark_canary(&t->m, at(7, t->head, 0)) != MARK_CANARY_OK || t->m.at.seq != t->head)
        fail_msg("seed %u step %d: a canary proved nothing", seed, step);
}

static void a_random_run_keeps_the_mark_true(void **state)
{
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct truth t = {.m = known_mark(), .head = 100, .highest = at(7, 100, 0)};
        srand(seed);
        for (int step = 0; step < 5000; step++) {
            switch (rand() % 5) {
            case 0:
                t.head++;
                deliver_own(&t, 0, seed, step);
                break;
            case 1:
                t.head++;
                publish_targeted(&t, seed, step);
                break;
            case 2:
                publish_foreign(&t, seed, step);
                break;
            case 3:
                repeat_or_forge_an_old_id(&t, seed, step);
                break;
            case 4:
                canary(&t, seed, step);
                break;
            }
            check(&t, seed, step);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broadcast_raises_the_mark_to_its_id_once_it_is_on_the_tape),
        cmocka_unit_test(a_targeted_event_raises_the_mark_to_the_id_before_while_it_may_follow_elsewhere),
        cmocka_unit_test(any_other_message_completes_an_event),
        cmocka_unit_test(own_looking_ids_that_are_not_in_order_are_foreign),
        cmocka_unit_test(another_epoch_changes_nothing),
        cmocka_unit_test(foreign_events_count_on_after_what_has_arrived),
        cmocka_unit_test(a_forged_id_is_found_by_the_next_canary),
        cmocka_unit_test(a_lost_connection_takes_up_whatever_head_it_is_reset_to),
        cmocka_unit_test(after_a_reset_what_the_page_has_raises_nothing_and_is_no_forgery),
        cmocka_unit_test(a_reset_at_the_same_head_does_not_give_foreign_ids_twice),
        cmocka_unit_test(a_random_run_keeps_the_mark_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
