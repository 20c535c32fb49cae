/* REDIS_URL, taken apart. No message quotes the URL: it holds a password. */
#include "core/redis_url.h"

#include <stdlib.h>
#include <sys/un.h>

#include "core/units.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL if an escape is broken, or decodes to NUL, which no AUTH could carry through a C string. */
static char *percent_decode(struct str s)
{
    char *text = mem_alloc(s.n + 1), *w = text;

    for (size_t i = 0; i < s.n; ++i) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            c = hi < 0 || lo < 0 ? 0 : hi * 16 + lo;
            i += 2;
        }
        if (c == 0) {
            free(text);
            return NULL;
        }
        *w++ = (char)c;
    }
    *w = '\0';
    return text;
}

/* Cuts `user:pass@` off the front of *authority. */
static const char *take_credentials(struct str *authority, struct redis_target *out)
{
    const char *at = authority->n > 0 ? memrchr(authority->p, '@', authority->n) : NULL;

    if (at == NULL)
        return NULL;
    struct str password = {authority->p, (size_t)(at - authority->p)}, user = str_split(&password, ':');
    authority->n -= (size_t)(at - authority->p) + 1;
    authority->p = at + 1;
    if (password.p == NULL || password.n == 0)
        return "has a user without a password before the @";
    if ((user.n > 0 && (out->user = percent_decode(user)) == NULL) ||
        (out->password = percent_decode(password)) == NULL)
        return "has a broken percent escape in user or password";
    return NULL;
}

static const char *parse_db(struct str s, struct redis_target *out)
{
    uint64_t db;

    if (units_parse_count(s, &db) != 0 || db > INT32_MAX)
        return "has a database that is not a number";
    out->db = (unsigned)db;
    return NULL;
}

/* Splits what follows the scheme at the first slash: authority, and path without it. */
static struct str split_authority(struct str *rest)
{
    struct str authority = str_split(rest, '/');

    if (rest->p == NULL)
        *rest = STR_LIT("");
    return authority;
}

static const char *parse_tcp(struct str rest, struct redis_target *out)
{
    struct str authority = split_authority(&rest), host;
    const char *wrong = take_credentials(&authority, out);

    out->kind = REDIS_TCP;
    out->port = REDIS_DEFAULT_PORT;
    if (memchr(rest.p, '@', rest.n) != NULL)
        return "has an @ behind a slash: a slash in user or password must be written as %2F";
    if (memchr(rest.p, '?', rest.n) != NULL || memchr(authority.p, '?', authority.n) != NULL)
        return "has a query, which is not understood";
    if (wrong == NULL)
        wrong = units_parse_host_port(authority, &host, &out->port);
    if (wrong != NULL)
        return wrong;
    if (out->port == 0)
        return "has port 0";
    out->host = str_dup(host);
    return rest.n == 0 ? NULL : parse_db(rest, out);
}

