/* handlers/outbox.c: what one connection writes, byte by byte, against a simple model, in long random runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "handlers/internal.h"

#define FIFO_MAX 4096
#define TAPE_SIZE 65536

/* --- the model: at each frame boundary an answer goes first, else the oldest event ---------------------------------
 */

struct piece {
    char *p;
    size_t n;
    uint64_t seq; /* of an event; 0: an answer */
};

struct fifo {
    struct piece items[FIFO_MAX];
    size_t first, count;
};

struct model {
    struct piece current;
    size_t current_off;
    struct fifo urgent, events;
    bool live;
    uint64_t sent; /* seq of the last event that has begun to go out, or where it joined */
};

struct world {
    struct edge edge;
    struct ws_conn conn;
    struct ws_catch_up catch_up;
    struct model model;
    struct buf stream; /* all that was written */
    uint64_t seq;
};

static uint32_t random_state;

static uint32_t next_random(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static void fifo_put(struct fifo *f, struct piece piece)
{
    assert_true(f->count < FIFO_MAX);
    f->items[(f->first + f->count++) % FIFO_MAX] = piece;
}

static struct piece fifo_take(struct fifo *f)
{
    struct piece piece = f->items[f->first];
    f->first = (f->first + 1) % FIFO_MAX;
    --f->count;
    return piece;
}

static void fifo_empty(struct fifo *f)
{
    while (f->count != 0)
        free(fifo_take(f).p);
}

/* False if nothing waits. */
static bool model_next_frame(struct model *m)
{
    if (m->current.p != NULL)
        return true;
    if (m->urgent.count != 0)
        m->current = fifo_take(&m->urgent);
    else if (m->live && m->events.count != 0)
        m->current = fifo_take(&m->events);
    else
        return false;
    m->current_off = 0;
    return true;
}

static char model_byte(struct model *m)
{
    assert_true(model_next_frame(m));
    if (m->current.seq != 0 && m->current_off == 0)
        m->sent = m->current.seq;
    char byte = m->current.p[m->current_off++];
    if (m->current_off == m->current.n) {
        free(m->current.p);
        m->current = (struct piece){0};
    }
    return byte;
}

static size_t fifo_bytes(const struct fifo *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; ++i)
        n += f->items[(f->first + i) % FIFO_MAX].n;
    return n;
}

static size_t model_bytes(const struct model *m)
{
    size_t n = m->current.p != NULL ? m->current.n - m->current_off : 0;
    return n + fifo_bytes(&m->urgent) + (m->live ? fifo_bytes(&m->events) : 0);
}

/* --- the world -----------------------------------------------------------------------------------------------------
 */

static void world_init(struct world *w, uint32_t seed)
{
    memset(w, 0, sizeof(*w));
    random_state = seed;
    tape_init(&w->edge.tape, TAPE_SIZE);
    w->conn.edge = &w->edge;
    w->conn.state = CONN_LIVE;
    w->model.live = true;
}

static void world_dispose(struct world *w)
{
    outbox_free(&w->conn);
    tape_dispose(&w->edge.tape);
    free(w->model.current.p);
    fifo_empty(&w->model.urgent);
    fifo_empty(&w->model.events);
    buf_free(&w->stream);
}

static struct position position_of(uint64_t seq)
{
    return (struct position){7, seq, 0};
}

static struct piece text_frame(char kind, uint64_t seq, size_t pad)
{
    uint8_t header[FRAME_HEADER_MAX];
    struct buf text = {0}, frame = {0};
    buf_printf(&text, "%c%llu ", kind, (unsigned long long)seq);
    for (size_t i = 0; i < pad; ++i)
        buf_append_char(&text, (char)('a' + (seq + i) % 26));
    size_t n = frame_header(header, FRAME_TEXT, text.n);
    buf_append(&frame, (struct str){(char *)header, n});
    buf_append(&frame, buf_str(&text));
    buf_free(&text);
    return (struct piece){frame.p, frame.n, kind == 'E' ? seq : 0};
}

/* A frame's payload: behind its header of 2 or 4 bytes. */
static struct str payload_of(const struct piece *f)
{
    size_t header = (f->p[1] & 0x7f) < 126 ? 2 : 4;
    return (struct str){f->p + header, f->n - header};
}

static size_t random_size(void)
{
    return next_random(10) == 0 ? next_random(5000) : next_random(200);
}

