/* What stands in the data of the known event types: one table, and a check for each kind of field. */
#include "core/event_data.h"

#include "core/audience.h"
#include "core/clock.h"

enum field_kind {
    FIELD_TEXT,   /* min to max bytes, decoded */
    FIELD_NUMBER, /* min to max */
    FIELD_TIME,   /* RFC 3339 with offset */
    FIELD_WORD,   /* one of words */
    FIELD_USERS,  /* an array of at most AUDIENCE_USERS_MAX user ids */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    unsigned min, max;
    const char *words; /* "one, two" */
};

#define REQUIRED true
#define OPTIONAL false

static const struct field task_status_update[] = {
    {"task_id", FIELD_TEXT, REQUIRED, 1, 256, NULL},
    {"status", FIELD_TEXT, REQUIRED, 1, 64, NULL},
    {"progress", FIELD_NUMBER, OPTIONAL, 0, 100, NULL},
    {"message", FIELD_TEXT, OPTIONAL, 0, 4096, NULL},
    {.name = NULL},
};

static const struct field agent_activity_update[] = {
    {"agent_id", FIELD_TEXT, REQUIRED, 1, 256, NULL}, {"activity", FIELD_TEXT, REQUIRED, 1, 256, NULL},
    {"task_id", FIELD_TEXT, OPTIONAL, 1, 256, NULL},  {"status", FIELD_TEXT, OPTIONAL, 0, 64, NULL},
    {"message", FIELD_TEXT, OPTIONAL, 0, 4096, NULL}, {.name = NULL},
};

static const struct field calendar_event_created[] = {
    {"title", FIELD_TEXT, REQUIRED, 1, 256, NULL},
    {"start", FIELD_TIME, REQUIRED, 0, 0, NULL},
    {"end", FIELD_TIME, REQUIRED, 0, 0, NULL},
    {"calendar_event_id", FIELD_TEXT, OPTIONAL, 1, 256, NULL},
    {"description", FIELD_TEXT, OPTIONAL, 0, 4096, NULL},
    {"location", FIELD_TEXT, OPTIONAL, 0, 256, NULL},
    {"attendees", FIELD_USERS, OPTIONAL, 0, 0, NULL},
    {.name = NULL},
};

static const struct field notification[] = {
    {"title", FIELD_TEXT, REQUIRED, 1, 256, NULL},
    {"message", FIELD_TEXT, REQUIRED, 0, 4096, NULL},
    {"level", FIELD_WORD, OPTIONAL, 0, 0, "info, success, warning, error"},
    {"link", FIELD_TEXT, OPTIONAL, 0, 2048, NULL},
    {.name = NULL},
};

static int check_period(struct arena *a, const struct json_member *members, size_t n, struct input_error *error);

static const struct {
    const char *type;
    const struct field *fields;
    /* what no field shows alone; may be NULL */
    int (*check_whole)(struct arena *a, const struct json_member *members, size_t n, struct input_error *error);
} known_types[] = {
    {"task_status_update", task_status_update, NULL},
    {"agent_activity_update", agent_activity_update, NULL},
    {"calendar_event_created", calendar_event_created, check_period},
    {"notification", notification, NULL},
};

static int check_text(struct arena *a, const struct field *f, struct json_value v, struct input_error *error)
{
    if (v.kind == JSON_STRING) {
        size_t n = json_string(a, v).n;
        if (n >= f->min && n <= f->max)
            return 0;
    }
    return input_fail(error, 422, "%s must be a string of %u to %u bytes", f->name, f->min, f->max);
}

static int check_number(const struct field *f, struct json_value v, struct input_error *error)
{
    if (v.kind == JSON_NUMBER) {
        double d = json_number(v);
        if (d >= f->min && d <= f->max)
            return 0;
    }
    return input_fail(error, 422, "%s must be a number from %u to %u", f->name, f->min, f->max);
}

static int check_time(struct arena *a, const struct field *f, struct json_value v, struct input_error *error)
{
    int64_t ns;
    if (v.kind == JSON_STRING && rfc3339_parse(json_string(a, v), &ns) == 0)
        return 0;
    return input_fail(error, 422, "%s must be an RFC 3339 date-time with offset, of a real date", f->name);
}

static int check_word(struct arena *a, const struct field *f, struct json_value v, struct input_error *error)
{
    if (v.kind == JSON_STRING) {
        struct str word = json_string(a, v), rest = str_of(f->words);
        while (rest.p != NULL)
            if (str_eq(str_trim(str_split(&rest, ',')), word))
                return 0;
    }
    return input_fail(error, 422, "%s must be one of %s", f->name, f->words);
}

static int check_users(struct arena *a, struct json_value v, struct input_error *error)
{
    struct audience users;
    return audience_users(a, v, &users, error);
}

static int check_value(struct arena *a, const struct field *f, struct json_value v, struct input_error *error)
{
    switch (f->kind) {
    case FIELD_TEXT:
        return check_text(a, f, v, error);
    case FIELD_NUMBER:
        return check_number(f, v, error);
    case FIELD_TIME:
        return check_time(a, f, v, error);
    case FIELD_WORD:
        return check_word(a, f, v, error);
    case FIELD_USERS:
        return check_users(a, v, error);
    }
    return 0;
}

static int check_field(struct arena *a, const struct field *f, struct json_value v, struct input_error *error)
{
    if (!f->required && (v.kind == JSON_ABSENT || v.kind == JSON_NULL))
        return 0;
    if (v.kind == JSON_ABSENT)
        return input_fail(error, 422, "%s is missing", f->name);
    return check_value(a, f, v, error);
}

static int check_period(struct arena *a, const struct json_member *members, size_t n, struct input_error *error)
{
    int64_t start, end;
    if (rfc3339_parse(json_string(a, json_get(members, n, "start")), &start) == 0 &&
        rfc3339_parse(json_string(a, json_get(members, n, "end")), &end) == 0 && end >= start)
        return 0;
    input_fail(error, 422, "end must not lie before start");
    return input_at(error, STR_LIT("end"));
}

int event_data_check(struct arena *a, struct str type, const struct json_member *members, size_t n,
                     struct input_error *error)
{
    for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); ++i) {
        if (!str_eq(type, str_of(known_types[i].type)))
            continue;
        for (const struct field *f = known_types[i].fields; f->name != NULL; ++f)
            if (check_field(a, f, json_get(members, n, f->name), error) != 0)
                return input_at(error, str_of(f->name));
        return known_types[i].check_whole == NULL ? 0 : known_types[i].check_whole(a, members, n, error);
    }
    return 0;
}
