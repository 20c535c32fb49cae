/* The subscriber connection: which channels are subscribed, and what comes on them.
 *
 *      NONE --SUBSCRIBE--> SUBSCRIBING --last reply--> SUBSCRIBED --60 s without members: UNSUBSCRIBE--> dropped
 *        ^                                                 |
 *        `------------- the connection is lost ------------'
 *
 * Only the reply to the last SUBSCRIBE sent confirms, so replies still due are counted. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include <stdlib.h>

#define LINGER_MS 60000
/* SUBSCRIBEs of a new connection that one turn sends: thousands of users must not hold up the loop. */
#define SUBSCRIBES_PER_TURN 1000

/* --- names ----------------------------------------------------------------------------------------------------------
 */

static void channel_name(const struct pubsub *p, struct buf *out, const char *kind, struct str id)
{
    buf_append(out, str_of(p->config->redis_prefix));
    buf_append(out, str_of(kind));
    buf_append(out, id);
}

static const char *kind_word(enum hub_kind kind)
{
    return kind == HUB_USER ? "user:" : "connection:";
}

static struct hub_channel *channel_of(struct pubsub *p, struct str name)
{
    for (int kind = HUB_USER; kind <= HUB_CONNECTION; ++kind) {
        struct str word = str_of(kind_word((enum hub_kind)kind));
        if (str_starts_with(name, word))
            return hub_find(p->hub, (enum hub_kind)kind, (struct str){name.p + word.n, name.n - word.n});
    }
    return NULL;
}

static bool is_node_channel(const struct pubsub *p, struct str name)
{
    struct str word = STR_LIT("node:");
    return str_starts_with(name, word) && str_eq((struct str){name.p + word.n, name.n - word.n}, str_of(p->node_id));
}

static void push_subscription(struct pubsub *p, const char *command, const char *kind, struct str id)
{
    struct buf name = {0};
    channel_name(p, &name, kind, id);
    const char *argv[] = {command, name.p};
    const size_t lens[] = {strlen(command), name.n};
    redis_conn_push(p->subscriber.conn, 2, argv, lens);
    buf_free(&name);
}

/* --- channels -------------------------------------------------------------------------------------------------------
 */

static void linger_end(struct pubsub *p, struct hub_channel *c)
{
    struct channel_linger *l = c->linger;
    if (l == NULL)
        return;
    *(l->prev != NULL ? &l->prev->next : &p->sub.linger_first) = l->next;
    *(l->next != NULL ? &l->next->prev : &p->sub.linger_last) = l->prev;
    c->linger = NULL;
    free(l);
}

static void linger_begin(struct pubsub *p, struct hub_channel *c, uint64_t until_ms)
{
    struct channel_linger *l = mem_alloc(sizeof(*l));
    *l = (struct channel_linger){.channel = c, .until_ms = until_ms, .prev = p->sub.linger_last};
    *(l->prev != NULL ? &l->prev->next : &p->sub.linger_first) = l;
    p->sub.linger_last = c->linger = l;
}

static void subscribe(struct pubsub *p, struct hub_channel *c)
{
    if (!gap_closed(p))
        return; /* it will be due then */
    if (c->generation != p->sub.generation) {
        c->generation = p->sub.generation;
        c->replies_due = 0;
        c->carried_seq = 0;
    }
    ++c->replies_due;
    c->state = CHANNEL_SUBSCRIBING;
    push_subscription(p, "SUBSCRIBE", kind_word((enum hub_kind)c->kind), hub_channel_id(c));
}

bool pubsub_channel_ready(const struct pubsub *p, const struct hub_channel *c)
{
    return gap_closed(p) && c->generation == p->sub.generation && c->state == CHANNEL_SUBSCRIBED;
}

bool pubsub_follow(struct pubsub *p, struct hub_channel *c)
{
    linger_end(p, c);
    if (c->state == CHANNEL_NONE || c->generation != p->sub.generation)
        subscribe(p, c);
    return pubsub_channel_ready(p, c);
}

void pubsub_unfollow(struct pubsub *p, struct hub_channel *c)
{
    linger_end(p, c);
    linger_begin(p, c, clock_monotonic_ms() + LINGER_MS);
}

