/* Where belfry listens: one socket per worker for each address, so that the kernel spreads the clients. */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "core/config.h"

struct listener {
    int *fds; /* one per worker, listening; -1 once a worker has taken its own */
    unsigned n;
    char *unix_path;   /* NULL for TCP; removed by listener_dispose */
    char address[128]; /* as the log line `listening` names it: "[::]:8000", "127.0.0.1:43121", "unix:/run/x.sock" */
};

/* Binds and listens. TCP: a SO_REUSEPORT socket per worker, port 0 picks one for all, `[::]` takes both families and is
 * 0.0.0.0 where there is no IPv6. Unix: one socket, mode 0660, duplicated per worker; a stale file is removed only if
 * nobody answers on it. 0, or -1 with what went wrong in *error. */
int listener_open(struct listener *l, const struct listen_address *where, unsigned workers,
                  struct buf *error) MUST_CHECK;
void listener_dispose(struct listener *l);

#endif
