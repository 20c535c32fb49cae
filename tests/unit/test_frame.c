/* WebSocket frames (RFC 6455): every case is fed whole, byte by byte and in random chunks, with equal results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/frame.h"
#include "frame_trace.h"

#define MAX_MESSAGE 70000

/* First byte of a frame. */
enum {
    TEXT = 0x81,
    TEXT_MORE = 0x01,
    CONT = 0x80,
    CONT_MORE = 0x00,
    CLOSE = 0x88,
    PING = 0x89,
    PONG = 0x8a,
    BIN = 0x82
};

static void put_masked(struct buf *out, struct str payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

    buf_append(out, (struct str){(const char *)mask, 4});
    for (size_t i = 0; i < payload.n; i++)
        buf_append_char(out, (char)(payload.p[i] ^ mask[i & 3]));
}

/* A frame as a client sends it. */
static void put_frame(struct buf *out, uint8_t first, struct str payload)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t n = frame_header(header, FRAME_TEXT, payload.n);

    header[0] = first;
    header[1] |= 0x80;
    buf_append(out, (struct str){(const char *)header, n});
    put_masked(out, payload);
}

static void assert_trace(const struct buf *trace, struct str expected, const char *how)
{
    if (!str_eq(buf_str(trace), expected))
        fail_msg("%s: expected\n%.*sgot\n%.*s", how, (int)expected.n, expected.p, (int)trace->n, trace->p);
}

static void run(struct str input, struct str expected, const char *how, size_t (*next)(void *), void *ctx)
{
    struct frame_decoder d;
    struct buf trace = {0};

    frame_decoder_init(&d, MAX_MESSAGE);
    trace_feed(&trace, &d, input, next, ctx);
    assert_trace(&trace, expected, how);
    if (!frame_decoder_partial(&d))
        assert_null(d.message);
    frame_decoder_dispose(&d);
    buf_free(&trace);
}

static void expect(struct str input, struct str expected)
{
    run(input, expected, "whole", trace_next_whole, NULL);
    run(input, expected, "byte by byte", trace_next_byte, NULL);
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t x = seed;

        run(input, expected, "random chunks", trace_next_random, &x);
    }
}

struct step {
    uint8_t first;
    struct str payload;
};
#define S(first, text)                                                                                                 \
    {                                                                                                                  \
        (first),                                                                                                       \
        {                                                                                                              \
            (text), sizeof(text) - 1                                                                                   \
        }                                                                                                              \
    }

struct frames_case {
    struct step steps[6]; /* up to the first with a NULL payload */
    const char *expected;
};

static void expect_frames(const struct frames_case *c)
{
    struct buf in = {0};

    for (size_t i = 0; i < 6 && c->steps[i].payload.p != NULL; i++)
        put_frame(&in, c->steps[i].first, c->steps[i].payload);
    expect(buf_str(&in), str_of(c->expected));
    buf_free(&in);
}

static void expect_all(const struct frames_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_frames(&cases[i]);
}
#define EXPECT_ALL(cases) expect_all((cases), sizeof(cases) / sizeof((cases)[0]))

static void messages_and_control_frames_come_out(void **state)
{
    static const struct frames_case cases[] = {
        {{S(TEXT, "hello")}, "message <hello>\n"},
        {{S(TEXT, "")}, "message <>\n"},
        {{S(TEXT, "12345678\xf0\x9f\x94\x94 and more than eight")},
         "message <12345678\xf0\x9f\x94\x94 and more than eight>\n"},
        {{S(PING, "")}, "ping <>\n"},
        {{S(PONG, "unasked")}, "pong <unasked>\n"},
        {{S(TEXT, "a"), S(TEXT, "b"), S(PING, "p"), S(TEXT, "c"), S(PONG, ""), S(TEXT, "d")},
         "message <a>\nmessage <b>\nping <p>\nmessage <c>\npong <>\nmessage <d>\n"},
    };
    struct buf in = {0};

    EXPECT_ALL(cases);
    put_frame(&in, PING, STR_LIT("\xff\x00 any bytes"));
    expect(buf_str(&in), STR_LIT("ping <\xff\x00 any bytes>\n"));
    buf_free(&in);
}

