/* PUBLISH_RATE: one token bucket for each subject that publishes, REST and WebSocket together; one limiter a worker.
 * A bucket that is full again is forgotten, so memory follows the subjects that published lately. Time is an argument
 * (ms). */
#ifndef CORE_LIMITER_H
#define CORE_LIMITER_H

#include "core/bucket.h"
#include "core/table.h"

struct limiter_entry;

struct limiter {
    struct table entries;
    struct limiter_entry *oldest, *newest; /* in the order of their last use */
    struct rate rate;
    size_t count;
};

enum limiter_verdict {
    LIMITER_OK,
    LIMITER_LATER, /* the n events will pass once *retry_ms have passed */
};

void limiter_init(struct limiter *l, struct rate rate);
void limiter_dispose(struct limiter *l);

/* Takes n events off the subject's bucket, or none. More than the burst pass at once from a full bucket and are paid
 * back before anything else passes (core/bucket.h). A rate of 0 lets everything pass. Subjects are written "sub:<user
 * id>" of a token and "key:<name>" of an API key, by REST and WebSocket alike. */
enum limiter_verdict limiter_take(struct limiter *l, struct str subject, uint32_t n, uint64_t now_ms,
                                  uint64_t *retry_ms);

#endif
