/* An event on its way in: from a REST body or from a client's message to something the publishing script takes. */
#ifndef CORE_PUBLICATION_H
#define CORE_PUBLICATION_H

#include "core/json.h"

#define EVENT_TYPE_MAX 64
#define AUDIENCE_USERS_MAX 500
#define USER_ID_MAX 256
#define BATCH_MAX 1000

enum audience_kind { AUDIENCE_BROADCAST, AUDIENCE_USERS, AUDIENCE_CONNECTION };

struct audience {
    enum audience_kind kind;
    const struct str *ids; /* users (each once), or the one connection */
    size_t count;
    bool list; /* written as {"users": […]}: how it is echoed */
};

struct publication {
    struct str type; /* [a-z][a-z0-9_.-]{0,63} and none of the protocol's own */
    struct str data; /* a JSON object, validated for its type; bytes as the caller wrote them, with what the call adds */
    struct audience audience;
    bool replay; /* false: live only, nothing kept */
};

/* What is wrong with a body. */
struct input_error {
    int status;        /* 400 not JSON, 413 one event over the limit, 422 a field */
    char field[160];   /* JSON pointer (RFC 6901), "" for the whole */
    char detail[200];
};

struct publication_limits {
    size_t max_message_bytes; /* of one event's data */
};

/* The four convenience calls: the body is the data itself, `audience` and `replay` are taken out, the id of the path is put
 * in or has to be equal. path_id: task_id, agent_id, user_id (the notification's default audience), STR_NONE for calendar. */
enum convenience_call { CALL_TASK, CALL_AGENT, CALL_NOTIFICATION, CALL_CALENDAR };
int publication_from_flat(struct arena *a, enum convenience_call call, struct str path_id, struct str body,
                          const struct publication_limits *limits, struct publication *out, struct input_error *error) MUST_CHECK;
/* POST /events {type, data, audience, replay?}; an unknown member is an error (a typo in "replay" must not keep what was not to be kept). */
int publication_from_event(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication *out, struct input_error *error) MUST_CHECK;
/* POST /events/batch {events: […]}: 1 to 1,000. *out has *n entries, in the arena. The field names the event: /events/3/type. */
int publication_from_batch(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication **out, size_t *n, struct input_error *error) MUST_CHECK;

/* A user or connection id as it may stand in an audience, a token or a path: 1 to `max` bytes, strict UTF-8, no control characters. */
bool id_valid(struct str id, size_t max);
bool event_type_valid(struct str type); /* form, and none of the protocol's own */

/* `"broadcast"`, `{"user":"u"}`, `{"users":[…]}`, `{"connection":"c"}` */
void audience_json(struct buf *out, const struct audience *a);

#endif
