/* Whether the process is ready for traffic. */
#include "server/readiness.h"
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
    char text[96];

    snprintf(text, sizeof(text), "worker %u: %s", worker, what);
    fail(failing, text);
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
            fail_worker(&failing, i, "Redis answers, but events do not arrive");
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
