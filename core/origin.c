/* Whether a browser's Origin may open a WebSocket: by patterns, or by being the host that it asks. */
#include "core/origin.h"

/* scheme://host:port, taken apart. In patterns every part may hold `*`. */
struct origin {
    struct str scheme; /* STR_NONE: none was given */
    struct str host;   /* with brackets if IPv6 */
    struct str port;   /* STR_NONE: none was given */
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* `*` stands for any run of characters, also none. Of all stars only the last one ever has to take more. */
static bool glob_matches(struct str pattern, struct str s)
{
    size_t p = 0, i = 0, after_star = 0, star_took = 0;
    bool star = false;

    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = true;
            after_star = ++p;
            star_took = i;
        } else if (p < pattern.n && lower(pattern.p[p]) == lower(s.p[i])) {
            p++;
            i++;
        } else if (star) {
            p = after_star;
            i = ++star_took;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* Letters, digits and `others`; at least one. */
static bool is_made_of(struct str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = lower(s.p[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return s.n > 0;
}

static bool is_ipv6(struct str s, bool star)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = lower(s.p[i]);

        if (!(c >= 'a' && c <= 'f') && !(c >= '0' && c <= '9') && c != ':' && c != '.' && !(star && c == '*'))
            return false;
    }
    return s.n > 0;
}

static bool is_port(struct str s, bool star)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(star && s.p[i] == '*'))
            return false;
    }
    return s.n <= 5;
}

/* `host`, `host:port`, `[v6]`, `[v6]:port`; with `star` a `*` may stand in every part. */
static bool parse_authority(struct str s, struct origin *o, bool star)
{
    struct str rest = s;

    if (s.n > 0 && s.p[0] == '[') {
        rest = (struct str){s.p + 1, s.n - 1};
        struct str v6 = str_split(&rest, ']');

        if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':') || !is_ipv6(v6, star))
            return false;
        o->host = (struct str){s.p, v6.n + 2};
        o->port = rest.n > 0 ? (struct str){rest.p + 1, rest.n - 1} : STR_NONE;
    } else {
        o->host = str_split(&rest, ':');
        o->port = rest;
        if (!is_made_of(o->host, star ? "-._*" : "-._"))
            return false;
    }
    if (o->port.n == 0)
        o->port = STR_NONE; /* RFC 3986 3.2.3: an empty port is none */
    return is_port(o->port, star);
}

/* RFC 6454 6.2. Without "://" it is an authority alone. */
static bool parse_origin(struct str s, struct origin *o, bool star)
{
    const char *at = s.n > 0 ? memmem(s.p, s.n, "://", 3) : NULL;

    *o = (struct origin){.scheme = STR_NONE};
    if (at == NULL)
        return parse_authority(s, o, star);
    o->scheme = (struct str){s.p, (size_t)(at - s.p)};
    s = (struct str){at + 3, s.n - o->scheme.n - 3};
    return is_made_of(o->scheme, star ? "+-.*" : "+-.") && parse_authority(s, o, star);
}

static struct str default_port(struct str scheme)
{
    if (str_ieq(scheme, STR_LIT("http")))
        return STR_LIT("80");
    if (str_ieq(scheme, STR_LIT("https")))
        return STR_LIT("443");
    return STR_LIT("");
}

/* The port in force: a missing one is that of `scheme`. */
static struct str effective_port(const struct origin *o, struct str scheme)
{
    struct str port = o->port.p != NULL ? o->port : default_port(scheme);

    while (port.n > 1 && port.p[0] == '0')
        port = (struct str){port.p + 1, port.n - 1};
    return port;
}

static bool pattern_matches(struct str pattern, const struct origin *o)
{
    struct origin p;

    if (str_eq(pattern, STR_LIT("null")) || !parse_origin(pattern, &p, true))
        return false;
    if (p.scheme.p == NULL) {
        if (!str_ieq(o->scheme, STR_LIT("http")) && !str_ieq(o->scheme, STR_LIT("https")))
            return false;
    } else if (!glob_matches(p.scheme, o->scheme)) {
        return false;
    }
    return glob_matches(p.host, o->host) && glob_matches(effective_port(&p, o->scheme), effective_port(o, o->scheme));
}

bool origin_pattern_valid(struct str pattern)
{
    struct origin o;

    return parse_origin(pattern, &o, true); /* so are `*` and `null`, in form */
}

static bool is_same_host(const struct origin *o, struct str host)
{
    struct origin h;

    return parse_authority(host, &h, false) && str_ieq(o->host, h.host) &&
           str_eq(effective_port(o, o->scheme), effective_port(&h, o->scheme));
}

bool origin_allowed(struct str origin, struct str host, char *const *patterns)
{
    bool is_null = str_eq(origin, STR_LIT("null"));
    struct origin o;

    if (!is_null && (!parse_origin(origin, &o, false) || o.scheme.p == NULL))
        return false;
    if (patterns == NULL)
        return !is_null && is_same_host(&o, host);
    for (; *patterns != NULL; patterns++) {
        struct str p = str_of(*patterns);

        if (is_null ? str_eq(p, STR_LIT("null")) : str_eq(p, STR_LIT("*")) || pattern_matches(p, &o))
            return true;
    }
    return false;
}
