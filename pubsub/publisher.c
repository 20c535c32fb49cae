/* Publishing: a bounded queue in the order of arrival, sent as one pipeline, sent again when the connection breaks
 * before the reply came. A repetition is harmless: each request has an idempotency key, the caller's or one of belfry's
 * own. All that are not answered stand in one list.
 *
 *      WAITING --sent--> SENT --reply--> answered
 *         ^               |`--reply, but replicas have to hold it too--> HELD --WAIT's reply (wait.c)--> answered
 *         |               |                                               |
 *         `-- link lost --+-----------------------------------------------'
 *
 * Every state has a deadline: 503 if it was never sent, else 504. What is answered while its reply is still due is
 * ENDED until that comes. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/script_reply.h"
#include <openssl/rand.h>
#include <stdlib.h>

#define QUEUE_MAX 100000
#define QUEUE_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* How often those that have waited long are looked over. */
#define EXPIRE_MS 10

enum entry_state { ENTRY_WAITING, ENTRY_SENT, ENTRY_HELD, ENTRY_ENDED };

struct publish_entry {
    struct publish_entry *next, *prev;
    struct pubsub *p;
    publish_cb cb;
    void *data;
    struct script_call call;
    size_t n;
    uint64_t arrived_ms, number; /* number: of its arrival */
    enum entry_state state;
    bool ever_sent;
    bool needs_replicas;            /* holds an event that is kept */
    struct publish_result *results; /* ENTRY_HELD: what it will be answered with */
    enum publish_status verdict;    /* PUBLISH_OK: none yet; else it only waits to be told so in the next turn */
};

/* --- the list -------------------------------------------------------------------------------------------------------
 */

static void list_append(struct publish_entry *e)
{
    struct publisher_state *q = &e->p->publisher;
    e->number = q->arrivals++;
    e->prev = q->last;
    *(q->last != NULL ? &q->last->next : &q->first) = e;
    q->last = e;
    if (q->unsent == NULL)
        q->unsent = e;
}

static void list_remove(struct publish_entry *e)
{
    struct publisher_state *q = &e->p->publisher;
    *(e->prev != NULL ? &e->prev->next : &q->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &q->last) = e->prev;
    if (q->unsent == e)
        q->unsent = e->next;
}

/* To be sent again, before all that came after it. */
static void wait_again(struct publish_entry *e)
{
    struct publisher_state *q = &e->p->publisher;
    free(e->results);
    e->results = NULL;
    e->state = ENTRY_WAITING;
    if (q->unsent == NULL || e->number < q->unsent->number)
        q->unsent = e;
}

_Static_assert(METRIC_PUBLISHES_OK + PUBLISH_FAILED == METRIC_PUBLISHES_FAILED, "the labels of the metric");

static void note_result(const struct publish_entry *e, enum publish_status status)
{
    if (e->call.script != SCRIPT_PUBLISH)
        return; /* an erasure */
    metric_add(METRIC_PUBLISHES_OK + status, e->n);
    if (status == PUBLISH_OK)
        metric_observe_us(METRIC_PUBLISH_SECONDS, (clock_monotonic_ms() - e->arrived_ms) * 1000);
}

