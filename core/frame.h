/* WebSocket frames (RFC 6455 part 5), server side: a streaming decoder of masked client frames and an encoder.
 *
 * The decoder takes bytes as they come, whole or one at a time, unmasks in place, joins fragments, answers nothing
 * itself and does no I/O: it hands out complete messages and control frames. It owns memory only while a message or
 * frame is incomplete; an idle connection costs sizeof(struct frame_decoder). */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include "core/str.h"
#include "core/utf8.h"

enum frame_opcode {
    FRAME_CONTINUATION = 0x0,
    FRAME_TEXT = 0x1,
    FRAME_BINARY = 0x2,
    FRAME_CLOSE = 0x8,
    FRAME_PING = 0x9,
    FRAME_PONG = 0xa,
};

/* Longest header of a frame that a server sends: 2 + 8. */
#define FRAME_HEADER_MAX 10
#define FRAME_CONTROL_MAX 125

/* Writes the header of a final, unmasked frame and returns its length. */
size_t frame_header(uint8_t dst[FRAME_HEADER_MAX], enum frame_opcode opcode, size_t payload_len);
/* Appends header and payload. */
void frame_append(struct buf *out, enum frame_opcode opcode, struct str payload);
/* Appends a close frame: code and reason (cut to 123 bytes at a UTF-8 boundary). code 0: an empty close. */
void frame_append_close(struct buf *out, uint16_t code, struct str reason);

/* True if a peer may send this code in a close frame (RFC 6455 7.4, IANA registry, 3000-4999). */
bool frame_close_code_valid(uint16_t code);

enum frame_event_kind {
    FRAME_EVENT_NONE,    /* all input is used up */
    FRAME_EVENT_MESSAGE, /* a whole text message, valid UTF-8 */
    FRAME_EVENT_PING,    /* payload ≤ 125 bytes */
    FRAME_EVENT_PONG,
    FRAME_EVENT_CLOSE, /* close_code (1005 if the frame had none), payload = reason */
    FRAME_EVENT_ERROR, /* protocol violation: close with close_code and reason; the decoder takes nothing more */
};

struct frame_event {
    enum frame_event_kind kind;
    uint16_t close_code; /* 1002, 1003 (binary), 1007 (UTF-8), 1009 (over max_message) for ERROR */
    const char *reason;  /* static text for ERROR */
    struct str payload;  /* valid until the next call */
};

struct frame_decoder {
    struct buf *message;   /* the fragments or the partial frame so far; NULL when there are none */
    uint32_t max_message;  /* bytes in one message; larger is refused from the header alone, before any allocation */
    uint32_t payload_left; /* of the frame at hand, which has passed max_message */
    uint8_t header[14], header_len;
    uint8_t mask_at;
    uint8_t opcode, message_opcode; /* opcode of the frame at hand; of the message being joined, 0 if none */
    uint8_t flags;
    struct utf8 utf8;
};

void frame_decoder_init(struct frame_decoder *d, uint32_t max_message);
/* Takes from *in, unmasking it in place, until one event is there, and advances *in and *n past what it used. Call it
 * until it returns FRAME_EVENT_NONE. After ERROR or CLOSE it takes and returns nothing more. */
struct frame_event frame_decode(struct frame_decoder *d, uint8_t **in, size_t *n);
/* True while a header, frame or message is incomplete: such a peer gets a deadline. */
bool frame_decoder_partial(const struct frame_decoder *d);
void frame_decoder_dispose(struct frame_decoder *d);

#endif
