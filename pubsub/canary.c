/* The canary: a script that writes. It opens the epoch on a new connection, renews the lease, and publishes the head on
 * the node's own channel: once it is back on the subscriber connection, all up to that head has arrived there. Its
 * reply is the read of the head that new clients wait for, so one canary serves all who ask within a loop turn. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "core/units.h"
#include "pubsub/script_reply.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* After an error reply, which a reconnect would not cure. */
#define RETRY_MS 1000

static void waiters_add(struct head_waiters *w, struct head_waiter one)
{
    if (w->n == w->cap) {
        w->cap = w->cap == 0 ? 4 : w->cap * 2;
        w->entries = mem_realloc(w->entries, w->cap * sizeof(*w->entries));
    }
    w->entries[w->n++] = one;
}

void pubsub_read_head(struct pubsub *p, void (*cb)(void *, struct position, struct position), void *data)
{
    waiters_add(&p->canary.waiting, (struct head_waiter){cb, data});
    p->canary.wanted = true;
}

void canary_want(struct pubsub *p)
{
    p->canary.wanted = true;
}

/* --- the reply ------------------------------------------------------------------------------------------------------
 */

static void fatal(struct pubsub *p, struct str reply)
{
    snprintf(p->fatal_text, sizeof(p->fatal_text), "%.*s", (int)(reply.n > 200 ? 200 : reply.n), reply.p);
    p->fatal = p->fatal_text;
}

static void on_error(struct pubsub *p, struct str text)
{
    uint64_t suppressed;
    enum script_error error = script_error_of(text);
    if (error == SCRIPT_ERROR_SCHEMA || error == SCRIPT_ERROR_INFO || error == SCRIPT_ERROR_CLUSTER)
        fatal(p, text);
    if (log_limit_pass(&p->canary.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "canary_failed", LOG_U("worker", p->worker), LOG_S("reply", text),
                  LOG_U("suppressed", suppressed));
    p->canary.wanted = false;
    p->canary.next_ms = clock_monotonic_ms() + RETRY_MS;
    if (error == SCRIPT_ERROR_READONLY)
        pubsub_leave(p, "Redis has become a replica");
}

static void answer_waiters(struct pubsub *p, const struct script_canary_reply *r)
{
    struct head_waiters asked = p->canary.asked;
    p->canary.asked = (struct head_waiters){0};
    for (size_t i = 0; i < asked.n; ++i)
        asked.entries[i].cb(asked.entries[i].data, r->head, r->oldest);
    free(asked.entries);
}

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct script_canary_reply r;
    p->canary.in_flight = false;
    if (reply == NULL)
        return; /* canary_link_down asks again */
    struct str text = redis_reply_str(reply);
    if (redis_reply_is_error(reply) && script_error_of(text) == SCRIPT_ERROR_NOSCRIPT) {
        p->canary.by_text = p->canary.wanted = true;
    } else if (script_canary_parse(reply, &r) != 0) {
        on_error(p, text);
    } else {
        pubsub_note_epoch(p, r.head.epoch);
        p->canary.answered = true;
        answer_waiters(p, &r);
        if (!r.lease_existed)
            identity_lost(p);
        if (r.points_at_ended)
            reaper_begin(p, r.ended);
        if (r.user_due)
            lifecycle_due(p);
    }
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static void send_canary(struct pubsub *p)
{
    struct canary_state *s = &p->canary;
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_call call = {0};
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%" PRIu64, ++s->nonce_sent);
    script_canary_build(&call, &settings,
                        &(struct script_canary){
                            .seen_epoch = p->seen_epoch,
                            .node = str_of(p->node_id),
                            .nonce = str_of(nonce),
                            .lease_ms = SCRIPT_LEASE_MS,
                            .local = s->local,
                            .dead = s->dead,
                            .since_ms = p->started_ms,
                        });
    if (s->by_text)
        script_call_by_text(&call);
    s->by_text = s->wanted = false;
    s->in_flight = true;
    s->next_ms = clock_monotonic_ms() + CANARY_PERIOD_MS;
    redis_conn_command(p->commands.conn, on_reply, p, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}

void canary_turn(struct pubsub *p)
{
    struct canary_state *s = &p->canary;
    if (!s->wanted || s->in_flight || !p->commands.up)
        return;
    for (size_t i = 0; i < s->waiting.n; ++i)
        waiters_add(&s->asked, s->waiting.entries[i]);
    s->waiting.n = 0;
    send_canary(p);
}

void canary_link_up(struct pubsub *p)
{
    p->canary.wanted = true;
    canary_turn(p); /* at once: it has to be the connection's first command */
}

void canary_link_down(struct pubsub *p)
{
    struct canary_state *s = &p->canary;
    for (size_t i = 0; i < s->asked.n; ++i)
        waiters_add(&s->waiting, s->asked.entries[i]);
    s->asked.n = 0;
    s->in_flight = s->answered = false;
}

/* --- on the subscriber connection -----------------------------------------------------------------------------------
 */

void canary_heard(struct pubsub *p, struct str payload)
{
    struct canary_state *s = &p->canary;
    struct position head;
    struct str nonce;
    uint64_t number;
    if (script_canary_message_parse(payload, &head, &nonce) != 0 || units_parse_count(nonce, &number) != 0 ||
        number <= s->nonce_heard || number > s->nonce_sent)
        return; /* not one of ours */
    s->nonce_heard = number;
    s->heard_ms = clock_monotonic_ms();
    s->heard = true;
    switch (mark_canary(&p->mark, head)) {
    case MARK_CANARY_OK:
        p->callbacks->on_mark(p->data);
        break;
    case MARK_CANARY_EPOCH:
        link_restart(&p->subscriber, "a new epoch of the log began");
        break;
    case MARK_CANARY_FORGERY:
        metric_add(METRIC_FORGERIES_TOTAL, 1);
        link_restart(&p->subscriber, "an event came with an id that Redis has not given");
        break;
    }
}

void canary_tick(struct pubsub *p, uint64_t now_ms)
{
    struct canary_state *s = &p->canary;
    if (now_ms >= s->next_ms || s->waiting.n != 0)
        s->wanted = true;
    uint64_t since_ms = s->heard_ms > p->sub.up_since_ms ? s->heard_ms : p->sub.up_since_ms;
    if (gap_closed(p) && p->commands.up && now_ms > since_ms + CANARY_LOST_MS)
        link_restart(&p->subscriber, "the canary does not come back");
}

void canary_dispose(struct pubsub *p)
{
    free(p->canary.waiting.entries);
    free(p->canary.asked.entries);
}