void subscriber_tick(struct pubsub *p, uint64_t now_ms)
{
    while (p->sub.due_n == 0 && p->sub.linger_first != NULL && p->sub.linger_first->until_ms <= now_ms) {
        struct hub_channel *c = p->sub.linger_first->channel;
        linger_end(p, c);
        bool current = gap_closed(p) && c->generation == p->sub.generation;
        if (current && c->state == CHANNEL_SUBSCRIBING) {
            linger_begin(p, c, now_ms + LINGER_MS); /* a confirmation is still due, and would find nobody */
            continue;
        }
        if (current && c->state == CHANNEL_SUBSCRIBED)
            push_subscription(p, "UNSUBSCRIBE", kind_word((enum hub_kind)c->kind), hub_channel_id(c));
        hub_drop(p->hub, c);
    }
}

void subscriber_dispose(struct pubsub *p)
{
    while (p->sub.linger_first != NULL)
        linger_end(p, p->sub.linger_first->channel);
    free(p->sub.due);
}

/* --- the connection comes and goes ----------------------------------------------------------------------------------
 */

static void add_due(struct hub_channel *c, void *data)
{
    struct subscriber_state *s = data;
    if (c->count == 0)
        return;
    if (s->due_n == s->due_cap) {
        s->due_cap = s->due_cap == 0 ? 64 : s->due_cap * 2;
        s->due = mem_realloc(s->due, s->due_cap * sizeof(struct hub_channel *));
    }
    s->due[s->due_n++] = c;
}

void subscriber_gap_closed(struct pubsub *p)
{
    p->sub.up_since_ms = clock_monotonic_ms(); /* from here on a canary can come back */
    hub_each(p->hub, add_due, &p->sub);
}

void subscriber_turn(struct pubsub *p)
{
    for (unsigned i = 0; i < SUBSCRIBES_PER_TURN && p->sub.due_n != 0; ++i) {
        struct hub_channel *c = p->sub.due[--p->sub.due_n];
        if (c->count != 0 && c->generation != p->sub.generation)
            subscribe(p, c);
    }
}

static void on_up(void *data)
{
    struct pubsub *p = data;
    ++p->sub.generation;
    metric_add(METRIC_REDIS_CONNECTS_SUBSCRIBER, 1);
    p->sub.up_since_ms = clock_monotonic_ms();
    p->sub.broadcast_carried = 0;
    gap_link_up(p);
    push_subscription(p, "SUBSCRIBE", "broadcast", STR_LIT(""));
    push_subscription(p, "SUBSCRIBE", "node:", str_of(p->node_id));
    log_event(LOG_LEVEL_INFO, "redis_subscribed", LOG_U("worker", p->worker),
              LOG_Z("run_id", p->subscriber.info.run_id));
    pubsub_compare_runs(p, &p->subscriber);
}

static void on_down(void *data, const char *reason, bool was_up, bool unfit)
{
    struct pubsub *p = data;
    if (unfit)
        p->fatal = reason;
    gap_link_down(p);
    p->sub.due_n = 0;
    p->canary.heard = false;
    if (!was_up)
        return;
    log_event(LOG_LEVEL_WARN, "redis_subscription_lost", LOG_U("worker", p->worker), LOG_Z("reason", reason));
    p->callbacks->on_gap(p->data);
}

/* --- what comes -----------------------------------------------------------------------------------------------------
 */

