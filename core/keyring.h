/* The keys that tokens are verified with: parsed once, immutable, shared by all threads, replaced as a whole. */
#ifndef CORE_KEYRING_H
#define CORE_KEYRING_H

#include "core/str.h"

#define KEYRING_MAX 8

struct keyring;

/* From SECRET_KEY (one secret, or one public PEM; kid does not apply) or from the text of SECRET_KEY_FILE (`[kid:]secret` a
 * line, blank lines and lines beginning with # ignored, or PEM blocks each of which may be preceded by a line `kid: name`).
 * NULL with a reason that names line and remedy in *error (e.g. "line 2: HS256 needs at least 32 bytes; make one with:
 * openssl rand -base64 48"); no part of a secret stands in it. A PEM where the algorithm is HS*, and a secret where it is
 * not, are errors too, as is a key of the wrong type or curve, RSA under 2048 bits, a second key of the same kid, a ninth. */
struct keyring *keyring_parse(int algorithm, struct str text, bool is_file, struct buf *error) MUST_CHECK;
/* Reference counted (atomic), since a reload replaces it while workers verify. */
struct keyring *keyring_ref(struct keyring *k);
void keyring_unref(struct keyring *k);

#endif
