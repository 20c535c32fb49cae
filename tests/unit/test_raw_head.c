/* Finding the head of a request again in what came over the socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "server/raw_head.h"

#define HEAD "GET / HTTP/1.1\r\nhost: a\r\n\r\n"

static void raw_head_ends_at_its_blank_line(void **state)
{
    (void)state;
    assert_true(str_eq(raw_head(STR_LIT(HEAD)), STR_LIT(HEAD)));
    assert_true(str_eq(raw_head(STR_LIT(HEAD "body\r\n\r\n" HEAD)), STR_LIT(HEAD)));
    assert_true(str_eq(raw_head(STR_LIT("GET / HTTP/1.0\r\n\r\n")), STR_LIT("GET / HTTP/1.0\r\n\r\n")));
}

static void raw_head_with_bare_line_feeds_is_found_as_h2o_found_it(void **state)
{
    (void)state;
    assert_true(
        str_eq(raw_head(STR_LIT("GET / HTTP/1.1\nhost: a\n\nX\r\n\r\n")), STR_LIT("GET / HTTP/1.1\nhost: a\n\n")));
    assert_true(
        str_eq(raw_head(STR_LIT("GET / HTTP/1.1\r\nhost: a\n\r\nX")), STR_LIT("GET / HTTP/1.1\r\nhost: a\n\r\n")));
}

static void raw_head_leaves_out_one_empty_line_before_it(void **state)
{
    (void)state;
    assert_true(str_eq(raw_head(STR_LIT("\r\n" HEAD)), STR_LIT(HEAD)));
}

static void raw_head_without_a_blank_line_is_none(void **state)
{
    (void)state;
    assert_int_equal(raw_head(STR_LIT("GET / HTTP/1.1\r\nhost: a\r\n")).n, 0);
    assert_int_equal(raw_head(STR_LIT("")).n, 0);
    assert_int_equal(raw_head(STR_LIT("\r\n")).n, 0);
}

static void raw_head_is_chunked_by_its_field_only(void **state)
{
    (void)state;
    assert_true(raw_head_is_chunked(STR_LIT("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")));
    assert_false(
        raw_head_is_chunked(STR_LIT("POST /transfer-encoding: HTTP/1.1\r\nx: transfer-encoding: chunked\r\n\r\n")));
}

static void raw_target_of_absolute_form_loses_its_authority(void **state)
{
    (void)state;
    assert_true(str_eq(raw_target_path(STR_LIT("/events")), STR_LIT("/events")));
    assert_true(str_eq(raw_target_path(STR_LIT("http://a:8000/events")), STR_LIT("/events")));
    assert_true(str_eq(raw_target_path(STR_LIT("HTTPS://a/")), STR_LIT("/")));
    assert_true(str_eq(raw_target_path(STR_LIT("http://a")), STR_LIT("/")));
    assert_true(str_eq(raw_target_path(STR_LIT("*")), STR_LIT("*")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_head_ends_at_its_blank_line),
        cmocka_unit_test(raw_head_with_bare_line_feeds_is_found_as_h2o_found_it),
        cmocka_unit_test(raw_head_leaves_out_one_empty_line_before_it),
        cmocka_unit_test(raw_head_without_a_blank_line_is_none),
        cmocka_unit_test(raw_head_is_chunked_by_its_field_only),
        cmocka_unit_test(raw_target_of_absolute_form_loses_its_authority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
