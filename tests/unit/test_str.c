/* core/str.c: slices, secrets, splitting, the growable buffer and JSON strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/str.h"

#define assert_str(s, literal)                                                                                         \
    do {                                                                                                               \
        struct str got_ = (s);                                                                                         \
        assert_int_equal(got_.n, sizeof(literal) - 1);                                                                 \
        assert_memory_equal(got_.p, literal, sizeof(literal) - 1);                                                     \
    } while (0)

static void equality_ignores_case_of_ascii_only(void **state)
{
    assert_true(str_ieq(STR_LIT("Content-LENGTH"), STR_LIT("content-length")));
    assert_true(str_ieq(STR_NONE, STR_LIT("")));
    assert_false(str_ieq(STR_LIT("abc"), STR_LIT("abcd")));
    assert_false(str_ieq(STR_LIT("[a"), STR_LIT("{a")));
    assert_false(str_ieq(STR_LIT("\xc3\x84"), STR_LIT("\xc3\xa4")));
}

static void secrets_are_equal_only_byte_for_byte(void **state)
{
    assert_true(str_eq_secret(STR_LIT("s3cret\0x"), STR_LIT("s3cret\0x")));
    assert_true(str_eq_secret(STR_NONE, STR_NONE));
    assert_false(str_eq_secret(STR_LIT("s3cret"), STR_LIT("s3creT")));
    assert_false(str_eq_secret(STR_LIT("s3cret"), STR_LIT("S3cret")));
    assert_false(str_eq_secret(STR_LIT("s3cret"), STR_LIT("s3cre")));
}

static void trimming_takes_space_and_tab_off_both_ends(void **state)
{
    assert_str(str_trim(STR_LIT(" \t a b\t ")), "a b");
    assert_str(str_trim(STR_LIT("a\n")), "a\n");
    assert_int_equal(str_trim(STR_LIT(" \t")).n, 0);
    assert_null(str_trim(STR_NONE).p);
}

static void splitting_tells_a_last_empty_part_from_the_end(void **state)
{
    struct str rest = STR_LIT("a,,b,");

    assert_str(str_split(&rest, ','), "a");
    assert_str(str_split(&rest, ','), "");
    assert_str(str_split(&rest, ','), "b");
    assert_non_null(rest.p);
    assert_str(str_split(&rest, ','), "");
    assert_null(rest.p);
    assert_null(str_split(&rest, ',').p);
}

static void a_copy_is_terminated_even_of_nothing(void **state)
{
    char *p = str_dup((struct str){"abcdef", 3});
    assert_string_equal(p, "abc");
    free(p);
    p = str_dup(STR_NONE);
    assert_string_equal(p, "");
    free(p);
}

static void memory_of_no_bytes_is_still_a_pointer(void **state)
{
    void *p = mem_alloc(0);
    assert_non_null(p);
    p = mem_realloc(p, 0);
    assert_non_null(p);
    free(p);
    unsigned char *z = mem_zalloc(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(z[i], 0);
    free(z);
}

static void a_buffer_keeps_its_bytes_while_it_grows(void **state)
{
    struct buf b = {0};

    for (int i = 0; i < 10000; i++)
        buf_append_char(&b, (char)('a' + i % 26));
    buf_append(&b, STR_NONE);
    assert_int_equal(b.n, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.cap, 0);
}

static void reserving_makes_room_and_keeps_the_length(void **state)
{
    struct buf b = {0};

    assert_non_null(buf_reserve(&b, 0));
    buf_lit(&b, "ab");
    char *p = buf_reserve(&b, 1000);
    assert_int_equal(b.n, 2);
    assert_true(b.cap >= 1002);
    assert_ptr_equal(p, b.p + 2);
    buf_free(&b);
}

static void printing_longer_than_the_room_left_is_whole(void **state)
{
    struct buf b = {0};
    char word[301];

    memset(word, 'x', 300);
    word[300] = '\0';
    buf_printf(&b, "%s=%d;", "n", -7);
    buf_printf(&b, "%s!", word);
    assert_int_equal(b.n, 5 + 301);
    assert_memory_equal(b.p, "n=-7;xxx", 8);
    assert_int_equal(b.p[b.n - 1], '!');
    buf_free(&b);
}

static void printing_exactly_the_room_left_is_whole(void **state)
{
    for (int n = 60; n < 70; n++) {
        struct buf b = {0};
        buf_printf(&b, "%0*d", n, 7);
        assert_int_equal(b.n, n);
        assert_int_equal(b.p[n - 1], '7');
        buf_free(&b);
    }
}

static void a_json_string_escapes_what_it_must_and_nothing_else(void **state)
{
    struct buf b = {0};

    buf_json_string(&b, STR_LIT("\"\\/\b\f\n\r\t\x01\x1f\x00\x7f\xc3\xa4"));
    assert_str(buf_str(&b), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u0000\x7f\xc3\xa4\"");
    b.n = 0;
    buf_json_string(&b, STR_NONE);
    assert_str(buf_str(&b), "\"\"");
    b.n = 0;
    buf_json_string(&b, STR_LIT("\x0b"));
    assert_str(buf_str(&b), "\"\\u000b\"");
    b.n = 0;
    buf_json_string(&b, STR_LIT("plain ~"));
    assert_str(buf_str(&b), "\"plain ~\"");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_ignores_case_of_ascii_only),
        cmocka_unit_test(secrets_are_equal_only_byte_for_byte),
        cmocka_unit_test(trimming_takes_space_and_tab_off_both_ends),
        cmocka_unit_test(splitting_tells_a_last_empty_part_from_the_end),
        cmocka_unit_test(a_copy_is_terminated_even_of_nothing),
        cmocka_unit_test(memory_of_no_bytes_is_still_a_pointer),
        cmocka_unit_test(a_buffer_keeps_its_bytes_while_it_grows),
        cmocka_unit_test(reserving_makes_room_and_keeps_the_length),
        cmocka_unit_test(printing_longer_than_the_room_left_is_whole),
        cmocka_unit_test(printing_exactly_the_room_left_is_whole),
        cmocka_unit_test(a_json_string_escapes_what_it_must_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
