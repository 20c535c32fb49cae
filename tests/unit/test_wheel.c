/* core/wheel.c: deadlines at the edges of ticks and turns, and what the callback may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/wheel.h"

#define TICK 100
#define START 1000050
#define TURN ((uint64_t)WHEEL_SLOTS * TICK)

static struct wheel w;

struct timer {
    struct wheel_entry entry;
    unsigned fired;
    unsigned order; /* its place among all that fired */
};

static unsigned fired_in_all;

static void note(struct wheel_entry *e, void *data)
{
    struct timer *t = (struct timer *)e;

    assert_null(e->next);
    t->fired++;
    t->order = ++fired_in_all;
}

static int set_up(void **state)
{
    wheel_init(&w, TICK, START);
    fired_in_all = 0;
    return 0;
}

static unsigned run(uint64_t now_ms)
{
    unsigned before = fired_in_all;

    assert_false(wheel_run(&w, now_ms, SIZE_MAX, note, NULL));
    return fired_in_all - before;
}

static void an_entry_fires_once_and_not_before_it_is_due(void **state)
{
    static const uint64_t delays[] = {0, 1, 49, 50, 51, 99, 100, 101, 30000, TURN - 1, TURN, TURN + 1, 3 * TURN + 77};

    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        struct timer t = {0};
        uint64_t due = START + delays[i];
        set_up(state);
        wheel_set(&w, &t.entry, due);
        assert_int_equal(w.count, 1);
        for (uint64_t now = START; now + 7 * TICK < due; now += 7 * TICK)
            assert_int_equal(run(now), 0);
        assert_int_equal(run(due - 1), 0);
        assert_int_equal(run(due), 1);
        assert_int_equal(w.count, 0);
        for (uint64_t now = due; now < due + 2 * TURN; now += TURN / 3)
            assert_int_equal(run(now), 0);
    }
}

static void a_deadline_in_the_past_fires_at_the_next_run(void **state)
{
    struct timer a = {0}, b = {0};

    wheel_set(&w, &a.entry, 0);
    wheel_set(&w, &b.entry, START - 1);
    assert_int_equal(run(START), 2);
}

