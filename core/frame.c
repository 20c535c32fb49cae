/* WebSocket frames (RFC 6455 part 5): the encoder of server frames and the streaming decoder of client frames. */
#include <stdlib.h>
#include "core/frame.h"

/* Bits of frame_decoder.flags. */
enum {
    DECODER_DEAD = 1 << 0,       /* after ERROR or CLOSE */
    DECODER_HANDED_OUT = 1 << 1, /* the caller still reads the end of `message`; the next call takes it back */
};

#define BIT_FIN 0x80
#define BITS_RSV 0x70
#define BITS_OPCODE 0x0f
#define BIT_CONTROL 0x08
#define BIT_MASK 0x80
#define BITS_LEN 0x7f
#define LEN_16 126
#define LEN_64 127
#define CLOSE_REASON_MAX (FRAME_CONTROL_MAX - 2)

enum {
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_NO_STATUS = 1005,
    CLOSE_BAD_DATA = 1007,
    CLOSE_TOO_BIG = 1009
};

size_t frame_header(uint8_t dst[FRAME_HEADER_MAX], enum frame_opcode opcode, size_t payload_len)
{
    size_t extra = payload_len < LEN_16 ? 0 : payload_len <= UINT16_MAX ? 2 : 8;

    dst[0] = BIT_FIN | (uint8_t)opcode;
    dst[1] = extra == 0 ? (uint8_t)payload_len : extra == 2 ? LEN_16 : LEN_64;
    for (size_t i = 0; i < extra; i++)
        dst[2 + i] = (uint8_t)((uint64_t)payload_len >> (8 * (extra - 1 - i)));
    return 2 + extra;
}

void frame_append(struct buf *out, enum frame_opcode opcode, struct str payload)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t n = frame_header(header, opcode, payload.n);

    buf_reserve(out, n + payload.n);
    buf_append(out, (struct str){(const char *)header, n});
    buf_append(out, payload);
}

void frame_append_close(struct buf *out, uint16_t code, struct str reason)
{
    char payload[FRAME_CONTROL_MAX] = {(char)(code >> 8), (char)code};
    size_t n = reason.n;

    if (code == 0) {
        frame_append(out, FRAME_CLOSE, STR_NONE);
        return;
    }
    if (n > CLOSE_REASON_MAX) {
        n = CLOSE_REASON_MAX;
        while (n > 0 && ((uint8_t)reason.p[n] & 0xc0) == 0x80)
            n--; /* the first byte left out must begin a character */
    }
    if (n > 0)
        memcpy(payload + 2, reason.p, n);
    frame_append(out, FRAME_CLOSE, (struct str){payload, 2 + n});
}

bool frame_close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

void frame_decoder_init(struct frame_decoder *d, uint32_t max_message)
{
    *d = (struct frame_decoder){.max_message = max_message};
}

static void free_message(struct frame_decoder *d)
{
    if (d->message == NULL)
        return;
    buf_free(d->message);
    free(d->message);
    d->message = NULL;
}

void frame_decoder_dispose(struct frame_decoder *d)
{
    free_message(d);
    d->flags = DECODER_DEAD;
}

bool frame_decoder_partial(const struct frame_decoder *d)
{
    return (d->flags & DECODER_DEAD) == 0 && (d->header_len > 0 || d->message_opcode != 0);
}

static struct frame_event fail(struct frame_decoder *d, uint16_t code, const char *reason)
{
    d->flags = DECODER_DEAD; /* the next call frees what was collected */
    return (struct frame_event){.kind = FRAME_EVENT_ERROR, .close_code = code, .reason = reason};
}

static struct frame_event none(void)
{
    return (struct frame_event){.kind = FRAME_EVENT_NONE};
}

/* Takes back what the last event showed: a finished message, or a control payload behind the fragments of a message. */
static void take_back(struct frame_decoder *d)
{
    if ((d->flags & DECODER_HANDED_OUT) == 0)
        return;
    d->flags &= (uint8_t)~DECODER_HANDED_OUT;
    if (d->message_opcode != 0)
        d->message->n -= d->header[1] & BITS_LEN; /* a control frame's header still stands */
    if (d->message_opcode == 0)
        free_message(d);
}

static size_t length_bytes(const struct frame_decoder *d)
{
    uint8_t len = d->header[1] & BITS_LEN;

    return len == LEN_64 ? 8 : len == LEN_16 ? 2 : 0;
}

