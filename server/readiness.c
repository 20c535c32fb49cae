/* Whether the process is ready for traffic, and whether it is alive. */
#include "server/readiness.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    WAS_READY = 1 << 0,   /* once: the first subscription was confirmed and a canary came back */
    CANARY_LATE = 1 << 1, /* Redis answers, its events do not come */
};

void readiness_note(struct worker_readiness *w, const struct pubsub_state *state)
{
    unsigned flags = atomic_load_explicit(&w->flags, memory_order_relaxed) & WAS_READY;

    if (state->ready)
        flags |= WAS_READY;
    if (!state->away && state->canary_age_ms > READINESS_CANARY_MS)
        flags |= CANARY_LATE;
    atomic_store_explicit(&w->canary_age_ms, state->canary_age_ms, memory_order_relaxed);
    atomic_store_explicit(&w->flags, flags, memory_order_relaxed);
}

static void fail(struct buf *failing, const char *what)
{
    buf_append(failing, failing->n == 0 ? STR_LIT("\"") : STR_LIT(",\""));
    buf_append(failing, str_of(what));
    buf_append_char(failing, '"');
}

static void fail_worker(struct buf *failing, unsigned worker, const char *what)
{
    char text[128];

    snprintf(text, sizeof(text), "worker %u: %s", worker, what);
    fail(failing, text);
}

static void fail_canary(struct buf *failing, unsigned worker, uint64_t age_ms)
{
    char text[96];

    if (age_ms == UINT64_MAX)
        snprintf(text, sizeof(text), "Redis answers, but events do not arrive: no canary has come back");
    else
        snprintf(text, sizeof(text),
                 "Redis answers, but events do not arrive: the last canary came back %" PRIu64 " s ago", age_ms / 1000);
    fail_worker(failing, worker, text);
}

bool readiness_report(const struct process_readiness *p, struct buf *out)
{
    struct buf failing = {0};
    bool ready;

    if (atomic_load(&p->draining))
        fail(&failing, "draining");
    for (unsigned i = 0; i < p->n; i++) {
        unsigned flags = atomic_load_explicit(&p->workers[i].flags, memory_order_relaxed);
        if ((flags & WAS_READY) == 0)
            fail_worker(&failing, i, "no subscription has been confirmed yet");
        else if ((flags & CANARY_LATE) != 0)
            fail_canary(&failing, i, atomic_load_explicit(&p->workers[i].canary_age_ms, memory_order_relaxed));
    }
    ready = failing.n == 0;
    buf_printf(out, "{\"status\":\"%s\",\"workers\":%u", ready ? "ready" : "unready", p->n);
    if (!ready) {
        buf_lit(out, ",\"failing\":[");
        buf_append(out, buf_str(&failing));
        buf_append_char(out, ']');
    }
    buf_append_char(out, '}');
    buf_free(&failing);
    return ready;
}

/* --- /livez ---------------------------------------------------------------------------------------------------------
 */

/* A longer stop of one's own says nothing of the others. */
#define STEP_MAX_MS 1000

static uint64_t turned(const struct process_readiness *p, unsigned worker)
{
    return atomic_load_explicit(&p->workers[worker].turned_ms, memory_order_relaxed);
}

void liveness_note(struct process_readiness *p, unsigned worker, uint64_t now_ms)
{
    struct worker_readiness *own = &p->workers[worker];
    uint64_t step_ms = turned(p, worker) != 0 ? now_ms - turned(p, worker) : 0;

    own->ran_ms += step_ms < STEP_MAX_MS ? step_ms : STEP_MAX_MS;
    atomic_store_explicit(&own->turned_ms, now_ms, memory_order_relaxed);
    for (unsigned i = 0; i < p->n; i++) {
        struct liveness_seen *seen = &p->seen[worker * p->n + i];
        if (seen->turned_ms != turned(p, i))
            *seen = (struct liveness_seen){turned(p, i), own->ran_ms};
    }
}

static bool hangs(const struct process_readiness *p, unsigned worker, unsigned other)
{
    const struct liveness_seen *seen = &p->seen[worker * p->n + other];
    uint64_t now = turned(p, other);

    return other != worker && now != UINT64_MAX && now == seen->turned_ms &&
           p->workers[worker].ran_ms - seen->since_ms > LIVENESS_MS;
}

bool liveness_report(const struct process_readiness *p, unsigned worker, struct buf *out)
{
    struct buf failing = {0};

    for (unsigned i = 0; i < p->n; i++)
        if (hangs(p, worker, i))
            fail_worker(&failing, i, "its loop hangs");
    bool alive = failing.n == 0;
    if (alive)
        buf_lit(out, "{\"status\":\"alive\"}");
    else
        buf_printf(out, "{\"status\":\"dead\",\"failing\":[%.*s]}", (int)failing.n, failing.p);
    buf_free(&failing);
    return alive;
}
