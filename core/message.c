/* The server's own messages of the WebSocket protocol. */
#include "core/message.h"

#include "core/envelope.h"

static void message_open(struct buf *out, const char *type, struct position at, uint64_t now)
{
    envelope_open(out, str_of(type), at, now);
    buf_lit(out, ",\"data\":{");
}

static void message_close(struct buf *out)
{
    buf_lit(out, "}}");
}

/* The name of the next member of data, after a comma where one is due. */
static void put_name(struct buf *out, const char *name)
{
    if (out->p[out->n - 1] != '{')
        buf_append_char(out, ',');
    buf_append_char(out, '"');
    buf_append(out, str_of(name));
    buf_lit(out, "\":");
}

static void put_string(struct buf *out, const char *name, struct str value)
{
    put_name(out, name);
    buf_json_string(out, value);
}

static void put_position(struct buf *out, const char *name, struct position p)
{
    char text[POSITION_MAX];
    put_string(out, name, (struct str){text, position_format(text, p)});
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    put_name(out, name);
    buf_printf(out, "%llu", (unsigned long long)value);
}

static void put_bool(struct buf *out, const char *name, bool value)
{
    put_name(out, name);
    buf_append(out, value ? STR_LIT("true") : STR_LIT("false"));
}

static void put_ref(struct buf *out, struct str ref)
{
    if (ref.p != NULL)
        put_string(out, "ref", ref);
}

void message_welcome(struct buf *out, const struct message_welcome *m, uint64_t now)
{
    message_open(out, "welcome", m->position, now);
    put_string(out, "connection_id", m->connection_id);
    put_string(out, "user_id", m->user_id);
    put_position(out, "position", m->position);
    put_bool(out, "resumed", m->resumed);
    put_bool(out, "recovering", m->recovering);
    put_number(out, "ping_interval_ms", m->ping_interval_ms);
    put_name(out, "backoff");
    buf_append_char(out, '{');
    put_number(out, "base_ms", m->backoff_base_ms);
    put_number(out, "max_ms", m->backoff_max_ms);
    buf_append_char(out, '}');
    message_close(out);
}

void message_ping(struct buf *out, struct position at, uint64_t now)
{
    message_open(out, "ping", at, now);
    message_close(out);
}

void message_pong(struct buf *out, struct position at, uint64_t now, struct str ref)
{
    message_open(out, "pong", at, now);
    put_ref(out, ref);
    message_close(out);
}

void message_ack(struct buf *out, struct position at, uint64_t now, struct str ref, const struct position *published,
                 struct str traceparent)
{
    envelope_open(out, STR_LIT("ack"), at, now);
    if (traceparent.p != NULL) {
        buf_lit(out, ",\"traceparent\":");
        buf_json_string(out, traceparent);
    }
    buf_lit(out, ",\"data\":{");
    put_ref(out, ref);
    if (published != NULL)
        put_position(out, "event_id", *published);
    message_close(out);
}

const char *error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_BAD_JSON] = "bad_json",
        [ERROR_BAD_MESSAGE] = "bad_message",
        [ERROR_UNKNOWN_TYPE] = "unknown_type",
        [ERROR_FORBIDDEN] = "forbidden",
        [ERROR_RATE_LIMITED] = "rate_limited",
        [ERROR_TOO_LARGE] = "too_large",
        [ERROR_NOT_ACCEPTED] = "not_accepted",
        [ERROR_OUTCOME_UNKNOWN] = "outcome_unknown",
        [ERROR_TOKEN_EXPIRING] = "token_expiring",
        [ERROR_INTERNAL] = "internal",
    };
    return names[code];
}

void message_error(struct buf *out, struct position at, uint64_t now, enum error_code code, struct str text,
                   struct str ref, struct str field)
{
    message_open(out, "error", at, now);
    put_string(out, "code", str_of(error_code_name(code)));
    put_string(out, "message", text);
    put_ref(out, ref);
    if (field.n > 0)
        put_string(out, "field", field);
    message_close(out);
}

void message_resync_required(struct buf *out, struct position at, uint64_t now, const char *reason,
                             struct position oldest)
{
    message_open(out, "resync_required", at, now);
    put_string(out, "reason", str_of(reason));
    put_position(out, "oldest", oldest);
    put_position(out, "position", at);
    message_close(out);
}

void message_reconnect(struct buf *out, struct position at, uint64_t now, uint64_t after_ms)
{
    message_open(out, "reconnect", at, now);
    put_number(out, "after_ms", after_ms);
    put_position(out, "position", at);
    message_close(out);
}

void message_caught_up(struct buf *out, struct position at, uint64_t now, uint64_t replayed)
{
    message_open(out, "caught_up", at, now);
    put_number(out, "replayed", replayed);
    put_position(out, "position", at);
    message_close(out);
}
