/* What is asked of Redis on behalf of a caller who waits, step by step, all within REDIS_TIMEOUT. */
#ifndef PUBSUB_ASK_H
#define PUBSUB_ASK_H

#include <hiredis/hiredis.h>
#include "core/str.h"

struct pubsub;

/* The first member of what is asked. */
struct ask {
    struct pubsub *p;
    struct ask *next; /* among those that wait to be sent */
    const struct ask_callbacks *callbacks;
    uint64_t deadline_ms;
};
struct ask_callbacks {
    void (*send)(struct ask *a); /* Redis can be reached: one command, or one transaction, by ask_command */
    void (*on_reply)(struct ask *a, redisReply *reply); /* never NULL */
    void (*on_failure)(struct ask *a);                  /* the end: nothing came within the time */
    bool once; /* what a lost connection leaves unanswered is not sent again but failed */
};
struct ask_line {
    struct ask *first, *last;
};

void ask_begin(struct ask *a, struct pubsub *p, const struct ask_callbacks *callbacks);
/* The next step: `send` is called at the next turn in which Redis can be reached. */
void ask_again(struct ask *a);
/* From `send`: cb of the reply is the ask's own; commands whose replies nobody needs go before it. */
void ask_command(struct ask *a, int argc, const char **argv, const size_t *lens);
void ask_turn(struct pubsub *p, uint64_t now_ms);
/* All that wait fail. */
void ask_dispose(struct pubsub *p);
/* Redis has answered with an error, or something else that is no answer. */
void ask_log_refused(struct ask *a, struct str reply);
/* REDIS_PREFIX, kind, id and end as one name. */
struct buf ask_key(const struct pubsub *p, const char *kind, struct str id, const char *end);

#endif
