/* Asks a Redis, blocking and once, whether it is there and fit: for `belfry check`. */
#ifndef SERVER_REDIS_PROBE_H
#define SERVER_REDIS_PROBE_H

#include "core/config.h"

/* Connects, authenticates, asks INFO. Appends what is wrong or unwise, one a line; nothing if all is well. Takes at
 * most REDIS_TIMEOUT for the connection and for each reply. For the embedded Redis it looks for redis-server in PATH.
 */
void redis_probe(const struct config *c, struct buf *warnings);

/* What an INFO reply says that belfry cannot work with, or should not have to. */
void redis_probe_info(struct str info, struct buf *warnings);

#endif