static void a_run_after_many_turns_misses_nothing(void **state)
{
    static struct timer timers[3 * WHEEL_SLOTS];
    size_t n = sizeof(timers) / sizeof(timers[0]);

    memset(timers, 0, sizeof(timers));
    for (size_t i = 0; i < n; i++)
        wheel_set(&w, &timers[i].entry, START + i * TICK);
    assert_int_equal(run(START + 100 * TURN), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(timers[i].fired, 1);
}

static void a_moved_entry_fires_at_its_new_time_only(void **state)
{
    struct timer t = {0};

    wheel_set(&w, &t.entry, START + 500);
    wheel_set(&w, &t.entry, START + 5000);
    assert_int_equal(w.count, 1);
    assert_int_equal(run(START + 4999), 0);
    wheel_set(&w, &t.entry, START + 5100);
    wheel_set(&w, &t.entry, START + 5050);
    assert_int_equal(run(START + 5050), 1);
    assert_int_equal(run(START + 2 * TURN), 0);
}

static void a_cleared_entry_is_silent_and_may_be_cleared_again(void **state)
{
    struct timer t = {0};

    wheel_clear(&w, &t.entry);
    wheel_set(&w, &t.entry, START + 500);
    wheel_clear(&w, &t.entry);
    wheel_clear(&w, &t.entry);
    assert_int_equal(w.count, 0);
    assert_int_equal(run(START + 1000), 0);
}

static void a_run_is_bounded_and_says_that_there_is_more(void **state)
{
    struct timer timers[10] = {0};

    for (int i = 0; i < 10; i++)
        wheel_set(&w, &timers[i].entry, START + (uint64_t)(i / 4) * 200);
    assert_true(wheel_run(&w, START + 1000, 3, note, NULL));
    assert_int_equal(fired_in_all, 3);
    assert_int_equal(w.count, 7);
    assert_true(wheel_run(&w, START + 1000, 3, note, NULL));
    assert_true(wheel_run(&w, START + 1000, 3, note, NULL));
    assert_int_equal(fired_in_all, 9);
    assert_false(wheel_run(&w, START + 1000, 1, note, NULL));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(timers[i].order, i + 1);
    assert_false(wheel_run(&w, START + 1000, 0, note, NULL));
    wheel_set(&w, &timers[0].entry, 0);
    assert_true(wheel_run(&w, START + 1000, 0, note, NULL));
}

static void set_again_now(struct wheel_entry *e, void *data)
{
    note(e, NULL);
    wheel_set(&w, e, *(uint64_t *)data);
}

static void what_is_set_in_the_callback_waits_for_the_next_run(void **state)
{
    uint64_t past = 0, now = START + 250;
    struct timer t = {0};

    wheel_set(&w, &t.entry, START + 200);
    assert_true(wheel_run(&w, now, SIZE_MAX, set_again_now, &past));
    assert_int_equal(t.fired, 1);
    assert_true(wheel_run(&w, now, SIZE_MAX, set_again_now, &now));
    assert_int_equal(t.fired, 2);
    uint64_t later = now + 1;
    assert_false(wheel_run(&w, now, SIZE_MAX, set_again_now, &later));
    assert_int_equal(t.fired, 3);
    assert_int_equal(run(now), 0);
    assert_int_equal(run(now + 1), 1);
}

static void clear_the_other(struct wheel_entry *e, void *data)
{
    note(e, NULL);
    struct timer *pair = data;
    wheel_clear(&w, (struct timer *)e == &pair[0] ? &pair[1].entry : &pair[0].entry);
}

static void the_callback_may_clear_another_due_entry(void **state)
{
    struct timer pair[2] = {0};

    wheel_set(&w, &pair[0].entry, START);
    wheel_set(&w, &pair[1].entry, START);
    assert_false(wheel_run(&w, START, SIZE_MAX, clear_the_other, pair));
    assert_int_equal(pair[0].fired, 1);
    assert_int_equal(pair[1].fired, 0);
    assert_int_equal(w.count, 0);
}

static void move_the_other(struct wheel_entry *e, void *data)
{
    note(e, NULL);
    struct timer *pair = data;
    if ((struct timer *)e == &pair[0])
        wheel_set(&w, &pair[1].entry, START + 9000);
}

static void the_callback_may_move_another_due_entry(void **state)
{
    struct timer pair[2] = {0};

    wheel_set(&w, &pair[0].entry, START);
    wheel_set(&w, &pair[1].entry, START);
    assert_false(wheel_run(&w, START, SIZE_MAX, move_the_other, pair));
    assert_int_equal(pair[1].fired, 0);
    assert_int_equal(run(START + 9000), 1);
}

static void free_it(struct wheel_entry *e, void *data)
{
    fired_in_all++;
    free(e);
}

static void the_callback_may_free_its_entry(void **state)
{
    for (uint64_t i = 0; i < 100; i++) {
        struct wheel_entry *e = calloc(1, sizeof(*e));
        wheel_set(&w, e, START + i % 7);
    }
    assert_false(wheel_run(&w, START + 6, SIZE_MAX, free_it, NULL));
    assert_int_equal(fired_in_all, 100);
}

static void a_clock_that_stands_or_goes_back_fires_nothing_early(void **state)
{
    struct timer t = {0};

    assert_int_equal(run(START + 5000), 0);
    wheel_set(&w, &t.entry, START + 4000);
    assert_int_equal(run(START + 3000), 0);
    assert_int_equal(run(START + 4000), 1);
}

/* Runs come many times a tick: a slot whose entries are all due later must not be walked each time. */
static void a_run_passes_over_a_slot_until_its_earliest_entry_is_due(void **state)
{
    struct timer timers[3] = {0};
    const struct wheel_entry *slot = &w.slots[(START + 200) / TICK % WHEEL_SLOTS];

    wheel_set(&w, &timers[0].entry, START + 200);
    wheel_set(&w, &timers[1].entry, START + 210 + TURN);
    wheel_set(&w, &timers[2].entry, START + 205);
    assert_int_equal(slot->due_ms, START + 200);
    assert_int_equal(run(START + 200), 1);
    assert_int_equal(slot->due_ms, START + 205);
    assert_int_equal(run(START + 210), 1);
    assert_int_equal(slot->due_ms, START + 210 + TURN);
    assert_int_equal(run(START + 210 + TURN), 1);
    assert_true(slot->due_ms == UINT64_MAX);
}

/* Random sets, moves, clears and bounded runs against an array of deadlines. */
static void random_steps_agree_with_an_array(void **state)
{
    static struct timer timers[300];
    static uint64_t due[300]; /* 0: not set */

    for (unsigned seed = 1; seed <= 4; seed++) {
        uint64_t now = START;
        set_up(state);
        memset(timers, 0, sizeof(timers));
        memset(due, 0, sizeof(due));
        srand(seed);
        for (int step = 0; step < 5000; step++) {
            size_t i = (size_t)rand() % 300, count = 0, late = 0, max = (size_t)rand() % 8;
            if (rand() % 4 == 0) {
                wheel_clear(&w, &timers[i].entry);
                due[i] = 0;
            } else {
                due[i] = now - 1000 + (uint64_t)rand() % (rand() % 10 == 0 ? 3 * TURN : 20000);
                wheel_set(&w, &timers[i].entry, due[i]);
            }
            now += (uint64_t)rand() % (rand() % 50 == 0 ? 2 * TURN : 150);
            unsigned before = fired_in_all;
            for (size_t j = 0; j < 300; j++)
                timers[j].fired = 0;
            bool more = wheel_run(&w, now, max, note, NULL);
            assert_true(fired_in_all - before <= max);
            for (size_t j = 0; j < 300; j++) {
                if (timers[j].fired > 0) {
                    if (due[j] == 0 || due[j] > now || timers[j].fired > 1)
                        fail_msg("seed %u step %d: timer %zu fired wrongly", seed, step, j);
                    due[j] = 0;
                }
                count += due[j] != 0;
                late += due[j] != 0 && due[j] <= now;
            }
            if (w.count != count || more != (late > 0) || (late > 0 && fired_in_all - before != max))
                fail_msg("seed %u step %d: %zu set, %zu late, more %d", seed, step, count, late, more);
        }
    }
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_entry_fires_once_and_not_before_it_is_due),
        T(a_deadline_in_the_past_fires_at_the_next_run),
        T(a_run_after_many_turns_misses_nothing),
        T(a_moved_entry_fires_at_its_new_time_only),
        T(a_cleared_entry_is_silent_and_may_be_cleared_again),
        T(a_run_is_bounded_and_says_that_there_is_more),
        T(what_is_set_in_the_callback_waits_for_the_next_run),
        T(the_callback_may_clear_another_due_entry),
        T(the_callback_may_move_another_due_entry),
        T(the_callback_may_free_its_entry),
        T(a_clock_that_stands_or_goes_back_fires_nothing_early),
        T(a_run_passes_over_a_slot_until_its_earliest_entry_is_due),
        T(random_steps_agree_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
