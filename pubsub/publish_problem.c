/* What a publisher is told: one table for REST and WebSocket. */
#include "pubsub/pubsub.h"

static const struct publish_problem problems[] = {
    [PUBLISH_OK] = {202, "accepted", "Accepted", "the event is published"},
    [PUBLISH_KEY_REUSED] = {422, "idempotency-key-reused", "Idempotency-Key reused",
                            "another body was sent under this Idempotency-Key"},
    [PUBLISH_AWAY] = {503, "redis-away", "Redis is away", "Redis cannot be reached: the request was not accepted"},
    [PUBLISH_LOADING] = {503, "redis-loading", "Redis is loading",
                         "Redis is loading its data: the request was not accepted"},
    [PUBLISH_READONLY] = {503, "redis-read-only", "Redis is read-only",
                          "the Redis reached is a replica: the request was not accepted"},
    [PUBLISH_OUT_OF_MEMORY] = {503, "redis-out-of-memory", "Redis is out of memory",
                               "Redis has reached maxmemory: the request was not accepted"},
    [PUBLISH_NO_REPLICAS] =
        {503, "redis-no-replicas", "Not enough replicas",
         "Redis has fewer replicas than min-replicas-to-write or REDIS_WAIT_REPLICAS ask for: the request "
         "was not accepted"},
    [PUBLISH_MISCONF] = {503, "redis-cannot-persist", "Redis cannot persist",
                         "Redis cannot write to its disk and refuses writes: the request was not accepted"},
    [PUBLISH_BUSY] = {503, "redis-busy", "Redis is busy",
                      "Redis is held up by a long script: the request was not accepted"},
    [PUBLISH_DRAINING] = {503, "draining", "Draining", "this server is going away: the request was not accepted"},
    [PUBLISH_QUEUE_FULL] = {503, "queue-full", "Too many publishes wait",
                            "too much waits for Redis already: the request was not accepted"},
    [PUBLISH_OUTCOME_UNKNOWN] = {504, "outcome-unknown", "Outcome unknown",
                                 "Redis did not answer in time: repeat with the same Idempotency-Key to be sure"},
    [PUBLISH_REPLICAS_BEHIND] = {504, "replicas-behind", "Fewer replicas than asked",
                                 "fewer replicas than asked hold it yet: repeat with the same Idempotency-Key to know "
                                 "when they do"},
    [PUBLISH_FAILED] = {500, "internal-error", "Internal error", "Redis refused it; the log says why"},
};

struct publish_problem publish_problem(enum publish_status s)
{
    return problems[s];
}