/* Takes it out of the list and tells the caller, whose callback may publish again. */
static void answer(struct publish_entry *e, enum publish_status status, const struct publish_result *results)
{
    bool reply_due = e->state == ENTRY_SENT;
    list_remove(e);
    --e->p->publisher.count;
    e->p->publisher.bytes -= e->call.bytes.n;
    e->state = ENTRY_ENDED;
    note_result(e, status);
    e->cb(e->data, status, results, status == PUBLISH_OK ? e->n : 0);
    script_call_free(&e->call);
    free(e->results);
    if (!reply_due)
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
static void load_script(struct pubsub *p, enum script script)
{
    struct str text = script_text(script);
    const char *argv[] = {"SCRIPT", "LOAD", text.p};
    if (p->publisher.loading || !p->publishes->up)
        return;
    p->publisher.loading = true;
    redis_conn_command(p->publishes->conn, on_loaded, p, 3, argv, (size_t[]){6, 4, text.n});
}

static void on_error(struct publish_entry *e, struct str text)
{
    struct pubsub *p = e->p;
    uint64_t suppressed;
    enum script_error error = script_error_of(text);
    if (error == SCRIPT_ERROR_NOSCRIPT) {
        load_script(p, e->call.script);
        wait_again(e);
        return;
    }
    if (log_limit_pass(&p->publisher.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "publish_failed", LOG_U("worker", p->worker), LOG_S("reply", text),
                  LOG_U("suppressed", suppressed));
    answer(e, script_error_status(error), NULL);
    if (error == SCRIPT_ERROR_READONLY)
        pubsub_leave(p, "Redis has become a replica");
}

/* Redis has taken it, now or before. Takes over `results`. */
static void on_taken(struct publish_entry *e, enum script_publish_status status, struct publish_result *results)
{
    e->results = results;
    if (status == SCRIPT_PUBLISH_KEY_REUSED)
        answer(e, PUBLISH_KEY_REUSED, NULL);
    else if (e->needs_replicas)
        e->state = ENTRY_HELD;
    else
        answer(e, PUBLISH_OK, results);
}

static void read_reply(struct publish_entry *e, redisReply *reply)
{
    struct script_publish_reply r;
    if (redis_reply_is_error(reply)) {
        on_error(e, redis_reply_str(reply));
        return;
    }
    struct publish_result *results = mem_alloc(e->n * sizeof(*results));
    if (script_publish_parse(reply, e->n, &r, results) != 0) {
        free(results);
        on_error(e, STR_LIT("an answer of another form"));
        return;
    }
    pubsub_note_epoch(e->p, r.head.epoch);
    on_taken(e, r.status, results);
}

static void on_reply(void *data, redisReply *reply)
{
    struct publish_entry *e = data;
    if (e->state == ENTRY_ENDED) {
        free(e); /* its time was up */
        return;
    }
    e->state = ENTRY_WAITING; /* no reply is due any more */
    if (reply != NULL)
        read_reply(e, reply);
    else
        wait_again(e);
}

void publisher_waited(struct pubsub *p, enum publish_status status)
{
    struct publish_entry *next;
    uint64_t end = p->publisher.arrivals; /* whoever publishes in a callback was not meant */
    for (struct publish_entry *e = p->publisher.first; e != NULL && e->number < end; e = next) {
        next = e->next;
        if (e->state != ENTRY_HELD)
            continue;
        if (status == PUBLISH_AWAY)
            wait_again(e);
        else
            answer(e, status, status == PUBLISH_OK ? e->results : NULL);
    }
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

/* A request may take REDIS_TIMEOUT to be sent, and once more to be answered. PUBLISH_OK: it has time left. */
static enum publish_status overdue(const struct publish_entry *e, uint64_t now_ms)
{
    uint64_t timeout = e->p->config->redis_timeout_ms;
    if (e->verdict != PUBLISH_OK)
        return e->verdict;
    if (!e->ever_sent)
        return now_ms >= e->arrived_ms + timeout ? PUBLISH_AWAY : PUBLISH_OK;
    if (now_ms < e->arrived_ms + 2 * timeout)
        return PUBLISH_OK;
    return e->state == ENTRY_HELD ? PUBLISH_REPLICAS_BEHIND : PUBLISH_OUTCOME_UNKNOWN;
}

/* Those that have waited long stand first. */
static void expire(struct pubsub *p, uint64_t now_ms)
{
    struct publish_entry *next;
    if (now_ms < p->publisher.expire_at_ms)
        return;
    p->publisher.expire_at_ms = now_ms + EXPIRE_MS;
    for (struct publish_entry *e = p->publisher.first;
         e != NULL && now_ms >= e->arrived_ms + p->config->redis_timeout_ms; e = next) {
        next = e->next;
        enum publish_status status = overdue(e, now_ms);
        if (status != PUBLISH_OK)
            answer(e, status, NULL);
    }
}

static bool may_send(const struct pubsub *p)
{
    return p->publishes->up && !p->publisher.loading && !wait_in_flight(p);
}

static void send_entry(struct publish_entry *e)
{
    e->state = ENTRY_SENT;
    e->ever_sent = true;
    redis_conn_command(e->p->publishes->conn, on_reply, e, e->call.argc, e->call.argv, e->call.argvlen);
}

/* The first of those that arrived with `number` or after. */
static struct publish_entry *arrived_since(const struct publisher_state *q, uint64_t number)
{
    struct publish_entry *found = NULL;
    for (struct publish_entry *e = q->last; e != NULL && e->number >= number; e = e->prev)
        found = e;
    return found;
}

/* Sends what waits, and tells what is refused; the rest stays unsent. */
void publisher_turn(struct pubsub *p, uint64_t now_ms)
{
    struct publish_entry *next, *left = NULL;
    uint64_t end = p->publisher.arrivals; /* whoever publishes in a callback has to wait for the next turn */
    bool may = may_send(p), replicas = false;
    expire(p, now_ms);
    for (struct publish_entry *e = p->publisher.unsent; e != NULL && e->number < end; e = next) {
        next = e->next;
        if (e->state != ENTRY_WAITING)
            continue;
        if (e->verdict != PUBLISH_OK) {
            answer(e, e->verdict, NULL);
        } else if (may) {
            send_entry(e);
            replicas = replicas || e->needs_replicas;
        } else if (left == NULL) {
            left = e;
        }
    }
    p->publisher.unsent = left != NULL ? left : arrived_since(&p->publisher, end);
    if (replicas)
        wait_send(p);
}

void publisher_link_up(struct pubsub *p)
{
    p->publisher.down_since_ms = 0;
    publisher_turn(p, clock_monotonic_ms());
}

void publisher_link_down(struct pubsub *p)
{
    if (p->publisher.down_since_ms == 0)
        p->publisher.down_since_ms = clock_monotonic_ms();
}

/* --- asking ---------------------------------------------------------------------------------------------------------
 */

static bool any_kept(const struct publish_request *r)
{
    for (size_t i = 0; i < r->n; ++i)
        if (r->events[i].replay)
            return true;
    return false;
}

/* PUBLISH_OK, or why nothing can be accepted now. */
static enum publish_status admit(const struct publish_entry *e, uint64_t now_ms)
{
    const struct pubsub *p = e->p;
    if (p->closed)
        return PUBLISH_DRAINING;
    if (p->publisher.count >= QUEUE_MAX || p->publisher.bytes >= QUEUE_BYTES_MAX)
        return PUBLISH_QUEUE_FULL;
    if (!p->publishes->up && now_ms >= p->publisher.down_since_ms + p->config->redis_timeout_ms)
        return PUBLISH_AWAY;
    if (e->needs_replicas && wait_is_hopeless(p))
        return PUBLISH_NO_REPLICAS;
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

static void build_publish(struct publish_entry *e, const struct publish_request *r)
{
    struct script_settings settings = pubsub_script_settings(e->p->config);
    struct script_idem idem;
    make_idem(&idem, e->p, r);
    script_publish_build(&e->call, &settings,
                         &(struct script_publish){
                             .events = r->events,
                             .n = r->n,
                             .traceparent = r->traceparent,
                             .now_ms = clock_unix_ms(),
                             .seen_epoch = e->p->seen_epoch,
                             .idem = &idem,
                         });
}

/* If it is admitted, its call has to be built before it enters the line. `kept`: replicas have to hold it too. */
static struct publish_entry *entry_new(struct pubsub *p, size_t n, bool kept, publish_cb cb, void *data)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct publish_entry *e = mem_zalloc(sizeof(*e));
    *e = (struct publish_entry){.p = p, .cb = cb, .data = data, .n = n, .arrived_ms = now_ms};
    e->needs_replicas = p->config->redis_wait_replicas != 0 && kept;
    e->verdict = admit(e, now_ms);
    return e;
}

static void enter_line(struct publish_entry *e)
{
    ++e->p->publisher.count;
    e->p->publisher.bytes += e->call.bytes.n;
    list_append(e);
}

void pubsub_publish(struct pubsub *p, const struct publish_request *r, publish_cb cb, void *data)
{
    struct publish_entry *e = entry_new(p, r->n, any_kept(r), cb, data);
    if (e->verdict == PUBLISH_OK)
        build_publish(e, r);
    enter_line(e);
}

void pubsub_erase(struct pubsub *p, struct str user, publish_cb cb, void *data)
{
    struct publish_entry *e = entry_new(p, 1, true, cb, data);
    e->call.script = SCRIPT_ERASE;
    struct script_settings settings = pubsub_script_settings(p->config);
    if (e->verdict == PUBLISH_OK)
        script_erase_build(&e->call, &settings, p->seen_epoch, user);
    enter_line(e);
}

void publisher_dispose(struct pubsub *p)
{
    while (p->publisher.first != NULL) {
        struct publish_entry *e = p->publisher.first;
        answer(e, e->ever_sent ? PUBLISH_OUTCOME_UNKNOWN : PUBLISH_DRAINING, NULL);
    }
}
