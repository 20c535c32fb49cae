/* core/clock.c: RFC 3339 out and in, held against the C library's calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "core/clock.h"

#define SECOND 1000000000ll

static void assert_formats(uint64_t unix_ms, const char *expected)
{
    char text[RFC3339_LEN + 1];

    text[RFC3339_LEN] = '#';
    rfc3339_format(text, unix_ms);
    assert_int_equal(text[RFC3339_LEN], '#');
    text[RFC3339_LEN] = '\0';
    assert_string_equal(text, expected);
}

static void assert_parses(const char *text, int64_t expected_ns)
{
    int64_t ns = 42;

    if (rfc3339_parse(str_of(text), &ns) != 0)
        fail_msg("refused: %s", text);
    assert_true(ns == expected_ns);
}

static void assert_refused(const char *text)
{
    int64_t ns;

    if (rfc3339_parse(str_of(text), &ns) == 0)
        fail_msg("accepted: %s", text);
}

static void moments_are_written_with_milliseconds_in_utc(void **state)
{
    assert_formats(0, "1970-01-01T00:00:00.000Z");
    assert_formats(1762639200123, "2025-11-08T22:00:00.123Z");
    assert_formats(951782399999, "2000-02-28T23:59:59.999Z");
    assert_formats(951782400000, "2000-02-29T00:00:00.000Z");
    assert_formats(253402300799999, "9999-12-31T23:59:59.999Z");
    assert_formats(UINT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void every_day_of_many_years_agrees_with_the_c_library(void **state)
{
    for (int64_t day = 0; day < 2932897; day += 1 + day % 3) {
        time_t t = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char text[40];
        int64_t ns;

        gmtime_r(&t, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
        assert_formats((uint64_t)t * 1000 + 7, text);
        assert_int_equal(rfc3339_parse(str_of(text), &ns), 0);
        if (tm.tm_year < 350)
            assert_true(ns == t * SECOND + 7000000);
    }
}

static void offsets_and_fractions_are_read(void **state)
{
    assert_parses("1970-01-01T00:00:00Z", 0);
    assert_parses("1970-01-01t00:00:00z", 0);
    assert_parses("1970-01-01T01:30:00+01:30", 0);
    assert_parses("1969-12-31T19:00:00-05:00", 0);
    assert_parses("1970-01-01T00:00:00-00:00", 0);
    assert_parses("1970-01-01T00:00:01.5Z", 1500000000);
    assert_parses("1970-01-01T00:00:00.123456789987Z", 123456789);
    assert_parses("1969-12-31T23:59:59.25Z", -750000000);
    assert_parses("2025-11-08T22:00:00.123+00:00", 1762639200123 * 1000000);
}

static void dates_that_do_not_exist_are_refused(void **state)
{
    assert_refused("2025-02-29T00:00:00Z");
    assert_refused("2100-02-29T00:00:00Z");
    assert_refused("2025-04-31T00:00:00Z");
    assert_refused("2025-00-10T00:00:00Z");
    assert_refused("2025-13-10T00:00:00Z");
    assert_refused("2025-01-00T00:00:00Z");
    assert_refused("2025-01-32T00:00:00Z");
    assert_refused("2025-01-01T24:00:00Z");
    assert_refused("2025-01-01T00:60:00Z");
    assert_refused("2025-01-01T00:00:61Z");
    assert_refused("2025-01-01T00:00:00+24:00");
    assert_refused("2025-01-01T00:00:00+00:60");
}

static void other_forms_are_refused(void **state)
{
    assert_refused("");
    assert_refused("2025-01-01");
    assert_refused("2025-01-01T00:00:00");
    assert_refused("2025-01-01 00:00:00Z");
    assert_refused("2025-01-01T00:00Z");
    assert_refused("2025-01-01T00:00:00.Z");
    assert_refused("2025-01-01T00:00:00,5Z");
    assert_refused("2025-01-01T00:00:00+0100");
    assert_refused("2025-01-01T00:00:00+01");
    assert_refused("2025-01-01T00:00:00Z ");
    assert_refused(" 2025-01-01T00:00:00Z");
    assert_refused("+025-01-01T00:00:00Z");
    assert_refused("2025-1-01T00:00:00Z");
    assert_refused("20250101T000000Z");
    assert_refused("2025-01-01T00:00:0\xd9\xa1Z");
}

static void every_beginning_of_a_date_time_is_refused(void **state)
{
    struct str whole = STR_LIT("2025-01-01T00:00:00.123+01:00");
    int64_t ns;

    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(rfc3339_parse((struct str){whole.p, n}, &ns), -1);
    assert_int_equal(rfc3339_parse(whole, &ns), 0);
}

static void a_leap_second_ends_a_month_in_utc(void **state)
{
    assert_parses("2016-12-31T23:59:60Z", 1483228800 * SECOND);
    assert_parses("2016-12-31T15:59:60.5-08:00", 1483228800 * SECOND + SECOND / 2);
    assert_parses("2017-01-01T08:59:60+09:00", 1483228800 * SECOND);
    assert_refused("2016-12-30T23:59:60Z");
    assert_refused("2016-12-31T22:59:60Z");
    assert_refused("2016-12-31T23:59:60-08:00");
}

static void moments_beyond_nanoseconds_keep_their_side(void **state)
{
    assert_parses("9999-12-31T23:59:59Z", INT64_MAX);
    assert_parses("2262-04-11T23:47:16.854775807Z", INT64_MAX);
    assert_parses("0000-02-29T00:00:00Z", INT64_MIN);
    assert_parses("1600-01-01T00:00:00Z", INT64_MIN);
}

static void the_clocks_move(void **state)
{
    uint64_t before = clock_monotonic_ms();

    assert_true(clock_monotonic_ms() >= before);
    assert_true(clock_unix_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_written_with_milliseconds_in_utc),
        cmocka_unit_test(every_day_of_many_years_agrees_with_the_c_library),
        cmocka_unit_test(offsets_and_fractions_are_read),
        cmocka_unit_test(dates_that_do_not_exist_are_refused),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(every_beginning_of_a_date_time_is_refused),
        cmocka_unit_test(a_leap_second_ends_a_month_in_utc),
        cmocka_unit_test(moments_beyond_nanoseconds_keep_their_side),
        cmocka_unit_test(the_clocks_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
