/* A worker: one thread, one loop, its own listeners, connections and way to Redis. Nothing crosses threads but messages
 * on its queue, read-only configuration, keys that are swapped as a whole, and atomic counters. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <h2o.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include "api/api.h"
#include "core/config.h"
#include "core/credentials.h"
#include "handlers/edge.h"
#include "server/listener.h"
#include "server/metrics_page.h"
#include "server/readiness.h"

#define SURFACES 3 /* public, api, metrics: the bits of enum surface, in that order */

/* What the workers of the process share. */
struct process {
    const struct config *config;
    struct credentials *credentials;
    h2o_globalconf_t *globalconf;
    h2o_hostconf_t *hosts[SURFACES]; /* NULL where a surface is not served */
    struct listener *listeners[SURFACES];
    SSL_CTX *tls; /* of the public and api surfaces over TCP; NULL: plain. What the workers start with */
    struct edge_shared edge;
    struct api_shared api;
    struct process_readiness readiness;
    struct metrics_page metrics;
    _Atomic(const char *) fatal; /* a worker has found that this process cannot go on: exit 2 with this text */
};

struct worker;

/* Takes its listening sockets. The process outlives it. NULL with a complaint in *error. */
struct worker *worker_start(struct process *p, unsigned index, struct buf *error) MUST_CHECK;
/* From the main thread, any number of times: new connections get this context (the reference is the worker's). */
void worker_set_tls(struct worker *w, SSL_CTX *tls);
/* From the main thread: hand the clients over for DRAIN_SECONDS (or until none is left), then stop accepting, close who
 * is left 1012, finish what is under way, end. `hurry` skips the hand-over, a second call the stage that it finds. */
void worker_stop(struct worker *w, bool hurry);
/* True once the thread has done its work: worker_join will not wait. */
bool worker_ended(const struct worker *w);
/* Waits for the thread and frees. */
void worker_join(struct worker *w);

#endif
