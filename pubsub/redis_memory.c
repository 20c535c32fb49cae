/* Redis' memory, its limit and what it would evict: asked by the first worker of the process, for the metrics. */
#include "pubsub/internal.h"
#include "core/metrics.h"
#include "core/units.h"

#define ASK_MS 10000

static void note_number(enum metric m, struct str value)
{
    uint64_t number;
    if (value.p != NULL && units_parse_count(value, &number) == 0)
        metric_set(m, number);
}

static void on_info(void *data, redisReply *reply)
{
    (void)data;
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        return; /* what is known stays */
    struct str info = redis_reply_str(reply);
    struct str policy = redis_info_field(info, STR_LIT("maxmemory_policy"));
    note_number(METRIC_REDIS_MEMORY_NOW, redis_info_field(info, STR_LIT("used_memory")));
    note_number(METRIC_REDIS_MEMORY_MAX_NOW, redis_info_field(info, STR_LIT("maxmemory")));
    for (enum metric m = METRIC_REDIS_POLICY_NOEVICTION; policy.p != NULL && m <= METRIC_REDIS_POLICY_OTHER; ++m)
        metric_set(m, m == metric_of_policy(policy));
}

void redis_memory_tick(struct pubsub *p, uint64_t now_ms)
{
    if (p->worker != 0 || now_ms < p->memory_ask_ms || !p->commands.up || !p->canary.answered)
        return;
    p->memory_ask_ms = now_ms + ASK_MS;
    redis_conn_command(p->commands.conn, on_info, NULL, 2, (const char *[]){"INFO", "memory"}, (size_t[]){4, 6});
}
