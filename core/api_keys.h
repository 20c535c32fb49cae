/* Credentials of services (API_KEYS_FILE): name, secret and scopes; immutable, replaced as a whole on reload. */
#ifndef CORE_API_KEYS_H
#define CORE_API_KEYS_H

#include "core/str.h"

#define API_KEYS_MAX 256

struct api_keys;

struct api_key {
    struct str name;
    unsigned scopes; /* enum scope bits */
};

/* `name:secret:scope scope…` a line; blank lines and # lines ignored; name [A-Za-z0-9._-]{1,64} and unique; secret at
 * least 32 bytes without colon and unique; at least one scope, every one known; 1 to API_KEYS_MAX keys. NULL with "line
 * N: …" in *error, which holds no part of a secret. Secrets are kept as SHA-256 only. */
struct api_keys *api_keys_parse(struct str text, struct buf *error) MUST_CHECK;
/* Constant time in the secret. False if no key has it (or k is NULL). out->name lives as long as the caller's
 * reference. */
bool api_keys_find(const struct api_keys *k, struct str secret, struct api_key *out);
struct api_keys *api_keys_ref(struct api_keys *k);
void api_keys_unref(struct api_keys *k);

#endif
