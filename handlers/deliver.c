/* News from pubsub/: events go on the tape or into outboxes, marks and confirmations move connections on. */
#include "handlers/internal.h"
#include "core/clock.h"

/* A burst may come from Redis in one turn, larger than the tape: whoever reads gets his share before it is gone. */
static void write_before(struct ws_conn *c, uint64_t new_tail)
{
    while (conn_on_tape(c) && conn_cursor(c) < new_tail && !c->blocked)
        conn_flush(c);
}

/* The tape is about to lose what lies before new_tail: whoever stands there and takes nothing more is overtaken, and in
 * the middle of a frame copies its rest aside. Downwards, since a connection that breaks leaves its place to the last.
 */
static void overtake(struct edge *e, uint64_t new_tail)
{
    uint64_t floor = e->tape.head;
    for (size_t i = e->conns.n; i-- != 0;) {
        struct ws_conn *c = e->conns.entries[i];
        write_before(c, new_tail);
        if (!conn_on_tape(c))
            continue;
        if (conn_cursor(c) < new_tail)
            conn_catch_up(c);
        else if (conn_cursor(c) < floor)
            floor = conn_cursor(c);
    }
    e->lag_floor = floor;
}

/* The list may be full though the client reads: a burst has come in one turn. Then it is written now. */
static void queue_live(struct ws_conn *c, struct position id, struct str text)
{
    bool queued;
    while (!(queued = conn_queue_event(c, id, text)) && !c->blocked) {
        conn_flush(c);
        if (c->state != CONN_LIVE)
            return;
    }
    if (queued)
        conn_mark_dirty(c);
    else
        conn_catch_up(c);
}

/* The tape cannot hold it. An own one all who are live get from the log, and nothing before it is on the tape any more;
 * a foreign one, which no log has, waits for each. */
static void on_giant(struct edge *e, struct position id, struct str text)
{
    if (id.n != 0) {
        for (size_t i = e->conns.n; i-- != 0;)
            if (e->conns.entries[i]->state == CONN_LIVE)
                queue_live(e->conns.entries[i], id, text);
        return;
    }
    for (size_t i = 0; i < e->conns.n; ++i)
        if (conn_on_tape(e->conns.entries[i]))
            conn_catch_up(e->conns.entries[i]);
    tape_restart(&e->tape, id);
    e->lag_floor = e->tape.head;
}

static void on_broadcast(void *data, struct position id, struct str text)
{
    struct edge *e = data;
    uint8_t bytes[FRAME_HEADER_MAX];
    struct str header = {(char *)bytes, frame_header(bytes, FRAME_TEXT, text.n)};
    uint64_t new_tail = tape_tail_after(&e->tape, header.n + text.n);
    if (position_cmp(id, tape_end(&e->tape)) <= 0)
        return; /* the page that has closed a gap had it already */
    if (new_tail > e->lag_floor)
        overtake(e, new_tail);
    if (e->tape.head < e->lag_floor)
        e->lag_floor = e->tape.head;
    measure_broadcast(e, text);
    if (tape_append(&e->tape, id, header, text) == 0)
        e->sweep_left = e->conns.n;
    else
        on_giant(e, id, text);
}

/* What comes while it catches up waits behind the pages. Foreign events are for the live. */
static void queue_catching_up(struct ws_conn *c, struct position id, struct str text)
{
    struct catch_up *core = &c->catch_up->core;
    if (!catch_up_hears(core, id) || conn_queue_event(c, id, text))
        return;
    outbox_drop_events(c, (struct position){UINT64_MAX, UINT64_MAX, 0});
    catch_up_overflowed(core, id);
}

/* It had it from a page, or on another of its channels, or has it on the tape. */
static bool has_had(const struct ws_conn *c, struct position id)
{
    if (id.n != 0)
        return false;
    if (position_cmp(id, tape_end(&c->edge->tape)) == 0)
        return true;
    if (conn_events_wait(c))
        return position_cmp(id, c->outbox->events_last->id) <= 0;
    return c->state == CONN_LIVE && position_cmp(id, c->sent) <= 0;
}

static void on_targeted(void *data, struct hub_channel *channel, struct position id, struct str text)
{
    struct hub_member *next;
    (void)data;
    for (struct hub_member *m = channel->members; m != NULL; m = next) {
        next = m->next;
        struct ws_conn *c = conn_of_member(m);
        if (has_had(c, id))
            continue;
        if (c->state == CONN_LIVE)
            queue_live(c, id, text);
        else if (c->state == CONN_CATCHING_UP)
            queue_catching_up(c, id, text);
    }
}

static void on_mark(void *data)
{
    edge_mark_risen(data);
}

static void on_channel_ready(void *data, struct hub_channel *channel)
{
    (void)data;
    for (struct hub_member *m = channel->members; m != NULL; m = m->next)
        conn_wake(conn_of_member(m));
}

static void on_gap(void *data)
{
    edge_gap(data);
}

static struct position on_history(void *data, const struct history *history)
{
    struct edge *e = data;
    size_t cut = tape_cut(&e->tape, history);
    if (cut != 0)
        log_event(LOG_LEVEL_WARN, "history_lost", LOG_U("broadcasts", cut));
    e->lag_floor = e->tape.head;
    return tape_end(&e->tape);
}

static void on_tape_restart(void *data, struct position lost)
{
    struct edge *e = data;
    tape_restart(&e->tape, lost);
    e->lag_floor = e->tape.head;
}

const struct pubsub_callbacks edge_pubsub_callbacks = {
    .on_broadcast = on_broadcast,
    .on_targeted = on_targeted,
    .on_mark = on_mark,
    .on_channel_ready = on_channel_ready,
    .on_gap = on_gap,
    .on_history = on_history,
    .on_tape_restart = on_tape_restart,
    .on_registered = edge_on_registered,
    .on_superseded = edge_on_superseded,
    .on_disconnect = edge_on_disconnect,
    .on_question = edge_on_question,
    .on_register_all = edge_on_register_all,
    .on_claim_due = edge_on_claim_due,
    .on_claimed = edge_on_claimed,
};
