/* handlers/measure.c: when a fan-out is over, which deliveries are timed, and what is handed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "core/envelope.h"
#include "core/metrics.h"
#include "handlers/internal.h"

static struct metrics mine;
static struct edge edge;

static int fresh(void **state)
{
    memset(&mine, 0, sizeof(mine));
    memset(&edge, 0, sizeof(edge));
    metrics_mine = &mine;
    tape_init(&edge.tape, 65536);
    return 0;
}

static int dispose(void **state)
{
    tape_dispose(&edge.tape);
    return 0;
}

static uint64_t observed(enum metric_histogram h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < METRIC_BUCKETS; i++)
        n += mine.histograms[h].buckets[i];
    return n;
}

static void broadcast(uint64_t timestamp_ms)
{
    struct buf text = {0};

    envelope_open(&text, STR_LIT("a.b"), (struct position){1, 1, 0}, timestamp_ms);
    measure_broadcast(&edge, buf_str(&text));
    edge.sweep_left = edge.conns.n;
    buf_free(&text);
}

static void visit(size_t n)
{
    edge.sweep_left -= n < edge.sweep_left ? n : edge.sweep_left;
    measure_slice(&edge, n, NULL);
}

static void a_fan_out_is_over_when_all_have_been_visited(void **state)
{
    edge.conns.n = 5;
    broadcast(1);
    visit(3);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 0);
    visit(2);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
    visit(0);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
}

/* Each starts the sweep again, which would never end. */
static void of_broadcasts_that_overlap_one_is_measured(void **state)
{
    edge.conns.n = 5;
    broadcast(1);
    visit(3);
    broadcast(2);
    visit(1);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 0);
    visit(1);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
    broadcast(3);
    visit(4);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
    visit(1);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 2);
}

static void a_fan_out_whose_connections_go_is_over_with_its_sweep(void **state)
{
    edge.conns.n = 5;
    broadcast(1);
    visit(2);
    edge.conns.n = 0;
    edge.sweep_left = 0;
    measure_slice(&edge, 0, NULL);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
    broadcast(2);
    measure_slice(&edge, 0, NULL);
    assert_int_equal(observed(METRIC_FANOUT_SECONDS), 1);
}

static void a_sweep_that_nobody_is_left_for_does_not_keep_the_loop_busy(void **state)
{
    edge.sweep_left = 2;
    assert_true(edge_busy(&edge));
    edge_flush(&edge);
    assert_false(edge_busy(&edge));
}

static void a_delivery_is_timed_where_all_has_been_written(void **state)
{
    struct ws_conn c = {.edge = &edge, .state = CONN_LIVE};

    edge.conns.n = 1;
    c.cursor = edge.tape.head;
    broadcast(clock_unix_ms() - 300);
    measure_slice(&edge, 1, &c);
    assert_int_equal(observed(METRIC_DELIVERY_SECONDS), 1);
    assert_in_range(mine.histograms[METRIC_DELIVERY_SECONDS].sum_us, 300000, 60000000);
    assert_int_equal(tape_append(&edge.tape, (struct position){1, 2, 0}, STR_LIT("h"), STR_LIT("t")), 0);
    measure_slice(&edge, 1, &c); /* the newest is still to come */
    c.cursor = edge.tape.head;
    c.state = CONN_CLOSING;
    measure_slice(&edge, 1, &c);
    assert_int_equal(observed(METRIC_DELIVERY_SECONDS), 1);
    c.state = CONN_LIVE;
    broadcast(clock_unix_ms() + 3600000); /* another machine's clock is ahead */
    measure_slice(&edge, 1, &c);
    assert_int_equal(observed(METRIC_DELIVERY_SECONDS), 1);
}

static void what_was_added_up_is_handed_over_once(void **state)
{
    edge.measures.bytes = 700;
    edge.measures.events = 3;
    measure_tell(&edge);
    measure_tell(&edge);
    assert_int_equal(mine.cells[METRIC_SENT_BYTES_TOTAL], 700);
    assert_int_equal(mine.cells[METRIC_SENT_EVENT], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fan_out_is_over_when_all_have_been_visited, fresh, dispose),
        cmocka_unit_test_setup_teardown(of_broadcasts_that_overlap_one_is_measured, fresh, dispose),
        cmocka_unit_test_setup_teardown(a_fan_out_whose_connections_go_is_over_with_its_sweep, fresh, dispose),
        cmocka_unit_test_setup_teardown(a_sweep_that_nobody_is_left_for_does_not_keep_the_loop_busy, fresh, dispose),
        cmocka_unit_test_setup_teardown(a_delivery_is_timed_where_all_has_been_written, fresh, dispose),
        cmocka_unit_test_setup_teardown(what_was_added_up_is_handed_over_once, fresh, dispose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
