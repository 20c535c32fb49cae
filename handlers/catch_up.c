/* Catching up (core/catch_up.h): the rounds of one connection, from the confirmed subscriptions to live.
 *
 *      its turn --> [page of broadcasts, where the tape does not reach back] --> page of its own logs --> written
 *         ^                                                                                                 |
 *         `------------------------------ something is left above L ----------------------------------------+
 *                                                                                  live, or wait for the mark
 *
 * A page is asked for when the socket has taken all of the round before, so a client is served at its own pace. Turns
 * are given in slices of time, so that ten thousand that resume at once do not hold up the loop. */
#include "handlers/internal.h"
#include "core/metrics.h"
#include <stdlib.h>

static const struct position everything = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

/* --- coming and going -----------------------------------------------------------------------------------------------
 */

static struct ws_catch_up *catch_up_new(struct ws_conn *c, struct position at)
{
    struct ws_catch_up *u = mem_zalloc(sizeof(*u));
    u->conn = c;
    catch_up_start(&u->core, at);
    return u;
}

void conn_end_catch_up(struct ws_conn *c)
{
    if (!conn_is_catching_up(c))
        return;
    struct ws_catch_up *u = c->catch_up;
    conn_drop_broadcasts(c);
    c->catch_up = NULL;
    u->conn = NULL;
    if (u->refs == 0)
        free(u);
}

void conn_begin_catch_up(struct ws_conn *c, const struct position *at)
{
    c->resuming = at != NULL;
    if (at != NULL)
        c->sent = *at;
    c->catch_up = catch_up_new(c, c->sent);
}

void conn_begin_unknown(struct ws_conn *c)
{
    conn_begin_catch_up(c, &(struct position){0});
    c->catch_up->resync = RESYNC_UNKNOWN;
}

/* What of this round does not go out was counted as replayed. */
static uint64_t replayed_so_far(struct ws_conn *c)
{
    const struct ws_catch_up *u = c->catch_up;
    return u->core.replayed - outbox_drop_replay(c) - tape_count(&c->edge->tape, u->cursor, u->limit);
}

void conn_catch_up(struct ws_conn *c)
{
    struct position at = conn_position(c);
    uint64_t replayed = 0;
    uint8_t resync = RESYNC_NONE;
    conn_leave_tape(c);
    if (c->state != CONN_LIVE) {
        replayed = replayed_so_far(c);
        resync = c->catch_up->resync;
        conn_end_catch_up(c);
    }
    outbox_drop_events(c, everything);
    conn_set_state(c, CONN_SUBSCRIBING);
    c->sent = at;
    c->catch_up = catch_up_new(c, at);
    c->catch_up->core.replayed = replayed;
    c->catch_up->resync = resync;
    conn_wake(c);
}

void conn_lost_log(struct ws_conn *c)
{
    if (c->state == CONN_LIVE || c->state == CONN_CATCHING_UP)
        conn_catch_up(c);
    if (c->state == CONN_SUBSCRIBING)
        c->catch_up->resync = RESYNC_EXPIRED;
}

void edge_gap(struct edge *e)
{
    ++e->gap_generation;
    for (size_t i = 0; i < e->conns.n; ++i) {
        struct ws_conn *c = e->conns.entries[i];
        if (c->state == CONN_LIVE || c->state == CONN_CATCHING_UP)
            conn_catch_up(c);
    }
}

/* --- a round --------------------------------------------------------------------------------------------------------
 */

struct round {
    struct ws_conn *conn;
    const struct tape *tape; /* NULL: the broadcasts come from a page */
};

static void take(void *data, const struct page_entry *entry)
{
    const struct round *r = data;
    struct tape_frame before;
    uint64_t place = 0;
    if (r->tape != NULL) {
        place = tape_seek(r->tape, entry->id);
        if (tape_frame_before(r->tape, place, &before) && position_cmp(before.id, entry->id) == 0)
            return; /* it went to everybody and to this client */
    }
    conn_queue_replay(r->conn, entry->id, entry->text, place);
    ++r->conn->catch_up->core.replayed;
}

/* How far the broadcasts of this round go. */
static struct catch_up_source broadcasts_of(const struct ws_catch_up *u)
{
    const struct broadcast_page *b = u->broadcasts;
    const struct edge *e = u->conn->edge;
    if (b != NULL)
        return (struct catch_up_source){.entries = b->entries, .n = b->n, .bound = b->bound, .full = b->full};
    if (tape_reaches(&e->tape, u->core.at))
        return (struct catch_up_source){.bound = pubsub_mark(e->pubsub)};
    return (struct catch_up_source){.bound = u->core.at, .full = true}; /* overtaken since it asked */
}

static void read_tape(struct ws_catch_up *u)
{
    struct edge *e = u->conn->edge;
    u->cursor = tape_seek(&e->tape, u->core.at);
    u->limit = tape_seek(&e->tape, u->core.goal);
    u->core.replayed += tape_count(&e->tape, u->cursor, u->limit);
    if (u->cursor != u->limit && u->cursor < e->lag_floor)
        e->lag_floor = u->cursor;
}

static void merge_page(struct ws_conn *c, const struct page *page)
{
    struct ws_catch_up *u = c->catch_up;
    struct catch_up_source sources[1 + PAGE_LOGS_MAX] = {broadcasts_of(u)};
    struct round r = {.conn = c, .tape = u->broadcasts == NULL ? &c->edge->tape : NULL};
    for (size_t i = 0; i < page->n; ++i) {
        const struct page_log *log = &page->logs[i];
        sources[1 + i] = (struct catch_up_source){log->entries, log->n, page_bound(page, log), log->full};
    }
    catch_up_merge(&u->core, sources, 1 + page->n, take, &r);
    metric_add(r.tape != NULL ? METRIC_CATCH_UPS_TAPE : METRIC_CATCH_UPS_REDIS, 1);
    if (r.tape != NULL)
        read_tape(u);
    conn_drop_broadcasts(c);
    outbox_drop_events(c, u->core.goal);
    conn_settle(c);
}

