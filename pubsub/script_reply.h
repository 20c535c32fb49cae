/* What the scripts answer, read from Redis' replies without trusting their form; and what their errors mean. */
#ifndef PUBSUB_SCRIPT_REPLY_H
#define PUBSUB_SCRIPT_REPLY_H

#include "core/position.h"
#include "core/random_id.h"
#include "pubsub/pubsub.h"

struct redisReply;

enum script_publish_status { SCRIPT_PUBLISH_OK, SCRIPT_PUBLISH_AGAIN, SCRIPT_PUBLISH_KEY_REUSED };

struct script_publish_reply {
    enum script_publish_status status;
    struct position head; /* where the order of all events stands now */
};
/* `n` is the number of events that were sent; results[n] is filled unless KEY_REUSED. 0, or -1 if the reply is no
 * answer to that (an error reply too: look at script_error_of first). */
int script_publish_parse(const struct redisReply *r, size_t n, struct script_publish_reply *out,
                         struct publish_result *results) MUST_CHECK;

struct script_canary_reply {
    struct position head;
    uint64_t floor;         /* the last seq that may be gone */
    struct position oldest; /* the floor in the epoch that it belongs to: the oldest position to resume from */
    bool lease_existed;     /* false: the node's lease had expired, everything has to be registered again */
    bool points_at_ended;   /* a node whose lease has ended, for the caller to reap: */
    char ended[RANDOM_ID_LEN];
    bool user_due; /* PRESENCE_GRACE of a user is over */
};
int script_canary_parse(const struct redisReply *r, struct script_canary_reply *out) MUST_CHECK;
/* The canary's message on the node's channel, `canary <position> <nonce>`. 0, or -1 if it is none. */
int script_canary_message_parse(struct str payload, struct position *head, struct str *nonce) MUST_CHECK;

struct script_totals_reply {
    uint64_t local, dead, nodes; /* sums over all leases that live, and how many there are */
};
int script_totals_parse(const struct redisReply *r, struct script_totals_reply *out) MUST_CHECK;

/* What an error reply means: Redis 6.2 buries the code of an error inside a script in the text, later ones do not. */
enum script_error {
    SCRIPT_ERROR_OTHER,
    SCRIPT_ERROR_NOSCRIPT, /* send it again by text */
    SCRIPT_ERROR_LOADING,
    SCRIPT_ERROR_READONLY, /* a replica: close both connections */
    SCRIPT_ERROR_OOM,
    SCRIPT_ERROR_NOREPLICAS,
    SCRIPT_ERROR_MISCONF,
    SCRIPT_ERROR_BUSY,
    SCRIPT_ERROR_NOPERM, /* the ACL lacks a command, key or channel */
    SCRIPT_ERROR_NOAUTH,
    SCRIPT_ERROR_CLUSTER, /* MOVED, CROSSSLOT, CLUSTERDOWN: this is Redis Cluster */
    SCRIPT_ERROR_SCHEMA,  /* the data is of a newer belfry: fatal */
    SCRIPT_ERROR_INFO,    /* +info is missing in the ACL: fatal */
    SCRIPT_ERROR_ARGS,    /* the script does not take its arguments: a bug of the caller */
    SCRIPT_ERROR_LOG,     /* a log holds ids that belfry has not made */
};
enum script_error script_error_of(struct str error);
/* What a publisher is told. */
enum publish_status script_error_status(enum script_error e);

#endif
