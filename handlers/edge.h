/* The WebSocket edge of one worker: takes upgrade requests for /ws, owns the connections, delivers what pubsub/ hears.
 */
#ifndef HANDLERS_EDGE_H
#define HANDLERS_EDGE_H

#include <h2o.h>
#include "core/config.h"
#include "core/credentials.h"
#include "core/limiter.h"
#include "pubsub/pubsub.h"

struct edge;

/* What all workers of the process share; atomic counters only. */
struct edge_shared {
    _Atomic uint64_t connections; /* WebSockets of the process, for MAX_CONNECTIONS */
    _Atomic uint64_t lingering;   /* refused after the handshake, being told so */
    uint64_t descriptor_limit;    /* RLIMIT_NOFILE less the reserve */
    _Atomic uint64_t descriptors; /* sockets accepted and not closed: all kinds */
};

struct edge *edge_create(h2o_context_t *ctx, const struct config *config, struct edge_shared *shared,
                         struct credentials_view *credentials, struct limiter *limiter);
/* What pubsub_create needs: the hub, the callbacks with the edge as their ctx. Then give the edge its pubsub. */
struct hub *edge_hub(struct edge *e);
extern const struct pubsub_callbacks edge_pubsub_callbacks;
void edge_attach(struct edge *e, struct pubsub *p);

/* Why a request was answered by HTTP instead of by an upgrade. */
struct edge_refusal {
    int status; /* 400, 403, 405, 426, 503 */
    const char *type, *title;
    char detail[400];
};
/* Handles a request for /ws. 0: taken over (101 has been or will be sent). -1: the caller sends *refusal as
 * problem+json (426 with Sec-WebSocket-Version: 13 and Upgrade: websocket, 405 with Allow: GET). */
int edge_upgrade(struct edge *e, h2o_req_t *req, struct edge_refusal *refusal) MUST_CHECK;

/* Once a loop turn, and at least every 50 ms: flushes, fires timers, reaps. */
void edge_turn(struct edge *e, uint64_t now_ms);
/* True if there is more to do at once. */
bool edge_busy(const struct edge *e);

/* Hands all clients over: each is told `reconnect` now and closed 1012 in its slot, the slots being spread evenly over
 * spread_ms. Who connects meanwhile is told so after its welcome, and gets a slot in what is left. */
void edge_drain(struct edge *e, uint64_t now_ms, uint64_t spread_ms);
/* Closes everybody 1012 now, and whoever still comes. */
void edge_end(struct edge *e, uint64_t now_ms);
/* After edge_end: cuts whoever is left, without a word. Before pubsub_close. */
void edge_cut(struct edge *e);
/* True once the last connection is gone. */
bool edge_empty(const struct edge *e);
/* After edge_cut, and when no request is left that could come. */
void edge_destroy(struct edge *e);

/* Counts of this worker: open connections, those silent for longer than PING_INTERVAL + 5 s, and those whose socket
 * takes no more. */
struct edge_counts {
    uint64_t local, dead, slow;
};
struct edge_counts edge_counts(const struct edge *e, uint64_t now_ms);
/* Sets the gauges of this worker that are not kept as things happen. */
void edge_note_metrics(const struct edge *e, const struct edge_counts *counts);

#endif
