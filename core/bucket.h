/* Token bucket: `rate` tokens a second, at most `burst` saved up. 12 bytes of state; time is an argument (ms). */
#ifndef CORE_BUCKET_H
#define CORE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint32_t per_second; /* 0: no limit */
    uint32_t burst;      /* 1 to 4,000,000 */
};

struct bucket {
    uint32_t milli_tokens_used; /* spent and not yet refilled; zero-initialised means full */
    uint64_t at_ms;
} __attribute__((packed, aligned(4)));

/* Takes n tokens if they are there. False if not; *retry_ms (may be NULL) then tells in how many ms they will be. More
 * than `burst` at once are let through by a full bucket and paid back before anything else passes, so that a large
 * batch is slowed and not refused for ever. A clock that goes back refills nothing. */
bool bucket_take(struct bucket *b, struct rate r, uint32_t n, uint64_t now_ms, uint64_t *retry_ms);

#endif
