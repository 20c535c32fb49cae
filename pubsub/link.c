/* Keeps one connection to Redis open. */
#include "pubsub/link.h"
#include "core/clock.h"
#include "core/table.h"
#include <openssl/rand.h>
#include <stdio.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000

uint64_t link_backoff_ms(unsigned n, uint32_t random)
{
    uint64_t delay = n > 6 ? BACKOFF_MAX_MS : (uint64_t)BACKOFF_FIRST_MS << (n - 1);
    if (delay > BACKOFF_MAX_MS)
        delay = BACKOFF_MAX_MS;
    return delay * 3 / 4 + delay / 2 * (random & 0xffff) / 0xffff;
}

static void on_ready(void *ctx, const struct redis_info *info)
{
    struct link *l = ctx;
    l->up = true;
    l->failures = 0;
    l->info = *info;
    l->callbacks->on_up(l->data);
}

static void on_message(void *ctx, redisReply *reply)
{
    struct link *l = ctx;
    l->callbacks->on_message(l->data, reply);
}

/* Whoever owns the link tells the first failure of a time away; this tells when the reason becomes another one. */
static void tell_another_reason(struct link *l, const char *reason)
{
    uint32_t hash = table_hash(reason, strlen(reason));
    if (l->failures > 1 && hash != l->reason_hash)
        log_event(LOG_LEVEL_WARN, "redis_not_reached", LOG_Z("client", l->name), LOG_Z("reason", reason));
    l->reason_hash = hash;
}

/* Leaves the link waiting; the connection object is the caller's to end. */
static void link_down(struct link *l, const char *reason, bool unfit)
{
    bool was_up = l->up;
    uint32_t random = 0;
    RAND_bytes((unsigned char *)&random, sizeof(random));
    l->conn = NULL;
    l->up = false;
    ++l->failures;
    tell_another_reason(l, reason);
    l->retry_at_ms = clock_monotonic_ms() + link_backoff_ms(l->failures, random);
    l->callbacks->on_down(l->data, reason, was_up, unfit);
}

static void on_closed(void *ctx, const char *reason, bool unfit)
{
    link_down(ctx, reason, unfit);
}

static const struct redis_conn_callbacks conn_callbacks = {on_ready, on_message, on_closed};

static void link_open(struct link *l, uint64_t now_ms)
{
    l->conn = redis_conn_open(l->ctx, &l->config->redis, l->sentinels, l->config->redis_timeout_ms, l->name,
                              &conn_callbacks, l, now_ms);
}

void link_init(struct link *l, h2o_context_t *ctx, const struct config *config, const char *name,
               const struct link_callbacks *callbacks, void *data)
{
    *l = (struct link){.ctx = ctx, .config = config, .callbacks = callbacks, .data = data};
    snprintf(l->name, sizeof(l->name), "%s", name);
    l->sentinels = sentinels_create(&config->redis);
    link_open(l, clock_monotonic_ms());
}

void link_dispose(struct link *l)
{
    struct redis_conn *conn = l->conn;
    l->conn = NULL;
    l->up = false;
    if (conn != NULL)
        redis_conn_close(conn);
    sentinels_destroy(l->sentinels);
    l->sentinels = NULL;
}

void link_restart(struct link *l, const char *reason)
{
    struct redis_conn *conn = l->conn;
    if (conn == NULL)
        return;
    link_down(l, reason, false);
    redis_conn_close(conn);
}

void link_tick(struct link *l, uint64_t now_ms)
{
    if (l->conn != NULL)
        redis_conn_tick(l->conn, now_ms);
    else if (now_ms >= l->retry_at_ms)
        link_open(l, now_ms);
}
