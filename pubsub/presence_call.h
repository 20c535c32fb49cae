/* What is said and kept of connections, as text: entries of ws:conns, cursors of pages, messages on the channels of
 * nodes, and the script that disconnects. Pure, without a connection; nothing that is read is trusted. */
#ifndef PUBSUB_PRESENCE_CALL_H
#define PUBSUB_PRESENCE_CALL_H

#include "core/json.h"
#include "core/random_id.h"
#include "pubsub/pubsub.h"
#include "pubsub/script_call.h"

struct redisReply;

/* --- entries --- */

/* An entry of ws:conns has at most that many bytes: every byte of a user's id and of the rest may be escaped. */
#define PRESENCE_ENTRY_MAX 4096
/* Reads an entry; what it points to lives in the arena. 0, or -1 if it is not of the form. */
int presence_entry_parse(struct arena *a, struct str id, struct str json, struct presence_entry *out) MUST_CHECK;

/* A step through a hash or a set: the next cursor, and its elements (of a hash name and value in turn). 0, or -1. */
struct presence_scan {
    uint64_t cursor; /* 0: it was the last step */
    size_t n;
    struct redisReply **elements;
};
int presence_scan_parse(const struct redisReply *r, struct presence_scan *out) MUST_CHECK;

/* --- cursors of pages --- */

/* Ids that one step has brought above the limit: they begin the next page. */
#define PRESENCE_REST_MAX 100

struct presence_cursor {
    bool of_user;                                /* a page of a user's: the ids after `after` */
    char after[RANDOM_ID_LEN];                   /* of_user */
    uint64_t scan;                               /* else: where ws:conns is gone on with; 0: nowhere */
    char rest[PRESENCE_REST_MAX][RANDOM_ID_LEN]; /* and what comes before that */
    size_t rest_n;
};
void presence_cursor_format(struct buf *out, const struct presence_cursor *c);
/* 0, or -1 if it is none. */
int presence_cursor_parse(struct str text, struct presence_cursor *out) MUST_CHECK;

/* --- messages on the channel of a node --- */

/* `ask <nonce> <node that asks> <connection id>`. The slices of what is parsed lie in the payload; 0 or -1. */
struct presence_question {
    struct str nonce, node, id;
};
void presence_question_format(struct buf *out, const struct presence_question *q);
int presence_question_parse(struct str payload, struct presence_question *out) MUST_CHECK;

/* `answer <nonce> <connection id> gone`, or `… <state> <last seen, unix ms> <position>`. */
struct presence_answer {
    struct str nonce, id;
    bool gone; /* `now` is unused then */
    struct presence_now now;
};
void presence_answer_format(struct buf *out, const struct presence_answer *a);
int presence_answer_parse(struct str payload, struct presence_answer *out) MUST_CHECK;

/* `disconnect <connection id> <gen> <reason>`: sockets of that identity with at most that gen have to be closed. The
 * reason is checked. */
struct presence_order {
    struct str id, reason;
    uint32_t gen;
};
int presence_order_parse(struct str payload, struct presence_order *out) MUST_CHECK;

/* --- disconnect.lua --- */

/* A user's connections ended in one step. */
#define DISCONNECT_STEP 500
/* For how long an ended identity is remembered, so that a worker that has not heard of it is told again. */
#define DISCONNECT_REMEMBER_MS 300000
#define DISCONNECT_REASON "disconnected by an operator"
/* `of_user`: all of the user `id`; else the one connection. */
void script_disconnect_build(struct script_call *c, const struct script_settings *s, bool of_user, struct str id,
                             struct str reason);
struct script_disconnect_reply {
    uint64_t ordered, left;
};
int script_disconnect_parse(const struct redisReply *r, struct script_disconnect_reply *out) MUST_CHECK;

#endif
