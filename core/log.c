/* Log lines, as text for people or as JSON for machines, each handed to stderr in one piece. */
#include "core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/utf8.h"

#define FIELD_MAX 512

static _Atomic enum log_level min_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;
static void (*_Atomic line_sink)(struct str line);

void log_init(enum log_level level, enum log_format format)
{
    log_set_level(level);
    line_format = format;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&min_level, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return atomic_load_explicit(&min_level, memory_order_relaxed);
}

void log_set_sink(void (*sink)(struct str line))
{
    atomic_store(&line_sink, sink);
}

bool log_enabled(enum log_level level)
{
    return level >= log_get_level();
}

/* Length of the character at the start of s, 0 if there is none that is whole and valid; *skip tells how many bytes a
 * replacement character then stands for. */
static size_t character_length(struct str s, size_t *skip)
{
    struct utf8 u = {0};

    for (size_t i = 0; i < s.n; i++) {
        if (!utf8_feed(&u, s.p + i, 1)) {
            *skip = i == 0 ? 1 : i;
            return 0;
        }
        if (utf8_complete(&u))
            return i + 1;
    }
    *skip = s.n;
    return 0;
}

/* DEL and the C1 controls (U+0080 to U+009F): JSON lets them pass, terminals obey some of them. */
static bool is_hidden_control(struct str c)
{
    return c.p[0] == 0x7f || (c.n == 2 && (unsigned char)c.p[0] == 0xc2 && (unsigned char)c.p[1] < 0xa0);
}

/* Appends the value, cut, with nothing in it that is no UTF-8 or that a terminal would obey. C0 controls stay: quotes
 * follow. */
static void append_clean(struct buf *out, struct str s)
{
    bool cut = s.n > FIELD_MAX;

    if (cut)
        s.n = FIELD_MAX;
    while (s.n > 0) {
        size_t skip = 0, n = character_length(s, &skip);
        if (n == 0 && cut && skip == s.n)
            return; /* the cut went through this one */
        struct str c = {s.p, n == 0 ? skip : n};
        if (n == 0 || is_hidden_control(c))
            buf_lit(out, "\xef\xbf\xbd");
        else
            buf_append(out, c);
        s.p += c.n;
        s.n -= c.n;
    }
}

static bool needs_quotes(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=')
            return true;
    }
    return s.n == 0;
}

static void append_value(struct buf *out, enum log_format format, const struct log_field *f)
{
    struct buf clean = {0};

    switch (f->kind) {
    case LOG_FIELD_INT:
        buf_printf(out, "%" PRId64, f->i);
        break;
    case LOG_FIELD_UINT:
        buf_printf(out, "%" PRIu64, (uint64_t)f->i);
        break;
    case LOG_FIELD_BOOL:
        buf_append(out, f->i ? STR_LIT("true") : STR_LIT("false"));
        break;
    case LOG_FIELD_STR:
        append_clean(&clean, f->s);
        if (format == LOG_FORMAT_JSON || needs_quotes(buf_str(&clean)))
            buf_json_string(out, buf_str(&clean));
        else
            buf_append(out, buf_str(&clean));
        buf_free(&clean);
        break;
    }
}

static void append_start(struct buf *out, enum log_format format, int64_t now_us, enum log_level level,
                         const char *event)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    static const char *const padded[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    char time[RFC3339_LEN];

    rfc3339_format(time, now_us < 0 ? 0 : (uint64_t)now_us / 1000);
    if (format == LOG_FORMAT_JSON)
        buf_printf(out, "{\"time\":\"%.*s\",\"level\":\"%s\",\"event\":\"%s\"", RFC3339_LEN, time, names[level], event);
    else
        buf_printf(out, "%.*s %s %s", RFC3339_LEN, time, padded[level], event);
}

void log_format_line(struct buf *out, enum log_format format, int64_t now_us, enum log_level level, const char *event,
                     const struct log_field *fields, size_t n)
{
    append_start(out, format, now_us, level, event);
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == LOG_FIELD_STR && fields[i].s.p == NULL)
            continue;
        if (format == LOG_FORMAT_JSON)
            buf_printf(out, ",\"%s\":", fields[i].key);
        else
            buf_printf(out, " %s=", fields[i].key);
        append_value(out, format, &fields[i]);
    }
    if (format == LOG_FORMAT_JSON)
        buf_append_char(out, '}');
    buf_append_char(out, '\n');
}

static int64_t now_unix_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* One write(2), so that the lines of several threads do not mix; the rest of a short one follows. A line that stderr
 * does not take is lost: there is nobody left to tell. */
void log_write(struct str lines)
{
    while (lines.n > 0) {
        ssize_t n = write(STDERR_FILENO, lines.p, lines.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        lines.p += n;
        lines.n -= (size_t)n;
    }
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    struct buf line = {0};
    int saved_errno = errno;

    if (!log_enabled(level))
        return;
    log_format_line(&line, line_format, now_unix_us(), level, event, fields, n);
    void (*sink)(struct str) = atomic_load(&line_sink);
    (sink != NULL ? sink : log_write)(buf_str(&line));
    buf_free(&line);
    errno = saved_errno;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint64_t *suppressed)
{
    if (now_ms < l->next_ms) {
        l->suppressed++;
        return false;
    }
    *suppressed = l->suppressed;
    l->suppressed = 0;
    l->next_ms = now_ms + 1000;
    return true;
}
