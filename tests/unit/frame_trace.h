/* Feeds bytes to a frame decoder in chunks of any size and writes down what comes out, so that runs can be compared. */
#ifndef TESTS_FRAME_TRACE_H
#define TESTS_FRAME_TRACE_H

#include <stdlib.h>
#include "core/frame.h"

/* "message <hello>\nping <>\nerror 1002 frame is not masked\n" */
static inline void trace_event(struct buf *trace, const struct frame_event *e)
{
    static const char *const names[] = {"none", "message", "ping", "pong", "close", "error"};

    buf_append(trace, str_of(names[e->kind]));
    if (e->kind == FRAME_EVENT_CLOSE || e->kind == FRAME_EVENT_ERROR)
        buf_printf(trace, " %u", e->close_code);
    if (e->kind == FRAME_EVENT_ERROR) {
        buf_printf(trace, " %s", e->reason);
    } else {
        buf_lit(trace, " <");
        buf_append(trace, e->payload);
        buf_lit(trace, ">");
    }
    buf_lit(trace, "\n");
}

/* One chunk, in memory of its own and exactly its size, so that a sanitizer sees every step beyond it. */
static inline void trace_chunk(struct buf *trace, struct frame_decoder *d, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1), *in = copy;

    memcpy(copy, p, n);
    for (;;) {
        struct frame_event e = frame_decode(d, &in, &n);

        if (e.kind == FRAME_EVENT_NONE)
            break;
        if (e.kind == FRAME_EVENT_MESSAGE && (!utf8_valid(e.payload) || e.payload.n > d->max_message))
            abort(); /* what every message promises, whatever a test expects of it */
        trace_event(trace, &e);
    }
    free(copy);
}

/* All of `input`, next(ctx) bytes at a time (at least 1). The decoder stays open. */
static inline void trace_feed(struct buf *trace, struct frame_decoder *d, struct str input, size_t (*next)(void *),
                              void *ctx)
{
    while (input.n > 0) {
        size_t take = next(ctx);

        if (take > input.n)
            take = input.n;
        trace_chunk(trace, d, (const uint8_t *)input.p, take);
        input = (struct str){input.p + take, input.n - take};
    }
}

static inline size_t trace_next_whole(void *ctx)
{
    return SIZE_MAX;
}

static inline size_t trace_next_byte(void *ctx)
{
    return 1;
}

/* ctx: the uint32_t state of a generator; mostly small chunks. */
static inline size_t trace_next_random(void *ctx)
{
    uint32_t *x = ctx;

    *x = *x * 1664525u + 1013904223u;
    return 1 + (*x >> 16) % ((*x >> 8) % 4 == 0 ? 64 : 5);
}

#endif
