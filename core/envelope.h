/* Envelopes: what Redis carries and clients get, {"type":…,"event_id":…,"timestamp":…,"data":{…}}, and the server's own
 * messages. belfry's own payloads in Redis begin with one space. */
#ifndef CORE_ENVELOPE_H
#define CORE_ENVELOPE_H

#include "core/json.h"
#include "core/position.h"

/* Limits of what is taken from Redis; constants, so that processes with different settings agree. */
#define ENVELOPE_OWN_MAX (1024 * 1024 + 2048)
#define ENVELOPE_FOREIGN_MAX (64 * 1024)

/* The two halves between which the publishing script puts the event_id:
 * head ` {"type":"t","event_id":"`, tail `","timestamp":"…",["source_id":…,]["traceparent":…,]"data":{…}}`. */
void envelope_head(struct buf *out, struct str type);
void envelope_tail(struct buf *out, uint64_t unix_ms, struct str traceparent, struct str data);

struct envelope {
    bool own;           /* begins with one space and has an own-looking id; whether that id is right is the mark's to judge */
    struct position id; /* of own */
    struct str type;
    struct str event_id;    /* foreign: the publisher's, becomes source_id; absent if it had none */
    struct str source_id, traceparent;
    struct str data;        /* raw object; {} if absent */
    struct str text;        /* own: the payload without its space, ready to be sent */
};

/* The one check of everything that comes from Redis, live or from a log: size, strict JSON, an object, a type of the right
 * form that is none of the protocol's own, data an object. NULL, or why it is dropped. */
const char *envelope_parse(struct arena *a, struct str payload, struct envelope *out) MUST_CHECK;
/* A foreign event as clients get it: `id` has n ≥ 1, the publisher's id moves to source_id. */
void envelope_foreign(struct buf *out, const struct envelope *e, struct position id, uint64_t unix_ms);

#endif