static void fragments_are_joined(void **state)
{
    static const struct frames_case cases[] = {
        {{S(TEXT_MORE, "he"), S(CONT, "llo")}, "message <hello>\n"},
        {{S(TEXT_MORE, "he"), S(CONT_MORE, "l"), S(CONT_MORE, ""), S(CONT, "lo")}, "message <hello>\n"},
        {{S(TEXT_MORE, ""), S(CONT_MORE, ""), S(CONT, "")}, "message <>\n"},
        {{S(TEXT_MORE, ""), S(CONT, "all in the last")}, "message <all in the last>\n"},
        {{S(TEXT_MORE, "all in the first"), S(CONT, "")}, "message <all in the first>\n"},
        {{S(TEXT_MORE, "a"), S(CONT, "b"), S(TEXT_MORE, "c"), S(CONT, "d"), S(TEXT, "e")},
         "message <ab>\nmessage <cd>\nmessage <e>\n"},
    };

    EXPECT_ALL(cases);
}

static void control_frames_pass_between_fragments(void **state)
{
    static const struct frames_case cases[] = {
        {{S(TEXT_MORE, "he"), S(PING, "ping"), S(CONT_MORE, "l"), S(PONG, "pong"), S(CONT, "lo"), S(PING, "")},
         "ping <ping>\npong <pong>\nmessage <hello>\nping <>\n"},
        {{S(TEXT_MORE, ""), S(PING, "ping"), S(PING, "2"), S(CONT, "x")}, "ping <ping>\nping <2>\nmessage <x>\n"},
        {{S(TEXT_MORE, "he"),
          S(CLOSE, "\x03\xe8"
                   "bye"),
          S(CONT, "llo")},
         "close 1000 <bye>\n"},
    };

    EXPECT_ALL(cases);
}

static void a_character_may_be_split_between_fragments(void **state)
{
    static const struct frames_case cases[] = {
        {{S(TEXT_MORE, "\xf0\x9f"), S(PING, "\xf0"), S(CONT_MORE, "\x94"), S(CONT, "\x94")},
         "ping <\xf0>\nmessage <\xf0\x9f\x94\x94>\n"},
        {{S(TEXT_MORE, "\xf0\x9f"), S(CONT, "")}, "error 1007 message is not UTF-8\n"},
    };

    EXPECT_ALL(cases);
}

static void bad_utf8_is_refused(void **state)
{
    static const struct frames_case cases[] = {
        {{S(TEXT, "\xc0\x80")}, "error 1007 message is not UTF-8\n"},
        {{S(TEXT, "cut \xe2\x82")}, "error 1007 message is not UTF-8\n"},
        {{S(TEXT, "\xed\xa0\x80")}, "error 1007 message is not UTF-8\n"},
        {{S(TEXT_MORE, "fine"), S(CONT_MORE, "\xff"), S(CONT, "never looked at")}, "error 1007 message is not UTF-8\n"},
        {{S(TEXT, "fine"), S(TEXT, "\x80"), S(TEXT, "dropped")}, "message <fine>\nerror 1007 message is not UTF-8\n"},
    };

    EXPECT_ALL(cases);
}

static void bad_utf8_is_refused_before_its_frame_is_complete(void **state)
{
    static const struct frames_case first = {{S(TEXT_MORE, "\xf4\x8f")}, ""};
    struct buf in = {0};

    expect_frames(&first);
    put_frame(&in, TEXT, STR_LIT("ab\xff the rest of this frame never comes"));
    expect((struct str){in.p, 2 + 4 + 3}, STR_LIT("error 1007 message is not UTF-8\n"));
    buf_free(&in);
}

