/* pubsub/gap.c and pubsub/pages.c, on a Redis whose every step the test decides: a tape is complete wherever it says
 * so, and a page is what the log held, whatever was lost, trimmed or changed in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "core/tape.h"
#include "fake_redis.h"

struct world {
    struct config config;
    struct hub hub;
    struct pubsub *p;
    struct tape tape;
    unsigned gaps, histories, restarts, marks, refused;
    unsigned pages_asked, pages_answered, pages_unanswered;
};

/* --- the edge's side ------------------------------------------------------------------------------------------------
 */

static void on_broadcast(void *ctx, struct position id, struct str text)
{
    struct world *w = ctx;

    if (tape_append(&w->tape, id, STR_LIT("h"), text) != 0)
        w->refused++;
}

static void on_targeted(void *ctx, struct hub_channel *channel, struct position id, struct str text)
{
    (void)ctx, (void)channel, (void)id, (void)text;
}

static void on_mark(void *ctx)
{
    ((struct world *)ctx)->marks++;
}

static void on_channel_ready(void *ctx, struct hub_channel *channel)
{
    (void)ctx, (void)channel;
}

static void on_gap(void *ctx)
{
    ((struct world *)ctx)->gaps++;
}

static struct position on_history(void *ctx, const struct history *history)
{
    struct world *w = ctx;

    w->histories++;
    tape_cut(&w->tape, history);
    return tape_end(&w->tape);
}

static void on_tape_restart(void *ctx, struct position lost)
{
    struct world *w = ctx;

    w->restarts++;
    tape_restart(&w->tape, lost);
}

static void on_register_all(void *ctx)
{
    (void)ctx; /* this worker holds no connection */
}

static const struct pubsub_callbacks callbacks = {
    .on_broadcast = on_broadcast,
    .on_targeted = on_targeted,
    .on_mark = on_mark,
    .on_channel_ready = on_channel_ready,
    .on_gap = on_gap,
    .on_history = on_history,
    .on_tape_restart = on_tape_restart,
    .on_register_all = on_register_all,
};

static void world_init(struct world *w, size_t tape_bytes)
{
    fake_reset();
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    *w = (struct world){0};
    w->config.redis_prefix = (char *)"ws:";
    w->config.tape_bytes = tape_bytes;
    w->config.redis_timeout_ms = 2000;
    hub_init(&w->hub);
    tape_init(&w->tape, tape_bytes);
    w->p = pubsub_create(NULL, &w->config, &w->hub, &callbacks, w, 0);
}

static void world_dispose(struct world *w)
{
    pubsub_close(w->p);
    pubsub_destroy(w->p);
    hub_dispose(&w->hub);
    tape_dispose(&w->tape);
    buf_free(&fake.last_range);
}

/* Until nothing happens any more. */
static void settle(struct world *w)
{
    bool busy = true;

    for (int i = 0; busy; i++) {
        if (i == 10000)
            fail_msg("it does not come to rest");
        busy = fake_connect(&w->p->commands);
        busy |= fake_connect(&w->p->subscriber);
        pubsub_turn(w->p);
        while (fake_step(fake.conns[0]) || fake_step(fake.conns[1]) || fake_hear())
            busy = true;
    }
}

/* A mark that stands at the head, as after a canary. */
static void settle_with_canary(struct world *w)
{
    settle(w);
    canary_want(w->p);
    settle(w);
}

static void lose(struct link *l)
{
    link_restart(l, "lost");
}

static struct position at(uint64_t epoch, uint64_t seq)
{
    return (struct position){epoch, seq, 0};
}

static bool is(struct position a, struct position b)
{
    return position_cmp(a, b) == 0;
}

static void broadcast(unsigned n)
{
    while (n-- != 0)
        fake_broadcast(true);
}

static bool on_tape(const struct tape *t, struct position id)
{
    uint64_t offset = tape_seek(t, (struct position){id.epoch, id.seq - 1, UINT64_MAX});

    return offset != t->head && is(tape_frame_at(t, offset).id, id);
}

