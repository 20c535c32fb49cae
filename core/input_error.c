/* Errors of bodies and messages: the pointer to the field at fault grows from the inside out. */
#include "core/input_error.h"

#include <stdio.h>

/* The longest beginning of s that fits into max bytes and ends with a whole character. */
static size_t whole_characters(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
        --max;
    return max;
}

int input_fail(struct input_error *e, int status, const char *detail, ...)
{
    va_list ap;
    char text[sizeof(e->detail) + 4];
    va_start(ap, detail);
    int n = vsnprintf(text, sizeof(text), detail, ap);
    va_end(ap);
    size_t keep = whole_characters(text, n < 0 ? 0 : strnlen(text, sizeof(text)), sizeof(e->detail) - 1);
    memcpy(e->detail, text, keep);
    e->detail[keep] = '\0';
    e->status = status;
    e->field[0] = '\0';
    return -1;
}

int input_at(struct input_error *e, struct str token)
{
    char pointer[2 * sizeof(e->field) + 4];
    size_t n = 0;
    pointer[n++] = '/';
    for (size_t i = 0; i < token.n && n < sizeof(e->field); ++i) {
        char c = token.p[i];
        if (c == '~' || c == '/') { /* RFC 6901 part 3 */
            pointer[n++] = '~';
            pointer[n++] = c == '~' ? '0' : '1';
        } else {
            pointer[n++] = c;
        }
    }
    size_t rest = strlen(e->field);
    memcpy(pointer + n, e->field, rest);
    n = whole_characters(pointer, n + rest, sizeof(e->field) - 1);
    memcpy(e->field, pointer, n);
    e->field[n] = '\0';
    return -1;
}

int input_at_index(struct input_error *e, size_t index)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%zu", index);
    return input_at(e, (struct str){text, (size_t)n});
}
