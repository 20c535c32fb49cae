/* Asks a Redis once whether it is there and fit: for `belfry check`. */
#ifndef SERVER_REDIS_PROBE_H
#define SERVER_REDIS_PROBE_H

#include "core/config.h"

/* Connects as `serve` does (Sentinel, TLS and login included), asks INFO. Appends what is wrong or unwise, one a line;
 * nothing if all is well. Blocks for at most REDIS_TIMEOUT at each step: to reach each sentinel and its answer, the
 * connection, TLS, each reply. For the embedded Redis it looks for redis-server in PATH. With rediss:// the target's
 * tls_context has to be there. */
void redis_probe(const struct config *c, struct buf *warnings);

/* What an INFO reply says that belfry cannot work with, or should not have to. */
void redis_probe_info(struct str info, struct buf *warnings);

#endif
