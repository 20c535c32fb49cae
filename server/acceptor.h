/* The listening sockets of one worker: accepting in bounded batches, resting while there is no free descriptor. */
#ifndef SERVER_ACCEPTOR_H
#define SERVER_ACCEPTOR_H

#include "server/worker.h"

struct acceptor {
    h2o_accept_ctx_t ctx;
    h2o_hostconf_t *hosts[2];
    h2o_socket_t *sock; /* the listener; NULL where the surface is not served or the worker is stopping */
    struct acceptors *all;
};

/* A TLS context that was replaced. h2o asks it for a session only when the first bytes of a handshake come, without
 * having held a reference since the connection was accepted. */
struct retired_tls {
    struct retired_tls *next;
    SSL_CTX *tls;
    uint64_t until_ms;
};

struct acceptors {
    struct process *process;
    struct acceptor each[SURFACES];
    struct retired_tls *retired;
    uint64_t rest_until_ms; /* 0: accepting */
};

/* On the worker's thread; takes the descriptors that process->listeners have for worker number `worker`. */
void acceptors_open(struct acceptors *a, struct process *p, h2o_context_t *ctx, unsigned worker);
/* Ends a rest that is over, and frees TLS contexts that nobody can ask for any more. */
void acceptors_tick(struct acceptors *a, uint64_t now_ms);
/* Connections to come get this context; takes over one reference. */
void acceptors_set_tls(struct acceptors *a, SSL_CTX *tls);
/* Accepts whoever waits in the queues, who would be reset by the close, and closes the listeners. */
void acceptors_close(struct acceptors *a);
/* After acceptors_close and the last connection. */
void acceptors_dispose(struct acceptors *a);

#endif
