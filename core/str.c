/* Byte slices and the growable buffer, and memory that is there or ends the process. */
#include "core/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned char ascii_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
            return false;
    }
    return true;
}

bool str_eq_secret(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    /* volatile: the compiler must not leave the loop at the first difference */
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a.n; i++)
        difference = (unsigned char)(difference | (a.p[i] ^ b.p[i]));
    return difference == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_split(struct str *rest, char sep)
{
    struct str all = *rest;
    const char *at = all.n == 0 ? NULL : memchr(all.p, sep, all.n);

    if (at == NULL) {
        *rest = STR_NONE;
        return all;
    }
    size_t n = (size_t)(at - all.p);
    *rest = (struct str){at + 1, all.n - n - 1};
    return (struct str){all.p, n};
}

static void die_out_of_memory(void)
{
    static const char text[] = "belfry: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    abort();
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n == 0 ? 1 : n);
    if (p == NULL)
        die_out_of_memory();
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n == 0 ? 1 : n);
    if (p == NULL)
        die_out_of_memory();
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n == 0 ? 1 : n);
    if (q == NULL)
        die_out_of_memory();
    return q;
}

char *str_dup(struct str s)
{
    if (s.n == SIZE_MAX)
        die_out_of_memory();
    char *p = mem_alloc(s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

char *buf_reserve(struct buf *b, size_t extra)
{
    size_t need;

    if (__builtin_add_overflow(b->n, extra, &need))
        die_out_of_memory();
    if (need > b->cap || b->p == NULL) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need) {
            if (__builtin_mul_overflow(cap, (size_t)2, &cap))
                die_out_of_memory();
        }
        b->p = mem_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_append(struct buf *b, struct str s)
{
    char *dst = buf_reserve(b, s.n);
    if (s.n > 0)
        memcpy(dst, s.p, s.n);
    b->n += s.n;
}

void buf_append_char(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->n++;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    char *dst = buf_reserve(b, 64);
    size_t room = b->cap - b->n;
    int n = vsnprintf(dst, room, fmt, ap);
    if (n >= 0 && (size_t)n >= room) {
        dst = buf_reserve(b, (size_t)n + 1);
        n = vsnprintf(dst, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0)
        b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

static void append_json_escape(struct buf *b, unsigned char c)
{
    static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    if (c == '"' || c == '\\') {
        const char escaped[2] = {'\\', (char)c};
        buf_append(b, (struct str){escaped, 2});
    } else if (c < sizeof(letters) && letters[c] != '\0') {
        const char escaped[2] = {'\\', letters[c]};
        buf_append(b, (struct str){escaped, 2});
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

void buf_json_string(struct buf *b, struct str s)
{
    size_t done = 0;

    buf_append_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append(b, (struct str){s.p + done, i - done});
        append_json_escape(b, c);
        done = i + 1;
    }
    if (s.n > done)
        buf_append(b, (struct str){s.p + done, s.n - done});
    buf_append_char(b, '"');
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}
