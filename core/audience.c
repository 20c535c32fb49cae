/* Audiences: everybody, one user, some users, one connection. */
#include "core/audience.h"

#include "core/table.h"
#include "core/utf8.h"

bool id_valid(struct str id, size_t max)
{
    if (id.n < 1 || id.n > max)
        return false;
    for (size_t i = 0; i < id.n; ++i) {
        unsigned char c = (unsigned char)id.p[i];
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == 0xc2 && i + 1 < id.n && (unsigned char)id.p[i + 1] < 0xa0) /* U+0080 to U+009F */
            return false;
    }
    return utf8_valid(id);
}

static int id_parse(struct arena *a, struct json_value v, struct str *out, struct input_error *error)
{
    if (v.kind == JSON_STRING) {
        *out = json_string(a, v);
        if (id_valid(*out, USER_ID_MAX))
            return 0;
    }
    return input_fail(error, 422, "an id is a string of 1 to %d bytes without control characters", USER_ID_MAX);
}

/* Where `id` stands among those collected so far, or the free slot for it. */
static uint16_t *slot_of(uint16_t slots[1024], const struct str *ids, struct str id)
{
    size_t at = table_hash(id.p, id.n) & 1023;
    while (slots[at] != 0 && !str_eq(ids[slots[at] - 1], id))
        at = (at + 1) & 1023;
    return &slots[at];
}

int audience_users(struct arena *a, struct json_value array, struct audience *out, struct input_error *error)
{
    uint16_t slots[1024] = {0}; /* place in ids + 1; less than half full */
    if (array.kind != JSON_ARRAY || json_count(array.raw) > AUDIENCE_USERS_MAX)
        return input_fail(error, 422, "must be an array of at most %d user ids", AUDIENCE_USERS_MAX);
    struct json_value *items;
    size_t n = json_items(a, array.raw, &items), count = 0;
    struct str *ids = arena_alloc(a, n * sizeof(*ids));
    for (size_t i = 0; i < n; ++i) {
        struct str id;
        if (id_parse(a, items[i], &id, error) != 0)
            return input_at_index(error, i);
        uint16_t *slot = slot_of(slots, ids, id);
        if (*slot != 0)
            continue;
        ids[count++] = id;
        *slot = (uint16_t)count;
    }
    *out = (struct audience){AUDIENCE_USERS, ids, count, true};
    return 0;
}

static struct audience audience_one(struct arena *a, enum audience_kind kind, struct str id)
{
    struct str *ids = arena_alloc(a, sizeof(*ids));
    *ids = id;
    return (struct audience){kind, ids, 1, false};
}

struct audience audience_user(struct arena *a, struct str id)
{
    return audience_one(a, AUDIENCE_USERS, id);
}

static int parse_member(struct arena *a, const struct json_member *m, struct audience *out, struct input_error *error)
{
    struct str id;
    if (str_eq(m->name, STR_LIT("users"))) {
        if (audience_users(a, m->value, out, error) != 0)
            return -1;
        return out->count > 0 ? 0 : input_fail(error, 422, "must name at least one user");
    }
    bool user = str_eq(m->name, STR_LIT("user"));
    if (!user && !str_eq(m->name, STR_LIT("connection")))
        return input_fail(error, 422, "unknown member");
    if (id_parse(a, m->value, &id, error) != 0)
        return -1;
    *out = audience_one(a, user ? AUDIENCE_USERS : AUDIENCE_CONNECTION, id);
    return 0;
}

int audience_parse(struct arena *a, struct json_value v, struct audience *out, struct input_error *error)
{
    if (v.kind == JSON_STRING && str_eq(json_string(a, v), STR_LIT("broadcast"))) {
        *out = (struct audience){.kind = AUDIENCE_BROADCAST};
        return 0;
    }
    struct json_member *members;
    if (v.kind != JSON_OBJECT || json_members(a, v.raw, &members) != 1)
        return input_fail(error, 422,
                          "audience must be \"broadcast\", {\"user\": U}, {\"users\": [U, …]} or {\"connection\": C}");
    return parse_member(a, members, out, error) == 0 ? 0 : input_at(error, members->name);
}

void audience_json(struct buf *out, const struct audience *a)
{
    if (a->kind == AUDIENCE_BROADCAST) {
        buf_lit(out, "\"broadcast\"");
        return;
    }
    if (a->kind == AUDIENCE_CONNECTION)
        buf_lit(out, "{\"connection\":");
    else if (a->list)
        buf_lit(out, "{\"users\":[");
    else
        buf_lit(out, "{\"user\":");
    for (size_t i = 0; i < a->count; ++i) {
        if (i > 0)
            buf_append_char(out, ',');
        buf_json_string(out, a->ids[i]);
    }
    if (a->list)
        buf_append_char(out, ']');
    buf_append_char(out, '}');
}
