/* The types of configuration variables that are text: names, paths, prefixes, secrets, and the list of origins. */
#include "core/config_table.h"

#include <stdlib.h>

#include "core/origin.h"
#include "core/units.h"
#include "core/utf8.h"

static int refuse(struct buf *why, const char *wrong)
{
    buf_append(why, str_of(wrong));
    return -1;
}

static int keep(void *dest, struct str text)
{
    *(char **)dest = str_dup(text);
    return 0;
}

static void format_string(const struct config_variable *v, const void *dest, struct buf *out)
{
    const char *text = *(char *const *)dest;

    if (text != NULL)
        buf_append(out, (v->flags & CONFIG_SECRET) != 0 ? STR_LIT("***") : str_of(text));
}

static void dispose_string(void *dest)
{
    free(*(char **)dest);
    *(char **)dest = NULL;
}

static bool all_of(struct str s, bool (*fits)(unsigned char))
{
    for (size_t i = 0; i < s.n; ++i)
        if (!fits((unsigned char)s.p[i]))
            return false;
    return true;
}

static bool is_no_control(unsigned char c)
{
    return c >= 0x20 && c != 0x7f;
}

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int parse_string(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    if (!all_of(text, is_no_control))
        return refuse(why, "holds a control character (a line break at its end?)");
    if (!utf8_valid(text))
        return refuse(why, "is not UTF-8");
    return keep(dest, text);
}

const struct config_type config_type_string = {parse_string, format_string, dispose_string};

/* File names may be any bytes, but the line break of `$(cat …)`-less templates is always a mistake. */
static int parse_path(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    if (!all_of(text, is_no_control))
        return refuse(why, "holds a control character (a line break at its end?)");
    return keep(dest, text);
}

const struct config_type config_type_path = {parse_path, format_string, dispose_string};

/* Taken as it stands, line breaks and all: other services hold the same bytes, and a PEM has lines. */
static int parse_secret(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    return keep(dest, text);
}

static void dispose_secret(void *dest)
{
    char *secret = *(char **)dest;

    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    dispose_string(dest);
}

const struct config_type config_type_secret = {parse_secret, format_string, dispose_secret};

static bool is_path_char(unsigned char c)
{
    return is_alnum(c) || (c != 0 && strchr("-._~", c) != NULL);
}

static int parse_base_path(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    struct str rest = text;

    while (rest.n > 0 && rest.p[rest.n - 1] == '/')
        --rest.n;
    struct str path = rest;
    if (text.p[0] != '/' || (text.n - path.n) > 1)
        return refuse(why, "must begin with one slash, as /push does");
    if (path.n == 0)
        return keep(dest, path);
    for (str_split(&rest, '/'); rest.p != NULL;) {
        struct str segment = str_split(&rest, '/');
        if (segment.n == 0 || str_eq(segment, STR_LIT(".")) || str_eq(segment, STR_LIT("..")) ||
            !all_of(segment, is_path_char))
            return refuse(why, "must be like /push or /a/b, of letters, digits, -, ., _ and ~");
    }
    return keep(dest, path);
}

const struct config_type config_type_base_path = {parse_base_path, format_string, dispose_string};

/* What would be a pattern in an ACL rule, in SCAN or in PSUBSCRIBE has no place in a prefix. */
static bool is_prefix_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && strchr("*?[]\\\"'", c) == NULL;
}

static int parse_prefix(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    if (!all_of(text, is_prefix_char))
        return refuse(why, "must be printable ASCII without spaces, quotes, backslash, *, ?, [ and ]");
    return keep(dest, text);
}

const struct config_type config_type_prefix = {parse_prefix, format_string, dispose_string};

/* A token of RFC 9110 5.6.2, which RFC 6265 asks of a cookie's name. */
static bool is_token_char(unsigned char c)
{
    return is_alnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int parse_cookie(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    if (!all_of(text, is_token_char))
        return refuse(why, "is no name that a cookie can have");
    return keep(dest, text);
}

const struct config_type config_type_cookie = {parse_cookie, format_string, dispose_string};

static const char *check_origin(struct str item)
{
    const char *sep = memmem(item.p, item.n, "://", 3);
    const char *host = sep != NULL ? sep + 3 : item.p;

    if (item.n == 0)
        return "has an empty item";
    if (memchr(host, '/', item.n - (size_t)(host - item.p)) != NULL)
        return "has an item with a path or a closing slash, which no Origin has";
    if (!origin_pattern_valid(item))
        return "has an item that is no origin; it must be like https://app.example.org, https://*.example.org:8443, * "
               "or null";
    return NULL;
}

static void dispose_origins(void *dest)
{
    char **list = *(char ***)dest;

    for (char **p = list; p != NULL && *p != NULL; ++p)
        free(*p);
    free(list);
    *(char ***)dest = NULL;
}

static int parse_origins(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    size_t n = 1;

    for (size_t i = 0; i < text.n; ++i)
        n += text.p[i] == ',';
    char **list = *(char ***)dest = mem_zalloc((n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; ++i) {
        struct str item = str_trim(str_split(&text, ','));
        const char *wrong = check_origin(item);
        if (wrong != NULL) {
            dispose_origins(dest);
            return refuse(why, wrong);
        }
        list[i] = str_dup(item);
    }
    return 0;
}

static void format_origins(const struct config_variable *v, const void *dest, struct buf *out)
{
    char *const *list = *(char **const *)dest;

    for (size_t i = 0; list != NULL && list[i] != NULL; ++i)
        buf_printf(out, "%s%s", i == 0 ? "" : ",", list[i]);
}

const struct config_type config_type_origins = {parse_origins, format_origins, dispose_origins};
