/* A walk over JSON text that has passed json_check: members, items, decoded strings. It trusts the grammar. */
#include "core/json.h"

#include <stdlib.h>

struct walk {
    const char *p, *end;
};

static struct walk walk_of(struct str text)
{
    return (struct walk){text.p, text.p + text.n};
}

static void skip_space(struct walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\n' || *w->p == '\r' || *w->p == '\t'))
        ++w->p;
}

/* Passes `c` and the white space before it; false, and only the white space is passed, if something else comes. */
static bool take(struct walk *w, char c)
{
    skip_space(w);
    if (w->p >= w->end || *w->p != c)
        return false;
    ++w->p;
    return true;
}

/* `p` is at the opening quote; returns the place behind the closing one: the first with no odd number of backslashes
 * before it. */
static const char *past_string(const char *p, const char *end)
{
    const char *quote = p + 1;
    while ((quote = memchr(quote, '"', (size_t)(end - quote))) != NULL) {
        const char *before = quote;
        while (before[-1] == '\\')
            --before;
        ++quote;
        if ((quote - before) % 2 == 1)
            return quote;
    }
    return end;
}

/* `p` is at the opening bracket or brace; returns the place behind its counterpart. */
static const char *past_container(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        switch (*p) {
        case '"':
            p = past_string(p, end);
            continue;
        case '{':
        case '[':
            ++depth;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return p + 1;
            break;
        default:
            break;
        }
        ++p;
    }
    return end;
}

/* `p` is at true, false, null or a number; these end before white space, a comma or a closing bracket or brace. */
static const char *past_word(const char *p, const char *end)
{
    while (p<end && * p> ' ' && *p != ',' && *p != ']' && *p != '}')
        ++p;
    return p;
}

static enum json_kind kind_of(char c)
{
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static struct json_value take_value(struct walk *w)
{
    skip_space(w);
    if (w->p >= w->end)
        return (struct json_value){JSON_ABSENT, STR_NONE};
    const char *from = w->p;
    enum json_kind kind = kind_of(*from);
    if (kind == JSON_OBJECT || kind == JSON_ARRAY)
        w->p = past_container(from, w->end);
    else if (kind == JSON_STRING)
        w->p = past_string(from, w->end);
    else
        w->p = past_word(from, w->end);
    return (struct json_value){kind, {from, (size_t)(w->p - from)}};
}

struct json_value json_value(struct str text)
{
    struct walk w = walk_of(text);
    return take_value(&w);
}

static struct json_member take_member(struct walk *w, struct arena *a)
{
    struct json_member m;
    struct json_value name = take_value(w);
    m.name = json_string(a, name);
    take(w, ':');
    m.value = take_value(w);
    m.whole = (struct str){name.raw.p, (size_t)(w->p - name.raw.p)};
    return m;
}

size_t json_members(struct arena *a, struct str object, struct json_member **out)
{
    struct walk w = walk_of(object);
    size_t n = 0, cap = 8;
    struct json_member *members = arena_alloc(a, cap * sizeof(*members));
    take(&w, '{');
    skip_space(&w);
    while (w.p < w.end && *w.p != '}') {
        if (n == cap) {
            struct json_member *more = arena_alloc(a, 2 * cap * sizeof(*more));
            memcpy(more, members, n * sizeof(*more));
            members = more;
            cap *= 2;
        }
        members[n++] = take_member(&w, a);
        take(&w, ',');
        skip_space(&w);
    }
    *out = members;
    return n;
}

/* Visits the items; stores them where `out` is not NULL. */
static size_t walk_items(struct str array, struct json_value *out)
{
    struct walk w = walk_of(array);
    size_t n = 0;
    take(&w, '[');
    skip_space(&w);
    while (w.p < w.end && *w.p != ']') {
        struct json_value v = take_value(&w);
        if (out != NULL)
            out[n] = v;
        ++n;
        take(&w, ',');
        skip_space(&w);
    }
    return n;
}

size_t json_count(struct str array)
{
    return walk_items(array, NULL);
}

size_t json_items(struct arena *a, struct str array, struct json_value **out)
{
    *out = arena_alloc(a, json_count(array) * sizeof(**out));
    return walk_items(array, *out);
}

struct json_value json_get(const struct json_member *members, size_t n, const char *name)
{
    struct str wanted = str_of(name);
    for (size_t i = 0; i < n; ++i)
        if (str_eq(members[i].name, wanted))
            return members[i].value;
    return (struct json_value){JSON_ABSENT, STR_NONE};
}

unsigned json_hex4(const char *p)
{
    unsigned code = 0;
    for (int i = 0; i < 4; ++i)
        code = code << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return code;
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* What stands behind a backslash at *from; moves it on. Surrogates come in pairs in checked text. */
static unsigned decode_escape(const char **from)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *p = *from, *letter;
    if (*p != 'u') {
        *from = p + 1;
        letter = strchr(letters, *p);
        return (unsigned char)(letter != NULL ? meanings[letter - letters] : *p);
    }
    unsigned code = json_hex4(p + 1);
    *from = p + 5;
    if (code < 0xd800 || code > 0xdbff)
        return code;
    *from = p + 11;
    return 0x10000 + ((code - 0xd800) << 10) + (json_hex4(p + 7) - 0xdc00);
}

struct str json_string(struct arena *a, struct json_value v)
{
    struct str inside = {v.raw.p + 1, v.raw.n - 2};
    const char *p = inside.p, *end = inside.p + inside.n;
    if (memchr(p, '\\', inside.n) == NULL)
        return inside;
    char *copy = arena_alloc(a, inside.n), *to = copy; /* decoded text is never longer than its escapes */
    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((escape != NULL ? escape : end) - p);
        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (escape != NULL) {
            ++p;
            to = put_utf8(to, decode_escape(&p));
        }
    }
    return (struct str){copy, (size_t)(to - copy)};
}

double json_number(struct json_value v)
{
    char few[64], *text = v.raw.n < sizeof(few) ? few : mem_alloc(v.raw.n + 1);
    memcpy(text, v.raw.p, v.raw.n);
    text[v.raw.n] = '\0';
    double d = strtod(text, NULL);
    if (text != few)
        free(text);
    return d;
}
