/* Which connections there are: registrations, claims and leaves of a turn go out as calls of a script, each of many
 * entries.
 *
 *      said in a turn --> waits in line --sent--> answered
 *                             ^           |
 *                             `-----------'   the link is lost or Redis refuses: claims and leaves wait again, and
 *                                             registrations are dropped, since all connections are registered again */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/script_reply.h"
#include <stdlib.h>

/* Calls on their way: more would only wait in Redis, before everybody's publishes. */
#define IN_FLIGHT_MAX 4
/* Calls of registrations on their way when those that can wait hold back. */
#define IN_FLIGHT_EAGER 2
/* After an error reply, which a reconnect would not cure. */
#define RETRY_MS 1000

struct identity_call {
    struct pubsub *p;
    struct identity_queue entries;
    bool leaves;
};

/* --- lines ----------------------------------------------------------------------------------------------------------
 */

static void push(struct identity_queue *q, struct identity_entry *e)
{
    e->next = NULL;
    *(q->last != NULL ? &q->last->next : &q->first) = e;
    q->last = e;
    ++q->n;
}

static struct identity_entry *pop(struct identity_queue *q)
{
    struct identity_entry *e = q->first;
    if (e == NULL)
        return NULL;
    q->first = e->next;
    if (q->first == NULL)
        q->last = NULL;
    --q->n;
    return e;
}

static void clear(struct identity_queue *q)
{
    struct identity_entry *e;
    while ((e = pop(q)) != NULL)
        free(e);
}

/* Puts what is in `front` before what is in `q`. */
static void unread(struct identity_queue *q, struct identity_queue *front)
{
    if (front->n == 0)
        return;
    front->last->next = q->first;
    *q = (struct identity_queue){front->first, q->last != NULL ? q->last : front->last, front->n + q->n};
}

void pubsub_register(struct pubsub *p, const struct identity *i)
{
    push(&p->identity.joins, identity_entry_create(IDENTITY_REGISTER, i));
}

void pubsub_claim(struct pubsub *p, struct str claimed, const struct identity *i, void *claim)
{
    struct identity_entry *e = identity_entry_create(IDENTITY_CLAIM, i);
    memcpy(e->claimed, claimed.p, RANDOM_ID_LEN);
    e->claim = claim;
    push(&p->identity.joins, e);
}

void pubsub_unregister(struct pubsub *p, const struct identity *i)
{
    push(&p->identity.leaves, identity_entry_create(IDENTITY_LEAVE, i));
}

bool pubsub_register_room(const struct pubsub *p)
{
    const struct identity_state *s = &p->identity;
    return p->commands.up && s->in_flight < IN_FLIGHT_EAGER && s->joins.n < IDENTITY_BATCH_MAX;
}

bool pubsub_settled(const struct pubsub *p)
{
    return !p->commands.up || (p->identity.leaves.n == 0 && p->identity.leaves_in_flight == 0);
}

/* --- answers --------------------------------------------------------------------------------------------------------
 */

static struct hub_channel *channel_of(struct pubsub *p, const struct identity_entry *e)
{
    return hub_find(p->hub, HUB_CONNECTION, (struct str){e->id, RANDOM_ID_LEN});
}

/* The id that a claim has led to. */
static struct str id_of(const struct identity_entry *e, const struct identity_answer *a)
{
    return (struct str){a->status == IDENTITY_CLAIMED ? e->claimed : e->id, RANDOM_ID_LEN};
}

static void leave_again(struct pubsub *p, const struct identity_entry *e, const struct identity_answer *a)
{
    pubsub_unregister(p, &(struct identity){
                             .id = id_of(e, a),
                             .user = {e->bytes, e->user_len},
                             .gen = a->gen,
                             .code = 1006,
                         });
}

static void on_answer(struct pubsub *p, const struct identity_entry *e, const struct identity_answer *a, uint64_t epoch)
{
    if (e->act == IDENTITY_CLAIM) {
        struct identity_claimed r = {.resumed = a->status == IDENTITY_CLAIMED, .id = id_of(e, a), .gen = a->gen};
        if (!p->callbacks->on_claimed(p->data, e->claim, &r))
            leave_again(p, e, a);
        return;
    }
    struct hub_channel *c = channel_of(p, e);
    if (c == NULL)
        return; /* it has ended meanwhile */
    if (a->status == IDENTITY_SUPERSEDED)
        p->callbacks->on_superseded(p->data, c, e->gen + 1);
    else if (a->status != IDENTITY_DISCONNECTED) /* of that an order tells, with the reason */
        p->callbacks->on_registered(p->data, c, a->status == IDENTITY_NEW ? REGISTERED_NEW : REGISTERED_HELD, epoch);
}

static void on_answers(struct identity_call *call, const struct identity_answer *answers, uint64_t epoch)
{
    struct identity_entry *e;
    for (size_t i = 0; (e = pop(&call->entries)) != NULL; ++i) {
        on_answer(call->p, e, &answers[i], epoch);
        free(e);
    }
}

/* Nobody has answered: what has to be said again is. */
static void wait_again(struct identity_call *call)
{
    struct identity_queue again = {0};
    struct identity_entry *e;
    while ((e = pop(&call->entries)) != NULL) {
        if (e->act == IDENTITY_REGISTER)
            free(e);
        else
            push(&again, e);
    }
    unread(call->leaves ? &call->p->identity.leaves : &call->p->identity.joins, &again);
}