void subscriber_drop(struct pubsub *p, const char *why, size_t n)
{
    uint64_t suppressed;
    p->sub.dropped += n;
    metric_add(METRIC_FOREIGN_DROPPED_TOTAL, n);
    if (log_limit_pass(&p->sub.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_WARN, "foreign_dropped", LOG_Z("reason", why), LOG_U("suppressed", suppressed));
}

/* On the tape or in the outboxes: the mark may say so. */
static void hand_on(struct pubsub *p, struct hub_channel *c, struct position id, struct str text)
{
    metric_add(METRIC_HEARD_TOTAL, 1);
    p->callbacks->on_mark(p->data);
    if (c != NULL) {
        p->callbacks->on_targeted(p->data, c, id, text);
        return;
    }
    p->callbacks->on_broadcast(p->data, id, text);
    mark_passed(&p->mark, id);
}

static void deliver_foreign(struct pubsub *p, struct hub_channel *c, const struct envelope *e, size_t payload_len)
{
    if (payload_len > ENVELOPE_FOREIGN_MAX) {
        subscriber_drop(p, "over 64 KB", 1);
        return;
    }
    struct buf text = {0};
    struct position id = mark_foreign(&p->mark);
    envelope_foreign(&text, e, id, clock_unix_ms());
    hand_on(p, c, id, buf_str(&text));
    buf_free(&text);
}

/* c is NULL for a broadcast. */
static void on_event(struct pubsub *p, struct hub_channel *c, struct str payload)
{
    struct arena arena = {0};
    struct envelope e;
    const char *why = envelope_parse(&arena, payload, &e);
    enum mark_verdict verdict = MARK_FOREIGN;
    if (why == NULL && e.own)
        verdict = mark_own(&p->mark, e.id, c != NULL ? &c->carried_seq : &p->sub.broadcast_carried);
    if (why != NULL) {
        subscriber_drop(p, why, 1);
    } else if (verdict == MARK_FOREIGN) {
        if (e.own)
            canary_want(p); /* this one or the one before is forged: its head tells */
        deliver_foreign(p, c, &e, payload.n);
    } else if (verdict == MARK_EPOCH) {
        link_restart(&p->subscriber, "a new epoch of the log began"); /* if it did: the next canary's reply tells */
    } else if (c != NULL || position_cmp(e.id, p->mark.at) > 0) {
        hand_on(p, c, e.id, e.text); /* other broadcasts have been read back already */
    }
    arena_free(&arena);
}

static void on_confirmed(struct pubsub *p, struct str name)
{
    if (str_eq(name, STR_LIT("broadcast"))) {
        gap_subscribed(p);
    } else if (is_node_channel(p, name)) {
        canary_want(p);
        identity_subscribed(p);
    } else {
        struct hub_channel *c = channel_of(p, name);
        if (c == NULL || c->replies_due == 0 || --c->replies_due != 0)
            return;
        c->state = CHANNEL_SUBSCRIBED;
        p->callbacks->on_channel_ready(p->data, c);
    }
}

static void on_payload(struct pubsub *p, struct str name, struct str payload)
{
    if (is_node_channel(p, name)) {
        if (!identity_heard(p, payload) && !disconnect_heard(p, payload) && !inspect_heard(p, payload))
            canary_heard(p, payload);
        return;
    }
    bool broadcast = str_eq(name, STR_LIT("broadcast"));
    struct hub_channel *c = broadcast ? NULL : channel_of(p, name);
    if (broadcast || c != NULL)
        on_event(p, c, payload);
}

static bool is_string(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

/* One for each channel that the ACL does not allow. */
static void log_refused(struct pubsub *p, struct str reply)
{
    uint64_t suppressed;
    if (log_limit_pass(&p->sub.refused_log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "redis_subscribe_refused", LOG_U("worker", p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
}

static void on_message(void *data, redisReply *r)
{
    struct pubsub *p = data;
    if (redis_reply_is_error(r)) {
        log_refused(p, redis_reply_str(r));
        return;
    }
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 || !is_string(r->element[0]) || !is_string(r->element[1]))
        return; /* the answer to PING */
    struct str kind = redis_reply_str(r->element[0]), name = redis_reply_str(r->element[1]);
    struct str prefix = str_of(p->config->redis_prefix);
    if (!str_starts_with(name, prefix))
        return;
    name = (struct str){name.p + prefix.n, name.n - prefix.n};
    if (str_eq(kind, STR_LIT("message")) && is_string(r->element[2]))
        on_payload(p, name, redis_reply_str(r->element[2]));
    else if (str_eq(kind, STR_LIT("subscribe")))
        on_confirmed(p, name);
}

const struct link_callbacks subscriber_link_callbacks = {on_up, on_down, on_message};
