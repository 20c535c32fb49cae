/* One connection to Redis: an h2o socket, hiredis' parser, a FIFO of pending replies, and timers.
 *
 *      [ASKING the sentinels] --> DIALLING --> [TLS handshake] --> GREETING --> READY
 *            \                        \             \                \           \
 *             `------------------------`-------------`----------------`-----------`--> closed: on_closed once, then
 *                                                                                      the object is gone
 *
 * Greeting is AUTH, SELECT, CLIENT SETNAME and INFO; it ends READY only at a master that is fit (redis_info.h). What is
 * sent goes out in one write at redis_conn_flush, so that a loop turn's commands are one pipeline. */
#ifndef PUBSUB_REDIS_CONN_H
#define PUBSUB_REDIS_CONN_H

#include <h2o.h>
#include <hiredis/hiredis.h>
#include "core/config.h"
#include "pubsub/redis_info.h"
#include "pubsub/sentinel.h"

struct redis_conn;

struct redis_conn_callbacks {
    void (*on_ready)(void *ctx, const struct redis_info *info);
    /* A reply nobody waits for: what a subscriber connection hears. */
    void (*on_message)(void *ctx, redisReply *reply);
    /* The connection has ended; the object is freed after this call. `unfit`: there is no point in trying again. */
    void (*on_closed)(void *ctx, const char *reason, bool unfit);
};

/* Called once for each command: with its reply, or with NULL when the connection ends first. */
typedef void (*redis_reply_cb)(void *data, redisReply *reply);

/* Never NULL; failures arrive through on_closed, from a later redis_conn_tick at the earliest. `target` and
 * `sentinels` outlive it; the latter may be NULL unless the target is one by Sentinel. Of the context the loop is used.
 */
struct redis_conn *redis_conn_open(h2o_context_t *ctx, const struct redis_target *target, struct sentinels *sentinels,
                                   uint64_t timeout_ms, const char *client_name,
                                   const struct redis_conn_callbacks *callbacks, void *data, uint64_t now_ms);
/* Ends it without on_closed; pending replies get NULL. Safe within its own callbacks. */
void redis_conn_close(struct redis_conn *c);

/* A command with a reply to come; cb may be NULL where nobody looks at it. */
void redis_conn_command(struct redis_conn *c, redis_reply_cb cb, void *data, int argc, const char **argv,
                        const size_t *lens);
/* A command whose replies, if any, go to on_message (SUBSCRIBE and its kin). */
void redis_conn_push(struct redis_conn *c, int argc, const char **argv, const size_t *lens);
void redis_conn_flush(struct redis_conn *c);

/* Of a READY connection without commands in flight: nothing more is read, nor handed out of what has been read already.
 * Whoever pauses bounds the pause, since a paused connection does not notice that it is lost. May be called from
 * on_message. */
void redis_conn_pause(struct redis_conn *c);
/* Hands out at once what had to wait, so that the connection may be closed and gone on return; within a callback of its
 * own it does so after that. */
void redis_conn_resume(struct redis_conn *c);

/* Connect, reply and idle timers. An idle connection that is not paused is asked PING, and
 * lost if nothing comes within the timeout. */
void redis_conn_tick(struct redis_conn *c, uint64_t now_ms);

/* Text of a reply, for logs too: never NULL. An error's without the arguments of the command that it may repeat. */
struct str redis_reply_str(const redisReply *r);
static inline bool redis_reply_is_error(const redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_ERROR;
}

#endif
