/* The cluster's connection counts: the sum over all living leases, read at most every 5 s. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/script_reply.h"
#include <stdlib.h>

#define CACHE_MS 5000

static void answer_all(struct pubsub *p, bool stale)
{
    struct totals_state *s = &p->totals;
    struct totals_waiter *waiters = s->waiters;
    size_t n = s->n;
    struct pubsub_totals totals = s->last;
    totals.stale = stale;
    s->waiters = NULL;
    s->n = s->cap = 0;
    for (size_t i = 0; i < n; ++i)
        waiters[i].cb(waiters[i].data, totals);
    free(waiters);
}

static void send_totals(struct pubsub *p);

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct script_totals_reply r;
    p->totals.in_flight = false;
    if (reply == NULL) {
        answer_all(p, true);
    } else if (redis_reply_is_error(reply) && script_error_of(redis_reply_str(reply)) == SCRIPT_ERROR_NOSCRIPT) {
        p->totals.by_text = true;
        send_totals(p);
    } else if (script_totals_parse(reply, &r) != 0) {
        answer_all(p, true);
    } else {
        p->totals.last = (struct pubsub_totals){.total = r.local, .dead = r.dead};
        p->totals.read_ms = clock_monotonic_ms();
        answer_all(p, false);
    }
}

static void send_totals(struct pubsub *p)
{
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_call call = {0};
    script_totals_build(&call, &settings);
    if (p->totals.by_text)
        script_call_by_text(&call);
    p->totals.by_text = false;
    p->totals.in_flight = true;
    redis_conn_command(p->commands.conn, on_reply, p, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}

void pubsub_totals(struct pubsub *p, void (*cb)(void *, struct pubsub_totals), void *data)
{
    struct totals_state *s = &p->totals;
    struct pubsub_totals known = s->last;
    known.stale = !p->commands.up;
    if (known.stale || (s->read_ms != 0 && clock_monotonic_ms() < s->read_ms + CACHE_MS)) {
        cb(data, known);
        return;
    }
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 4 : s->cap * 2;
        s->waiters = mem_realloc(s->waiters, s->cap * sizeof(*s->waiters));
    }
    s->waiters[s->n++] = (struct totals_waiter){cb, data};
    if (!s->in_flight)
        send_totals(p);
}

void totals_dispose(struct pubsub *p)
{
    answer_all(p, true);
}
