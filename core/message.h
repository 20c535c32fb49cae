/* The messages of the WebSocket protocol that are no events: what the server writes and how a client's are read.
 * All writers append JSON text, without a frame header. */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include "core/position.h"
#include "core/publication.h"

#define MESSAGE_REF_MAX 128

enum error_code {
    ERROR_BAD_JSON,
    ERROR_BAD_MESSAGE,
    ERROR_UNKNOWN_TYPE,
    ERROR_FORBIDDEN,
    ERROR_RATE_LIMITED,
    ERROR_TOO_LARGE,
    ERROR_NOT_ACCEPTED,
    ERROR_OUTCOME_UNKNOWN,
    ERROR_TOKEN_EXPIRING,
    ERROR_INTERNAL,
};

struct message_welcome {
    struct str connection_id, user_id;
    struct position position;
    bool resumed, recovering;
    uint64_t ping_interval_ms, backoff_base_ms, backoff_max_ms;
};

/* `at` is the connection's position, which every frame carries as event_id; `now` unix ms. ref STR_NONE: left out. */
void message_welcome(struct buf *out, const struct message_welcome *m, uint64_t now);
void message_ping(struct buf *out, struct position at, uint64_t now);
void message_pong(struct buf *out, struct position at, uint64_t now, struct str ref);
/* published NULL: no event_id in data. traceparent STR_NONE: left out. */
void message_ack(struct buf *out, struct position at, uint64_t now, struct str ref, const struct position *published,
                 struct str traceparent);
/* field without bytes: left out, as ref. All texts are valid UTF-8. */
void message_error(struct buf *out, struct position at, uint64_t now, enum error_code code, struct str text,
                   struct str ref, struct str field);
void message_resync_required(struct buf *out, struct position at, uint64_t now, const char *reason,
                             struct position oldest);
void message_reconnect(struct buf *out, struct position at, uint64_t now, uint64_t after_ms);
void message_caught_up(struct buf *out, struct position at, uint64_t now, uint64_t replayed);

/* "bad_json" and the like, as they stand in data.code and in metrics. */
const char *error_code_name(enum error_code code);

enum client_message_kind { CLIENT_PONG, CLIENT_PING, CLIENT_ACK, CLIENT_AUTH, CLIENT_EVENT };

struct client_message {
    enum client_message_kind kind;
    struct str ref;         /* the frame's own event_id if it is a string of ≤ 128 bytes, else STR_NONE */
    struct position acked;  /* CLIENT_ACK: data.event_id, else the frame's own; */
    const char *acked_from; /* and which it was, as a field of an error */
    struct str token;       /* CLIENT_AUTH: data.token */
    struct str traceparent; /* STR_NONE if there is none of the W3C form */
    /* CLIENT_EVENT: type, data, audience (beside data), replay true unless a member says false */
    struct publication event;
};

struct client_error {
    enum error_code code;         /* BAD_JSON, BAD_MESSAGE, UNKNOWN_TYPE, TOO_LARGE */
    struct str ref;               /* as above; STR_NONE of a text that is no JSON */
    char field[160], detail[200]; /* as of struct input_error */
};

/* Reads one text message. A message with `audience` beside `data` is an event to publish; a type that
 * is neither that nor one of the client's own is UNKNOWN_TYPE. 0, or -1 and *error. Slices live in `text` and the
 * arena. */
int client_message_parse(struct arena *a, struct str text, const struct publication_limits *limits,
                         struct client_message *out, struct client_error *error) MUST_CHECK;

#endif