static void broken_sequences_of_frames_are_protocol_errors(void **state)
{
    static const struct frames_case cases[] = {
        {{S(CONT, "x")}, "error 1002 continuation of no message\n"},
        {{S(CONT_MORE, "x")}, "error 1002 continuation of no message\n"},
        {{S(TEXT_MORE, "a"), S(CONT, "b"), S(CONT, "c")}, "message <ab>\nerror 1002 continuation of no message\n"},
        {{S(TEXT_MORE, "a"), S(TEXT, "b")}, "error 1002 new message inside a fragmented one\n"},
        {{S(TEXT_MORE, "a"), S(TEXT_MORE, "b")}, "error 1002 new message inside a fragmented one\n"},
        {{S(TEXT_MORE, "a"), S(BIN, "b")}, "error 1002 new message inside a fragmented one\n"},
        {{S(PING & 0x7f, "")}, "error 1002 control frame is fragmented\n"},
        {{S(PONG & 0x7f, "x")}, "error 1002 control frame is fragmented\n"},
        {{S(CLOSE & 0x7f, "")}, "error 1002 control frame is fragmented\n"},
        {{S(BIN, "x")}, "error 1003 binary messages are not accepted\n"},
        {{S(BIN & 0x7f, "")}, "error 1003 binary messages are not accepted\n"},
    };

    EXPECT_ALL(cases);
}

static void reserved_bits_and_opcodes_are_protocol_errors(void **state)
{
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first & 0x0f;
        struct frames_case c = {{S((uint8_t)first, "x")}, NULL};

        if ((first & 0x70) != 0)
            c.expected = "error 1002 reserved bit is set\n";
        else if ((opcode > 2 && opcode < 8) || opcode > 10)
            c.expected = "error 1002 reserved opcode\n";
        if (c.expected != NULL)
            expect_frames(&c);
    }
}

