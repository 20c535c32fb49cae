/* An event on its way in: from a REST body or from a client's message to something the publishing script takes. */
#ifndef CORE_PUBLICATION_H
#define CORE_PUBLICATION_H

#include "core/audience.h"

#define EVENT_TYPE_MAX 64
#define BATCH_MAX 1000
/* The envelope around data is one level itself, and receivers take JSON_DEPTH_MAX. */
#define EVENT_DATA_DEPTH_MAX (JSON_DEPTH_MAX - 1)

struct publication {
    struct str type; /* [a-z][a-z0-9_.-]{0,63} and none of the protocol's own */
    struct str
        data; /* a JSON object, validated for its type; bytes as the caller wrote them, with what the call adds */
    struct audience audience;
    bool replay; /* false: live only, nothing kept */
};

struct publication_limits {
    size_t max_message_bytes; /* of one event's data, as the caller wrote it */
};

/* All readers return 0, or -1 and *error. Slices of *out live in the body and in the arena. Data is at most
 * EVENT_DATA_DEPTH_MAX deep. A notification without level gets `"level":"info"` at its end. */

/* The four convenience calls: the body is the data itself, `audience` and `replay` are taken out, the id of the path is
 * put in or has to be equal. path_id: task_id, agent_id (put first where the body lacks it), user_id (the
 * notification's default audience; not put into its data), STR_NONE for calendar. */
enum convenience_call { CALL_TASK, CALL_AGENT, CALL_NOTIFICATION, CALL_CALENDAR };
int publication_from_flat(struct arena *a, enum convenience_call call, struct str path_id, struct str body,
                          const struct publication_limits *limits, struct publication *out,
                          struct input_error *error) MUST_CHECK;
/* POST /events {type, data, audience, replay?}; an unknown member is an error (a typo in "replay" must not keep what
 * was not to be kept). */
int publication_from_event(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication *out, struct input_error *error) MUST_CHECK;
/* POST /events/batch {events: […]}: 1 to 1,000. *out has *n entries, in the arena. The field names the event:
 * /events/3/type. */
int publication_from_batch(struct arena *a, struct str body, const struct publication_limits *limits,
                           struct publication **out, size_t *n, struct input_error *error) MUST_CHECK;

/* The same from the members of an object that is in hand already, as a client's message is; members other than type,
 * data, audience and replay are not looked at. */
int publication_from_members(struct arena *a, const struct json_member *members, size_t n,
                             const struct publication_limits *limits, struct publication *out,
                             struct input_error *error) MUST_CHECK;

bool event_type_valid(struct str type); /* form, and none of the protocol's own */

#endif
