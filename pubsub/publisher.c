/* Publishing: a bounded queue in the order of arrival, sent as one pipeline, sent again when the connection breaks
 * before the reply came. A repetition is harmless: each request has an idempotency key, the caller's or one of belfry's
 * own.
 *
 *      WAITING --sent--> SENT --reply--> answered
 *         ^                |
 *         `-- link lost ---'      deadline: 503 if it was never sent, else 504 */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/script_reply.h"
#include <openssl/rand.h>
#include <stdlib.h>

#define QUEUE_MAX 100000
#define QUEUE_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct publish_entry {
    struct publish_entry *next, *prev; /* while it waits */
    struct pubsub *p;
    publish_cb cb;
    void *data;
    struct script_call call;
    size_t n;
    uint64_t arrived_ms;
    bool ever_sent;
    enum publish_status verdict; /* PUBLISH_OK: none yet; else it only waits to be told so in the next turn */
};

/* --- the queue ------------------------------------------------------------------------------------------------------
 */

static void wait_in_line(struct publish_entry *e)
{
    struct publisher_state *q = &e->p->publisher;
    e->next = NULL;
    e->prev = q->last;
    *(q->last != NULL ? &q->last->next : &q->first) = e;
    q->last = e;
}

static void leave_line(struct publish_entry *e)
{
    struct publisher_state *q = &e->p->publisher;
    *(e->prev != NULL ? &e->prev->next : &q->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &q->last) = e->prev;
}

/* Ends an entry that does not wait in line; its callback may publish again. */
static void answer(struct publish_entry *e, enum publish_status status, const struct publish_result *results)
{
    --e->p->publisher.count;
    e->p->publisher.bytes -= e->call.bytes.n;
    e->cb(e->data, status, results, status == PUBLISH_OK ? e->n : 0);
    script_call_free(&e->call);
    free(e);
}

/* --- replies --------------------------------------------------------------------------------------------------------
 */

static void on_loaded(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    p->publisher.loading = false;
    if (redis_reply_is_error(reply))
        log_event(LOG_LEVEL_ERROR, "script_load_failed", LOG_U("worker", p->worker),
                  LOG_S("reply", redis_reply_str(reply)));
}

/* Redis has lost its scripts. All publishes under way hear so: one of them loads it again, and they are sent once more.
 */
static void load_script(struct pubsub *p)
{
    struct str text = script_text(SCRIPT_PUBLISH);
    const char *argv[] = {"SCRIPT", "LOAD", text.p};
    if (p->publisher.loading || !p->commands.up)
        return;
    p->publisher.loading = true;
    redis_conn_command(p->commands.conn, on_loaded, p, 3, argv, (size_t[]){6, 4, text.n});
}