static const char *parse_unix(struct str rest, struct redis_target *out)
{
    const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    const char *wrong;

    out->kind = REDIS_UNIX;
    if (slash == NULL)
        return "needs an absolute path, such as unix:///run/redis.sock";
    struct str authority = {rest.p, (size_t)(slash - rest.p)}, query = {slash, rest.n - authority.n};
    struct str path = str_split(&query, '?');
    if ((wrong = take_credentials(&authority, out)) != NULL)
        return wrong;
    if (authority.n != 0)
        return "needs an absolute path, such as unix:///run/redis.sock";
    if (path.n < 2)
        return "has no path";
    if (path.n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "has a path of more than 107 bytes, which no unix socket can have";
    out->path = str_dup(path);
    if (query.p == NULL)
        return NULL;
    if (!str_starts_with(query, STR_LIT("db=")))
        return "has a query other than ?db=N";
    return parse_db((struct str){query.p + 3, query.n - 3}, out);
}

static const char *check_sentinels(struct str list)
{
    for (unsigned n = 1; list.p != NULL; ++n) {
        struct str host;
        uint16_t port = SENTINEL_DEFAULT_PORT;
        const char *wrong = units_parse_host_port(str_split(&list, ','), &host, &port);
        if (wrong != NULL)
            return wrong;
        if (port == 0)
            return "has port 0";
        if (n > SENTINELS_MAX)
            return "names more than 16 sentinels";
    }
    return NULL;
}

static const char *parse_sentinel(struct str rest, struct redis_target *out)
{
    struct str authority = split_authority(&rest), db = rest, master = str_split(&db, '/');
    const char *wrong = take_credentials(&authority, out);

    out->kind = REDIS_SENTINEL;
    if (wrong == NULL)
        wrong = check_sentinels(authority);
    if (wrong != NULL)
        return wrong;
    if (master.n == 0 || memchr(master.p, '?', master.n) != NULL)
        return "names no master, as in redis+sentinel://host:26379/mymaster";
    out->sentinels = str_dup(authority);
    out->master = str_dup(master);
    return db.p == NULL || db.n == 0 ? NULL : parse_db(db, out);
}

static bool cut_prefix(struct str *s, struct str prefix)
{
    if (!str_starts_with(*s, prefix))
        return false;
    s->p += prefix.n;
    s->n -= prefix.n;
    return true;
}

static const char *parse_any(struct str url, struct redis_target *out)
{
    if (str_eq(url, STR_LIT("embedded"))) {
        out->kind = REDIS_EMBEDDED;
        return NULL;
    }
    if (cut_prefix(&url, STR_LIT("redis://")))
        return parse_tcp(url, out);
    if (cut_prefix(&url, STR_LIT("rediss://"))) {
        out->tls = true;
        return parse_tcp(url, out);
    }
    if (cut_prefix(&url, STR_LIT("unix://")))
        return parse_unix(url, out);
    if (cut_prefix(&url, STR_LIT("redis+sentinel://")))
        return parse_sentinel(url, out);
    return "must be embedded, or begin with redis://, rediss://, unix:// or redis+sentinel://";
}

const char *redis_url_parse(struct str url, struct redis_target *out)
{
    *out = (struct redis_target){REDIS_EMBEDDED};
    const char *wrong = parse_any(url, out);

    if (wrong != NULL)
        redis_target_dispose(out);
    return wrong;
}

void redis_target_dispose(struct redis_target *t)
{
    free(t->user);
    if (t->password != NULL)
        explicit_bzero(t->password, strlen(t->password));
    free(t->password);
    free(t->host);
    free(t->path);
    free(t->sentinels);
    free(t->master);
    *t = (struct redis_target){REDIS_EMBEDDED};
}

/* Users are rarely odd, but an escape that was needed on the way in is needed in what is shown, too. */
static void append_escaped(struct buf *out, const char *s)
{
    for (; *s != '\0'; ++s) {
        if (strchr("%:/?#@[] ", *s) != NULL || (unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
            buf_printf(out, "%%%02X", (unsigned char)*s);
        else
            buf_append_char(out, *s);
    }
}

static void append_credentials(struct buf *out, const struct redis_target *t)
{
    if (t->password == NULL)
        return;
    if (t->user != NULL)
        append_escaped(out, t->user);
    buf_lit(out, ":***@");
}

void redis_url_format_masked(struct buf *out, const struct redis_target *t)
{
    static const char *const schemes[] = {"embedded", "redis://", "unix://", "redis+sentinel://"};

    buf_append(out, str_of(t->kind == REDIS_TCP && t->tls ? "rediss://" : schemes[t->kind]));
    append_credentials(out, t);
    if (t->kind == REDIS_TCP)
        buf_printf(out, strchr(t->host, ':') != NULL ? "[%s]:%u/%u" : "%s:%u/%u", t->host, t->port, t->db);
    else if (t->kind == REDIS_UNIX)
        buf_printf(out, t->db != 0 ? "%s?db=%u" : "%s", t->path, t->db);
    else if (t->kind == REDIS_SENTINEL)
        buf_printf(out, "%s/%s/%u", t->sentinels, t->master, t->db);
}
