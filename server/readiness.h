/* Whether the process is ready for traffic (/readyz): every worker hears its events, and nobody has asked it to stop;
 * and whether it is alive (/livez): every worker's loop turns. Workers note their state; whichever worker is asked
 * reports on all. Atomics only. */
#ifndef SERVER_READINESS_H
#define SERVER_READINESS_H

#include <stdatomic.h>
#include "core/str.h"
#include "pubsub/pubsub.h"

/* Redis answers, and the canary has not come back for so long: events do not arrive. */
#define READINESS_CANARY_MS 15000

struct worker_readiness {
    _Atomic unsigned flags; /* see readiness.c; zero-initialised: starting */
    _Atomic uint64_t canary_age_ms;
    _Atomic uint64_t turned_ms; /* monotonic, when its loop last turned; 0: not begun, UINT64_MAX: it has ended */
    uint64_t ran_ms;            /* its own: for how long its loop has turned, without long stops */
};

/* What one worker has seen of another one's loop; its own. */
struct liveness_seen {
    uint64_t turned_ms; /* as it saw it last */
    uint64_t since_ms;  /* its own ran_ms when it saw that first */
};

struct process_readiness {
    struct worker_readiness *workers;
    struct liveness_seen *seen; /* n x n, a row for each worker that looks */
    unsigned n;
    _Atomic bool draining;
};

/* From the worker's own thread, at least once a second. While Redis cannot be reached at all, a worker that was ready
 * stays so: it keeps its sockets and answers 503 and 1013 itself, instead of emptying the service. */
void readiness_note(struct worker_readiness *w, const struct pubsub_state *state);

/* True if the process is ready; *out is {"status":"ready","workers":2} or
 * {"status":"unready","workers":2,"failing":["…"]}. */
bool readiness_report(const struct process_readiness *p, struct buf *out);

/* A loop that has not turned for so long hangs. */
#define LIVENESS_MS 10000

/* From the worker's own thread, at least once a second: its loop turns, and it looks at the others'. now_ms UINT64_MAX:
 * its loop has come to its end. */
void liveness_note(struct process_readiness *p, unsigned worker, uint64_t now_ms);

/* True unless a worker hangs; *out is {"status":"alive"} or {"status":"dead","failing":["…"]}. Redis plays no part.
 * From the thread of the `worker` that is asked: it counts only time in which its own loop was turning, so that a
 * process which was suspended as a whole is not dead. */
bool liveness_report(const struct process_readiness *p, unsigned worker, struct buf *out);

#endif
