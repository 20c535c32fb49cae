/* The strictness that yajl lacks: depth, strict UTF-8, surrogates in pairs, members once, and RFC 8259's white space.
 */
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

#include "core/table.h"
#include "core/utf8.h"

/* Names of the members of all open objects that are watched for duplicates, one object behind the other. Ordinary
 * messages fit into `few`. */
struct names {
    struct str *v;
    size_t n, cap;
    struct str few[32];
};

struct check {
    struct str text;
    struct json_limits limits;
    unsigned depth;
    size_t first_name[JSON_UNIQUE_LEVELS_MAX + 1]; /* of the object that is open at each depth */
    struct names names;
    struct arena decoded; /* names that were written with escapes */
    const char *problem;
};

static _Thread_local char problem_text[96];

static void names_push(struct names *names, struct str name)
{
    if (names->n == names->cap) {
        struct str *old = names->v;
        names->cap *= 2;
        names->v = mem_alloc(names->cap * sizeof(*names->v));
        memcpy(names->v, old, names->n * sizeof(*old));
        if (old != names->few)
            free(old);
    }
    names->v[names->n++] = name;
}

/* The first of n names that stands there twice, or NULL. The hash is keyed, so nobody can make the table slow. */
static const struct str *duplicate_among_many(const struct str *v, size_t n)
{
    const struct str *found = NULL;
    size_t mask = 63;
    while (mask < 2 * n)
        mask = mask * 2 + 1;
    uint32_t *slots = mem_zalloc((mask + 1) * sizeof(*slots)); /* index + 1 */
    for (size_t i = 0; i < n && found == NULL; ++i) {
        size_t at = table_hash(v[i].p, v[i].n) & mask;
        while (slots[at] != 0 && !str_eq(v[slots[at] - 1], v[i]))
            at = (at + 1) & mask;
        if (slots[at] != 0)
            found = &v[i];
        slots[at] = (uint32_t)i + 1;
    }
    free(slots);
    return found;
}

static const struct str *duplicate_among(const struct str *v, size_t n)
{
    if (n > 16)
        return duplicate_among_many(v, n);
    for (size_t i = 1; i < n; ++i)
        for (size_t j = 0; j < i; ++j)
            if (str_eq(v[i], v[j]))
                return &v[i];
    return NULL;
}

/* The name in the message is cut to 48 bytes, at the beginning of a character. */
static const char *duplicate_text(struct str name)
{
    size_t n = name.n;
    if (n > 48)
        for (n = 48; n > 0 && ((unsigned char)name.p[n] & 0xc0) == 0x80;)
            --n;
    snprintf(problem_text, sizeof(problem_text), "duplicate member \"%.*s\"", (int)n, name.p);
    return problem_text;
}

static int on_open(void *ctx)
{
    struct check *c = ctx;
    if (++c->depth > c->limits.depth) {
        snprintf(problem_text, sizeof(problem_text), "nested deeper than %u", c->limits.depth);
        c->problem = problem_text;
        return 0;
    }
    if (c->depth <= c->limits.unique_levels)
        c->first_name[c->depth] = c->names.n;
    return 1;
}

static int on_name(void *ctx, const unsigned char *p, size_t n)
{
    struct check *c = ctx;
    if (c->depth > c->limits.unique_levels)
        return 1;
    struct str name = {(const char *)p, n};
    /* yajl decodes escapes into a buffer that it uses again; all other names stand in the text */
    if (name.p < c->text.p || name.p >= c->text.p + c->text.n)
        name = arena_copy(&c->decoded, name);
    names_push(&c->names, name);
    return 1;
}

static int on_close_array(void *ctx)
{
    ((struct check *)ctx)->depth--;
    return 1;
}

static int on_close_object(void *ctx)
{
    struct check *c = ctx;
    unsigned depth = c->depth--;
    if (depth > c->limits.unique_levels)
        return 1;
    size_t first = c->first_name[depth];
    const struct str *twice = duplicate_among(c->names.v + first, c->names.n - first);
    if (twice != NULL)
        c->problem = duplicate_text(*twice);
    c->names.n = first;
    return twice == NULL;
}

/* A number callback keeps yajl from converting numbers, which would refuse those beyond long long and double. */
static int on_number(void *ctx, const char *p, size_t n)
{
    return 1;
}

static const yajl_callbacks callbacks = {.yajl_number = on_number,
                                         .yajl_start_map = on_open,
                                         .yajl_map_key = on_name,
                                         .yajl_end_map = on_close_object,
                                         .yajl_start_array = on_open,
                                         .yajl_end_array = on_close_array};

static const char *check_grammar(struct str text, struct json_limits limits)
{
    struct check c = {.limits = limits};
    c.text = text;
    c.names.v = c.names.few;
    c.names.cap = sizeof(c.names.few) / sizeof(c.names.few[0]);

    yajl_handle parser = yajl_alloc(&callbacks, NULL, &c);
    if (parser == NULL)
        abort();
    yajl_config(parser, yajl_dont_validate_strings, 1); /* its validation lets overlong forms and surrogates pass */
    yajl_status status = yajl_parse(parser, (const unsigned char *)text.p, text.n);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(parser);
    yajl_free(parser);

    if (c.names.v != c.names.few)
        free(c.names.v);
    arena_free(&c.decoded);
    if (status == yajl_status_ok)
        return NULL;
    return c.problem != NULL ? c.problem : "not JSON";
}

/* In text whose grammar is right a backslash stands in strings only, and \u has its four digits. */
static bool surrogates_paired(struct str text)
{
    const char *end = text.p + text.n;
    for (const char *p = text.p; (p = memchr(p, '\\', (size_t)(end - p))) != NULL;) {
        if (p[1] != 'u') {
            p += 2;
            continue;
        }
        unsigned code = json_hex4(p + 2);
        p += 6;
        if (code < 0xd800 || code > 0xdfff)
            continue;
        if (code > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
            return false;
        code = json_hex4(p + 2);
        if (code < 0xdc00 || code > 0xdfff)
            return false;
        p += 6;
    }
    return true;
}

const char *json_check_limits(struct str text, struct json_limits limits)
{
    if (text.n == 0)
        return "not JSON";
    if (!utf8_valid(text))
        return "not UTF-8";
    const char *problem = check_grammar(text, limits);
    if (problem != NULL)
        return problem;
    /* yajl takes these two for white space; in a string they would have been refused already */
    if (memchr(text.p, '\v', text.n) != NULL || memchr(text.p, '\f', text.n) != NULL)
        return "not JSON";
    if (!surrogates_paired(text))
        return "lone surrogate escape";
    return NULL;
}

const char *json_check(struct str text)
{
    return json_check_limits(text, (struct json_limits){.depth = JSON_DEPTH_MAX, .unique_levels = 2});
}
