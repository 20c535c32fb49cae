/* Log lines on stderr: one JSON object a line, or text. Tokens, keys and payloads never get here. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Before the first thread; until then info and text. Thread-safe afterwards: each line is one write(2). */
void log_init(enum log_level level, enum log_format format);
/* At any time, from any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Who gets each finished line, in the caller's thread; NULL: log_write. */
void log_set_sink(void (*sink)(struct str line));
/* Writes to stderr, however long that takes. */
void log_write(struct str lines);

/* One field. Build an array with the macros below: log_event(LOG_LEVEL_INFO, "listening", LOG_S("address", a),
 * LOG_U("workers", n)). */
struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_BOOL } kind;
    struct str s; /* cut to 512 bytes; what is no UTF-8, or a DEL or C1 control that a terminal might obey, becomes
                   * U+FFFD. STR_NONE: the field is left out */
    int64_t i;
};
#define LOG_S(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .s = (v)})
#define LOG_Z(k, v) LOG_S(k, str_of(v))
#define LOG_I(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .i = (v)})
#define LOG_U(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_UINT, .i = (int64_t)(v)})
#define LOG_B(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .i = (v)})

/* `event` is a stable snake_case name, e.g. "listening", "redis_lost", "connection_closed". */
void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n);
#define log_event(level, event, ...)                                                                                   \
    do {                                                                                                               \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                                          \
        log_fields((level), (event), log_fields_, sizeof(log_fields_) / sizeof(log_fields_[0]));                       \
    } while (0)
bool log_enabled(enum log_level level);

/* Appends one line, with its newline, to `out`: now_us is unix
 * microseconds. JSON: keys time, level, event, then the fields. Text: `2026-01-02T03:04:05.678Z INFO  listening
 * address=[::]:8000 workers=4`, a value in JSON's quotes where it is empty or holds a space, a quote, a backslash, an
 * equals sign or a control character. */
void log_format_line(struct buf *out, enum log_format format, int64_t now_us, enum log_level level, const char *event,
                     const struct log_field *fields, size_t n);

/* At most one line a second of a kind: true if a line may go out now; *suppressed then tells how many did not. */
struct log_limit {
    uint64_t next_ms, suppressed;
};
bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint64_t *suppressed);

#endif
