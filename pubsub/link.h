/* A connection to Redis that comes back: open, lost, waited for (exponential backoff with jitter), open again. */
#ifndef PUBSUB_LINK_H
#define PUBSUB_LINK_H

#include "pubsub/redis_conn.h"

struct link;

struct link_callbacks {
    void (*on_up)(void *ctx);
    /* Was up (or never got up) and is not any more; called once per attempt. */
    void (*on_down)(void *ctx, const char *reason, bool was_up, bool unfit);
    void (*on_message)(void *ctx, redisReply *reply);
};

struct link {
    h2o_context_t *ctx;
    const struct config *config;
    const struct link_callbacks *callbacks;
    void *data;
    char name[64];
    struct sentinels *sentinels; /* NULL: the Redis has an address of its own */
    struct redis_conn *conn;     /* NULL while waiting */
    bool up;
    struct redis_info info; /* of the Redis it is or was last up at */
    uint64_t retry_at_ms;
    unsigned failures;
    uint32_t reason_hash; /* of the last failure */
};

/* Starts connecting. The name is the Redis client's name. */
void link_init(struct link *l, h2o_context_t *ctx, const struct config *config, const char *name,
               const struct link_callbacks *callbacks, void *data);
void link_dispose(struct link *l);
/* Drops the connection (on_down is called) and tries again at once if it was up. */
void link_restart(struct link *l, const char *reason);
void link_tick(struct link *l, uint64_t now_ms);

/* Delay before the n-th attempt in a row (n ≥ 1): 50 ms doubling up to 2 s, ±25 % by `random`. */
uint64_t link_backoff_ms(unsigned n, uint32_t random);

#endif
