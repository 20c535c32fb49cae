/* Positions as text and their order. */
#include "core/position.h"

/* Cuts a decimal number off *s: no sign, no leading zero. */
static bool take_number(struct str *s, uint64_t *value)
{
    size_t n = 0;

    *value = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9') {
        uint64_t digit = (uint64_t)(s->p[n] - '0');
        if (*value > (UINT64_MAX - digit) / 10 || (n == 1 && s->p[0] == '0'))
            return false;
        *value = *value * 10 + digit;
        n++;
    }
    s->p += n;
    s->n -= n;
    return n > 0;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

int position_parse(struct str s, struct position *out)
{
    struct position p = {0};

    if (!take_number(&s, &p.epoch) || !take_char(&s, '-') || !take_number(&s, &p.seq))
        return -1;
    if (take_char(&s, '.') && (!take_number(&s, &p.n) || p.n == 0))
        return -1;
    if (s.n != 0)
        return -1;
    *out = p;
    return 0;
}

static size_t put_number(char *dst, uint64_t value)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(dst, digits + sizeof(digits) - n, n);
    return n;
}

size_t position_format(char dst[POSITION_MAX], struct position p)
{
    size_t n = put_number(dst, p.epoch);

    dst[n++] = '-';
    n += put_number(dst + n, p.seq);
    if (p.n > 0) {
        dst[n++] = '.';
        n += put_number(dst + n, p.n);
    }
    return n;
}

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int position_cmp(struct position a, struct position b)
{
    int order = compare(a.epoch, b.epoch);

    if (order == 0)
        order = compare(a.seq, b.seq);
    if (order == 0)
        order = compare(a.n, b.n);
    return order;
}
