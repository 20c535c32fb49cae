/* Events on their way in: bodies of the publishing calls become what the publishing script takes. */
#include "core/publication.h"

#include "core/event_data.h"

/* In a batch an event's data lies two levels deeper than in a body of its own. */
#define EVENT_DEPTH (EVENT_DATA_DEPTH_MAX + 1)
#define BATCH_DEPTH (EVENT_DATA_DEPTH_MAX + 3)

static const struct {
    const char *type;
    const char *id_name; /* member that the path's id stands for; NULL: there is none */
    bool id_in_data;     /* put in where the body lacks it */
} calls[] = {
    [CALL_TASK] = {"task_status_update", "task_id", true},
    [CALL_AGENT] = {"agent_activity_update", "agent_id", true},
    [CALL_NOTIFICATION] = {"notification", "user_id", false},
    [CALL_CALENDAR] = {"calendar_event_created", NULL, false},
};

bool event_type_valid(struct str type)
{
    static const char *const own[] = {"welcome", "caught_up",       "ping",     "pong", "ack", "auth",
                                      "error",   "resync_required", "reconnect"};
    if (type.n < 1 || type.n > EVENT_TYPE_MAX || type.p[0] < 'a' || type.p[0] > 'z')
        return false;
    for (size_t i = 1; i < type.n; ++i) {
        char c = type.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); ++i)
        if (str_eq(type, str_of(own[i])))
            return false;
    return true;
}

/* An object with its members, from a body that is not checked yet. */
static int read_object(struct arena *a, struct str body, struct json_limits limits, struct json_member **members,
                       size_t *n, struct input_error *error)
{
    const char *problem = json_check_limits(body, limits);
    if (problem != NULL)
        return input_fail(error, 400, "bad JSON: %s", problem);
    struct json_value v = json_value(body);
    if (v.kind != JSON_OBJECT)
        return input_fail(error, 422, "must be a JSON object");
    *n = json_members(a, v.raw, members);
    return 0;
}

/* Names are separated by one space. */
static int refuse_unknown(const struct json_member *members, size_t n, const char *names, struct input_error *error)
{
    for (size_t i = 0; i < n; ++i) {
        struct str rest = str_of(names);
        bool known = false;
        while (rest.p != NULL && !known)
            known = str_eq(members[i].name, str_split(&rest, ' '));
        if (!known) {
            input_fail(error, 422, "unknown member");
            return input_at(error, members[i].name);
        }
    }
    return 0;
}

/* Receivers need no default. `data` has members, since title is one of them. */
static struct str with_level(struct arena *a, struct str data)
{
    struct str level = STR_LIT(",\"level\":\"info\"}");
    char *p = arena_alloc(a, data.n - 1 + level.n);
    memcpy(p, data.p, data.n - 1);
    memcpy(p + data.n - 1, level.p, level.n);
    return (struct str){p, data.n - 1 + level.n};
}

/* Takes the data of an event of out->type. */
static int take_data(struct arena *a, struct str data, const struct publication_limits *limits, struct publication *out,
                     struct input_error *error)
{
    if (data.n > limits->max_message_bytes)
        return input_fail(error, 413, "the data of one event is limited to %zu bytes", limits->max_message_bytes);
    struct json_member *members;
    size_t n = json_members(a, data, &members);
    if (event_data_check(a, out->type, members, n, error) != 0)
        return -1;
    bool notification = str_eq(out->type, STR_LIT("notification"));
    out->data = notification && json_get(members, n, "level").kind == JSON_ABSENT ? with_level(a, data) : data;
    return 0;
}

static int take_replay(struct json_value v, struct publication *out, struct input_error *error)
{
    out->replay = v.kind == JSON_ABSENT || (v.kind == JSON_BOOL && v.raw.p[0] == 't');
    if (v.kind == JSON_ABSENT || v.kind == JSON_BOOL)
        return 0;
    input_fail(error, 422, "replay must be true or false");
    return input_at(error, STR_LIT("replay"));
}

static int take_type(struct arena *a, struct json_value v, struct publication *out, struct input_error *error)
{
    out->type = v.kind == JSON_STRING ? json_string(a, v) : STR_NONE;
    if (event_type_valid(out->type))
        return 0;
    input_fail(error, 422,
               v.kind == JSON_ABSENT ? "type is missing"
                                     : "type must match [a-z][a-z0-9_.-]{0,63} and be none of the protocol's own");
    return input_at(error, STR_LIT("type"));
}

int publication_from_members(struct arena *a, const struct json_member *members, size_t n,
                             const struct publication_limits *limits, struct publication *out,
                             struct input_error *error)
{
    struct json_value data = json_get(members, n, "data"), audience = json_get(members, n, "audience");
    if (take_type(a, json_get(members, n, "type"), out, error) != 0)
        return -1;
    if (data.kind != JSON_OBJECT) {
        input_fail(error, 422, data.kind == JSON_ABSENT ? "data is missing" : "data must be an object");
        return input_at(error, STR_LIT("data"));
    }
    if (take_data(a, data.raw, limits, out, error) != 0)
        return input_at(error, STR_LIT("data"));
    if (audience_parse(a, audience, &out->audience, error) != 0)
        return input_at(error, STR_LIT("audience"));
    return take_replay(json_get(members, n, "replay"), out, error);
}

/* An event of POST /events or of a batch. */
static int event_from_members(struct arena *a, const struct json_member *members, size_t n,
                              const struct publication_limits *limits, struct publication *out,
                              struct input_error *error)
{
    if (refuse_unknown(members, n, "type data audience replay", error) != 0)
        return -1;
    return publication_from_members(a, members, n, limits, out, error);
}

