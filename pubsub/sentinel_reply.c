/* What a sentinel answers: one line, or an array of two strings. hiredis' reader would believe any length it is told
 * and allocate for it; this takes nothing but what it looks for. */
#include "pubsub/sentinel_reply.h"
#include "core/units.h"

/* Takes a line and its CRLF off the front of *bytes. */
static enum sentinel_reply_kind take_line(struct str *bytes, struct str *line)
{
    const char *end = bytes->n != 0 ? memchr(bytes->p, '\n', bytes->n) : NULL;
    if (end == NULL)
        return bytes->n < SENTINEL_REPLY_MAX ? SENTINEL_MORE : SENTINEL_NOISE;
    *line = (struct str){bytes->p, (size_t)(end - bytes->p)};
    bytes->p = end + 1;
    bytes->n -= line->n + 1;
    if (line->n == 0 || line->p[--line->n] != '\r')
        return SENTINEL_NOISE;
    return SENTINEL_OK;
}

static bool take_prefix(struct str *s, char kind)
{
    if (s->n == 0 || s->p[0] != kind)
        return false;
    ++s->p;
    --s->n;
    return true;
}

/* A bulk string of 1 to `max` bytes. */
static enum sentinel_reply_kind take_bulk(struct str *bytes, size_t max, struct str *out)
{
    struct str line;
    uint64_t n;
    enum sentinel_reply_kind kind = take_line(bytes, &line);
    if (kind != SENTINEL_OK)
        return kind;
    if (!take_prefix(&line, '$') || units_parse_count(line, &n) != 0 || n == 0 || n > max)
        return SENTINEL_NOISE;
    if (bytes->n < n + 2)
        return SENTINEL_MORE;
    if (bytes->p[n] != '\r' || bytes->p[n + 1] != '\n')
        return SENTINEL_NOISE;
    *out = (struct str){bytes->p, n};
    bytes->p += n + 2;
    bytes->n -= n + 2;
    return SENTINEL_OK;
}

/* What getaddrinfo may be asked for: no byte that could end or garble a C string or a log line. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.n; ++i)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    return true;
}

static enum sentinel_reply_kind take_address(struct str *bytes, struct sentinel_reply *r)
{
    struct str host, port;
    uint64_t number;
    enum sentinel_reply_kind kind = take_bulk(bytes, SENTINEL_HOST_MAX, &host);
    if (kind == SENTINEL_OK)
        kind = take_bulk(bytes, 5, &port);
    if (kind != SENTINEL_OK)
        return kind;
    if (!is_host(host) || units_parse_count(port, &number) != 0 || number == 0 || number > UINT16_MAX)
        return SENTINEL_NOISE;
    memcpy(r->host, host.p, host.n);
    r->host[host.n] = '\0';
    r->port = (uint16_t)number;
    return SENTINEL_ADDRESS;
}

static enum sentinel_reply_kind take_any(struct str *bytes, struct sentinel_reply *r)
{
    struct str line;
    enum sentinel_reply_kind kind = take_line(bytes, &line);
    if (kind != SENTINEL_OK)
        return kind;
    if (take_prefix(&line, '+'))
        return SENTINEL_OK;
    if (take_prefix(&line, '-')) {
        r->text = line;
        return SENTINEL_ERROR;
    }
    if (str_eq(line, STR_LIT("*-1")) || str_eq(line, STR_LIT("$-1")) || str_eq(line, STR_LIT("_")))
        return SENTINEL_UNKNOWN;
    return str_eq(line, STR_LIT("*2")) ? take_address(bytes, r) : SENTINEL_NOISE;
}

struct sentinel_reply sentinel_reply_read(struct str bytes)
{
    struct sentinel_reply r = {0};
    struct str rest = {bytes.p, bytes.n < SENTINEL_REPLY_MAX ? bytes.n : SENTINEL_REPLY_MAX};
    size_t seen = rest.n;
    r.kind = take_any(&rest, &r);
    if (r.kind == SENTINEL_MORE && seen == SENTINEL_REPLY_MAX)
        r.kind = SENTINEL_NOISE;
    if (r.kind != SENTINEL_MORE && r.kind != SENTINEL_NOISE)
        r.n = seen - rest.n;
    return r;
}