/* As handlers/catch_up.c sends a connection back; here it loses its events and joins again at the head. */
static void leave(struct world *w)
{
    conn_leave_tape(&w->conn);
    w->conn.state = CONN_CATCHING_UP;
    w->conn.catch_up = &w->catch_up;
    outbox_drop_events(&w->conn, (struct position){UINT64_MAX, UINT64_MAX, 0});
    w->conn.sent = position_of(w->seq);
    fifo_empty(&w->model.events);
    w->model.live = false;
    w->model.sent = w->seq;
}

static void join(struct world *w)
{
    if (w->conn.state == CONN_LIVE)
        return;
    if (!tape_reaches(&w->edge.tape, w->conn.sent))
        leave(w);
    w->conn.state = CONN_LIVE;
    w->conn.cursor = tape_seek(&w->edge.tape, w->conn.sent);
    w->model.live = true;
}

static void broadcast(struct world *w)
{
    struct piece f = text_frame('E', ++w->seq, random_size());
    struct str payload = payload_of(&f);
    struct str header = {f.p, f.n - payload.n};
    if (w->conn.state == CONN_LIVE && w->conn.cursor < tape_tail_after(&w->edge.tape, f.n)) {
        --w->seq;
        leave(w);
        ++w->seq;
    }
    assert_int_equal(tape_append(&w->edge.tape, position_of(w->seq), header, payload), 0);
    fifo_put(&w->model.events, f);
}

static void target(struct world *w)
{
    struct piece f = text_frame('E', ++w->seq, random_size());
    if (conn_queue_event(&w->conn, position_of(w->seq), payload_of(&f))) {
        fifo_put(&w->model.events, f);
        return;
    }
    free(f.p);
    leave(w);
}

static void answer(struct world *w)
{
    struct piece f = text_frame('A', next_random(1000), random_size());
    conn_say_frames(&w->conn, (struct str){f.p, f.n});
    fifo_put(&w->model.urgent, f);
}

static void write_some(struct world *w)
{
    struct write_plan plan;
    size_t waiting = model_bytes(&w->model), n;
    conn_plan(&w->conn, &plan);
    assert_true(plan.bytes <= FLUSH_MAX && plan.n <= PLAN_MAX);
    assert_int_equal(conn_has_output(&w->conn), waiting != 0);
    if (plan.n < PLAN_MAX - 1)
        assert_int_equal(plan.bytes, waiting < FLUSH_MAX ? waiting : FLUSH_MAX);
    else
        assert_true(plan.bytes <= waiting);
    n = next_random(3) == 0 ? plan.bytes : next_random((uint32_t)plan.bytes + 1);
    for (size_t i = 0, left = n; left != 0; ++i) {
        size_t part = plan.iov[i].iov_len < left ? plan.iov[i].iov_len : left;
        const char *bytes = plan.iov[i].iov_base;
        buf_append(&w->stream, (struct str){bytes, part});
        for (size_t k = 0; k < part; ++k)
            if (bytes[k] != model_byte(&w->model))
                fail_msg("byte %zu of the stream is wrong", w->stream.n - part + k);
        left -= part;
    }
    conn_written(&w->conn, n);
    assert_int_equal(w->conn.sent.seq, w->model.sent);
}

static void write_all(struct world *w)
{
    while (model_bytes(&w->model) != 0)
        write_some(w);
    assert_false(conn_has_output(&w->conn));
}

/* Reads the stream without the model: whole frames, events in the order of their ids. Returns how many events. */
static size_t read_stream(const struct world *w)
{
    struct str rest = buf_str(&w->stream);
    unsigned long long last = 0, seq;
    size_t events = 0;
    while (rest.n != 0) {
        assert_true(rest.n >= 2);
        size_t header = 2, n = rest.p[1] & 0x7f;
        assert_int_equal((unsigned char)rest.p[0], 0x80 | FRAME_TEXT);
        if (n == 126) {
            header = 4;
            n = (size_t)(unsigned char)rest.p[2] << 8 | (unsigned char)rest.p[3];
        }
        assert_true(rest.n >= header + n);
        if (rest.p[header] == 'E') {
            assert_int_equal(sscanf(rest.p + header + 1, "%llu ", &seq), 1);
            assert_true(seq > last);
            last = seq;
            ++events;
        }
        rest = (struct str){rest.p + header + n, rest.n - header - n};
    }
    return events;
}

static void step(struct world *w)
{
    switch (next_random(12)) {
    case 0:
    case 1:
    case 2:
        broadcast(w);
        break;
    case 3:
    case 4:
        target(w);
        break;
    case 5:
        answer(w);
        break;
    case 6:
        if (next_random(20) == 0 && w->conn.state == CONN_LIVE)
            leave(w);
        break;
    case 7:
        join(w);
        break;
    default:
        write_some(w);
    }
}

