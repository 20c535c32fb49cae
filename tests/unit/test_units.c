/* core/units.c: durations, sizes, counts, rates and addresses, as people write them and as they must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/units.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

struct number_case {
    const char *text;
    uint64_t value;
};

static void assert_reads(int (*read)(struct str, uint64_t *), const struct number_case *cases, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        uint64_t value = 0;
        if (read(str_of(cases[i].text), &value) != 0)
            fail_msg("\"%s\" was refused", cases[i].text);
        assert_int_equal(value, cases[i].value);
    }
}

static void assert_refuses(int (*read)(struct str, uint64_t *), const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        uint64_t value = 77;
        if (read(str_of(texts[i]), &value) == 0)
            fail_msg("\"%s\" was accepted", texts[i]);
        assert_int_equal(value, 77);
    }
}

static void counts_are_decimal_digits_up_to_64_bits(void **state)
{
    static const struct number_case good[] = {{"0", 0}, {"007", 7}, {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616", "99999999999999999999"};

    assert_reads(units_parse_count, good, LEN(good));
    assert_refuses(units_parse_count, bad, LEN(bad));
}

static void a_bare_duration_is_seconds(void **state)
{
    static const struct number_case good[] = {
        {"0", 0},       {"250ms", 250},    {"30", 30000}, {"30s", 30000},
        {"5m", 300000}, {"24h", 86400000}, {"0ms", 0},    {"1000000h", 3600000000000}};
    static const char *const bad[] = {"",   "s",     "1.5s", "30 s",  "30S",
                                      "1d", "1h30m", "-1s",  "30sec", "18446744073709551615s"};

    assert_reads(units_parse_duration, good, LEN(good));
    assert_refuses(units_parse_duration, bad, LEN(bad));
}

static void a_size_counts_in_powers_of_1024(void **state)
{
    static const struct number_case good[] = {{"1", 1}, {"64K", 65536}, {"16M", 16777216}, {"4G", 4294967296}};
    static const char *const bad[] = {"", "K", "64k", "64KB", "64Ki", "1.5M", "1T", "18014398509481984K"};

    assert_reads(units_parse_size, good, LEN(good));
    assert_refuses(units_parse_size, bad, LEN(bad));
}

static void a_rate_has_a_burst_of_its_own_or_its_rate(void **state)
{
    struct rate r;

    assert_int_equal(units_parse_rate(STR_LIT("20/s burst 40"), &r), 0);
    assert_int_equal(r.per_second, 20);
    assert_int_equal(r.burst, 40);
    assert_int_equal(units_parse_rate(STR_LIT("1000000/s"), &r), 0);
    assert_int_equal(r.burst, 1000000);
    assert_int_equal(units_parse_rate(STR_LIT("off"), &r), 0);
    assert_int_equal(r.per_second, 0);
    assert_int_equal(r.burst, 1);
}

static void a_rate_of_another_form_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "20",
                                      "/s",
                                      "0/s",
                                      "20/m",
                                      "20/s burst",
                                      "20/s ",
                                      "20/s burst 0",
                                      "20/s 40",
                                      "1000001/s",
                                      "20/s burst 1000001",
                                      "-1/s",
                                      "20/s burst 40 x",
                                      "s",
                                      "20/s bust 40",
                                      "OFF"};

    for (size_t i = 0; i < LEN(bad); ++i) {
        struct rate r;
        if (units_parse_rate(str_of(bad[i]), &r) == 0)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void assert_listen(const char *text, const char *host, uint16_t port)
{
    struct listen_address a = {0};
    struct buf out = {0};
    const char *wrong = listen_address_parse(str_of(text), &a);

    if (wrong != NULL)
        fail_msg("\"%s\": %s", text, wrong);
    assert_int_equal(a.kind, LISTEN_TCP);
    assert_string_equal(a.host, host);
    assert_int_equal(a.port, port);
    listen_address_format(&out, &a);
    buf_append_char(&out, '\0');
    if (text[0] != ':')
        assert_string_equal(out.p, text);
    buf_free(&out);
    listen_address_dispose(&a);
}

static void an_address_to_listen_on_may_be_a_name_ip4_ip6_or_any(void **state)
{
    assert_listen("[::]:8000", "::", 8000);
    assert_listen("[2001:db8::1]:0", "2001:db8::1", 0);
    assert_listen("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535);
    assert_listen("0.0.0.0:8000", "0.0.0.0", 8000);
    assert_listen("localhost:80", "localhost", 80);
    assert_listen(":9464", "::", 9464);
}

static void an_address_to_listen_on_may_be_a_unix_socket(void **state)
{
    struct listen_address a = {0};
    struct buf out = {0};

    assert_null(listen_address_parse(STR_LIT("unix:/run/belfry.sock"), &a));
    assert_int_equal(a.kind, LISTEN_UNIX);
    assert_string_equal(a.path, "/run/belfry.sock");
    listen_address_format(&out, &a);
    assert_memory_equal(out.p, "unix:/run/belfry.sock", out.n);
    buf_free(&out);
    listen_address_dispose(&a);
    assert_int_equal(a.kind, LISTEN_UNSET);
}

static void an_address_to_listen_on_of_another_form_is_refused(void **state)
{
    static const char *const bad[] = {
        "",         "8000",        "localhost", "localhost:", "localhost:65536", "localhost:-1", "localhost:http",
        "::1:8000", "[::1]",       "[::1]8000", "[::1:8000",  "[]:8000",         "[::1%]:80",    "[1.2.3.4]:80",
        "[:::]:80", "300.1.1.1:8", "1.2.3:80",  "a b:80",     "http://x:80",     "*:80",         "unix:",
        "unix:/",   "unix:x.sock", ":",         ":70000",     "a/b:80"};

    for (size_t i = 0; i < LEN(bad); ++i) {
        struct listen_address a = {0};
        if (listen_address_parse(str_of(bad[i]), &a) == NULL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_null(a.host);
        assert_null(a.path);
    }
}

static void a_unix_path_ends_where_the_kernel_ends_it(void **state)
{
    char text[5 + 109] = "unix:/";
    struct listen_address a = {0};

    memset(text + 6, 'x', 107);
    assert_non_null(listen_address_parse((struct str){text, 5 + 108}, &a));
    assert_null(listen_address_parse((struct str){text, 5 + 107}, &a));
    assert_int_equal(strlen(a.path), 107);
    listen_address_dispose(&a);
}

static void addresses_are_equal_unless_the_port_is_any(void **state)
{
    struct listen_address a = {.kind = LISTEN_TCP, .host = (char *)"::", .port = 8000}, b = a;
    struct listen_address u = {.kind = LISTEN_UNIX, .path = (char *)"/a"}, off = {.kind = LISTEN_OFF};

    assert_true(listen_address_eq(&a, &b));
    b.host = (char *)"::1";
    assert_false(listen_address_eq(&a, &b));
    a.port = 0;
    assert_false(listen_address_eq(&a, &a));
    assert_true(listen_address_eq(&u, &u));
    assert_false(listen_address_eq(&u, &a));
    assert_false(listen_address_eq(&off, &off));
}

static void assert_text(struct buf *b, const char *text)
{
    assert_int_equal(b->n, strlen(text));
    assert_memory_equal(b->p, text, b->n);
    b->n = 0;
}

static void values_are_written_in_the_largest_unit_that_divides(void **state)
{
    struct buf b = {0};

    units_format_duration(&b, 0);
    assert_text(&b, "0");
    units_format_duration(&b, 90000);
    assert_text(&b, "90s");
    units_format_duration(&b, 86400000);
    assert_text(&b, "24h");
    units_format_duration(&b, 1500);
    assert_text(&b, "1500ms");
    units_format_size(&b, 65536);
    assert_text(&b, "64K");
    units_format_size(&b, 1025);
    assert_text(&b, "1025");
    units_format_rate(&b, (struct rate){20, 40});
    assert_text(&b, "20/s burst 40");
    units_format_rate(&b, (struct rate){0, 1});
    assert_text(&b, "off");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_decimal_digits_up_to_64_bits),
        cmocka_unit_test(a_bare_duration_is_seconds),
        cmocka_unit_test(a_size_counts_in_powers_of_1024),
        cmocka_unit_test(a_rate_has_a_burst_of_its_own_or_its_rate),
        cmocka_unit_test(a_rate_of_another_form_is_refused),
        cmocka_unit_test(an_address_to_listen_on_may_be_a_name_ip4_ip6_or_any),
        cmocka_unit_test(an_address_to_listen_on_may_be_a_unix_socket),
        cmocka_unit_test(an_address_to_listen_on_of_another_form_is_refused),
        cmocka_unit_test(a_unix_path_ends_where_the_kernel_ends_it),
        cmocka_unit_test(addresses_are_equal_unless_the_port_is_any),
        cmocka_unit_test(values_are_written_in_the_largest_unit_that_divides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
