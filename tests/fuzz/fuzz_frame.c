/* Fuzzes the frame decoder: however the bytes are cut, the events are the same, and no more memory is held than has
 * come. */
#include <stdio.h>
#include "core/frame.h"
#include "tests/unit/frame_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s does not hold\n", #what);                                                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* What holds between any two chunks. */
static void check_decoder(const struct frame_decoder *d)
{
    size_t held = d->message != NULL ? d->message->n : 0;

    CHECK(frame_decoder_partial(d) || d->message == NULL);
    CHECK(held <= d->max_message + (size_t)FRAME_CONTROL_MAX);
    CHECK(d->message == NULL || d->message->cap <= 2 * held + 256);
}

static struct buf decode(struct str input, uint32_t max_message, size_t (*next)(void *), uint32_t seed)
{
    struct frame_decoder d;
    struct buf trace = {0};

    frame_decoder_init(&d, max_message);
    while (input.n > 0) {
        size_t take = next(&seed);

        take = take < input.n ? take : input.n;
        trace_chunk(&trace, &d, (const uint8_t *)input.p, take);
        check_decoder(&d);
        input = (struct str){input.p + take, input.n - take};
    }
    buf_append(&trace, frame_decoder_partial(&d) ? STR_LIT("partial") : STR_LIT("idle"));
    frame_decoder_dispose(&d);
    return trace;
}

/* The first two bytes choose the limit and how the rest is cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str input = {(const char *)data + 2, size - 2};
    uint32_t max_message = data[0] * 16u;
    struct buf whole = decode(input, max_message, trace_next_whole, 0);
    struct buf bytes = decode(input, max_message, trace_next_byte, 0);
    struct buf chunks = decode(input, max_message, trace_next_random, data[1]);

    CHECK(str_eq(buf_str(&whole), buf_str(&bytes)));
    CHECK(str_eq(buf_str(&whole), buf_str(&chunks)));
    buf_free(&whole);
    buf_free(&bytes);
    buf_free(&chunks);
    return 0;
}
