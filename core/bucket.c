/* Token bucket: what was spent melts with time. */
#include "core/bucket.h"

#include <stddef.h>

/* One token a second is one thousandth of a token a millisecond, so refilling is exact. */
static uint64_t used_now(const struct bucket *b, struct rate r, uint64_t now_ms)
{
    uint64_t used = b->milli_tokens_used, elapsed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;

    /* divided first: elapsed may be anything */
    if (elapsed > used / r.per_second)
        return 0;
    return used - elapsed * r.per_second;
}

bool bucket_take(struct bucket *b, struct rate r, uint32_t n, uint64_t now_ms, uint64_t *retry_ms)
{
    if (r.per_second == 0)
        return true;
    uint64_t used = used_now(b, r, now_ms), capacity = (uint64_t)r.burst * 1000;
    uint64_t needed = (uint64_t)(n < r.burst ? n : r.burst) * 1000;

    if (used + needed > capacity) {
        if (retry_ms != NULL)
            *retry_ms = (used + needed - capacity + r.per_second - 1) / r.per_second;
        return false;
    }
    used += (uint64_t)n * 1000;
    b->milli_tokens_used = used > UINT32_MAX ? UINT32_MAX : (uint32_t)used;
    if (now_ms > b->at_ms)
        b->at_ms = now_ms;
    return true;
}
