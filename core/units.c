/* Values of the configuration as text: strict readers, and writers that give the shortest form. */
#include "core/units.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/un.h>

#define HOST_MAX 253 /* RFC 1035 */

struct unit {
    struct str suffix;
    uint64_t factor;
};

/* Largest first, which is also the order in which the writers look for one that divides. */
static const struct unit duration_units[] = {
    {STR_LIT("h"), 3600000}, {STR_LIT("m"), 60000}, {STR_LIT("s"), 1000}, {STR_LIT("ms"), 1}};
static const struct unit size_units[] = {
    {STR_LIT("G"), 1 << 30}, {STR_LIT("M"), 1 << 20}, {STR_LIT("K"), 1 << 10}, {STR_LIT(""), 1}};

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

int units_parse_count(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return -1;
    for (size_t i = 0; i < s.n; ++i) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return -1;
    }
    *out = v;
    return 0;
}

static int parse_with_unit(struct str s, const struct unit *units, size_t n, uint64_t bare_factor, uint64_t *out)
{
    size_t digits = 0;
    uint64_t v, factor = bare_factor;

    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        ++digits;
    struct str suffix = {s.p + digits, s.n - digits};
    if (units_parse_count((struct str){s.p, digits}, &v) != 0)
        return -1;
    if (suffix.n != 0) {
        factor = 0;
        for (size_t i = 0; i < n; ++i)
            if (str_eq(suffix, units[i].suffix))
                factor = units[i].factor;
    }
    if (factor == 0 || __builtin_mul_overflow(v, factor, &v))
        return -1;
    *out = v;
    return 0;
}

int units_parse_duration(struct str s, uint64_t *ms)
{
    return parse_with_unit(s, duration_units, LEN(duration_units), 1000, ms);
}

int units_parse_size(struct str s, uint64_t *bytes)
{
    return parse_with_unit(s, size_units, LEN(size_units), 1, bytes);
}

static void format_with_unit(struct buf *out, uint64_t v, const struct unit *units, size_t n)
{
    size_t i = 0;

    while (i + 1 < n && v % units[i].factor != 0)
        ++i;
    buf_printf(out, "%" PRIu64 "%.*s", v / units[i].factor, (int)units[i].suffix.n, units[i].suffix.p);
}

void units_format_duration(struct buf *out, uint64_t ms)
{
    if (ms == 0)
        buf_lit(out, "0");
    else
        format_with_unit(out, ms, duration_units, LEN(duration_units));
}

void units_format_size(struct buf *out, uint64_t bytes)
{
    if (bytes == 0)
        buf_lit(out, "0");
    else
        format_with_unit(out, bytes, size_units, LEN(size_units));
}

static int parse_rate_number(struct str s, uint32_t *out)
{
    uint64_t v;

    if (units_parse_count(s, &v) != 0 || v == 0 || v > RATE_MAX)
        return -1;
    *out = (uint32_t)v;
    return 0;
}

int units_parse_rate(struct str s, struct rate *out)
{
    if (str_eq(s, STR_LIT("off"))) {
        *out = (struct rate){0, 1};
        return 0;
    }
    struct str rest = s, first = str_split(&rest, ' ');
    if (first.n < 2 || memcmp(first.p + first.n - 2, "/s", 2) != 0 ||
        parse_rate_number((struct str){first.p, first.n - 2}, &out->per_second) != 0)
        return -1;
    out->burst = out->per_second;
    if (rest.p == NULL)
        return 0;
    rest = str_trim(rest);
    if (!str_eq(str_split(&rest, ' '), STR_LIT("burst")) || rest.p == NULL)
        return -1;
    return parse_rate_number(str_trim(rest), &out->burst);
}

void units_format_rate(struct buf *out, struct rate r)
{
    if (r.per_second == 0)
        buf_lit(out, "off");
    else
        buf_printf(out, "%" PRIu32 "/s burst %" PRIu32, r.per_second, r.burst);
}

static const char *check_ip6(struct str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    struct str zone = host, ip = str_split(&zone, '%');

    if (ip.n >= sizeof(text))
        return "is no IPv6 address between the brackets";
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(AF_INET6, text, &addr) != 1 || (zone.p != NULL && zone.n == 0))
        return "is no IPv6 address between the brackets";
    return NULL;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