static void any_mix_is_the_models_stream(void **state)
{
    static struct world w;
    size_t events = 0;
    for (uint32_t seed = 1; seed <= 40; ++seed) {
        world_init(&w, seed);
        for (int i = 0; i < 2000; ++i)
            step(&w);
        join(&w);
        write_all(&w);
        events += read_stream(&w);
        world_dispose(&w);
    }
    assert_true(events > 10000);
}

static void a_reader_that_lags_is_overtaken_and_told_nothing_broken(void **state)
{
    static struct world w;
    world_init(&w, 99);
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 400; ++i)
            broadcast(&w);
        write_some(&w);
        join(&w);
        write_some(&w);
    }
    join(&w);
    write_all(&w);
    assert_true(read_stream(&w) < 50 * 400);
    world_dispose(&w);
}

/* --- single situations ---------------------------------------------------------------------------------------------
 */

static void write_exactly(struct world *w, size_t n)
{
    struct write_plan plan;
    conn_plan(&w->conn, &plan);
    assert_true(plan.bytes >= n);
    for (size_t i = 0; i < n; ++i)
        model_byte(&w->model);
    conn_written(&w->conn, n);
}

static void what_is_left_of_a_tape_frame_survives_leaving_the_tape(void **state)
{
    static struct world w;
    struct write_plan plan;
    world_init(&w, 1);
    broadcast(&w);
    broadcast(&w);
    size_t first = w.model.events.items[0].n;
    write_exactly(&w, first - 2);
    assert_int_equal(w.conn.cursor, first - 2);
    leave(&w);
    tape_restart(&w.edge.tape, (struct position){0});
    conn_plan(&w.conn, &plan);
    assert_int_equal(plan.bytes, 2);
    write_exactly(&w, 2);
    assert_false(conn_has_output(&w.conn));
    world_dispose(&w);
}

static void leaving_the_tape_at_a_boundary_copies_nothing(void **state)
{
    static struct world w;
    world_init(&w, 1);
    broadcast(&w);
    write_exactly(&w, w.model.events.items[0].n);
    leave(&w);
    assert_null(w.conn.outbox);
    world_dispose(&w);
}

static void an_answer_waits_for_the_end_of_a_frame_and_passes_the_events(void **state)
{
    static struct world w;
    struct write_plan plan;
    world_init(&w, 1);
    target(&w);
    target(&w);
    size_t first = w.model.events.items[0].n;
    write_exactly(&w, 1);
    answer(&w);
    conn_plan(&w.conn, &plan);
    assert_int_equal(plan.n, 3);
    assert_int_equal(plan.iov[0].iov_len, first - 1);
    assert_int_equal(plan.iov[1].iov_len, w.model.urgent.items[0].n);
    write_all(&w);
    world_dispose(&w);
}

static void the_list_of_events_is_bounded_in_bytes_however_small_they_are(void **state)
{
    static struct world w;
    size_t n = 0;
    world_init(&w, 1);
    while (conn_queue_event(&w.conn, position_of(++w.seq), STR_LIT("x")))
        ++n;
    assert_true(n > 1000);
    assert_true(n * sizeof(struct ws_frame) <= OUTBOX_EVENTS_MAX);
    world_dispose(&w);
}

static void small_answers_count_with_what_they_cost(void **state)
{
    static struct world w;
    size_t n = 0;
    world_init(&w, 1);
    for (; w.conn.outbox == NULL || w.conn.outbox->urgent_bytes <= OUTBOX_URGENT_MAX; ++n)
        conn_say_frames(&w.conn, STR_LIT("\x8a\x00"));
    assert_true(n * sizeof(struct ws_frame) <= OUTBOX_URGENT_MAX + sizeof(struct ws_frame));
    struct write_plan plan;
    while (conn_has_output(&w.conn)) {
        conn_plan(&w.conn, &plan);
        conn_written(&w.conn, plan.bytes);
    }
    assert_null(w.conn.outbox);
    world_dispose(&w);
}

static void one_event_larger_than_the_bound_is_taken_alone(void **state)
{
    static struct world w;
    char *large = mem_zalloc(2 * OUTBOX_EVENTS_MAX);
    world_init(&w, 1);
    assert_true(conn_queue_event(&w.conn, position_of(1), (struct str){large, 2 * OUTBOX_EVENTS_MAX}));
    assert_false(conn_queue_event(&w.conn, position_of(2), STR_LIT("x")));
    free(large);
    world_dispose(&w);
}

