/* What the parts of one connection to Redis share: its life (redis_conn.c), its bytes (redis_conn_io.c), its greeting
 * (redis_greeting.c). Nobody else includes this. */
#ifndef PUBSUB_REDIS_CONN_PARTS_H
#define PUBSUB_REDIS_CONN_PARTS_H

#include "pubsub/dial.h"
#include "pubsub/redis_conn.h"
#include "pubsub/redis_tls.h"

enum conn_state { CONN_ASKING, CONN_DIALLING, CONN_TLS, CONN_GREETING, CONN_READY };

struct pending_reply {
    redis_reply_cb cb; /* NULL: nobody looks at it */
    void *data;
    uint64_t sent_ms;
};

struct redis_conn {
    h2o_context_t *ctx;
    const struct redis_target *target;
    struct sentinels *sentinels; /* NULL: the target itself says where */
    uint64_t timeout_ms;
    const struct redis_conn_callbacks *callbacks;
    void *data;
    char client_name[64];

    enum conn_state state;
    uint64_t state_since_ms, heard_ms;
    bool subscriber; /* has pushed something: PING is answered through on_message */
    bool ping_out;   /* a subscriber's PING waits for its pong */
    bool in_callback, closed;
    bool paused;
    struct sentinel_query *query; /* CONN_ASKING */
    struct dial *dial;            /* CONN_DIALLING */
    h2o_socket_t *sock;
    struct redis_tls *tls; /* NULL: none */
    redisReader *reader;
    struct buf out, writing;
    bool write_active;
    struct pending_reply *pending; /* ring */
    size_t pending_cap, pending_first, pending_count;
    struct redis_info info;
    unsigned greetings_due;
    char failure_text[400];
};

/* redis_conn.c */
/* The connection is lost: tells its owner first, so that those who wait for replies find it gone already. */
void redis_conn_lost(struct redis_conn *c, const char *reason, bool unfit);
void redis_conn_free(struct redis_conn *c);
/* Goes on with the TLS handshake. False if it has failed. */
bool redis_conn_proceed(struct redis_conn *c);

/* redis_conn_io.c */
struct pending_reply redis_conn_pop(struct redis_conn *c);
/* Sends a command without waiting in line for its reply. */
void redis_conn_append(struct redis_conn *c, int argc, const char **argv, const size_t *lens);
void redis_conn_on_read(h2o_socket_t *sock, const char *err);

/* redis_greeting.c: who we are, and whether this is a Redis that can be used; then on_ready. */
void redis_conn_greet(struct redis_conn *c);

#endif
