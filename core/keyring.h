/* The keys that tokens are verified with: parsed once, immutable, shared by all threads, replaced as a whole. */
#ifndef CORE_KEYRING_H
#define CORE_KEYRING_H

#include <openssl/evp.h>
#include "core/str.h"

#define KEYRING_MAX 8
#define KEYRING_KID_MAX 128

struct keyring;

/* From SECRET_KEY (one secret, or one public PEM; kid does not apply) or from the text of SECRET_KEY_FILE
 * (`[kid:]secret` a line, blank lines and lines beginning with # ignored, or PEM blocks each of which may be preceded
 * by a line `kid: name`). Space around a line of the file is no part of it; what follows the first colon of a line is
 * the secret, so one that holds a colon needs a kid before it. A kid is 1 to 128 visible ASCII characters. NULL with a
 * reason that names line and remedy in *error (e.g. "line 2: HS256 needs at least 32 bytes; make one with: openssl rand
 * -base64 48"); no part of a secret stands in it. A PEM where the algorithm is HS*, and a secret where it is not, are
 * errors too, as is a key of the wrong type or curve, RSA under 2048 bits, a second key of the same kid, a ninth. */
struct keyring *keyring_parse(int algorithm, struct str text, bool is_file, struct buf *error) MUST_CHECK;
/* Reference counted (atomic), since a reload replaces it while workers verify. */
struct keyring *keyring_ref(struct keyring *k);
void keyring_unref(struct keyring *k);

enum keyring_verdict { KEYRING_GOOD, KEYRING_BAD_SIGNATURE, KEYRING_NO_KEY };

/* Checks a signature. `kid` is the token's: if it names a key that one only is tried, if it names none the keys without
 * kid, if it is absent (STR_NONE) all. KEYRING_NO_KEY: there is none to try, or the algorithm is not the keyring's. */
enum keyring_verdict keyring_verify(const struct keyring *k, int algorithm, struct str kid, struct str input,
                                    struct str signature) MUST_CHECK;

/* For minting. The first key of an HS* keyring: its secret and its kid (NULL if it has none), which live as the keyring
 * does; false for other algorithms. */
bool keyring_first_secret(const struct keyring *k, struct str *secret, const char **kid) MUST_CHECK;
/* Whether the public half of `pkey` is among the keys, and its kid (NULL if it has none). */
bool keyring_find_public(const struct keyring *k, const EVP_PKEY *pkey, const char **kid) MUST_CHECK;

#endif
