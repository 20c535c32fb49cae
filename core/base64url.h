/* Base64url without padding (RFC 4648 part 5, as RFC 7515 uses it), strict: one text for each byte string. */
#ifndef CORE_BASE64URL_H
#define CORE_BASE64URL_H

#include "core/str.h"

/* Room that base64url_decode needs for `n` characters. */
#define BASE64URL_DECODED_MAX(n) ((n) / 4 * 3 + 2)

/* Decodes into out (BASE64URL_DECODED_MAX(in.n) bytes). 0, or -1 for a character outside the alphabet (padding and
 * white space too), an impossible length, or bits set after the last byte, which would be a second spelling of the same
 * bytes. */
int base64url_decode(struct str in, char *out, size_t *out_n) MUST_CHECK;
void base64url_encode(struct buf *out, struct str in);

#endif