static void on_error(struct publish_entry *e, struct str text)
{
    struct pubsub *p = e->p;
    uint64_t suppressed;
    enum script_error error = script_error_of(text);
    enum publish_status status = script_error_status(error);
    if (error == SCRIPT_ERROR_NOSCRIPT) {
        load_script(p);
        wait_in_line(e);
        return;
    }
    if (log_limit_pass(&p->publisher.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "publish_failed", LOG_U("worker", p->worker), LOG_S("reply", text),
                  LOG_U("suppressed", suppressed));
    answer(e, status, NULL);
    if (error == SCRIPT_ERROR_READONLY)
        link_restart(&p->commands, "Redis has become a replica");
}

static void on_reply(void *data, redisReply *reply)
{
    struct publish_entry *e = data;
    struct script_publish_reply r;
    if (reply == NULL) {
        wait_in_line(e); /* sent again on the next connection */
        return;
    }
    if (redis_reply_is_error(reply)) {
        on_error(e, redis_reply_str(reply));
        return;
    }
    struct publish_result *results = mem_alloc(e->n * sizeof(*results));
    if (script_publish_parse(reply, e->n, &r, results) != 0) {
        on_error(e, STR_LIT("an answer of another form"));
    } else {
        pubsub_note_epoch(e->p, r.head.epoch);
        answer(e, r.status == SCRIPT_PUBLISH_KEY_REUSED ? PUBLISH_KEY_REUSED : PUBLISH_OK, results);
    }
    free(results);
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static void send_entry(struct publish_entry *e)
{
    leave_line(e);
    e->ever_sent = true;
    redis_conn_command(e->p->commands.conn, on_reply, e, e->call.argc, e->call.argv, e->call.argvlen);
}

/* A request may take REDIS_TIMEOUT to be sent, and once more to be answered on a second connection. PUBLISH_OK: it may
 * still wait. */
static enum publish_status overdue(const struct publish_entry *e, uint64_t now_ms)
{
    uint64_t timeout = e->p->config->redis_timeout_ms;
    if (e->verdict != PUBLISH_OK)
        return e->verdict;
    if (e->ever_sent)
        return now_ms >= e->arrived_ms + 2 * timeout ? PUBLISH_OUTCOME_UNKNOWN : PUBLISH_OK;
    return now_ms >= e->arrived_ms + timeout ? PUBLISH_AWAY : PUBLISH_OK;
}

void publisher_turn(struct pubsub *p, uint64_t now_ms)
{
    struct publish_entry *next;
    for (struct publish_entry *e = p->publisher.first; e != NULL; e = next) {
        next = e->next;
        enum publish_status status = overdue(e, now_ms);
        if (status != PUBLISH_OK) {
            leave_line(e);
            answer(e, status, NULL);
        } else if (p->commands.up && !p->publisher.loading) {
            send_entry(e);
        }
    }
}

void publisher_link_up(struct pubsub *p)
{
    publisher_turn(p, clock_monotonic_ms());
}

/* --- asking ---------------------------------------------------------------------------------------------------------
 */

/* PUBLISH_OK, or why nothing can be accepted now. */
static enum publish_status admit(const struct pubsub *p, uint64_t now_ms)
{
    if (p->closed)
        return PUBLISH_DRAINING;
    if (p->publisher.count >= QUEUE_MAX || p->publisher.bytes >= QUEUE_BYTES_MAX)
        return PUBLISH_QUEUE_FULL;
    if (!p->commands.up && now_ms >= p->commands_down_since_ms + p->config->redis_timeout_ms)
        return PUBLISH_AWAY;
    return PUBLISH_OK;
}

static void make_idem(struct script_idem *idem, const struct pubsub *p, const struct publish_request *r)
{
    uint8_t random[16];
    if (r->idempotency_key.p != NULL) {
        script_idem_of_caller(idem, r->idempotency_scope, r->idempotency_key, r->body, p->config->idempotency_ttl_ms);
        return;
    }
    if (RAND_bytes(random, sizeof(random)) != 1)
        abort();
    script_idem_of_own(idem, random);
}

void pubsub_publish(struct pubsub *p, const struct publish_request *r, publish_cb cb, void *data)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct publish_entry *e = mem_zalloc(sizeof(*e));
    *e = (struct publish_entry){.p = p, .cb = cb, .data = data, .n = r->n, .arrived_ms = now_ms};
    e->verdict = admit(p, now_ms);
    if (e->verdict == PUBLISH_OK) {
        struct script_settings settings = pubsub_script_settings(p->config);
        struct script_idem idem;
        make_idem(&idem, p, r);
        script_publish_build(&e->call, &settings,
                             &(struct script_publish){
                                 .events = r->events,
                                 .n = r->n,
                                 .traceparent = r->traceparent,
                                 .now_ms = clock_unix_ms(),
                                 .seen_epoch = p->seen_epoch,
                                 .idem = &idem,
                             });
    }
    ++p->publisher.count;
    p->publisher.bytes += e->call.bytes.n;
    wait_in_line(e);
}

void publisher_dispose(struct pubsub *p)
{
    while (p->publisher.first != NULL) {
        struct publish_entry *e = p->publisher.first;
        leave_line(e);
        answer(e, e->ever_sent ? PUBLISH_OUTCOME_UNKNOWN : PUBLISH_DRAINING, NULL);
    }
}
