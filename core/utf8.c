/* Strict, streaming UTF-8 validation (RFC 3629): runs of ASCII are skipped eight bytes at a time. */
#include "core/utf8.h"

#define EIGHT_HIGH_BITS 0x8080808080808080ULL

/* Takes the first byte of a character. The ranges are those of RFC 3629 part 4. */
static bool take_lead(struct utf8 *u, uint8_t c)
{
    u->lo = 0x80;
    u->hi = 0xbf;
    if (c < 0x80)
        return true;
    if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u->need = 2;
        u->lo = c == 0xe0 ? 0xa0 : 0x80; /* less is overlong */
        u->hi = c == 0xed ? 0x9f : 0xbf; /* more is a surrogate */
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        u->lo = c == 0xf0 ? 0x90 : 0x80; /* less is overlong */
        u->hi = c == 0xf4 ? 0x8f : 0xbf; /* more is above U+10FFFF */
    } else {
        return false;
    }
    return true;
}

static bool take_byte(struct utf8 *u, uint8_t c)
{
    if (u->need == 0)
        return take_lead(u, c);
    if (c < u->lo || c > u->hi)
        return false;
    u->need--;
    u->lo = 0x80;
    u->hi = 0xbf;
    return true;
}

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    uint64_t eight;

    while (end - p >= 8) {
        memcpy(&eight, p, 8);
        if ((eight & EIGHT_HIGH_BITS) != 0)
            break;
        p += 8;
    }
    return p;
}

bool utf8_feed(struct utf8 *u, const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end;

    if (n == 0)
        return true; /* bytes may be NULL */
    end = p + n;
    while (p < end) {
        if (u->need == 0) {
            p = skip_ascii(p, end);
            if (p == end)
                break;
        }
        if (!take_byte(u, *p++))
            return false;
    }
    return true;
}

bool utf8_valid(struct str s)
{
    struct utf8 u = {0};

    return s.n == 0 || (utf8_feed(&u, s.p, s.n) && utf8_complete(&u));
}

/* Bytes of the character at the beginning of `s`; 0 if there is none. */
static size_t character_length(struct str s)
{
    struct utf8 u = {0};

    for (size_t i = 0; i < s.n && utf8_feed(&u, s.p + i, 1); i++)
        if (utf8_complete(&u))
            return i + 1;
    return 0;
}

static bool is_control(struct str c)
{
    unsigned char first = (unsigned char)c.p[0];

    return first < 0x20 || first == 0x7f || (first == 0xc2 && (unsigned char)c.p[1] < 0xa0);
}

size_t utf8_clean(char *dst, size_t max, struct str s)
{
    size_t n = 0;

    while (s.n != 0) {
        size_t len = character_length(s);
        struct str c = len == 0 || is_control((struct str){s.p, len}) ? STR_LIT("?") : (struct str){s.p, len};
        if (n + c.n > max)
            break;
        memcpy(dst + n, c.p, c.n);
        n += c.n;
        len = len == 0 ? 1 : len;
        s = (struct str){s.p + len, s.n - len};
    }
    return n;
}