int publication_from_event(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication *out, struct input_error *error)
{
    struct json_member *members;
    size_t n;
    if (read_object(a, body, (struct json_limits){EVENT_DEPTH, 2}, &members, &n, error) != 0)
        return -1;
    return event_from_members(a, members, n, limits, out, error);
}

static int batch_event(struct arena *a, struct json_value v, const struct publication_limits *limits,
                       struct publication *out, struct input_error *error)
{
    if (v.kind != JSON_OBJECT)
        return input_fail(error, 422, "an event must be an object");
    struct json_member *members;
    size_t n = json_members(a, v.raw, &members);
    return event_from_members(a, members, n, limits, out, error);
}

static int batch_events(struct arena *a, struct json_value events, const struct publication_limits *limits,
                        struct publication **out, size_t *n, struct input_error *error)
{
    *n = events.kind == JSON_ARRAY ? json_count(events.raw) : 0;
    if (*n < 1 || *n > BATCH_MAX)
        return input_fail(error, 422, "events must be an array of 1 to %d events", BATCH_MAX);
    struct json_value *items;
    json_items(a, events.raw, &items);
    *out = arena_alloc(a, *n * sizeof(**out));
    for (size_t i = 0; i < *n; ++i)
        if (batch_event(a, items[i], limits, &(*out)[i], error) != 0)
            return input_at_index(error, i);
    return 0;
}

int publication_from_batch(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication **out, size_t *n, struct input_error *error)
{
    struct json_member *members;
    size_t count;
    if (read_object(a, body, (struct json_limits){BATCH_DEPTH, 4}, &members, &count, error) != 0 ||
        refuse_unknown(members, count, "events", error) != 0)
        return -1;
    if (batch_events(a, json_get(members, count, "events"), limits, out, n, error) != 0)
        return input_at(error, STR_LIT("events"));
    return 0;
}

/* A member that stands for the path's id has to say the same. *absent: there is none. */
static int check_path_id(struct arena *a, enum convenience_call call, struct str path_id,
                         const struct json_member *members, size_t n, bool *absent, struct input_error *error)
{
    const char *name = calls[call].id_name;
    *absent = false;
    if (name == NULL)
        return 0;
    struct json_value v = json_get(members, n, name);
    *absent = v.kind == JSON_ABSENT;
    if (!id_valid(path_id, USER_ID_MAX))
        input_fail(error, 422, "the path's %s must be 1 to %d bytes", name, USER_ID_MAX);
    else if (!*absent && (v.kind != JSON_STRING || !str_eq(json_string(a, v), path_id)))
        input_fail(error, 422, "%s must be the same as in the path", name);
    else
        return 0;
    return input_at(error, str_of(name));
}

static bool taken_out(const struct json_member *m)
{
    return str_eq(m->name, STR_LIT("audience")) || str_eq(m->name, STR_LIT("replay"));
}

/* The data: all members as they stand but those that are taken out, the path's id first. */
static struct str rebuild(struct arena *a, const struct json_member *members, size_t n, const char *id_name,
                          struct str path_id)
{
    struct buf b = {0};
    buf_append_char(&b, '{');
    if (id_name != NULL) {
        buf_json_string(&b, str_of(id_name));
        buf_append_char(&b, ':');
        buf_json_string(&b, path_id);
    }
    for (size_t i = 0; i < n; ++i) {
        if (taken_out(&members[i]))
            continue;
        if (b.n > 1)
            buf_append_char(&b, ',');
        buf_append(&b, members[i].whole);
    }
    buf_append_char(&b, '}');
    struct str data = arena_copy(a, buf_str(&b));
    buf_free(&b);
    return data;
}

/* The audience of a convenience call that names none. Attendees are checked already. */
static int default_audience(struct arena *a, enum convenience_call call, struct str path_id,
                            const struct json_member *members, size_t n, struct audience *out,
                            struct input_error *error)
{
    struct json_value attendees = json_get(members, n, "attendees");
    *out = (struct audience){.kind = AUDIENCE_BROADCAST};
    if (call == CALL_NOTIFICATION)
        *out = audience_user(a, path_id);
    if (call != CALL_CALENDAR || attendees.kind != JSON_ARRAY || json_count(attendees.raw) == 0)
        return 0;
    return audience_users(a, attendees, out, error);
}

int publication_from_flat(struct arena *a, enum convenience_call call, struct str path_id, struct str body,
                          const struct publication_limits *limits, struct publication *out, struct input_error *error)
{
    struct json_member *members;
    size_t n;
    bool id_absent;
    if (read_object(a, body, (struct json_limits){EVENT_DATA_DEPTH_MAX, 2}, &members, &n, error) != 0 ||
        check_path_id(a, call, path_id, members, n, &id_absent, error) != 0)
        return -1;

    out->type = str_of(calls[call].type);
    const char *id_name = id_absent && calls[call].id_in_data ? calls[call].id_name : NULL;
    if (take_data(a, rebuild(a, members, n, id_name, path_id), limits, out, error) != 0)
        return -1;

    struct json_value audience = json_get(members, n, "audience");
    if (audience.kind == JSON_ABSENT) {
        if (default_audience(a, call, path_id, members, n, &out->audience, error) != 0)
            return input_at(error, STR_LIT("attendees"));
    } else if (audience_parse(a, audience, &out->audience, error) != 0) {
        return input_at(error, STR_LIT("audience"));
    }
    return take_replay(json_get(members, n, "replay"), out, error);
}
