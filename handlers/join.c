/* From confirmed subscriptions to live. Until a log can be read back, whoever has a gap is told so and goes on from the
 * head:
 *
 *      channels confirmed, output drained --> a head H is read --> welcome / resync_required --> the mark reaches H -->
 * live
 *
 * Broadcasts above H are on the tape; targeted events that come while the read is under way wait in the outbox. */
#include "handlers/internal.h"
#include "core/clock.h"
#include <stdlib.h>

/* --- asking ---------------------------------------------------------------------------------------------------------
 */

static bool channels_ready(const struct ws_conn *c)
{
    for (int kind = HUB_USER; kind <= HUB_CONNECTION; ++kind)
        if (!pubsub_channel_ready(c->edge->pubsub, c->follows[kind].channel))
            return false;
    return true;
}

void conn_try_head(struct ws_conn *c)
{
    struct edge *e = c->edge;
    if (c->state != CONN_SUBSCRIBING || c->sock == NULL || c->outbox != NULL || !channels_ready(c))
        return;
    conn_set_state(c, CONN_CATCHING_UP);
    c->overflowed = false;
    ++c->refs;
    conn_list_add(&e->want_head, c);
}

static bool can_live(const struct ws_conn *c)
{
    return position_cmp(pubsub_mark(c->edge->pubsub), c->sent) >= 0;
}

static void go_live(struct ws_conn *c)
{
    struct edge *e = c->edge;
    if (!tape_reaches(&e->tape, c->sent)) {
        conn_catch_up(c, RESYNC_EXPIRED);
        return;
    }
    conn_set_state(c, CONN_LIVE);
    c->cursor = tape_seek(&e->tape, c->sent);
    if (c->cursor < e->lag_floor)
        e->lag_floor = c->cursor;
    conn_mark_dirty(c);
}

static void await_mark(struct ws_conn *c)
{
    ++c->refs;
    conn_list_add(&c->edge->want_mark, c);
}

static void say_welcome(struct ws_conn *c, struct position at)
{
    const struct config *config = c->edge->config;
    struct buf json = {0};
    struct message_welcome m = {
        .connection_id = conn_id(c),
        .user_id = conn_user(c),
        .position = at,
        .recovering = c->resuming,
        .ping_interval_ms = config->ping_interval_ms,
        .backoff_base_ms = BACKOFF_BASE_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
    };
    message_welcome(&json, &m, clock_unix_ms());
    conn_say(c, &json);
}

static void say_resync(struct ws_conn *c, struct position head, struct position oldest)
{
    static const char *const names[] = {[RESYNC_UNKNOWN] = "unknown", [RESYNC_EXPIRED] = "expired"};
    struct buf json = {0};
    message_resync_required(&json, head, clock_unix_ms(), names[c->resync], oldest);
    conn_say(c, &json);
    c->resync = RESYNC_NONE;
}

/* The head is known: what it says is the position from which this connection is complete. */
static void join_at(struct ws_conn *c, struct position head, struct position oldest)
{
    if (!c->welcomed)
        say_welcome(c, c->resuming ? c->sent : head);
    if (c->resync != RESYNC_NONE)
        say_resync(c, head, oldest);
    c->sent = head;
    if (!c->welcomed) {
        c->welcomed = true;
        c->deadline_ms = 0;
        if (c->edge->leave_by_ms != 0)
            conn_tell_leave(c);
        conn_schedule(c);
    }
    c->head_known = true;
    outbox_drop_events(c, head);
    if (can_live(c))
        go_live(c);
    else
        await_mark(c);
}

static void on_head(void *data, struct position head, struct position oldest)
{
    struct edge *e = data;
    struct conn_list asked = e->asked_head;
    bool current = e->asked_generation == e->gap_generation;
    e->asked_head = (struct conn_list){0};
    e->head_in_flight = false;
    for (size_t i = 0; i < asked.n; ++i) {
        struct ws_conn *c = asked.entries[i];
        --c->refs;
        if (c->state != CONN_CATCHING_UP || c->head_known || !current)
            continue; /* closed, or sent back by a gap: it asks again by itself */
        if (c->overflowed) {
            conn_set_state(c, CONN_SUBSCRIBING);
            conn_try_head(c);
        } else {
            join_at(c, head, oldest);
        }
    }
    free(asked.entries);
}

void edge_ask_head(struct edge *e)
{
    if (e->head_in_flight || e->want_head.n == 0)
        return;
    e->asked_head = e->want_head;
    e->want_head = (struct conn_list){0};
    e->asked_generation = e->gap_generation;
    e->head_in_flight = true;
    pubsub_read_head(e->pubsub, on_head, e);
}

/* --- the mark -------------------------------------------------------------------------------------------------------
 */

void edge_mark_risen(struct edge *e)
{
    struct conn_list *l = &e->want_mark;
    for (size_t i = 0; i < l->n;) {
        struct ws_conn *c = l->entries[i];
        bool waits = c->state == CONN_CATCHING_UP && c->head_known;
        if (waits && !can_live(c)) {
            ++i;
            continue;
        }
        l->entries[i] = l->entries[--l->n];
        --c->refs;
        if (waits)
            go_live(c);
    }
}

/* --- falling behind -------------------------------------------------------------------------------------------------
 */

void conn_catch_up(struct ws_conn *c, enum resync_reason reason)
{
    if (c->state == CONN_LIVE)
        conn_leave_tape(c);
    outbox_drop_events(c, (struct position){UINT64_MAX, UINT64_MAX, 0});
    if (c->welcomed && c->resync == RESYNC_NONE)
        c->resync = (uint8_t)reason;
    conn_set_state(c, CONN_SUBSCRIBING);
    conn_try_head(c);
}

void edge_gap(struct edge *e)
{
    ++e->gap_generation;
    for (size_t i = 0; i < e->conns.n; ++i) {
        struct ws_conn *c = e->conns.entries[i];
        c->sent = conn_position(c); /* once it is not live the mark is not its own any more */
        if (c->state == CONN_LIVE || c->state == CONN_CATCHING_UP)
            conn_catch_up(c, RESYNC_EXPIRED);
    }
    e->lag_floor = e->tape.head;
}
