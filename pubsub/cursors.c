/* Cursors in Redis: acknowledgements are stored in batches, one at a time, and read back by HGET. While Redis is away
 * both wait: what is to be stored as long as it takes, who reads for REDIS_TIMEOUT. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/script_reply.h"
#include <stdlib.h>

struct cursor_read {
    struct cursor_read *next, *prev; /* while it waits to be sent */
    struct pubsub *p;
    cursor_cb cb;
    void *data;
    uint64_t arrived_ms;
    size_t user_len, name_len;
    char bytes[]; /* the user's id, then the name */
};

static void log_failure(struct pubsub *p, struct str reply)
{
    uint64_t suppressed;
    if (log_limit_pass(&p->cursors.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "cursors_failed", LOG_U("worker", p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
}

/* --- storing --------------------------------------------------------------------------------------------------------
 */

static void on_stored(void *data, redisReply *reply);

static void send_batch(struct pubsub *p)
{
    struct cursors_state *s = &p->cursors;
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_cursor list[CURSORS_BATCH_MAX];
    struct script_call call = {0};
    s->sent_n = cursors_take(&s->acked, s->sent, CURSORS_BATCH_MAX);
    if (s->sent_n == 0)
        return;
    for (size_t i = 0; i < s->sent_n; ++i)
        list[i] = (struct script_cursor){cursor_user(s->sent[i]), cursor_name(s->sent[i]), s->sent[i]->taken};
    script_cursors_build(&call, &settings, list, s->sent_n);
    if (s->by_text)
        script_call_by_text(&call);
    s->by_text = false;
    redis_conn_command(p->commands.conn, on_stored, p, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}

static void on_stored(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct cursors_state *s = &p->cursors;
    struct str text = redis_reply_str(reply);
    bool failed = redis_reply_is_error(reply);
    s->by_text = failed && script_error_of(text) == SCRIPT_ERROR_NOSCRIPT;
    if (failed && !s->by_text)
        log_failure(p, text);
    bool full = s->sent_n == CURSORS_BATCH_MAX;
    for (size_t i = 0; i < s->sent_n; ++i) {
        if (reply == NULL || s->by_text)
            cursors_return(&s->acked, s->sent[i]);
        else
            cursors_done(&s->acked, s->sent[i], !failed, clock_monotonic_ms());
    }
    s->sent_n = 0;
    if (reply != NULL && (full || s->by_text))
        send_batch(p);
}

void pubsub_ack(struct pubsub *p, struct str user, struct str name, struct position at)
{
    metric_add(METRIC_ACKS_TOTAL, 1);
    cursors_ack(&p->cursors.acked, user, name, at);
}

void pubsub_acks_end(struct pubsub *p, struct str user, struct str name)
{
    cursors_closed(&p->cursors.acked, user, name);
}

bool pubsub_acks_stored(const struct pubsub *p)
{
    return !p->commands.up || cursors_settled(&p->cursors.acked);
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static void read_wait(struct cursor_read *r)
{
    struct cursors_state *s = &r->p->cursors;
    r->next = NULL;
    r->prev = s->reads_last;
    *(s->reads_last != NULL ? &s->reads_last->next : &s->reads_first) = r;
    s->reads_last = r;
}

static void read_unwait(struct cursor_read *r)
{
    struct cursors_state *s = &r->p->cursors;
    *(r->prev != NULL ? &r->prev->next : &s->reads_first) = r->next;
    *(r->next != NULL ? &r->next->prev : &s->reads_last) = r->prev;
}

static struct str read_user(const struct cursor_read *r)
{
    return (struct str){r->bytes, r->user_len};
}

static struct str read_name(const struct cursor_read *r)
{
    return (struct str){r->bytes + r->user_len, r->name_len};
}

static void read_answer(struct cursor_read *r, bool known, struct position at)
{
    struct position acked = cursors_acked(&r->p->cursors.acked, read_user(r), read_name(r));
    if (known && position_cmp(acked, at) > 0)
        at = acked; /* not stored yet */
    r->cb(r->data, known, known ? at : (struct position){0});
    free(r);
}

static void on_read(void *data, redisReply *reply)
{
    struct cursor_read *r = data;
    struct position at;
    if (reply == NULL) {
        read_wait(r);
    } else if (redis_reply_is_error(reply)) {
        log_failure(r->p, redis_reply_str(reply));
        read_answer(r, false, (struct position){0});
    } else {
        if (position_parse(redis_reply_str(reply), &at) != 0)
            at = (struct position){0}; /* there is none, or what somebody else has put there */
        read_answer(r, true, at);
    }
}

static void read_send(struct cursor_read *r)
{
    struct buf key = {0};
    struct str name = read_name(r);
    buf_printf(&key, "%scursor:", r->p->config->redis_prefix);
    buf_append(&key, read_user(r));
    read_unwait(r);
    redis_conn_command(r->p->commands.conn, on_read, r, 3, (const char *[]){"HGET", key.p, name.p},
                       (size_t[]){4, key.n, name.n});
    buf_free(&key);
}

void pubsub_read_cursor(struct pubsub *p, struct str user, struct str name, cursor_cb cb, void *data)
{
    struct cursor_read *r = mem_zalloc(sizeof(*r) + user.n + name.n);
    *r = (struct cursor_read){.p = p, .cb = cb, .data = data, .arrived_ms = clock_monotonic_ms()};
    r->user_len = user.n;
    r->name_len = name.n;
    memcpy(r->bytes, user.p, user.n);
    memcpy(r->bytes + user.n, name.p, name.n);
    read_wait(r);
}

/* --------------------------------------------------------------------------------------------------------------------
 */

void cursors_turn(struct pubsub *p, uint64_t now_ms)
{
    struct cursor_read *last = p->cursors.reads_last, *next;
    if (last == NULL)
        return;
    for (struct cursor_read *r = p->cursors.reads_first;; r = next) {
        bool end = r == last; /* whoever reads in a callback waits for the next turn */
        next = r->next;
        if (p->closed || now_ms >= r->arrived_ms + p->config->redis_timeout_ms) {
            read_unwait(r);
            read_answer(r, false, (struct position){0});
        } else if (p->commands.up) {
            read_send(r);
        }
        if (end)
            return;
    }
}

/* Not at each turn: what many clients acknowledge at about the same time is gathered. */
void cursors_store_due(struct pubsub *p, uint64_t now_ms)
{
    cursors_tick(&p->cursors.acked, now_ms);
    if (p->commands.up && p->cursors.sent_n == 0)
        send_batch(p);
}

void cursors_start(struct pubsub *p)
{
    cursors_init(&p->cursors.acked);
}

void cursors_end(struct pubsub *p)
{
    cursors_turn(p, UINT64_MAX);
    cursors_dispose(&p->cursors.acked);
}
