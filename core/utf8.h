/* Strict UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF. Streaming. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/str.h"

/* State between two chunks; zero-initialise. */
struct utf8 {
    uint8_t need;   /* continuation bytes still due */
    uint8_t lo, hi; /* range that the next one must lie in */
};

/* False at the first byte that cannot be part of valid UTF-8 (fail fast, as RFC 6455 8.1 wants it). */
bool utf8_feed(struct utf8 *u, const void *p, size_t n);
/* True if the text may end here. */
static inline bool utf8_complete(const struct utf8 *u)
{
    return u->need == 0;
}
bool utf8_valid(struct str s);
/* Writes what can be shown of any bytes, valid UTF-8 of at most `max` bytes: what is no character, and control
 * characters (C0, DEL, C1), become one `?` each. Returns the length; what is too long is cut at a character. */
size_t utf8_clean(char *dst, size_t max, struct str s);

#endif
