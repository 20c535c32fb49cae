/* Who is offline after PRESENCE_GRACE: a script works it off, of whichever worker comes first. A worker looks when it
 * has to be so for one that it has seen go, and when its canary tells of one whose worker did not live to see it. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/script_reply.h"

/* After an error reply, or where nothing came. */
#define RETRY_MS 1000

static void await(struct pubsub *p, uint64_t at_ms)
{
    struct lifecycle_state *s = &p->lifecycle;
    if (p->config->lifecycle && (s->due_ms == 0 || at_ms < s->due_ms))
        s->due_ms = at_ms;
}

void lifecycle_await(struct pubsub *p)
{
    await(p, clock_monotonic_ms() + p->config->presence_grace_ms);
}

void lifecycle_due(struct pubsub *p)
{
    await(p, clock_monotonic_ms());
}

static void on_refused(struct pubsub *p, struct str reply)
{
    uint64_t suppressed, now_ms = clock_monotonic_ms();
    await(p, now_ms + RETRY_MS);
    if (log_limit_pass(&p->lifecycle.log, now_ms, &suppressed))
        log_event(LOG_LEVEL_ERROR, "lifecycle_failed", LOG_U("worker", p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
}

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct lifecycle_state *s = &p->lifecycle;
    struct script_offline_reply step;
    s->in_flight = false;
    if (reply == NULL) {
        await(p, clock_monotonic_ms() + RETRY_MS);
    } else if (redis_reply_is_error(reply) && script_error_of(redis_reply_str(reply)) == SCRIPT_ERROR_NOSCRIPT) {
        s->by_text = true;
        lifecycle_due(p);
    } else if (script_offline_parse(reply, &step) != 0) {
        on_refused(p, redis_reply_str(reply));
    } else if (step.more) {
        await(p, clock_monotonic_ms() + step.next_ms);
    }
}

void lifecycle_turn(struct pubsub *p, uint64_t now_ms)
{
    struct lifecycle_state *s = &p->lifecycle;
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_call call = {0};
    if (s->due_ms == 0 || now_ms < s->due_ms || s->in_flight || !p->commands.up)
        return;
    script_offline_build(&call, &settings);
    if (s->by_text)
        script_call_by_text(&call);
    s->by_text = false;
    s->in_flight = true;
    s->due_ms = 0;
    redis_conn_command(p->commands.conn, on_reply, p, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}