static void bad_headers_are_refused_before_the_payload(void **state)
{
    static const struct {
        struct str raw;
        const char *expected;
    } cases[] = {
        {STR_LIT("\x81\x05"), "error 1002 frame is not masked\n"},
        {STR_LIT("\x81\x00"), "error 1002 frame is not masked\n"},
        {STR_LIT("\x88\x02"), "error 1002 frame is not masked\n"},
        {STR_LIT("\x82\x01"), "error 1002 frame is not masked\n"},
        {STR_LIT("\x89\xfe"), "error 1002 control frame is longer than 125 bytes\n"},
        {STR_LIT("\x8a\xff"), "error 1002 control frame is longer than 125 bytes\n"},
        {STR_LIT("\x88\xfe"), "error 1002 control frame is longer than 125 bytes\n"},
        {STR_LIT("\x81\xfe\x00\x7d"), "error 1002 length is not in its shortest form\n"},
        {STR_LIT("\x81\xfe\x00\x00"), "error 1002 length is not in its shortest form\n"},
        {STR_LIT("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff"), "error 1002 length is not in its shortest form\n"},
        {STR_LIT("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05"), "error 1002 length is not in its shortest form\n"},
        {STR_LIT("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x05"), "error 1002 top bit of the length is set\n"},
        {STR_LIT("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "error 1002 top bit of the length is set\n"},
        {STR_LIT("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), "error 1009 message is too big\n"},
        {STR_LIT("\x81\xff\x00\x00\x00\x01\x00\x00\x00\x00"), "error 1009 message is too big\n"},
        {STR_LIT("\x81\xff\x00\x00\x00\x00\x00\x01\x11\x71"), "error 1009 message is too big\n"},
        {STR_LIT("\x81\xff\x00\x00\x00\x00\x00\x01\x11\x70"), ""}, /* 70000: exactly the limit */
        {STR_LIT("\x81\xfe\x00\x7e"), ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect(cases[i].raw, str_of(cases[i].expected));
}

static void put_run(struct buf *out, char c, size_t n)
{
    memset(buf_reserve(out, n), c, n);
    out->n += n;
}

static void every_form_of_length_is_read(void **state)
{
    static const size_t lengths[] = {1, 125, 126, 127, 255, 256, 65535, 65536, MAX_MESSAGE};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf text = {0}, in = {0}, expected = {0};

        put_run(&text, 'x', lengths[i]);
        put_frame(&in, TEXT, buf_str(&text));
        put_frame(&in, TEXT, STR_LIT("next"));
        buf_printf(&expected, "message <%.*s>\nmessage <next>\n", (int)text.n, text.p);
        expect(buf_str(&in), buf_str(&expected));
        buf_free(&text);
        buf_free(&in);
        buf_free(&expected);
    }
}

static void fragments_count_together_against_the_limit(void **state)
{
    struct buf part = {0}, in = {0}, expected = {0};

    put_run(&part, 'x', MAX_MESSAGE / 2);
    put_frame(&in, TEXT_MORE, buf_str(&part));
    put_frame(&in, PING, STR_LIT("does not count"));
    put_frame(&in, CONT_MORE, buf_str(&part));
    put_frame(&in, CONT, STR_LIT(""));
    buf_printf(&expected, "ping <does not count>\nmessage <%.*s%.*s>\n", (int)part.n, part.p, (int)part.n, part.p);
    expect(buf_str(&in), buf_str(&expected));

    in.n = expected.n = 0;
    put_frame(&in, TEXT_MORE, buf_str(&part));
    put_frame(&in, CONT_MORE, buf_str(&part));
    put_frame(&in, CONT_MORE, STR_LIT("x"));
    expect(buf_str(&in), STR_LIT("error 1009 message is too big\n"));
    buf_free(&part);
    buf_free(&in);
    buf_free(&expected);
}

static void a_control_frame_of_125_bytes_is_taken(void **state)
{
    struct buf text = {0}, in = {0}, expected = {0};

    put_run(&text, 'p', 125);
    put_frame(&in, TEXT_MORE, STR_LIT("a"));
    put_frame(&in, PING, buf_str(&text));
    put_frame(&in, CONT, STR_LIT("b"));
    buf_printf(&expected, "ping <%.*s>\nmessage <ab>\n", (int)text.n, text.p);
    expect(buf_str(&in), buf_str(&expected));
    buf_free(&text);
    buf_free(&in);
    buf_free(&expected);
}

static void close_frames_are_judged(void **state)
{
    static const struct frames_case cases[] = {
        {{S(CLOSE, "")}, "close 1005 <>\n"},
        {{S(CLOSE, "\x03")}, "error 1002 close frame of one byte\n"},
        {{S(CLOSE, "\x03\xe8")}, "close 1000 <>\n"},
        {{S(CLOSE, "\x03\xe9"
                   "gone away")},
         "close 1001 <gone away>\n"},
        {{S(CLOSE, "\x11\x94"
                   "h\xc3\xa9")},
         "close 4500 <h\xc3\xa9>\n"},
        {{S(CLOSE, "\x03\xe8\xc3")}, "error 1007 close reason is not UTF-8\n"},
        {{S(CLOSE, "\x03\xe8"
                   "abc\xff")},
         "error 1007 close reason is not UTF-8\n"},
        {{S(CLOSE, "\x03\xe8"), S(TEXT, "not heard"), S(PING, "neither")}, "close 1000 <>\n"},
        {{S(TEXT, "heard"), S(CLOSE, "\x03\xe8"), S(CLOSE, "\x03\xe8")}, "message <heard>\nclose 1000 <>\n"},
    };

    EXPECT_ALL(cases);
}

static void only_codes_a_peer_may_send_are_taken(void **state)
{
    static const unsigned bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char payload[2] = {(char)(bad[i] >> 8), (char)bad[i]};
        struct buf in = {0};

        put_frame(&in, CLOSE, (struct str){payload, 2});
        expect(buf_str(&in), STR_LIT("error 1002 invalid close code\n"));
        buf_free(&in);
    }
}

static void nothing_is_taken_after_an_error(void **state)
{
    struct frame_decoder d;
    uint8_t bytes[] = {0x81, 0x05, 'h', 'e', 'l', 'l', 'o'}, *in = bytes;
    size_t n = sizeof(bytes);

    frame_decoder_init(&d, MAX_MESSAGE);
    assert_int_equal(frame_decode(&d, &in, &n).kind, FRAME_EVENT_ERROR);
    size_t left = n;
    assert_int_equal(frame_decode(&d, &in, &n).kind, FRAME_EVENT_NONE);
    assert_int_equal(n, left);
    assert_false(frame_decoder_partial(&d));
    assert_null(d.message);
}

static void a_whole_message_is_not_copied(void **state)
{
    struct frame_decoder d;
    struct buf bytes = {0};
    struct frame_event e;

    put_frame(&bytes, TEXT, STR_LIT("in its place"));
    put_frame(&bytes, PING, STR_LIT("here too"));
    uint8_t *in = (uint8_t *)bytes.p;
    size_t n = bytes.n;
    frame_decoder_init(&d, MAX_MESSAGE);
    e = frame_decode(&d, &in, &n);
    assert_int_equal(e.kind, FRAME_EVENT_MESSAGE);
    assert_ptr_equal(e.payload.p, bytes.p + 6);
    e = frame_decode(&d, &in, &n);
    assert_int_equal(e.kind, FRAME_EVENT_PING);
    assert_ptr_equal(e.payload.p, bytes.p + 6 + 12 + 6);
    assert_null(d.message);
    buf_free(&bytes);
}

static void memory_is_held_only_while_something_is_incomplete(void **state)
{
    struct frame_decoder d;
    struct buf trace = {0}, in = {0};

    put_frame(&in, TEXT, STR_LIT("hello"));
    frame_decoder_init(&d, MAX_MESSAGE);
    assert_false(frame_decoder_partial(&d));
    trace_chunk(&trace, &d, (uint8_t *)in.p, 1);
    assert_true(frame_decoder_partial(&d));
    trace_chunk(&trace, &d, (uint8_t *)in.p + 1, 5); /* a header alone stays in the struct */
    assert_true(frame_decoder_partial(&d));
    assert_null(d.message);
    trace_chunk(&trace, &d, (uint8_t *)in.p + 6, 2);
    assert_true(frame_decoder_partial(&d));
    assert_non_null(d.message);
    trace_chunk(&trace, &d, (uint8_t *)in.p + 8, 3);
    assert_false(frame_decoder_partial(&d));
    assert_null(d.message);
    assert_trace(&trace, STR_LIT("message <hello>\n"), "in three");
    frame_decoder_dispose(&d);
    buf_free(&trace);
    buf_free(&in);
}

static void an_announced_length_reserves_nothing(void **state)
{
    struct frame_decoder d;
    struct buf trace = {0};

    frame_decoder_init(&d, 1 << 20);
    trace_chunk(&trace, &d, (const uint8_t *)"\x81\xff\x00\x00\x00\x00\x00\x10\x00\x00mask!", 15);
    assert_true(frame_decoder_partial(&d));
    assert_true(d.message->cap < 4096);
    frame_decoder_dispose(&d);
    assert_null(d.message);
    buf_free(&trace);
}

static void a_fragmented_message_is_incomplete_between_its_frames(void **state)
{
    struct frame_decoder d;
    struct buf trace = {0}, in = {0};

    put_frame(&in, TEXT_MORE, STR_LIT(""));
    frame_decoder_init(&d, MAX_MESSAGE);
    trace_chunk(&trace, &d, (uint8_t *)in.p, in.n);
    assert_true(frame_decoder_partial(&d));
    frame_decoder_dispose(&d);
    buf_free(&trace);
    buf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_control_frames_come_out),
        cmocka_unit_test(fragments_are_joined),
        cmocka_unit_test(control_frames_pass_between_fragments),
        cmocka_unit_test(a_character_may_be_split_between_fragments),
        cmocka_unit_test(bad_utf8_is_refused),
        cmocka_unit_test(bad_utf8_is_refused_before_its_frame_is_complete),
        cmocka_unit_test(broken_sequences_of_frames_are_protocol_errors),
        cmocka_unit_test(reserved_bits_and_opcodes_are_protocol_errors),
        cmocka_unit_test(bad_headers_are_refused_before_the_payload),
        cmocka_unit_test(every_form_of_length_is_read),
        cmocka_unit_test(fragments_count_together_against_the_limit),
        cmocka_unit_test(a_control_frame_of_125_bytes_is_taken),
        cmocka_unit_test(close_frames_are_judged),
        cmocka_unit_test(only_codes_a_peer_may_send_are_taken),
        cmocka_unit_test(nothing_is_taken_after_an_error),
        cmocka_unit_test(a_whole_message_is_not_copied),
        cmocka_unit_test(memory_is_held_only_while_something_is_incomplete),
        cmocka_unit_test(an_announced_length_reserves_nothing),
        cmocka_unit_test(a_fragmented_message_is_incomplete_between_its_frames),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
