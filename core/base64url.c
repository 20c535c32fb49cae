/* Base64url without padding: strict decoder and encoder. */
#include "core/base64url.h"

static int sextet(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

int base64url_decode(struct str in, char *out, size_t *out_n)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;

    if (in.n % 4 == 1)
        return -1;
    for (size_t i = 0; i < in.n; i++) {
        int v = sextet((unsigned char)in.p[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    if (bits != 0)
        return -1;
    *out_n = n;
    return 0;
}

void base64url_encode(struct buf *out, struct str in)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < in.n; i++) {
        bits = bits << 8 | (unsigned char)in.p[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            buf_append_char(out, alphabet[bits >> held & 63]);
        }
        bits &= (1u << held) - 1;
    }
    if (held > 0)
        buf_append_char(out, alphabet[bits << (6 - held) & 63]);
}
