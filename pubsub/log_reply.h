/* What a read of the logs is answered with, taken from Redis' replies without trusting their form. */
#ifndef PUBSUB_LOG_REPLY_H
#define PUBSUB_LOG_REPLY_H

#include "core/page.h"

struct redisReply;

/* Ended epochs that are taken from one reply, at most: Redis keeps those above the floor only. */
#define HISTORY_ENDS_MAX 4096
/* From the replies to HMGET ws:head epoch seq floor last, and HGETALL ws:epochs. 0, then out->ends is the caller's to
 * free; or -1 and nothing to free: there is no head, or something is not of the form. */
int history_parse(const struct redisReply *head, const struct redisReply *ends, struct history *out) MUST_CHECK;

/* One entry of a log; slices point into the reply. */
struct log_entry {
    struct position id;
    struct position prev; /* id of the entry before it, or 0-0; the entry's own if it does not tell one below it */
    struct str payload;   /* STR_NONE if it has none */
};
/* 0, or -1 if it is no entry of a stream. */
int log_entry_parse(const struct redisReply *r, struct log_entry *out) MUST_CHECK;

/* What clients get of it, after the same check as whatever comes live; a slice of the payload. STR_NONE if it has no
 * payload (then *why is NULL) or one that belfry has not written under that id (then *why tells). */
struct str log_entry_text(const struct log_entry *e, const char **why);

/* A page's log from the replies to XRANGE - + COUNT 1 and XRANGE after it COUNT `asked`. Allocates out->entries, which
 * are the caller's to free. *bytes is what the payloads of the second reply have together, *entries how many they are,
 * *junk how many of them are without text for a reason (*why: the last one's). 0, or -1 and nothing to free if a reply
 * is not of the form. */
struct log_sample {
    size_t bytes, entries, junk;
    const char *why;
};
int page_log_parse(const struct redisReply *first, const struct redisReply *range, struct position after,
                   unsigned asked, struct page_log *out, struct log_sample *sample) MUST_CHECK;

#endif