/* Of what came after its beginning the tape has all that was not lost, and nothing else. */
static void assert_tape_is_the_history(const struct world *w)
{
    size_t expected = 0;

    for (size_t i = 0; i < fake.n; i++) {
        const struct fake_entry *e = &fake.log[i];
        if (!e->alive || position_cmp(e->id, w->tape.lost) <= 0)
            continue;
        expected++;
        if (!on_tape(&w->tape, e->id))
            fail_msg(FAKE_ID " is missing, the tape begins after " FAKE_ID, FAKE_PARTS(e->id),
                     FAKE_PARTS(w->tape.lost));
    }
    assert_int_equal(w->tape.index_count, expected);
    assert_int_equal(w->refused, 0);
    assert_true(gap_closed(w->p));
    assert_true(is(w->p->mark.at, fake.history.head));
}

/* --- one case after the other ---------------------------------------------------------------------------------------
 */

static void a_new_worker_fills_its_tape_before_it_is_ready(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(250);
    fake_connect(&w.p->commands);
    while (fake_step(fake.conns[0]))
        ;
    fake_connect(&w.p->subscriber);
    while (fake_step(fake.conns[1]))
        ;
    assert_true(fake_hear());
    assert_false(fake_hear()); /* paused, though the node's channel is confirmed too */
    assert_false(pubsub_state(w.p, 0).ready);
    assert_int_equal(w.tape.index_count, 0);
    settle(&w);
    assert_true(pubsub_state(w.p, 0).ready);
    assert_tape_is_the_history(&w);
    assert_true(is(w.tape.lost, at(0, 0)));
    assert_int_equal(w.gaps, 0);
    world_dispose(&w);
}