/* Names are looked up later; what only looks like an IPv4 address (`300.1.1.1`, `1.2.3`) would be a surprise then. */
static const char *check_name_or_ip4(struct str host)
{
    char text[HOST_MAX + 1];
    struct in_addr addr;
    bool numeric = true;

    if (host.n == 0)
        return "has no host";
    if (host.n > HOST_MAX)
        return "has a host name of more than 253 bytes";
    for (size_t i = 0; i < host.n; ++i) {
        if (!is_name_char(host.p[i]))
            return "has a host that is neither a name nor an address";
        numeric = numeric && (host.p[i] == '.' || (host.p[i] >= '0' && host.p[i] <= '9'));
    }
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (numeric && inet_pton(AF_INET, text, &addr) != 1)
        return "is no IPv4 address";
    return NULL;
}

static const char *parse_port(struct str s, uint16_t *port)
{
    uint64_t v;

    if (units_parse_count(s, &v) != 0 || v > UINT16_MAX)
        return "has no port from 0 to 65535";
    *port = (uint16_t)v;
    return NULL;
}

const char *units_parse_host_port(struct str s, struct str *host, uint16_t *port)
{
    const char *wrong;
    const char *colon, *close;

    if (s.n > 0 && s.p[0] == '[') {
        if ((close = memchr(s.p, ']', s.n)) == NULL)
            return "has no closing bracket";
        *host = (struct str){s.p + 1, (size_t)(close - s.p) - 1};
        wrong = check_ip6(*host);
        s = (struct str){close + 1, s.n - host->n - 2};
        if (wrong == NULL && s.n > 0 && s.p[0] != ':')
            wrong = "has something other than a port after the bracket";
        colon = s.n > 0 ? s.p : NULL;
    } else {
        colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
        *host = (struct str){s.p, colon != NULL ? (size_t)(colon - s.p) : s.n};
        if (colon != NULL && memchr(colon + 1, ':', s.n - host->n - 1) != NULL)
            return "needs brackets around an IPv6 address, such as [::1]:8000";
        wrong = check_name_or_ip4(*host);
    }
    if (wrong != NULL || colon == NULL)
        return wrong;
    return parse_port((struct str){colon + 1, s.n - (size_t)(colon - s.p) - 1}, port);
}

static const char *parse_unix(struct str path, struct listen_address *out)
{
    if (path.n < 2 || path.p[0] != '/')
        return "needs an absolute path after unix:";
    if (path.n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "has a path of more than 107 bytes, which no unix socket can have";
    *out = (struct listen_address){.kind = LISTEN_UNIX, .path = str_dup(path)};
    return NULL;
}

const char *listen_address_parse(struct str s, struct listen_address *out)
{
    struct str host = STR_LIT("::");
    uint16_t port = 0;
    const char *wrong;

    if (str_starts_with(s, STR_LIT("unix:")))
        return parse_unix((struct str){s.p + 5, s.n - 5}, out);
    if (s.n == 0 || memchr(s.p, ':', s.n) == NULL || s.p[s.n - 1] == ']')
        return "has no port";
    wrong = s.p[0] == ':' ? parse_port((struct str){s.p + 1, s.n - 1}, &port) : units_parse_host_port(s, &host, &port);
    if (wrong != NULL)
        return wrong;
    *out = (struct listen_address){.kind = LISTEN_TCP, .host = str_dup(host), .port = port};
    return NULL;
}

void listen_address_dispose(struct listen_address *a)
{
    free(a->host);
    free(a->path);
    *a = (struct listen_address){LISTEN_UNSET};
}

bool listen_address_eq(const struct listen_address *a, const struct listen_address *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == LISTEN_TCP)
        return a->port != 0 && a->port == b->port && strcmp(a->host, b->host) == 0;
    return a->kind == LISTEN_UNIX && strcmp(a->path, b->path) == 0;
}

void listen_address_format(struct buf *out, const struct listen_address *a)
{
    if (a->kind == LISTEN_OFF)
        buf_lit(out, "off");
    else if (a->kind == LISTEN_UNIX)
        buf_printf(out, "unix:%s", a->path);
    else if (a->kind == LISTEN_TCP)
        buf_printf(out, strchr(a->host, ':') != NULL ? "[%s]:%u" : "%s:%u", a->host, a->port);
}
