/* Calls of the scripts that keep identities, and their answers: pure, without a connection. register.lua, leave.lua and
 * reap.lua list what the arguments are. */
#ifndef PUBSUB_IDENTITY_CALL_H
#define PUBSUB_IDENTITY_CALL_H

#include "core/random_id.h"
#include "pubsub/script_call.h"

struct redisReply;

/* Entries of one call: a script of that size holds up Redis for about 5 ms. */
#define IDENTITY_BATCH_MAX 500
/* How long an identity can be resumed after its connection has ended. */
#define IDENTITY_AWAY_MS 300000

enum identity_act { IDENTITY_REGISTER, IDENTITY_CLAIM, IDENTITY_LEAVE };

/* What is to be said of one connection. Made by identity_entry_create, ended by free(). */
struct identity_entry {
    struct identity_entry *next;
    enum identity_act act;
    char id[RANDOM_ID_LEN];
    char claimed[RANDOM_ID_LEN]; /* IDENTITY_CLAIM */
    uint32_t gen;                /* not of a claim */
    uint8_t address[16];
    uint64_t since_ms;
    uint16_t code;        /* IDENTITY_LEAVE */
    uint64_t duration_ms; /* likewise */
    void *claim;          /* IDENTITY_CLAIM: what the callbacks are given */
    uint32_t user_len, agent_len;
    char bytes[]; /* the user, then the user agent */
};

struct identity;
struct identity_entry *identity_entry_create(enum identity_act act, const struct identity *i);

struct script_builder;
void identity_keys(struct script_builder *b);
void identity_argument(struct script_builder *b, const struct script_settings *s);

/* Of a list of entries, at most IDENTITY_BATCH_MAX: registrations and claims, or leaves only. */
void script_register_build(struct script_call *c, const struct script_settings *s, struct str node,
                           const struct identity_entry *entries);
void script_leave_build(struct script_call *c, const struct script_settings *s, struct str node,
                        const struct identity_entry *entries);

enum identity_status { IDENTITY_SUPERSEDED, IDENTITY_HELD, IDENTITY_NEW, IDENTITY_CLAIMED, IDENTITY_DISCONNECTED };
struct identity_answer {
    enum identity_status status;
    uint32_t gen;
};
/* The answer to a call of n entries, and the epoch in which it was given (0: there was none). 0, or -1 if it is none.
 */
int script_register_parse(const struct redisReply *r, size_t n, struct identity_answer *out,
                          uint64_t *epoch) MUST_CHECK;

#define REAP_CURSOR_LEN 20
struct script_reap {
    struct str node;
    struct str cursor; /* "0" to begin */
};
/* No other worker is pointed at the node for so long after each step. */
#define REAP_RESERVED_MS 30000
void script_reap_build(struct script_call *c, const struct script_settings *s, const struct script_reap *r);
struct script_reap_reply {
    struct str cursor; /* at most REAP_CURSOR_LEN digits; "0": it was the last step. Lives in the reply */
    uint64_t moved;
};
int script_reap_parse(const struct redisReply *r, struct script_reap_reply *out) MUST_CHECK;

/* Users that are told offline in one step. */
#define OFFLINE_STEP 500
void script_offline_build(struct script_call *c, const struct script_settings *s);
struct script_offline_reply {
    uint64_t told;
    bool more; /* there is another one, due in next_ms */
    uint64_t next_ms;
};
int script_offline_parse(const struct redisReply *r, struct script_offline_reply *out) MUST_CHECK;

/* An order on the node's channel, `close <connection id> <gen>`: sockets of that identity with a smaller gen have to be
 * closed. 0, or -1 if it is none. */
int identity_order_parse(struct str payload, struct str *id, uint32_t *gen) MUST_CHECK;

#endif
