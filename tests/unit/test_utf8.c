/* Strict UTF-8: what RFC 3629 allows and every way to break it, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/utf8.h"

static bool valid_by_bytes(struct str s)
{
    struct utf8 u = {0};

    for (size_t i = 0; i < s.n; i++) {
        if (!utf8_feed(&u, s.p + i, 1))
            return false;
    }
    return utf8_complete(&u);
}

static void expect(struct str s, bool valid)
{
    char padded[128] = ""; /* behind a run of ASCII the fast path ends in the middle of eight bytes */
    size_t pad = s.n % 9;

    assert_int_equal(utf8_valid(s), valid);
    assert_int_equal(valid_by_bytes(s), valid);
    assert_true(s.n + pad <= sizeof(padded));
    memset(padded, 'a', pad);
    if (s.n > 0)
        memcpy(padded + pad, s.p, s.n);
    assert_int_equal(utf8_valid((struct str){padded, pad + s.n}), valid);
}

static void text_of_every_length_is_valid(void **state)
{
    expect(STR_NONE, true);
    expect(STR_LIT(""), true);
    expect(STR_LIT("plain ASCII, longer than eight bytes"), true);
    expect(STR_LIT("\0nul is a character"), true);
    expect(STR_LIT("Kočka leze dírou, 12345678 pes oknem"), true);
    expect(STR_LIT("κόσμε"), true);
    expect(STR_LIT("日本語"), true);
    expect(STR_LIT("🔔 rings once 🔔"), true);
}

static void the_edges_of_each_range_are_valid(void **state)
{
    expect(STR_LIT("\x7f"), true);
    expect(STR_LIT("\xc2\x80"), true);
    expect(STR_LIT("\xdf\xbf"), true);
    expect(STR_LIT("\xe0\xa0\x80"), true);
    expect(STR_LIT("\xed\x9f\xbf"), true);
    expect(STR_LIT("\xee\x80\x80"), true);
    expect(STR_LIT("\xef\xbf\xbf"), true);
    expect(STR_LIT("\xf0\x90\x80\x80"), true);
    expect(STR_LIT("\xf4\x8f\xbf\xbf"), true);
}

static void overlong_forms_are_refused(void **state)
{
    expect(STR_LIT("\xc0\x80"), false);
    expect(STR_LIT("\xc1\xbf"), false);
    expect(STR_LIT("\xe0\x80\x80"), false);
    expect(STR_LIT("\xe0\x9f\xbf"), false);
    expect(STR_LIT("\xf0\x80\x80\x80"), false);
    expect(STR_LIT("\xf0\x8f\xbf\xbf"), false);
}

static void surrogates_and_too_high_values_are_refused(void **state)
{
    expect(STR_LIT("\xed\xa0\x80"), false);
    expect(STR_LIT("\xed\xbf\xbf"), false);
    expect(STR_LIT("\xed\xa0\x80\xed\xb0\x80"), false);
    expect(STR_LIT("\xf4\x90\x80\x80"), false);
    expect(STR_LIT("\xf5\x80\x80\x80"), false);
    expect(STR_LIT("\xf7\xbf\xbf\xbf"), false);
    expect(STR_LIT("\xf8\x88\x80\x80\x80"), false);
    expect(STR_LIT("\xfe"), false);
    expect(STR_LIT("\xff"), false);
}

static void stray_and_missing_continuations_are_refused(void **state)
{
    expect(STR_LIT("\x80"), false);
    expect(STR_LIT("abc\xbf"), false);
    expect(STR_LIT("\xc3"), false);
    expect(STR_LIT("\xc3("), false);
    expect(STR_LIT("\xe2\x82"), false);
    expect(STR_LIT("\xe2\x82("), false);
    expect(STR_LIT("\xf0\x9f\x94"), false);
    expect(STR_LIT("12345678\xf0\x9f"), false);
    expect(STR_LIT("\xc3\xa9\xa9"), false);
}

/* What a code point's encoding ought to be, written down a second time: by value, not by ranges of bytes. */
static size_t encode(uint32_t c, uint8_t out[4])
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

static void every_code_point_is_judged_by_its_value(void **state)
{
    for (uint32_t c = 0; c < 0x1fffff; c++) {
        uint8_t b[4];
        size_t n = encode(c, b);
        bool ought = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);

        if (utf8_valid((struct str){(const char *)b, n}) != ought)
            fail_msg("U+%X", (unsigned)c);
    }
}

static void it_fails_at_the_first_byte_that_cannot_be_right(void **state)
{
    struct utf8 u = {0};

    assert_true(utf8_feed(&u, "\xf4", 1));
    assert_false(utf8_complete(&u));
    assert_false(utf8_feed(&u, "\x90", 1)); /* two bytes before the end of the character */
}

static void expect_clean(struct str in, size_t max, struct str expected)
{
    char out[64];
    size_t n = utf8_clean(out, max, in);

    if (!str_eq((struct str){out, n}, expected))
        fail_msg("%.*s, not %.*s", (int)n, out, (int)expected.n, expected.p);
    assert_true(utf8_valid((struct str){out, n}));
}

static void any_bytes_can_be_shown(void **state)
{
    expect_clean(STR_LIT("Agent/1 (\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x94)"), 64,
                 STR_LIT("Agent/1 (\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x94)"));
    expect_clean(STR_LIT("a\tb\x7f"
                         "c\xc2\x85"
                         "d\0e"),
                 64, STR_LIT("a?b?c?d?e"));
    expect_clean(STR_LIT("\xfc"
                         "ber \xc3"),
                 64, STR_LIT("?ber ?"));
    expect_clean(STR_LIT("\xed\xa0\x80\xc0\x80\xe2\x82"), 64, STR_LIT("???????"));
    expect_clean(STR_LIT("ab\xe2\x82\xac"), 4, STR_LIT("ab"));
    expect_clean(STR_LIT("ab\xe2\x82\xac"), 5, STR_LIT("ab\xe2\x82\xac"));
    expect_clean(STR_LIT("abc"), 0, STR_LIT(""));
    expect_clean(STR_NONE, 64, STR_LIT(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_every_length_is_valid),
        cmocka_unit_test(the_edges_of_each_range_are_valid),
        cmocka_unit_test(overlong_forms_are_refused),
        cmocka_unit_test(surrogates_and_too_high_values_are_refused),
        cmocka_unit_test(stray_and_missing_continuations_are_refused),
        cmocka_unit_test(every_code_point_is_judged_by_its_value),
        cmocka_unit_test(it_fails_at_the_first_byte_that_cannot_be_right),
        cmocka_unit_test(any_bytes_can_be_shown),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
