/* Reads what a client sends: pong, ping, ack, auth, and events to publish. */
#include "core/message.h"

#include "core/http_fields.h"

/* A message in hand, and what is wrong with it as a body would be. */
struct reader {
    struct arena *arena;
    const struct json_member *members;
    size_t n;
    const struct publication_limits *limits;
    struct input_error error;
};

static struct json_value member(const struct reader *r, const char *name)
{
    return json_get(r->members, r->n, name);
}

static int fail_at(struct reader *r, const char *outer, const char *inner, const char *detail)
{
    input_fail(&r->error, 422, "%s", detail);
    input_at(&r->error, str_of(inner));
    return outer == NULL ? -1 : input_at(&r->error, str_of(outer));
}

/* data.<name>, or absent where data is absent, null or no object. */
static struct json_value data_member(const struct reader *r, const char *name)
{
    struct json_value data = member(r, "data");
    if (data.kind != JSON_OBJECT)
        return (struct json_value){JSON_ABSENT, STR_NONE};
    struct json_member *members;
    size_t n = json_members(r->arena, data.raw, &members);
    return json_get(members, n, name);
}

/* The acknowledged id stands in data, or is the frame's own. */
static int read_ack(struct reader *r, struct client_message *out)
{
    struct json_value id = data_member(r, "event_id"), own = member(r, "event_id");
    if (id.kind != JSON_ABSENT && id.kind != JSON_STRING)
        return fail_at(r, "data", "event_id", "event_id must be a string");
    if (id.kind == JSON_ABSENT && own.kind != JSON_STRING)
        return fail_at(r, NULL, "event_id",
                       own.kind == JSON_ABSENT ? "event_id is missing" : "event_id must be a string");
    bool in_data = id.kind == JSON_STRING;
    if (position_parse(json_string(r->arena, in_data ? id : own), &out->acked) != 0)
        return fail_at(r, in_data ? "data" : NULL, "event_id", "event_id is not of the form of an event's id");
    out->acked_from = in_data ? "/data/event_id" : "/event_id";
    return 0;
}

static int read_auth(struct reader *r, struct client_message *out)
{
    struct json_value token = data_member(r, "token");
    if (token.kind == JSON_ABSENT)
        return fail_at(r, "data", "token", "token is missing");
    if (token.kind != JSON_STRING)
        return fail_at(r, "data", "token", "token must be a string");
    out->token = json_string(r->arena, token);
    return 0;
}

static int read_nothing(struct reader *r, struct client_message *out)
{
    return 0;
}

static int read_event(struct reader *r, struct client_message *out)
{
    return publication_from_members(r->arena, r->members, r->n, r->limits, &out->event, &r->error);
}

static const struct {
    const char *type;
    enum client_message_kind kind;
    int (*read)(struct reader *r, struct client_message *out);
} own_types[] = {
    {"pong", CLIENT_PONG, read_nothing},
    {"ping", CLIENT_PING, read_nothing},
    {"ack", CLIENT_ACK, read_ack},
    {"auth", CLIENT_AUTH, read_auth},
};

/* Fills the frame's own members: ref and traceparent. */
static void read_frame(struct reader *r, struct client_message *out)
{
    struct json_value id = member(r, "event_id"), trace = member(r, "traceparent");
    if (id.kind == JSON_STRING) {
        struct str ref = json_string(r->arena, id);
        if (ref.n <= MESSAGE_REF_MAX)
            out->ref = ref;
    }
    if (trace.kind == JSON_STRING) {
        struct str traceparent = json_string(r->arena, trace);
        if (traceparent_valid(traceparent))
            out->traceparent = traceparent;
    }
}

/* -1 leaves the code in *code and the rest in r->error. */
static int read_by_type(struct reader *r, struct client_message *out, enum error_code *code)
{
    struct json_value type = member(r, "type");
    *code = ERROR_BAD_MESSAGE;
    if (type.kind != JSON_STRING)
        return fail_at(r, NULL, "type", type.kind == JSON_ABSENT ? "type is missing" : "type must be a string");
    struct str name = json_string(r->arena, type);
    for (size_t i = 0; i < sizeof(own_types) / sizeof(own_types[0]); ++i) {
        if (!str_eq(name, str_of(own_types[i].type)))
            continue;
        out->kind = own_types[i].kind;
        return own_types[i].read(r, out);
    }
    if (member(r, "audience").kind != JSON_ABSENT) {
        out->kind = CLIENT_EVENT;
        return read_event(r, out);
    }
    *code = ERROR_UNKNOWN_TYPE;
    return fail_at(r, NULL, "type", "no such message; an event to publish has an audience");
}

static int report(const struct reader *r, enum error_code code, struct str ref, struct client_error *error)
{
    error->code = r->error.status == 413 ? ERROR_TOO_LARGE : code;
    error->ref = ref;
    memcpy(error->field, r->error.field, sizeof(error->field));
    memcpy(error->detail, r->error.detail, sizeof(error->detail));
    return -1;
}

int client_message_parse(struct arena *a, struct str text, const struct publication_limits *limits,
                         struct client_message *out, struct client_error *error)
{
    struct reader r = {.arena = a, .limits = limits};
    enum error_code code;
    *out = (struct client_message){0};

    const char *problem = json_check(text);
    if (problem != NULL) {
        input_fail(&r.error, 400, "%s", problem);
        return report(&r, ERROR_BAD_JSON, STR_NONE, error);
    }
    struct json_value v = json_value(text);
    if (v.kind != JSON_OBJECT) {
        input_fail(&r.error, 422, "a message must be an object");
        return report(&r, ERROR_BAD_MESSAGE, STR_NONE, error);
    }
    struct json_member *members;
    r.n = json_members(a, v.raw, &members);
    r.members = members;
    read_frame(&r, out);
    return read_by_type(&r, out, &code) == 0 ? 0 : report(&r, code, out->ref, error);
}
