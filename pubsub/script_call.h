/* Calls of the scripts, as arguments for EVALSHA: pure, without a connection. publish_usage.lua lists what they are. */
#ifndef PUBSUB_SCRIPT_CALL_H
#define PUBSUB_SCRIPT_CALL_H

#include "core/position.h"
#include "core/publication.h"
#include "pubsub/scripts.h"

/* A call: argc, argv and argvlen as redisFormatCommandArgv takes them. Zero-initialise; the build functions fill it, it
 * owns what it holds and stays as it is until script_call_free, so that it can be sent again. */
struct script_call {
    enum script script;
    int argc;
    const char **argv;
    size_t *argvlen;
    struct buf bytes; /* of all arguments but the first two, one after the other */
};

void script_call_free(struct script_call *c);
/* After NOSCRIPT: the same call with the text in the place of its SHA-1, which Redis then knows. */
void script_call_by_text(struct script_call *c);

struct script_settings {
    struct str prefix; /* REDIS_PREFIX */
    uint64_t replay_events, replay_user_events, replay_ttl_ms;
    bool lifecycle; /* ws:lifecycle is written */
    uint64_t presence_grace_ms;
};

#define SCRIPT_IDEM_KEY_LEN 64
#define SCRIPT_FINGERPRINT_LEN 32

/* Under which name Redis remembers a request, and for which body. */
struct script_idem {
    char name[SCRIPT_IDEM_KEY_LEN];
    size_t name_len;
    char fingerprint[SCRIPT_FINGERPRINT_LEN];
    uint64_t ttl_ms; /* ≥ 1 */
};

/* Of a caller's Idempotency-Key: SHA-256 of scope and key names it, the first half of the body's SHA-256 is compared.
 */
void script_idem_of_caller(struct script_idem *i, struct str scope, struct str key, struct str body, uint64_t ttl_ms);
/* belfry's own for a request without one: 16 random bytes name it. Kept for SCRIPT_IDEM_OWN_MS. */
#define SCRIPT_IDEM_OWN_MS 60000
void script_idem_of_own(struct script_idem *i, const uint8_t random[16]);

struct script_publish {
    const struct publication *events; /* valid publications; copied */
    size_t n;                         /* 1 to BATCH_MAX */
    struct str traceparent;           /* STR_NONE if none */
    uint64_t now_ms;                  /* unix ms: the envelopes' timestamp */
    uint64_t seen_epoch;              /* the greatest this process has seen, 0 if none */
    const struct script_idem *idem;   /* NULL: a repeated call publishes again */
};
void script_publish_build(struct script_call *c, const struct script_settings *s, const struct script_publish *p);

struct script_canary {
    uint64_t seen_epoch;
    struct str node;  /* id of the node */
    struct str nonce; /* comes back in the canary message */
    uint64_t lease_ms;
    uint64_t local, dead; /* connections of this worker; those of them that are silent */
    uint64_t since_ms;    /* unix ms of the worker's start */
};
#define SCRIPT_LEASE_MS 30000
void script_canary_build(struct script_call *c, const struct script_settings *s, const struct script_canary *canary);

void script_totals_build(struct script_call *c, const struct script_settings *s);

/* Empties a user's log. */
void script_erase_build(struct script_call *c, const struct script_settings *s, uint64_t seen_epoch, struct str user);

/* A cursor, and where it is to stand. */
struct script_cursor {
    struct str user, name;
    struct position at; /* its n is not stored: resuming ignores it */
};
#define SCRIPT_CURSORS_MAX 256
/* n: 1 to SCRIPT_CURSORS_MAX. */
void script_cursors_build(struct script_call *c, const struct script_settings *s, const struct script_cursor *cursors,
                          size_t n);
/* How long what belongs to one user outlives REPLAY_TTL, as the scripts have it too. */
#define SCRIPT_LINGER_MS 3600000

#endif
