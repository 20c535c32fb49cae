/* Envelopes: written in two halves for the publishing script, read as they come from Redis. */
#include "core/envelope.h"

#include "core/clock.h"
#include "core/http_fields.h"
#include "core/publication.h"

static void put_timestamp(struct buf *out, uint64_t unix_ms)
{
    rfc3339_format(buf_reserve(out, RFC3339_LEN), unix_ms);
    out->n += RFC3339_LEN;
}

void envelope_head(struct buf *out, struct str type)
{
    buf_lit(out, " {\"type\":\"");
    buf_append(out, type);
    buf_lit(out, "\",\"event_id\":\"");
}

/* The first part of a valid traceparent, which says all that version 00 does; STR_NONE of anything else. */
static struct str traceparent_of(struct str s)
{
    return traceparent_valid(s) ? (struct str){s.p, TRACEPARENT_LEN} : STR_NONE;
}

/* What follows the timestamp's quote, for own and foreign events alike. */
static void put_rest(struct buf *out, struct str source_id, struct str traceparent, struct str data)
{
    if (source_id.p != NULL) {
        buf_lit(out, ",\"source_id\":");
        buf_json_string(out, source_id);
    }
    if (traceparent.p != NULL) {
        buf_lit(out, ",\"traceparent\":");
        buf_json_string(out, traceparent);
    }
    buf_lit(out, ",\"data\":");
    buf_append(out, data);
    buf_append_char(out, '}');
}

void envelope_tail(struct buf *out, uint64_t unix_ms, struct str traceparent, struct str data)
{
    buf_lit(out, "\",\"timestamp\":\"");
    put_timestamp(out, unix_ms);
    buf_append_char(out, '"');
    put_rest(out, STR_NONE, traceparent_of(traceparent), data);
}

void envelope_open(struct buf *out, struct str type, struct position id, uint64_t unix_ms)
{
    buf_lit(out, "{\"type\":\"");
    buf_append(out, type);
    buf_lit(out, "\",\"event_id\":\"");
    out->n += position_format(buf_reserve(out, POSITION_MAX), id);
    buf_lit(out, "\",\"timestamp\":\"");
    put_timestamp(out, unix_ms);
    buf_append_char(out, '"');
}

void envelope_foreign(struct buf *out, const struct envelope *e, struct position id, uint64_t unix_ms)
{
    envelope_open(out, e->type, id, unix_ms);
    put_rest(out, e->event_id.p != NULL ? e->event_id : e->source_id, e->traceparent, e->data);
}

uint64_t envelope_timestamp(struct str text)
{
    struct str word = STR_LIT("\"timestamp\":\"");
    size_t n = text.n < ENVELOPE_TIMESTAMP_WITHIN ? text.n : ENVELOPE_TIMESTAMP_WITHIN;
    const char *at = memmem(text.p, n, word.p, word.n);
    int64_t ns;

    if (at == NULL || (size_t)(at - text.p) + word.n + RFC3339_LEN > text.n)
        return 0;
    return rfc3339_parse((struct str){at + word.n, RFC3339_LEN}, &ns) == 0 && ns > 0 ? (uint64_t)ns / 1000000 : 0;
}

static struct str optional_string(struct arena *a, struct json_value v)
{
    return v.kind == JSON_STRING ? json_string(a, v) : STR_NONE;
}

static const char *take_members(struct arena *a, const struct json_member *members, size_t n, struct envelope *out)
{
    struct json_value data = json_get(members, n, "data");
    out->type = optional_string(a, json_get(members, n, "type"));
    if (!event_type_valid(out->type))
        return "type is missing, not of the form, or the protocol's own";
    if (data.kind != JSON_OBJECT && data.kind != JSON_ABSENT && data.kind != JSON_NULL)
        return "data is not an object";
    out->data = data.kind == JSON_OBJECT ? data.raw : STR_LIT("{}");
    out->event_id = optional_string(a, json_get(members, n, "event_id"));
    out->source_id = optional_string(a, json_get(members, n, "source_id"));
    out->traceparent = traceparent_of(optional_string(a, json_get(members, n, "traceparent")));
    out->own = out->own && data.kind == JSON_OBJECT && out->event_id.p != NULL &&
               position_parse(out->event_id, &out->id) == 0 && out->id.n == 0;
    return NULL;
}

const char *envelope_parse(struct arena *a, struct str payload, struct envelope *out)
{
    *out = (struct envelope){.own = str_starts_with(payload, STR_LIT(" {"))};
    if (payload.n > (out->own ? ENVELOPE_OWN_MAX : ENVELOPE_FOREIGN_MAX))
        return "too large";
    const char *problem = json_check(payload);
    if (problem != NULL)
        return problem;
    struct json_value v = json_value(payload);
    if (v.kind != JSON_OBJECT)
        return "not an object";
    struct json_member *members;
    size_t n = json_members(a, v.raw, &members);
    problem = take_members(a, members, n, out);
    if (problem == NULL && !out->own && payload.n > ENVELOPE_FOREIGN_MAX)
        problem = "too large";
    out->text = v.raw;
    return problem;
}
