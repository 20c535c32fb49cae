/* GET /ws/health: counts of the cluster and of this process, and whether events can flow. Public, so counts only. */
#include <stdatomic.h>
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"
#include "core/clock.h"

struct question {
    struct api_call *call; /* NULL once the request is gone */
    struct api *api;
};

static void health_json(struct buf *out, const struct api *api, bool healthy, const struct pubsub_state *redis,
                        struct pubsub_totals totals)
{
    char now[RFC3339_LEN];
    uint64_t dead = totals.dead < totals.total ? totals.dead : totals.total;

    rfc3339_format(now, clock_unix_ms());
    buf_printf(out, "{\"status\":\"%s\",\"timestamp\":\"%.*s\"", healthy ? "healthy" : "unhealthy", RFC3339_LEN, now);
    buf_printf(out, ",\"connections\":{\"total\":%llu,\"local\":%llu,\"alive\":%llu,\"dead\":%llu}",
               (unsigned long long)totals.total, (unsigned long long)atomic_load(api->shared->connections),
               (unsigned long long)(totals.total - dead), (unsigned long long)dead);
    buf_printf(out, ",\"redis\":{\"connected\":%s,\"pubsub_connected\":%s}%s}",
               redis->commands_connected ? "true" : "false", redis->subscriber_connected ? "true" : "false",
               totals.stale ? ",\"stale\":true" : "");
}

static void on_totals(void *data, struct pubsub_totals totals)
{
    struct question *q = data;
    struct buf body = {0};

    if (q->call != NULL) {
        struct pubsub_state redis = pubsub_state(q->api->pubsub, clock_monotonic_ms());
        bool healthy = redis.ready && redis.commands_connected && redis.subscriber_connected && !totals.stale;
        health_json(&body, q->api, healthy, &redis, totals);
        q->call->waiter = NULL;
        respond_json(q->call->req, healthy ? 200 : 503, &body);
        buf_free(&body);
    }
    free(q);
}

void api_health(struct api_call *call)
{
    struct question *q = mem_alloc(sizeof(*q));

    *q = (struct question){.call = call, .api = call->api};
    call->waiter = &q->call;
    pubsub_totals(call->api->pubsub, on_totals, q);
}
