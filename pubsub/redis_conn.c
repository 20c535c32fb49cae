/* The life of one connection to Redis over an h2o socket: found, dialled, greeted, lost. */
#include "core/clock.h"
#include "pubsub/redis_conn_parts.h"
#include <stdio.h>
#include <stdlib.h>

/* Longer than the canary's period: a healthy connection is never asked PING. */
#define IDLE_MS 15000

/* --- the end --------------------------------------------------------------------------------------------------------
 */

void redis_conn_free(struct redis_conn *c)
{
    redisReaderFree(c->reader);
    if (c->tls != NULL)
        redis_tls_close(c->tls);
    buf_free(&c->out);
    buf_free(&c->writing);
    free(c->pending);
    free(c);
}

static void conn_dispose(struct redis_conn *c)
{
    c->closed = true;
    if (c->query != NULL)
        sentinel_drop(c->query);
    if (c->dial != NULL)
        dial_drop(c->dial);
    c->query = NULL;
    c->dial = NULL;
    if (c->sock != NULL)
        h2o_socket_close(c->sock);
    c->sock = NULL;
    while (c->pending_count != 0) {
        struct pending_reply p = redis_conn_pop(c);
        if (p.cb != NULL)
            p.cb(p.data, NULL);
    }
    if (!c->in_callback)
        redis_conn_free(c);
}

void redis_conn_close(struct redis_conn *c)
{
    if (!c->closed)
        conn_dispose(c);
}

void redis_conn_lost(struct redis_conn *c, const char *reason, bool unfit)
{
    if (c->closed)
        return;
    bool nested = c->in_callback;
    c->in_callback = true;
    c->closed = true;
    if (c->sentinels != NULL && c->state != CONN_READY && c->state != CONN_ASKING)
        sentinels_distrust(c->sentinels); /* it may be behind the times; the next one shall be asked */
    c->callbacks->on_closed(c->data, reason, unfit);
    c->in_callback = nested;
    conn_dispose(c);
}

/* --- connecting -----------------------------------------------------------------------------------------------------
 */

static void set_state(struct redis_conn *c, enum conn_state state)
{
    c->state = state;
    c->state_since_ms = clock_monotonic_ms();
}

static void begin_greeting(struct redis_conn *c)
{
    set_state(c, CONN_GREETING);
    redis_conn_greet(c);
}

bool redis_conn_proceed(struct redis_conn *c)
{
    enum redis_tls_step step = redis_tls_handshake(c->tls);
    if (step == REDIS_TLS_DONE)
        begin_greeting(c);
    return step != REDIS_TLS_FAILED;
}

static void on_dialled(void *data, h2o_socket_t *sock, const char *reason)
{
    struct redis_conn *c = data;
    c->dial = NULL;
    if (sock == NULL) {
        redis_conn_lost(c, reason, false);
        return;
    }
    c->sock = sock;
    sock->data = c;
    c->heard_ms = clock_monotonic_ms();
    h2o_socket_read_start(sock, redis_conn_on_read);
    if (!c->target->tls) {
        begin_greeting(c);
        return;
    }
    set_state(c, CONN_TLS);
    c->tls = redis_tls_open(c->target->tls_context, c->target->host);
    (void)redis_conn_proceed(c); /* the first message, which cannot fail */
    redis_conn_flush(c);
}

static void dial(struct redis_conn *c, const char *host, uint16_t port)
{
    set_state(c, CONN_DIALLING);
    c->dial = dial_host(c->ctx->loop, host, port, c->timeout_ms, c->state_since_ms, on_dialled, c);
}

static void on_sentinel(void *data, const char *host, uint16_t port, const char *reason)
{
    struct redis_conn *c = data;
    c->query = NULL;
    if (host == NULL)
        redis_conn_lost(c, reason, false);
    else
        dial(c, host, port);
}

static void start(struct redis_conn *c, uint64_t now_ms)
{
    const struct redis_target *t = c->target;
    if (t->kind == REDIS_SENTINEL) {
        set_state(c, CONN_ASKING);
        c->query = sentinel_ask(c->ctx->loop, c->sentinels, c->timeout_ms, now_ms, on_sentinel, c);
    } else if (t->kind == REDIS_TCP) {
        dial(c, t->host, t->port);
    } else {
        set_state(c, CONN_DIALLING);
        c->dial = dial_path(c->ctx->loop, t->path, c->timeout_ms, now_ms, on_dialled, c);
    }
}

struct redis_conn *redis_conn_open(h2o_context_t *ctx, const struct redis_target *target, struct sentinels *sentinels,
                                   uint64_t timeout_ms, const char *client_name,
                                   const struct redis_conn_callbacks *callbacks, void *data, uint64_t now_ms)
{
    struct redis_conn *c = mem_zalloc(sizeof(*c));
    c->ctx = ctx;
    c->target = target;
    c->sentinels = sentinels;
    c->timeout_ms = timeout_ms;
    c->callbacks = callbacks;
    c->data = data;
    c->heard_ms = now_ms;
    snprintf(c->client_name, sizeof(c->client_name), "%s", client_name);
    c->reader = redisReaderCreate();
    if (c->reader == NULL)
        abort();
    start(c, now_ms);
    return c;
}

/* --- timers ---------------------------------------------------------------------------------------------------------
 */

static void ask_for_life(struct redis_conn *c)
{
    const char *argv[] = {"PING"};
    const size_t lens[] = {4};
    if (c->subscriber) {
        redis_conn_append(c, 1, argv, lens); /* answered by the array "pong", or any other message */
        c->ping_out = true;
    } else {
        redis_conn_command(c, NULL, NULL, 1, argv, lens);
    }
    redis_conn_flush(c);
}

void redis_conn_tick(struct redis_conn *c, uint64_t now_ms)
{
    if (c->state == CONN_ASKING) {
        sentinel_tick(c->query, now_ms);
    } else if (c->state == CONN_DIALLING) {
        dial_tick(c->dial, now_ms);
    } else if (c->state != CONN_READY) {
        if (now_ms > c->state_since_ms + c->timeout_ms)
            redis_conn_lost(c,
                            c->state == CONN_TLS ? "no TLS handshake within REDIS_TIMEOUT: does this port speak TLS?"
                                                 : "Redis does not answer within REDIS_TIMEOUT",
                            false);
    } else if (c->pending_count != 0) {
        if (now_ms > c->pending[c->pending_first].sent_ms + c->timeout_ms)
            redis_conn_lost(c, "no reply within REDIS_TIMEOUT", false);
    } else if (c->paused) {
        return; /* it cannot hear a sign of life */
    } else if (c->ping_out && now_ms > c->heard_ms + IDLE_MS + c->timeout_ms) {
        redis_conn_lost(c, "no sign of life within REDIS_TIMEOUT", false);
    } else if (!c->ping_out && now_ms > c->heard_ms + IDLE_MS) {
        ask_for_life(c);
    }
}