/* Bytes of the header as far as it is known: two, or all with the mask. */
static size_t header_need(const struct frame_decoder *d)
{
    return d->header_len < 2 ? 2 : 2 + length_bytes(d) + 4;
}

static bool is_control(const struct frame_decoder *d)
{
    return (d->opcode & BIT_CONTROL) != 0;
}

/* Judges the first two bytes: RFC 6455 5.2, 5.4, 5.5. */
static struct frame_event judge_start(struct frame_decoder *d)
{
    bool fin = (d->header[0] & BIT_FIN) != 0;
    uint8_t len = d->header[1] & BITS_LEN;

    d->opcode = d->header[0] & BITS_OPCODE;
    if ((d->header[0] & BITS_RSV) != 0)
        return fail(d, CLOSE_PROTOCOL_ERROR, "reserved bit is set");
    if (d->opcode > (is_control(d) ? FRAME_PONG : FRAME_BINARY))
        return fail(d, CLOSE_PROTOCOL_ERROR, "reserved opcode");
    if ((d->header[1] & BIT_MASK) == 0)
        return fail(d, CLOSE_PROTOCOL_ERROR, "frame is not masked");
    if (is_control(d)) {
        if (!fin)
            return fail(d, CLOSE_PROTOCOL_ERROR, "control frame is fragmented");
        if (len > FRAME_CONTROL_MAX)
            return fail(d, CLOSE_PROTOCOL_ERROR, "control frame is longer than 125 bytes");
        return none();
    }
    if (d->opcode == FRAME_CONTINUATION && d->message_opcode == 0)
        return fail(d, CLOSE_PROTOCOL_ERROR, "continuation of no message");
    if (d->opcode != FRAME_CONTINUATION && d->message_opcode != 0)
        return fail(d, CLOSE_PROTOCOL_ERROR, "new message inside a fragmented one");
    if (d->opcode == FRAME_BINARY)
        return fail(d, CLOSE_UNSUPPORTED, "binary messages are not accepted");
    return none();
}

static uint64_t read_length(const struct frame_decoder *d)
{
    size_t n = length_bytes(d);
    uint64_t len = 0;

    if (n == 0)
        return d->header[1] & BITS_LEN;
    for (size_t i = 0; i < n; i++)
        len = len << 8 | d->header[2 + i];
    return len;
}

/* The length is there: refuses it before a byte is stored, or begins the payload. */
static struct frame_event judge_length(struct frame_decoder *d)
{
    uint64_t len = read_length(d), so_far = d->message != NULL ? d->message->n : 0;

    if (len >> 63 != 0)
        return fail(d, CLOSE_PROTOCOL_ERROR, "top bit of the length is set");
    if (length_bytes(d) > 0 && len <= (length_bytes(d) == 2 ? LEN_16 - 1 : UINT16_MAX))
        return fail(d, CLOSE_PROTOCOL_ERROR, "length is not in its shortest form");
    if (!is_control(d) && len > d->max_message - so_far) /* so_far never exceeds max_message */
        return fail(d, CLOSE_TOO_BIG, "message is too big");
    d->payload_left = (uint32_t)len;
    d->mask_at = 0;
    if (!is_control(d) && d->opcode != FRAME_CONTINUATION)
        d->message_opcode = d->opcode; /* utf8 stands at its start: the last message was complete */
    return none();
}

/* Takes header bytes until the header is complete, the input used up or something is wrong. */
static struct frame_event take_header(struct frame_decoder *d, uint8_t **in, size_t *n)
{
    struct frame_event e = none();

    while (d->header_len < header_need(d) && *n > 0 && e.kind == FRAME_EVENT_NONE) {
        d->header[d->header_len++] = *(*in)++;
        --*n;
        if (d->header_len == 2)
            e = judge_start(d);
        if (e.kind == FRAME_EVENT_NONE && d->header_len >= 2 && d->header_len == 2 + length_bytes(d))
            e = judge_length(d);
    }
    return e;
}

