/* JSON Web Tokens: verification with one pinned algorithm, strict claims, and minting. No clock: time is an argument.
 */
#ifndef CORE_TOKEN_H
#define CORE_TOKEN_H

#include "core/config.h"
#include "core/keyring.h"

#define TOKEN_MAX 8192
#define TOKEN_SUB_MAX 256

/* Scopes that mean something here; others in a token are ignored. */
enum scope {
    SCOPE_EVENTS_PUBLISH = 1 << 0,
    SCOPE_EVENTS_READ = 1 << 1,
    SCOPE_CONNECTIONS_READ = 1 << 2,
    SCOPE_CONNECTIONS_WRITE = 1 << 3,
};
/* One bit, or 0 for an unknown word. */
unsigned scope_from_word(struct str word);
/* Space-separated words to bits. */
unsigned scopes_from_text(struct str text);
const char *scope_name(enum scope s);

struct token_rules {
    enum jwt_algorithm algorithm;
    const char *issuer, *audience; /* NULL: not checked */
    uint64_t leeway_ms;
};

/* What the configuration asks of tokens. Points into it. */
struct token_rules token_rules_of(const struct config *config);

struct token_claims {
    char sub[TOKEN_SUB_MAX];
    size_t sub_len;
    uint64_t exp; /* unix seconds, fraction cut off */
    unsigned scopes;
};

/* NULL and *out filled, or a short fixed reason for the close frame, the log and WWW-Authenticate ("token expired",
 * "signature does not match", "algorithm is not HS256", "claim sub is missing"): never a part of the token. Checks the
 * shape before the signature, the signature before the claims; `now_ms` is unix time. A token is expired from exp +
 * leeway on (RFC 7519 4.1.4) and valid from nbf - leeway on. An exp too great for a double's integers is cut to 2^53
 * - 1. */
const char *token_verify(struct str token, const struct token_rules *rules, const struct keyring *keys, uint64_t now_ms,
                         struct token_claims *out) MUST_CHECK;

/* Whether a user id may stand in a token: 1 to TOKEN_SUB_MAX bytes of strict UTF-8 without control characters (C0, DEL,
 * C1). */
bool token_sub_valid(struct str sub) MUST_CHECK;

/* Signs a token with sub, scope (NULL: none), iat, exp and, where the rules have them, iss and aud. `key` is the HMAC
 * secret or a private PEM, which has to fit the algorithm; kid may be NULL. 0, or -1 with a reason (no part of the
 * key). */
int token_mint(struct buf *out, const struct token_rules *rules, struct str key, const char *kid, const char *sub,
               const char *scope, uint64_t now_s, uint64_t ttl_s, const char **reason) MUST_CHECK;

#endif
