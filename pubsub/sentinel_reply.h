/* What a sentinel answers, read from bytes without I/O and without an allocation. */
#ifndef PUBSUB_SENTINEL_REPLY_H
#define PUBSUB_SENTINEL_REPLY_H

#include "core/str.h"

/* An answer that is not complete within so many bytes is none. */
#define SENTINEL_REPLY_MAX 1024
#define SENTINEL_HOST_MAX 255

enum sentinel_reply_kind {
    SENTINEL_MORE,    /* not complete yet */
    SENTINEL_OK,      /* a status: AUTH has passed */
    SENTINEL_ADDRESS, /* host and port */
    SENTINEL_UNKNOWN, /* nil: no master of that name */
    SENTINEL_ERROR,   /* text */
    SENTINEL_NOISE,   /* nothing that a sentinel says */
};

struct sentinel_reply {
    enum sentinel_reply_kind kind;
    size_t n; /* bytes it took; 0 for MORE and NOISE */
    char host[SENTINEL_HOST_MAX + 1];
    uint16_t port;
    struct str text; /* of an error, inside the bytes read */
};

/* Reads the first reply in `bytes`, in RESP2. */
struct sentinel_reply sentinel_reply_read(struct str bytes);

#endif