static void on_page(void *data, const struct page *page)
{
    struct ws_catch_up *u = data;
    if (u->conn != NULL && page != NULL) { /* else it was given up, or this is the end */
        enum resync_reason reason = page_judge(page);
        struct position oldest = page_oldest(page);
        if (reason == RESYNC_NONE)
            merge_page(u->conn, page);
        else
            conn_refuse(u->conn, reason, page->history.head, oldest);
    }
    catch_up_release(u);
}

static void ask_page(struct ws_conn *c)
{
    static const enum event_log kinds[] = {[HUB_USER] = EVENT_LOG_USER, [HUB_CONNECTION] = EVENT_LOG_CONNECTION};
    struct event_log_ref logs[HUB_CONNECTION + 1];
    struct ws_catch_up *u = c->catch_up;
    struct page_request request = {.after = u->core.at, .logs = logs, .n = 0, .count = u->core.count};
    for (; request.n <= HUB_CONNECTION; ++request.n)
        logs[request.n] = (struct event_log_ref){kinds[request.n], hub_channel_id(c->follows[request.n].channel)};
    request.after.n = 0;
    u->phase = PHASE_PAGE;
    ++u->refs;
    catch_up_ask(&u->core);
    pubsub_read_page(c->edge->pubsub, &request, on_page, u);
}

static void ask_round(struct ws_conn *c)
{
    const struct ws_catch_up *u = c->catch_up;
    if (tape_reaches(&c->edge->tape, u->core.at))
        ask_page(c);
    else
        conn_want_broadcasts(c);
}

/* --- after a round --------------------------------------------------------------------------------------------------
 */

static enum catch_up_next next_of(const struct ws_conn *c)
{
    const struct edge *e = c->edge;
    const struct catch_up *core = &c->catch_up->core;
    return catch_up_next(core, tape_reaches(&e->tape, core->at), pubsub_mark(e->pubsub));
}

static void await_mark(struct ws_conn *c)
{
    struct edge *e = c->edge;
    struct ws_catch_up *u = c->catch_up;
    u->phase = PHASE_MARK;
    if (e->want_mark.n == 0 || position_cmp(u->core.at, e->mark_awaited) < 0)
        e->mark_awaited = u->core.at;
    catch_up_list_add(&e->want_mark, u);
}

void conn_settle(struct ws_conn *c)
{
    struct ws_catch_up *u = c->catch_up;
    u->phase = PHASE_WRITING;
    conn_mark_dirty(c);
    if (!conn_replay_written(c))
        return;
    catch_up_written(&u->core);
    if (position_cmp(u->core.at, c->sent) > 0)
        c->sent = u->core.at;
    switch (next_of(c)) {
    case CATCH_UP_LIVE:
        conn_go_live(c);
        break;
    case CATCH_UP_WAIT_MARK:
        await_mark(c);
        break;
    case CATCH_UP_ASK:
        if (!conn_has_output(c))
            ask_round(c);
        break;
    }
}

void edge_mark_risen(struct edge *e)
{
    struct catch_up_list waiting = e->want_mark;
    struct position mark = pubsub_mark(e->pubsub), base = e->mark_awaited;
    base.n = 0;
    if (waiting.n == 0 || position_cmp(mark, base) < 0)
        return;
    e->want_mark = (struct catch_up_list){0};
    for (size_t i = 0; i < waiting.n; ++i) {
        struct ws_catch_up *u = waiting.entries[i];
        if (u->conn == NULL || u->phase != PHASE_MARK)
            continue;
        if (next_of(u->conn) == CATCH_UP_WAIT_MARK)
            await_mark(u->conn);
        else
            conn_wake(u->conn);
    }
    catch_up_list_free(&waiting);
}

/* --- its turn
 * ----------------------------------------------------------------------------------------------------------
 */

static bool channels_ready(const struct ws_conn *c)
{
    for (int kind = HUB_USER; kind <= HUB_CONNECTION; ++kind)
        if (!pubsub_channel_ready(c->edge->pubsub, c->follows[kind].channel))
            return false;
    return true;
}

/* It is known, its channels are confirmed, and nothing is on its way to it: the first round. */
static void join(struct ws_conn *c)
{
    if (c->sock == NULL || c->outbox != NULL || !c->registered || !channels_ready(c))
        return;
    conn_set_state(c, CONN_CATCHING_UP);
    if (c->resuming && !c->welcomed)
        conn_say_welcome(c);
    if (!c->welcomed || c->catch_up->resync != RESYNC_NONE)
        conn_want_head(c);
    else
        ask_round(c);
}

void conn_step(struct ws_conn *c)
{
    const struct ws_catch_up *u = c->catch_up;
    if (c->state == CONN_SUBSCRIBING)
        join(c);
    else if (c->state != CONN_CATCHING_UP)
        return;
    else if (u->phase == PHASE_HEAD_KNOWN)
        conn_join_at_head(c);
    else if (u->phase == PHASE_BROADCASTS && u->broadcasts != NULL)
        ask_page(c);
    else if (u->phase == PHASE_WRITING || (u->phase == PHASE_MARK && next_of(c) != CATCH_UP_WAIT_MARK))
        conn_settle(c);
}
