/* What a server sends: frame headers, close frames, and the close codes that a peer may use (RFC 6455 5.2, 5.5.1, 7.4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/frame.h"

static void put_run(struct buf *out, char c, size_t n)
{
    memset(buf_reserve(out, n), c, n);
    out->n += n;
}

static void server_frames_have_the_shortest_header(void **state)
{
    static const struct {
        size_t len;
        struct str header;
    } cases[] = {
        {0, STR_LIT("\x81\x00")},
        {125, STR_LIT("\x81\x7d")},
        {126, STR_LIT("\x81\x7e\x00\x7e")},
        {65535, STR_LIT("\x81\x7e\xff\xff")},
        {65536, STR_LIT("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t dst[FRAME_HEADER_MAX];

        assert_int_equal(frame_header(dst, FRAME_TEXT, cases[i].len), cases[i].header.n);
        assert_memory_equal(dst, cases[i].header.p, cases[i].header.n);
    }
}

static void assert_bytes(const struct buf *b, struct str expected)
{
    assert_int_equal(b->n, expected.n);
    assert_memory_equal(b->p, expected.p, expected.n);
}

static void close_frames_are_written(void **state)
{
    struct buf out = {0};

    frame_append(&out, FRAME_PONG, STR_LIT("x"));
    assert_bytes(&out, STR_LIT("\x8a\x01x"));
    out.n = 0;
    frame_append_close(&out, 0, STR_NONE);
    assert_bytes(&out, STR_LIT("\x88\x00"));
    out.n = 0;
    frame_append_close(&out, 4401, STR_LIT("token expired"));
    assert_bytes(&out, STR_LIT("\x88\x0f\x11\x31token expired"));
    out.n = 0;
    frame_append_close(&out, 1000, STR_NONE);
    assert_bytes(&out, STR_LIT("\x88\x02\x03\xe8"));
    buf_free(&out);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct buf reason = {0}, out = {0};

    put_run(&reason, 'r', 121);
    buf_lit(&reason, "\xe2\x82\xac and more");
    frame_append_close(&out, 1001, buf_str(&reason));
    assert_int_equal(out.n, 2 + 2 + 121);
    assert_true(utf8_valid((struct str){out.p + 4, out.n - 4}));
    reason.n = out.n = 0;
    put_run(&reason, 'r', 120);
    buf_lit(&reason, "\xe2\x82\xac and more");
    frame_append_close(&out, 1001, buf_str(&reason));
    assert_int_equal(out.n, 2 + 125);
    buf_free(&reason);
    buf_free(&out);
}

static bool registered(unsigned code)
{
    switch (code) {
    case 1000:
    case 1001:
    case 1002:
    case 1003:
    case 1007:
    case 1008:
    case 1009:
    case 1010:
    case 1011:
    case 1012:
    case 1013:
    case 1014:
        return true;
    default:
        return code >= 3000 && code < 5000;
    }
}

static void close_codes_are_those_of_the_registry(void **state)
{
    for (unsigned code = 0; code < 65536; code++) {
        if (frame_close_code_valid((uint16_t)code) != registered(code))
            fail_msg("%u", code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_frames_have_the_shortest_header),
        cmocka_unit_test(close_frames_are_written),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(close_codes_are_those_of_the_registry),
    };

    return cmocka_run_group_tests_name("frame_encode", tests, NULL, NULL);
}