/* Unmasks (RFC 6455 5.3), eight bytes at a time; *at is the place in the mask. */
static void unmask(uint8_t *p, size_t n, const uint8_t mask[4], uint8_t *at)
{
    uint8_t turned[8];
    uint64_t eight, m;
    size_t i = 0;

    for (size_t k = 0; k < 8; k++)
        turned[k] = mask[(*at + k) & 3];
    memcpy(&m, turned, 8);
    for (; i + 8 <= n; i += 8) {
        memcpy(&eight, p + i, 8);
        eight ^= m;
        memcpy(p + i, &eight, 8);
    }
    for (; i < n; i++)
        p[i] ^= turned[i & 7];
    *at = (uint8_t)((*at + n) & 3);
}

static struct frame_event finish_close(struct frame_decoder *d, struct str payload)
{
    struct frame_event e = {.kind = FRAME_EVENT_CLOSE, .close_code = CLOSE_NO_STATUS, .payload = payload};

    if (payload.n == 1)
        return fail(d, CLOSE_PROTOCOL_ERROR, "close frame of one byte");
    if (payload.n >= 2) {
        e.close_code = (uint16_t)((uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1]);
        e.payload = (struct str){payload.p + 2, payload.n - 2};
        if (!frame_close_code_valid(e.close_code))
            return fail(d, CLOSE_PROTOCOL_ERROR, "invalid close code");
        if (!utf8_valid(e.payload))
            return fail(d, CLOSE_BAD_DATA, "close reason is not UTF-8");
    }
    d->flags |= DECODER_DEAD;
    return e;
}

static struct frame_event finish_control(struct frame_decoder *d, struct str payload)
{
    if (d->opcode == FRAME_CLOSE)
        return finish_close(d, payload);
    return (struct frame_event){.kind = d->opcode == FRAME_PING ? FRAME_EVENT_PING : FRAME_EVENT_PONG,
                                .payload = payload};
}

/* Appends to the fragments. Memory grows with what has come, not with what the header promises. */
static void collect(struct frame_decoder *d, struct str chunk)
{
    if (chunk.n == 0)
        return;
    if (d->message == NULL)
        d->message = mem_zalloc(sizeof(*d->message));
    buf_append(d->message, chunk);
}

/* A chunk of a control frame: collected only if the payload did not come in one piece, behind a message's fragments. */
static struct frame_event take_control(struct frame_decoder *d, struct str chunk)
{
    size_t len = d->header[1] & BITS_LEN;

    if (chunk.n < len) {
        collect(d, chunk);
        if (d->payload_left > 0)
            return none();
        chunk = (struct str){d->message->p + d->message->n - len, len};
        d->flags |= DECODER_HANDED_OUT;
    }
    d->header_len = 0;
    return finish_control(d, chunk);
}

/* A chunk of a text message: validated as it comes (RFC 6455 8.1), collected unless it is the whole message. */
static struct frame_event take_text(struct frame_decoder *d, struct str chunk)
{
    bool last = d->payload_left == 0 && (d->header[0] & BIT_FIN) != 0;

    if (!utf8_feed(&d->utf8, chunk.p, chunk.n) || (last && !utf8_complete(&d->utf8)))
        return fail(d, CLOSE_BAD_DATA, "message is not UTF-8");
    if (!last || d->message != NULL)
        collect(d, chunk);
    if (d->payload_left == 0)
        d->header_len = 0;
    if (!last)
        return none();
    d->message_opcode = 0;
    if (d->message != NULL) {
        d->flags |= DECODER_HANDED_OUT;
        chunk = buf_str(d->message);
    }
    return (struct frame_event){.kind = FRAME_EVENT_MESSAGE, .payload = chunk};
}

static struct frame_event take_payload(struct frame_decoder *d, uint8_t **in, size_t *n)
{
    size_t take = d->payload_left < *n ? (size_t)d->payload_left : *n;
    struct str chunk = {(const char *)*in, take};

    unmask(*in, take, d->header + d->header_len - 4, &d->mask_at);
    *in += take;
    *n -= take;
    d->payload_left -= take;
    return is_control(d) ? take_control(d, chunk) : take_text(d, chunk);
}

struct frame_event frame_decode(struct frame_decoder *d, uint8_t **in, size_t *n)
{
    struct frame_event e = none();

    take_back(d);
    if ((d->flags & DECODER_DEAD) != 0) {
        free_message(d);
        return e;
    }
    while (*n > 0 && e.kind == FRAME_EVENT_NONE) {
        e = take_header(d, in, n);
        if (e.kind == FRAME_EVENT_NONE && d->header_len >= 2 && d->header_len == header_need(d))
            e = take_payload(d, in, n);
    }
    return e;
}