/* Redis takes no registration now: their connections do without it until it does. */
static void let_in(struct identity_call *call)
{
    for (struct identity_entry *e = call->entries.first; e != NULL; e = e->next) {
        struct hub_channel *c = e->act == IDENTITY_REGISTER ? channel_of(call->p, e) : NULL;
        if (c != NULL)
            call->p->callbacks->on_registered(call->p->data, c, REGISTERED_REFUSED, 0);
    }
}

/* What the ACL refuses was not known to begin with, so that there is nothing to take back. */
static bool is_for_good(enum script_error error)
{
    return error == SCRIPT_ERROR_OTHER || error == SCRIPT_ERROR_NOPERM || error == SCRIPT_ERROR_ARGS;
}

static void on_error(struct identity_call *call, struct str text)
{
    struct pubsub *p = call->p;
    uint64_t suppressed;
    enum script_error error = script_error_of(text);
    p->identity.not_before_ms = clock_monotonic_ms() + RETRY_MS;
    p->identity.again = p->identity.again || !call->leaves;
    if (log_limit_pass(&p->identity.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "register_failed", LOG_U("worker", p->worker), LOG_S("reply", text),
                  LOG_U("suppressed", suppressed));
    if (error == SCRIPT_ERROR_READONLY) {
        wait_again(call);
        pubsub_leave(p, "Redis has become a replica");
        return;
    }
    let_in(call);
    if (call->leaves && is_for_good(error))
        clear(&call->entries);
    else
        wait_again(call);
}

static void send_call(struct identity_call *call, bool by_text);

static void on_left(struct identity_call *call)
{
    clear(&call->entries);
    lifecycle_await(call->p);
}

static void take_reply(struct identity_call *call, redisReply *reply)
{
    size_t n = call->entries.n;
    struct str text = redis_reply_str(reply);
    struct identity_answer answers[IDENTITY_BATCH_MAX];
    uint64_t epoch;
    if (reply == NULL)
        wait_again(call);
    else if (redis_reply_is_error(reply))
        on_error(call, text);
    else if (call->leaves)
        on_left(call);
    else if (script_register_parse(reply, n, answers, &epoch) != 0)
        on_error(call, STR_LIT("an answer of another form"));
    else
        on_answers(call, answers, epoch);
}

static void on_reply(void *data, redisReply *reply)
{
    struct identity_call *call = data;
    struct identity_state *s = &call->p->identity;
    --s->in_flight;
    if (call->leaves)
        s->leaves_in_flight -= call->entries.n;
    if (redis_reply_is_error(reply) && script_error_of(redis_reply_str(reply)) == SCRIPT_ERROR_NOSCRIPT) {
        send_call(call, true);
        return;
    }
    take_reply(call, reply);
    free(call);
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static void send_call(struct identity_call *call, bool by_text)
{
    struct pubsub *p = call->p;
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_call c = {0};
    if (!p->commands.up) {
        wait_again(call);
        free(call);
        return;
    }
    (call->leaves ? script_leave_build : script_register_build)(&c, &settings, str_of(p->node_id), call->entries.first);
    if (by_text)
        script_call_by_text(&c);
    ++p->identity.in_flight;
    if (call->leaves)
        p->identity.leaves_in_flight += call->entries.n;
    redis_conn_command(p->commands.conn, on_reply, call, c.argc, c.argv, c.argvlen);
    script_call_free(&c);
}

static bool is_due(struct pubsub *p, const struct identity_entry *e)
{
    return e->act != IDENTITY_CLAIM || p->callbacks->on_claim_due(p->data, e->claim);
}

static void send_line(struct pubsub *p, struct identity_queue *line)
{
    struct identity_call *call;
    struct identity_entry *e;
    while (line->n != 0 && p->identity.in_flight < IN_FLIGHT_MAX) {
        call = mem_zalloc(sizeof(*call));
        *call = (struct identity_call){.p = p, .leaves = line == &p->identity.leaves};
        while (call->entries.n < IDENTITY_BATCH_MAX && (e = pop(line)) != NULL) {
            if (is_due(p, e))
                push(&call->entries, e);
            else
                free(e);
        }
        if (call->entries.n != 0)
            send_call(call, false);
        else
            free(call);
    }
}

void identity_turn(struct pubsub *p, uint64_t now_ms)
{
    struct identity_state *s = &p->identity;
    if (!p->commands.up || !p->canary.answered || now_ms < s->not_before_ms)
        return; /* the canary opens the epoch, which tells whether Redis has forgotten who it knew */
    if (s->again) {
        s->again = false;
        p->callbacks->on_register_all(p->data);
    }
    send_line(p, &s->joins);
    send_line(p, &s->leaves);
}

/* --- when Redis may have forgotten ----------------------------------------------------------------------------------
 */

void identity_link_up(struct pubsub *p)
{
    p->identity.not_before_ms = 0;
    p->identity.again = true;
}

void identity_link_down(struct pubsub *p)
{
    reaper_link_down(p);
}

void identity_subscribed(struct pubsub *p)
{
    p->identity.again = true;
}

void identity_lost(struct pubsub *p)
{
    p->identity.again = true;
}

bool identity_heard(struct pubsub *p, struct str payload)
{
    struct str id;
    uint32_t gen;
    if (identity_order_parse(payload, &id, &gen) != 0)
        return false;
    struct hub_channel *c = hub_find(p->hub, HUB_CONNECTION, id);
    if (c != NULL)
        p->callbacks->on_superseded(p->data, c, gen);
    return true;
}

void identity_dispose(struct pubsub *p)
{
    clear(&p->identity.joins);
    clear(&p->identity.leaves);
}
