/* A new subscriber connection has missed what was published before it: it is not read until the broadcasts are on the
 * tape, taken from their log backwards along the chain of `prev`, from the newest to where the tape ends.
 *
 *      DOWN --> SUBSCRIBING --ws:broadcast confirmed: paused--> WAITING --> READING --> CLOSED: read again
 *       ^                                                          ^           |
 *       |                                                          `-----------' command link lost, epoch changed
 *       `---- the connection is lost, or this took too long ----------'
 *
 * All that the connection carries was published after the first page was read or is in it already, so the mark starts
 * at that page's head. Users' events need no such care: their connections read their own logs. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/log_reply.h"
#include <stdlib.h>

/* Paused without any progress for so long: the connection is given up. */
#define STALL_MS 10000
/* After an error reply, which asking at once would not cure. */
#define RETRY_MS 1000
/* What one reply should have, about, and may have. */
#define READ_BYTES ((size_t)1024 * 1024)
#define READ_ENTRIES_MAX 1000

/* A broadcast that the tape lacks; its text is in gap_state.texts. */
struct gap_entry {
    struct position id;
    size_t offset, len;
};

static const struct event_log_ref broadcast_log = {.kind = EVENT_LOG_BROADCAST};

static void forget(struct gap_state *g)
{
    free(g->entries);
    buf_free(&g->texts);
    g->entries = NULL;
    g->n = g->cap = 0;
}

