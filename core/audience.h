/* Whom an event is for. */
#ifndef CORE_AUDIENCE_H
#define CORE_AUDIENCE_H

#include "core/input_error.h"
#include "core/json.h"

#define AUDIENCE_USERS_MAX 500
#define USER_ID_MAX 256

enum audience_kind { AUDIENCE_BROADCAST, AUDIENCE_USERS, AUDIENCE_CONNECTION };

struct audience {
    enum audience_kind kind;
    const struct str *ids; /* users (each once), or the one connection */
    size_t count;
    bool list; /* written as {"users": […]}: how it is echoed */
};

/* A user or connection id as it may stand in an audience, a token or a path: 1 to `max` bytes, strict UTF-8, no control
 * characters (C0, DEL, C1). */
bool id_valid(struct str id, size_t max);

/* Reads one of the four forms; a user named twice counts once. 0, or -1 and *error (422) with the field below the
 * value. */
int audience_parse(struct arena *a, struct json_value v, struct audience *out, struct input_error *error) MUST_CHECK;
/* One user. `id` has to be valid and is not copied. */
struct audience audience_user(struct arena *a, struct str id);
/* A list of users from an array of at most AUDIENCE_USERS_MAX ids, which may be empty. Errors as above. */
int audience_users(struct arena *a, struct json_value array, struct audience *out,
                   struct input_error *error) MUST_CHECK;

/* `"broadcast"`, `{"user":"u"}`, `{"users":[…]}`, `{"connection":"c"}` */
void audience_json(struct buf *out, const struct audience *a);

#endif
