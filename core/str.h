/* Byte slices and a growable byte buffer: the two currencies of this program. */
#ifndef CORE_STR_H
#define CORE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The compiler complains where a result that can fail is dropped. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* A slice: bytes somebody else owns, not NUL-terminated. {NULL, 0} means "absent", {"", 0} "empty". */
struct str {
    const char *p;
    size_t n;
};

#define STR_LIT(s) ((struct str){(s), sizeof(s) - 1})
#define STR_NONE ((struct str){NULL, 0})

static inline struct str str_of(const char *s)
{
    return s == NULL ? STR_NONE : (struct str){s, strlen(s)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality (HTTP field names and tokens). */
bool str_ieq(struct str a, struct str b);

static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Equality in a time that depends on the lengths only: for secrets. */
bool str_eq_secret(struct str a, struct str b);

/* Without leading and trailing space and tab. */
struct str str_trim(struct str s);

/* Cuts the part before the first `sep` off *rest (all of it if there is none; *rest is then STR_NONE). */
struct str str_split(struct str *rest, char sep);

/* A NUL-terminated copy, for free(). Never NULL: out of memory aborts, as it does in libh2o. */
char *str_dup(struct str s);

/* malloc and realloc that abort when memory is out: inside libh2o there is no other answer either. */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);

/* A growable buffer. Zero-initialise; p is owned and freed by buf_free. It is not NUL-terminated. */
struct buf {
    char *p;
    size_t n, cap;
};

/* Makes room for `extra` more bytes and returns the place where they go; n stays. */
char *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, struct str s);
void buf_append_char(struct buf *b, char c);
#define buf_lit(b, s) buf_append((b), STR_LIT(s))
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Appends `s` as a JSON string with its quotes; `s` has to be valid UTF-8. Escapes only what RFC 8259 part 7 asks for.
 */
void buf_json_string(struct buf *b, struct str s);
void buf_free(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

#endif