static void nothing_to_read_back_is_one_read(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle_with_canary(&w);
    assert_tape_is_the_history(&w);
    assert_int_equal(fake.reads, 1);
    broadcast(10);
    settle_with_canary(&w);
    lose(&w.p->subscriber);
    assert_int_equal(w.gaps, 1);
    settle(&w);
    assert_int_equal(fake.reads, 2);
    assert_int_equal(w.restarts, 0);
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void what_was_broadcast_meanwhile_is_read_back(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(10);
    settle(&w);
    lose(&w.p->subscriber);
    broadcast(300);
    settle_with_canary(&w);
    assert_tape_is_the_history(&w);
    assert_int_equal(w.tape.index_count, 310);
    assert_int_equal(w.restarts, 0);
    world_dispose(&w);
}

static void what_comes_while_the_log_is_read_comes_once(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(5);
    settle(&w);
    lose(&w.p->subscriber);
    fake_connect(&w.p->subscriber);
    while (fake_step(fake.conns[1]))
        broadcast(3); /* some before the subscription, some after it and before the read */
    fake_hear();
    pubsub_turn(w.p);
    broadcast(3);
    while (fake_step(fake.conns[0]))
        broadcast(2); /* and some after it */
    settle_with_canary(&w);
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void an_event_that_is_not_kept_passes_once_the_connection_is_read(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    struct position id = fake_broadcast(false);
    settle(&w);
    assert_int_equal(w.tape.index_count, 1);
    assert_true(on_tape(&w.tape, id));
    world_dispose(&w);
}

static void a_chain_with_a_hole_begins_the_tape_there(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(5);
    settle(&w);
    lose(&w.p->subscriber);
    broadcast(100);
    fake.log[60].logged = false;
    settle_with_canary(&w);
    assert_int_equal(w.restarts, 1);
    assert_true(is(w.tape.lost, at(100, 61)));
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void a_log_that_was_trimmed_begins_the_tape_at_its_first_entry(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(100);
    for (size_t i = 0; i < 40; i++)
        fake.log[i].logged = false;
    settle_with_canary(&w);
    assert_true(is(w.tape.lost, at(100, 40)));
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void a_log_that_is_gone_begins_the_tape_after_its_last_entry(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(100);
    for (size_t i = 0; i < 100; i++)
        fake.log[i].logged = false;
    settle_with_canary(&w);
    assert_true(is(w.tape.lost, at(100, 100)));
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

/* The worker has read the first page of two. */
static void read_first_page(struct world *w)
{
    fake_connect(&w->p->commands);
    fake_connect(&w->p->subscriber);
    while (fake.reads == 0) {
        pubsub_turn(w->p);
        if (!fake_step(fake.conns[0]) && !fake_step(fake.conns[1]))
            fake_hear();
    }
}

static void trimming_between_two_reads_is_noticed(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(100); /* the first read asks for 64 */
    read_first_page(&w);
    for (size_t i = 0; i < 50; i++)
        fake.log[i].logged = false;
    settle_with_canary(&w);
    assert_true(is(w.tape.lost, at(100, 36))); /* of the second read nothing was left */
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

/* Redis was loaded anew, say: what the first page brought is not there any more. */
static void an_epoch_that_begins_between_two_reads_starts_over(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(100);
    read_first_page(&w);
    fake_lose_after(50);
    broadcast(5);
    settle_with_canary(&w);
    assert_tape_is_the_history(&w);
    assert_int_equal(w.tape.index_count, 55);
    assert_int_equal(w.gaps, 0);
    world_dispose(&w);
}

static void no_more_is_read_than_the_tape_holds(void **state)
{
    struct world w;

    world_init(&w, 64 * 1024);
    broadcast(20000);
    settle_with_canary(&w);
    assert_int_equal(w.restarts, 1);
    assert_true(w.tape.lost.seq > 18000);
    assert_true(w.tape.index_count > 300);
    assert_tape_is_the_history(&w);
    assert_in_range(fake.reads, 2, 20);
    world_dispose(&w);
}

static void what_a_failover_lost_is_cut_off_the_tape(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(1000);
    settle(&w);
    fake_lose_after(900);
    strcpy(fake.run_id, "two");
    lose(&w.p->commands);
    lose(&w.p->subscriber);
    broadcast(200);
    settle_with_canary(&w);
    assert_int_equal(w.restarts, 0);
    assert_int_equal(w.tape.index_count, 1100);
    assert_true(on_tape(&w.tape, at(100, 900)) && !on_tape(&w.tape, at(100, 901)) && on_tape(&w.tape, at(101, 901)));
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void a_new_epoch_under_living_connections_is_a_gap(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(10);
    settle(&w);
    fake.replid_changed = true;
    broadcast(10);
    settle_with_canary(&w);
    assert_int_equal(w.gaps, 1);
    assert_int_equal(w.tape.index_count, 20);
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

static void without_a_head_it_asks_for_one(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(10);
    settle(&w);
    fake.head_deleted = true;
    lose(&w.p->subscriber);
    settle(&w);
    assert_false(gap_closed(w.p)); /* but the canary has been asked, which opens an epoch */
    assert_false(fake.head_deleted);
    w.p->gap.not_before_ms = 0;
    settle_with_canary(&w);
    assert_true(gap_closed(w.p));
    assert_tape_is_the_history(&w);
    assert_int_equal(w.p->mark.at.epoch, 101);
    world_dispose(&w);
}

static void an_error_is_asked_again_and_a_long_pause_given_up(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(10);
    fake.refuse = "LOADING Redis is loading the dataset in memory";
    settle(&w);
    assert_false(gap_closed(w.p));
    struct redis_conn *paused = fake.conns[1];
    gap_tick(w.p, clock_monotonic_ms() + 9000);
    assert_ptr_equal(fake.conns[1], paused);
    gap_tick(w.p, clock_monotonic_ms() + 11000);
    assert_null(fake.conns[1]);
    fake.refuse = NULL;
    settle_with_canary(&w);
    assert_tape_is_the_history(&w);
    world_dispose(&w);
}

/* --- pages ----------------------------------------------------------------------------------------------------------
 */

static void check_page(struct world *w, const struct page *page)
{
    const struct page_log *log = &page->logs[0];
    size_t n = 0;

    assert_true(is(page->history.head, fake.history.head));
    assert_int_equal(page->history.head.epoch, w->p->mark.at.epoch);
    for (size_t i = 0; i < fake.n && n < log->n; i++) {
        const struct fake_entry *e = &fake.log[i];
        if (!e->logged || position_cmp(e->id, page->after) <= 0)
            continue;
        assert_true(is(log->entries[n].id, e->id));
        assert_non_null(log->entries[n].text.p);
        n++;
    }
    assert_int_equal(n, log->n);
    if (!log->full && log->n != 0)
        assert_true(is(log->entries[log->n - 1].id, fake.history.last));
}

static void on_page(void *data, const struct page *page)
{
    struct world *w = data;

    w->pages_answered++;
    if (page == NULL)
        w->pages_unanswered++;
    else
        check_page(w, page);
}

static void ask_page(struct world *w, struct position after, uint64_t timeout_ms)
{
    struct event_log_ref logs[] = {{EVENT_LOG_BROADCAST, STR_NONE}, {EVENT_LOG_USER, STR_LIT("alice")}};

    w->pages_asked++;
    pubsub_read_page(w->p, &(struct page_request){after, logs, 2, PAGE_ENTRIES_MAX, timeout_ms}, on_page, w);
}

static void a_page_waits_for_the_first_canary_of_its_connection(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    broadcast(10);
    ask_page(&w, at(100, 5), 0);
    fake_connect(&w.p->commands);
    pubsub_turn(w.p);
    assert_int_equal(fake.conns[0]->sent, 1); /* the canary */
    settle(&w);
    assert_int_equal(w.pages_answered, 1);
    world_dispose(&w);
}

static void at_most_64_pages_are_in_flight_and_a_canary_follows_a_turns_pages(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    size_t reads = fake.reads, canaries = fake.canaries;
    for (int i = 0; i < 150; i++)
        ask_page(&w, at(100, 0), 0);
    pubsub_turn(w.p);
    assert_int_equal(w.p->pages.flight.n, PAGES_IN_FLIGHT_MAX);
    while (fake_step(fake.conns[0]))
        ;
    assert_int_equal(fake.reads - reads, 64);
    assert_int_equal(fake.canaries - canaries, 1);
    assert_int_equal(w.pages_answered, 64);
    settle(&w);
    assert_int_equal(w.pages_answered, 150);
    assert_int_equal(fake.canaries - canaries, 3);
    world_dispose(&w);
}

static void what_a_lost_connection_leaves_unanswered_is_asked_again(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(10);
    for (int i = 0; i < 10; i++)
        ask_page(&w, at(100, 0), 0);
    pubsub_turn(w.p);
    fake_step(fake.conns[0]);
    lose(&w.p->commands);
    assert_int_equal(w.pages_answered, 1);
    settle(&w);
    assert_int_equal(w.pages_answered, 10);
    assert_int_equal(w.pages_unanswered, 0);
    world_dispose(&w);
}

static void a_page_of_another_epoch_is_a_gap_first(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    broadcast(10);
    settle(&w);
    fake.replid_changed = true;
    fake_open_epoch();
    ask_page(&w, at(100, 5), 0);
    pubsub_turn(w.p);
    fake_step(fake.conns[0]);
    assert_int_equal(w.gaps, 1); /* the canary behind it has not been heard */
    assert_int_equal(w.pages_answered, 0);
    settle(&w);
    assert_int_equal(w.gaps, 1);
    assert_int_equal(w.pages_answered, 1); /* check_page has seen the mark's epoch */
    world_dispose(&w);
}

static void a_refused_page_is_asked_again_after_a_second(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    fake.refuse = "NOPERM this user has no permissions";
    ask_page(&w, at(100, 0), 0);
    settle(&w);
    assert_int_equal(w.pages_answered, 0);
    fake.refuse = NULL;
    pages_tick(w.p, clock_monotonic_ms() + 900);
    settle(&w);
    assert_int_equal(w.pages_answered, 0);
    pages_tick(w.p, clock_monotonic_ms() + 1100);
    settle(&w);
    assert_int_equal(w.pages_answered, 1);
    world_dispose(&w);
}

static void a_time_that_is_over_is_told_once(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    ask_page(&w, at(100, 0), 500); /* waits for a connection */
    ask_page(&w, at(100, 0), 0);
    pages_tick(w.p, clock_monotonic_ms() + 400);
    assert_int_equal(w.pages_answered, 0);
    pages_tick(w.p, clock_monotonic_ms() + 600);
    assert_int_equal(w.pages_unanswered, 1);
    settle(&w);
    assert_int_equal(w.pages_answered, 2);
    ask_page(&w, at(100, 0), 500); /* is in flight */
    pubsub_turn(w.p);
    pages_tick(w.p, clock_monotonic_ms() + 600);
    assert_int_equal(w.pages_unanswered, 2);
    settle(&w);
    assert_int_equal(w.pages_answered, 3);
    assert_int_equal(w.p->pages.timed, 0);
    world_dispose(&w);
}

static void the_end_answers_who_waits(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    ask_page(&w, at(100, 0), 0);
    pubsub_turn(w.p);
    ask_page(&w, at(100, 0), 0);
    world_dispose(&w);
    assert_int_equal(w.pages_unanswered, 2);
}

static void redis_greatest_id_is_a_position_like_another(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    settle(&w);
    ask_page(&w, at(UINT64_MAX, UINT64_MAX), 0);
    settle(&w);
    assert_int_equal(w.pages_answered, 1);
    char bytes[LOG_BOUND_MAX];
    assert_true(
        str_eq(log_bound(bytes, at(UINT64_MAX, UINT64_MAX)), STR_LIT("(18446744073709551615-18446744073709551614")));
    assert_true(str_eq(log_bound(bytes, (struct position){5, 7, 3}), STR_LIT("(5-7")));
    world_dispose(&w);
}

static void fewer_entries_are_asked_for_where_they_are_large(void **state)
{
    struct world w;

    world_init(&w, 1024 * 1024);
    assert_int_equal(log_read_count(w.p, EVENT_LOG_USER, PAGE_BYTES_MAX, 100), 16);
    for (int i = 0; i < 20; i++)
        log_read_note(w.p, EVENT_LOG_USER, 3000, 10);
    assert_int_equal(log_read_count(w.p, EVENT_LOG_USER, PAGE_BYTES_MAX, 100), 100);
    log_read_note(w.p, EVENT_LOG_USER, 600 * 1024, 10);
    assert_int_equal(log_read_count(w.p, EVENT_LOG_USER, PAGE_BYTES_MAX, 100), 4);
    log_read_note(w.p, EVENT_LOG_USER, 1024 * 1024, 1);
    assert_int_equal(log_read_count(w.p, EVENT_LOG_USER, PAGE_BYTES_MAX, 100), 1);
    assert_int_equal(log_read_count(w.p, EVENT_LOG_CONNECTION, PAGE_BYTES_MAX, 100), 16);
    world_dispose(&w);
}

/* --- any mix --------------------------------------------------------------------------------------------------------
 */

static void forget_entries(void)
{
    size_t first = 0, n = (size_t)(rand() % 20);

    while (first < fake.n && !fake.log[first].logged)
        first++;
    for (size_t i = first; i < fake.n && n-- != 0; i++)
        fake.log[i].logged = false;
}

static void disturb(struct world *w)
{
    switch (rand() % 12) {
    case 0:
    case 1:
    case 2:
        lose(&w->p->subscriber);
        break;
    case 3:
    case 4:
        lose(&w->p->commands);
        break;
    case 5:
        fake.replid_changed = true;
        break;
    case 6: /* a failover: whoever was connected is not any more */
        fake_lose_after(fake.history.head.seq - (uint64_t)rand() % (fake.history.head.seq / 2 + 1));
        snprintf(fake.run_id, sizeof(fake.run_id), "run %d", rand());
        lose(&w->p->commands);
        lose(&w->p->subscriber);
        break;
    case 7:
        forget_entries();
        break;
    case 8:
        if (fake.n != 0)
            fake.log[rand() % (int)fake.n].logged = false;
        break;
    default:
        ask_page(w, at(fake.history.head.epoch, fake.history.head.seq / 2), 0);
    }
}

static void step(struct world *w)
{
    switch (rand() % 8) {
    case 0:
    case 1:
        broadcast((unsigned)(rand() % 4));
        break;
    case 2:
        fake_step(fake.conns[0]);
        break;
    case 3:
        fake_step(fake.conns[1]);
        break;
    case 4:
        fake_hear();
        break;
    case 5:
        pubsub_turn(w->p);
        break;
    case 6:
        rand() % 2 ? fake_connect(&w->p->commands) : fake_connect(&w->p->subscriber);
        break;
    default:
        if (rand() % 12 == 0)
            disturb(w);
    }
}

static void any_mix_leaves_a_tape_that_is_the_history(void **state)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        struct world w;
        srand(seed);
        world_init(&w, seed % 3 == 0 ? 64 * 1024 : 1024 * 1024);
        for (int i = 0; i < 3000; i++) {
            step(&w);
            if (i % 500 == 499) {
                settle_with_canary(&w);
                assert_tape_is_the_history(&w);
                assert_int_equal(w.pages_answered, w.pages_asked);
            }
        }
        world_dispose(&w);
        assert_int_equal(w.pages_unanswered, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_worker_fills_its_tape_before_it_is_ready),
        cmocka_unit_test(nothing_to_read_back_is_one_read),
        cmocka_unit_test(what_was_broadcast_meanwhile_is_read_back),
        cmocka_unit_test(what_comes_while_the_log_is_read_comes_once),
        cmocka_unit_test(an_event_that_is_not_kept_passes_once_the_connection_is_read),
        cmocka_unit_test(a_chain_with_a_hole_begins_the_tape_there),
        cmocka_unit_test(a_log_that_was_trimmed_begins_the_tape_at_its_first_entry),
        cmocka_unit_test(a_log_that_is_gone_begins_the_tape_after_its_last_entry),
        cmocka_unit_test(trimming_between_two_reads_is_noticed),
        cmocka_unit_test(an_epoch_that_begins_between_two_reads_starts_over),
        cmocka_unit_test(no_more_is_read_than_the_tape_holds),
        cmocka_unit_test(what_a_failover_lost_is_cut_off_the_tape),
        cmocka_unit_test(a_new_epoch_under_living_connections_is_a_gap),
        cmocka_unit_test(without_a_head_it_asks_for_one),
        cmocka_unit_test(an_error_is_asked_again_and_a_long_pause_given_up),
        cmocka_unit_test(a_page_waits_for_the_first_canary_of_its_connection),
        cmocka_unit_test(at_most_64_pages_are_in_flight_and_a_canary_follows_a_turns_pages),
        cmocka_unit_test(what_a_lost_connection_leaves_unanswered_is_asked_again),
        cmocka_unit_test(a_page_of_another_epoch_is_a_gap_first),
        cmocka_unit_test(a_refused_page_is_asked_again_after_a_second),
        cmocka_unit_test(a_time_that_is_over_is_told_once),
        cmocka_unit_test(the_end_answers_who_waits),
        cmocka_unit_test(redis_greatest_id_is_a_position_like_another),
        cmocka_unit_test(fewer_entries_are_asked_for_where_they_are_large),
        cmocka_unit_test(any_mix_leaves_a_tape_that_is_the_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
