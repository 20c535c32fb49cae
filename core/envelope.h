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
 * head ` {"type":"t","event_id":"`, tail `","timestamp":"…",["traceparent":"…",]"data":{…}}`. `type` is valid, `data`
 * an object. A traceparent that is not of the W3C form (or STR_NONE) is left out, a longer one cut to its first part.
 * Both halves together are less than 512 bytes longer than data. */
void envelope_head(struct buf *out, struct str type);
void envelope_tail(struct buf *out, uint64_t unix_ms, struct str traceparent, struct str data);

/* `{"type":"t","event_id":"1-2","timestamp":"…"`, as all that the server sends begins. */
void envelope_open(struct buf *out, struct str type, struct position id, uint64_t unix_ms);

/* The timestamp, in unix ms, of an event as clients get it, read out of its beginning (what is before it may be a
 * frame's header); 0 if there is none within ENVELOPE_TIMESTAMP_WITHIN bytes. */
#define ENVELOPE_TIMESTAMP_WITHIN 200
uint64_t envelope_timestamp(struct str text);

/* Slices point into the payload, or into the arena where a string was written with escapes. */
struct envelope {
    bool own; /* begins with one space and has an own-looking id; whether that id is right is the mark's to judge */
    struct position id; /* of own */
    struct str type;
    struct str event_id; /* as it stands in the payload: what becomes source_id of a foreign event; STR_NONE if it is no
                            string */
    struct str source_id;   /* STR_NONE if there is none */
    struct str traceparent; /* STR_NONE if there is none of the W3C form */
    struct str data;        /* raw object; {} if absent or null */
    struct str text;        /* own: the payload without its space, ready to be sent */
};

/* The one check of everything that comes from Redis, live or from a log: size, strict JSON, an object, a type of the
 * right form that is none of the protocol's own, data an object. NULL, or why it is dropped (valid until the thread's
 * next call). An own-looking payload that the mark calls foreign may still be larger than ENVELOPE_FOREIGN_MAX: the
 * caller looks. */
const char *envelope_parse(struct arena *a, struct str payload, struct envelope *out) MUST_CHECK;
/* A foreign event as clients get it: `id` has n ≥ 1, the publisher's id moves to source_id (one that came without keeps
 * the source_id it has). */
void envelope_foreign(struct buf *out, const struct envelope *e, struct position id, uint64_t unix_ms);

#endif
