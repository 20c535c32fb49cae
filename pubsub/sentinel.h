/* Asks sentinels where the master is.
 *
 * Each is asked on a connection of its own, in turn, beginning with the one that answered last, until one knows. One
 * that asks for a login gets the URL's credentials, first both, then the password alone: a server's user is rarely
 * known to the sentinels, which often have a requirepass only. */
#ifndef PUBSUB_SENTINEL_H
#define PUBSUB_SENTINEL_H

#include <h2o.h>
#include "core/config.h"

struct sentinels; /* what is known of those that a REDIS_URL names */
struct sentinel_query;

/* NULL if the target is not one by Sentinel. The target outlives it. */
struct sentinels *sentinels_create(const struct redis_target *target);
void sentinels_destroy(struct sentinels *s); /* NULL is fine */
/* The last answer led to no master: the next query begins with another sentinel. */
void sentinels_distrust(struct sentinels *s);

/* Called once, from sentinel_tick or from the loop, and the query is gone with it: the master's host and port, or NULL
 * with the reason of each sentinel, valid during the call. */
typedef void (*sentinel_cb)(void *data, const char *host, uint16_t port, const char *reason);

/* Never NULL, and nothing is called back from within. Each sentinel may take `timeout_ms` to be reached, and as long
 * again to answer. */
struct sentinel_query *sentinel_ask(h2o_loop_t *loop, struct sentinels *s, uint64_t timeout_ms, uint64_t now_ms,
                                    sentinel_cb cb, void *data);
void sentinel_tick(struct sentinel_query *q, uint64_t now_ms);
/* Ends it without a call. */
void sentinel_drop(struct sentinel_query *q);

#endif