static void one_plan_is_bounded_in_bytes_and_in_pieces(void **state)
{
    static struct world w;
    static char large[FLUSH_MAX / 4];
    struct write_plan plan;
    world_init(&w, 1);
    for (int i = 0; i < 5; ++i)
        conn_say_frames(&w.conn, (struct str){large, sizeof(large) - 1});
    conn_plan(&w.conn, &plan);
    assert_int_equal(plan.bytes, FLUSH_MAX);
    outbox_free(&w.conn);
    for (int i = 0; i < 2 * PLAN_MAX; ++i)
        conn_say_frames(&w.conn, STR_LIT("\x8a\x00"));
    conn_plan(&w.conn, &plan);
    assert_in_range(plan.n, PLAN_MAX / 2, PLAN_MAX);
    world_dispose(&w);
}

static void events_up_to_a_position_are_dropped_that_one_too(void **state)
{
    static struct world w;
    world_init(&w, 1);
    for (uint64_t seq = 1; seq <= 3; ++seq)
        assert_true(conn_queue_event(&w.conn, position_of(seq), STR_LIT("x")));
    size_t each = w.conn.outbox->events_bytes / 3;
    outbox_drop_events(&w.conn, position_of(2));
    assert_int_equal(w.conn.outbox->events->id.seq, 3);
    assert_int_equal(w.conn.outbox->events_bytes, each);
    outbox_drop_events(&w.conn, position_of(3));
    assert_null(w.conn.outbox);
    world_dispose(&w);
}

static void what_has_begun_to_go_out_no_longer_counts_as_waiting(void **state)
{
    static struct world w;
    struct write_plan plan;
    world_init(&w, 1);
    for (int i = 0; i < 2; ++i) {
        conn_say_frames(&w.conn, STR_LIT("\x8a\x00"));
        assert_true(conn_queue_event(&w.conn, position_of(++w.seq), STR_LIT("x"))); /* a frame of 3 bytes */
    }
    size_t answers = w.conn.outbox->urgent_bytes, events = w.conn.outbox->events_bytes;
    conn_plan(&w.conn, &plan);
    assert_int_equal(plan.bytes, 2 * 2 + 2 * 3);
    conn_written(&w.conn, 1);
    assert_int_equal(w.conn.outbox->urgent_bytes, answers / 2);
    conn_written(&w.conn, 4);
    assert_int_equal(w.conn.outbox->urgent_bytes, 0);
    assert_int_equal(w.conn.outbox->events_bytes, events / 2);
    conn_written(&w.conn, 3);
    assert_int_equal(w.conn.outbox->events_bytes, 0);
    world_dispose(&w);
}

static void whoever_has_something_to_say_is_flushed_this_turn(void **state)
{
    static struct world w;
    world_init(&w, 1);
    conn_say_frames(&w.conn, STR_LIT("\x8a\x00"));
    assert_ptr_equal(w.edge.dirty, &w.conn);
    world_dispose(&w);
}

static void a_closing_connection_says_no_more_messages(void **state)
{
    static struct world w;
    struct buf json = {0};
    world_init(&w, 1);
    w.conn.state = CONN_CLOSING;
    buf_lit(&json, "{}");
    conn_say(&w.conn, &json);
    assert_null(json.p);
    assert_null(w.conn.outbox);
    world_dispose(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_mix_is_the_models_stream),
        cmocka_unit_test(a_reader_that_lags_is_overtaken_and_told_nothing_broken),
        cmocka_unit_test(what_is_left_of_a_tape_frame_survives_leaving_the_tape),
        cmocka_unit_test(leaving_the_tape_at_a_boundary_copies_nothing),
        cmocka_unit_test(an_answer_waits_for_the_end_of_a_frame_and_passes_the_events),
        cmocka_unit_test(the_list_of_events_is_bounded_in_bytes_however_small_they_are),
        cmocka_unit_test(small_answers_count_with_what_they_cost),
        cmocka_unit_test(one_event_larger_than_the_bound_is_taken_alone),
        cmocka_unit_test(one_plan_is_bounded_in_bytes_and_in_pieces),
        cmocka_unit_test(events_up_to_a_position_are_dropped_that_one_too),
        cmocka_unit_test(what_has_begun_to_go_out_no_longer_counts_as_waiting),
        cmocka_unit_test(whoever_has_something_to_say_is_flushed_this_turn),
        cmocka_unit_test(a_closing_connection_says_no_more_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