/* What was read is of no use any more. */
static void start_over(struct pubsub *p, uint64_t not_before_ms)
{
    forget(&p->gap);
    p->gap.stale = p->gap.outstanding;
    p->gap.phase = GAP_WAITING;
    p->gap.not_before_ms = not_before_ms;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

/* `hole`: the chain is broken there, so the tape begins after `expected`, the last one that could not be had. */
static void close_gap(struct pubsub *p, bool hole)
{
    struct gap_state *g = &p->gap;
    if (hole)
        p->callbacks->on_tape_restart(p->data, g->expected);
    for (size_t i = g->n; i-- != 0;)
        p->callbacks->on_broadcast(p->data, g->entries[i].id,
                                   (struct str){g->texts.p + g->entries[i].offset, g->entries[i].len});
    log_event(LOG_LEVEL_INFO, "broadcasts_read_back", LOG_U("worker", p->worker), LOG_U("events", g->n),
              LOG_U("bytes", g->texts.n), LOG_Z("complete", hole ? "no" : "yes"));
    forget(g);
    mark_reset(&p->mark, g->head);
    g->phase = GAP_CLOSED;
    subscriber_gap_closed(p);
    pages_mark_set(p);
    p->callbacks->on_mark(p->data);
    redis_conn_resume(p->subscriber.conn);
}

/* --- the chain ------------------------------------------------------------------------------------------------------
 */

static void keep(struct pubsub *p, const struct log_entry *e)
{
    struct gap_state *g = &p->gap;
    const char *why;
    struct str text = log_entry_text(e, &why);
    if (why != NULL)
        subscriber_drop(p, why, 1);
    if (text.p == NULL)
        return;
    if (g->n == g->cap) {
        g->cap = g->cap == 0 ? 64 : g->cap * 2;
        g->entries = mem_realloc(g->entries, g->cap * sizeof(*g->entries));
    }
    g->entries[g->n++] = (struct gap_entry){e->id, g->texts.n, text.n};
    buf_append(&g->texts, text);
}

enum chain { CHAIN_GOES_ON, CHAIN_REACHES_TAPE, CHAIN_BROKEN };

/* One step back. An entry above the expected one was put there by others; one below it means that the expected one is
 * gone, as does one that does not tell what came before it. */
static enum chain follow(struct pubsub *p, const struct log_entry *e)
{
    struct gap_state *g = &p->gap;
    int order = position_cmp(e->id, g->expected);
    if (order > 0)
        return CHAIN_GOES_ON;
    if (order < 0 || position_cmp(e->prev, e->id) >= 0)
        return CHAIN_BROKEN;
    keep(p, e);
    g->expected = e->prev;
    if (position_cmp(g->expected, g->end) <= 0)
        return CHAIN_REACHES_TAPE;
    return g->texts.n >= p->config->tape_bytes ? CHAIN_BROKEN : CHAIN_GOES_ON;
}

/* Goes back along the entries of a reply. -1 if it is not of the form. */
static int follow_all(struct pubsub *p, const redisReply *range, enum chain *out)
{
    struct gap_state *g = &p->gap;
    size_t bytes = 0, i;
    *out = position_cmp(g->expected, g->end) <= 0 ? CHAIN_REACHES_TAPE : CHAIN_GOES_ON;
    if (range->type != REDIS_REPLY_ARRAY || range->elements > g->asked)
        return -1;
    for (i = 0; i < range->elements && *out == CHAIN_GOES_ON; i++) {
        struct log_entry e;
        if (log_entry_parse(range->element[i], &e) != 0)
            return -1;
        bytes += e.payload.n;
        g->oldest = e.id;
        *out = follow(p, &e);
    }
    log_read_note(p, EVENT_LOG_BROADCAST, bytes, i);
    if (*out == CHAIN_GOES_ON && range->elements < g->asked)
        *out = CHAIN_BROKEN; /* the log has no more */
    return 0;
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static void on_reply(void *data, redisReply *reply);

/* The next entries backwards: of all, or of those before the oldest that was seen. */
static void ask(struct pubsub *p, bool first)
{
    struct gap_state *g = &p->gap;
    char newest[LOG_BOUND_MAX], oldest[LOG_BOUND_MAX];
    g->first = first;
    g->asked = log_read_count(p, EVENT_LOG_BROADCAST, READ_BYTES, READ_ENTRIES_MAX);
    g->phase = GAP_READING;
    g->outstanding++;
    log_read_begin(p);
    log_read_range(p, "XREVRANGE", broadcast_log, first ? STR_LIT("+") : log_bound(newest, g->oldest),
                   first ? STR_LIT("-") : log_bound(oldest, g->end), g->asked);
    log_read_end(p, on_reply, p);
}

/* False if the epoch has changed since the first page: what was taken from the log may have been lost since. */
static bool take_history(struct pubsub *p, const struct history *h)
{
    struct gap_state *g = &p->gap;
    if (!g->first)
        return h->head.epoch == g->head.epoch;
    g->head = h->head;
    g->expected = h->last;
    g->end = p->callbacks->on_history(p->data, h);
    return true;
}

static void refused(struct pubsub *p, struct str reply)
{
    uint64_t now_ms = clock_monotonic_ms(), suppressed;
    if (log_limit_pass(&p->gap.log, now_ms, &suppressed))
        log_event(LOG_LEVEL_ERROR, "broadcasts_not_read_back", LOG_U("worker", p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
    canary_want(p); /* opens an epoch where ws:head is gone */
    start_over(p, now_ms + RETRY_MS);
}

static void take_page(struct pubsub *p, redisReply *reply)
{
    struct history history;
    enum chain chain;
    struct str error = log_read_error(reply, 1);
    if (error.p != NULL || history_parse(reply->element[0], reply->element[1], &history) != 0) {
        refused(p, error.p != NULL ? error : STR_LIT("there is no head of the form"));
        return;
    }
    p->gap.progress_ms = clock_monotonic_ms();
    bool same = take_history(p, &history);
    free(history.ends);
    if (!same)
        start_over(p, 0);
    else if (follow_all(p, reply->element[2], &chain) != 0)
        refused(p, STR_LIT("an answer of another form"));
    else if (chain == CHAIN_GOES_ON)
        ask(p, false);
    else
        close_gap(p, chain == CHAIN_BROKEN);
}

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    p->gap.outstanding--;
    if (p->gap.stale != 0) {
        p->gap.stale--; /* of a subscriber connection that is gone */
        return;
    }
    if (reply == NULL)
        start_over(p, 0);
    else
        take_page(p, reply);
}

/* --- what happens around --------------------------------------------------------------------------------------------
 */

void gap_link_up(struct pubsub *p)
{
    p->gap.phase = GAP_SUBSCRIBING;
}

void gap_link_down(struct pubsub *p)
{
    start_over(p, 0);
    p->gap.phase = GAP_DOWN;
}

void gap_subscribed(struct pubsub *p)
{
    if (p->gap.phase != GAP_SUBSCRIBING)
        return;
    redis_conn_pause(p->subscriber.conn);
    p->gap.progress_ms = clock_monotonic_ms();
    start_over(p, 0);
}

void gap_turn(struct pubsub *p, uint64_t now_ms)
{
    if (p->gap.phase == GAP_WAITING && now_ms >= p->gap.not_before_ms && log_read_possible(p))
        ask(p, true);
}

void gap_tick(struct pubsub *p, uint64_t now_ms)
{
    bool paused = p->gap.phase == GAP_WAITING || p->gap.phase == GAP_READING;
    if (paused && now_ms > p->gap.progress_ms + STALL_MS)
        link_restart(&p->subscriber, "the broadcasts that were missed cannot be read");
}

void gap_dispose(struct pubsub *p)
{
    forget(&p->gap);
}
