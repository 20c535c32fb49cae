/* Origins: the same host by default, patterns where there are any, and every origin that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/origin.h"

static void assert_same_host(const char *origin, const char *host, bool expected)
{
    if (origin_allowed(str_of(origin), str_of(host), NULL) != expected)
        fail_msg("%s at %s", origin, host);
}

static void the_same_host_and_port_are_allowed(void **state)
{
    assert_same_host("https://app.example.org", "app.example.org", true);
    assert_same_host("http://app.example.org", "app.example.org", true);
    assert_same_host("https://App.Example.ORG", "aPP.example.org", true);
    assert_same_host("http://localhost:8000", "localhost:8000", true);
    assert_same_host("https://localhost:8000", "localhost:8000", true);
    assert_same_host("http://127.0.0.1:8000", "127.0.0.1:8000", true);
    assert_same_host("http://[::1]:8000", "[::1]:8000", true);
    assert_same_host("http://[2001:DB8::1]", "[2001:db8::1]", true);
}

static void a_missing_port_is_the_default_of_the_scheme(void **state)
{
    assert_same_host("https://app.example.org", "app.example.org:443", true);
    assert_same_host("https://app.example.org:443", "app.example.org", true);
    assert_same_host("http://app.example.org", "app.example.org:80", true);
    assert_same_host("http://[::1]", "[::1]:80", true);
    assert_same_host("http://app.example.org", "app.example.org:", true);
    assert_same_host("http://app.example.org:0080", "app.example.org:80", true);
    assert_same_host("http://app.example.org", "app.example.org:443", false);
    assert_same_host("https://app.example.org", "app.example.org:80", false);
    assert_same_host("https://app.example.org:8443", "app.example.org", false);
    assert_same_host("https://app.example.org", "app.example.org:8443", false);
}

static void another_host_is_refused(void **state)
{
    assert_same_host("https://evil.example", "app.example.org", false);
    assert_same_host("https://app.example.org.evil.example", "app.example.org", false);
    assert_same_host("https://xapp.example.org", "app.example.org", false);
    assert_same_host("https://app.example", "app.example.org", false);
    assert_same_host("http://[::1]:8000", "[::2]:8000", false);
    assert_same_host("http://localhost:8001", "localhost:8000", false);
    assert_same_host("http://localhost:80000", "localhost:8000", false);
}

static void what_is_no_origin_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "null",
                                      "app.example.org",
                                      "//app.example.org",
                                      "://app.example.org",
                                      "https:app.example.org",
                                      "https://",
                                      "https://app.example.org/",
                                      "https://app.example.org/path",
                                      "https://app.example.org?x",
                                      "https://app.example.org#x",
                                      "https://user@app.example.org",
                                      "https://evil.example@app.example.org",
                                      "https://app.example.org https://evil.example",
                                      "https://app.example.org, https://evil.example",
                                      "https://app.example.org:x",
                                      "https://app.example.org:443:443",
                                      "https://app.example.org:000443",
                                      " https://app.example.org",
                                      "https://app.example.org ",
                                      "https://*",
                                      "https://[*]",
                                      "https://app.example.org:*",
                                      "*",
                                      "ht*ps://app.example.org",
                                      "https://app.example.org\n",
                                      "https://[app.example.org]",
                                      "https://[::1",
                                      "https://[::1]x",
                                      "https://[]",
                                      "https://::1"};
    char *any[] = {(char *)"*", (char *)"app.example.org", (char *)"*://*:*", NULL};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_same_host(bad[i], "app.example.org", false);
        if (origin_allowed(str_of(bad[i]), STR_NONE, any))
            fail_msg("%s by pattern", bad[i]);
    }
    assert_false(origin_allowed(STR_NONE, STR_LIT("app.example.org"), NULL));
    assert_false(origin_allowed(STR_LIT("https://app.example.org\0"), STR_LIT("app.example.org"), NULL));
    assert_false(origin_allowed(STR_LIT("https://app.example.org\0"), STR_NONE, any));
}

static void what_is_no_host_allows_nothing(void **state)
{
    static const char *const bad[] = {"",
                                      "app.example.org, evil.example",
                                      "app.example.org/",
                                      "https://app.example.org",
                                      "app.example.org:x",
                                      "x@app.example.org",
                                      "*",
                                      " app.example.org"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_same_host("https://app.example.org", bad[i], false);
    assert_false(origin_allowed(STR_LIT("https://app.example.org"), STR_NONE, NULL));
}

static void assert_pattern(const char *pattern, const char *origin, bool expected)
{
    char *patterns[] = {(char *)"https://other.example", (char *)pattern, NULL};

    assert_true(origin_pattern_valid(str_of(pattern)));
    if (origin_allowed(str_of(origin), STR_LIT("ws.example.org"), patterns) != expected)
        fail_msg("%s by %s", origin, pattern);
}

static void exact_patterns_match_scheme_host_and_port(void **state)
{
    assert_pattern("https://app.example.org", "https://app.example.org", true);
    assert_pattern("HTTPS://App.example.org", "https://app.EXAMPLE.org", true);
    assert_pattern("https://app.example.org", "https://app.example.org:443", true);
    assert_pattern("https://app.example.org:443", "https://app.example.org", true);
    assert_pattern("https://app.example.org", "http://app.example.org", false);
    assert_pattern("https://app.example.org", "https://app.example.org:8443", false);
    assert_pattern("https://app.example.org:8443", "https://app.example.org:8443", true);
    assert_pattern("https://app.example.org", "https://app.example.org.evil.example", false);
    assert_pattern("https://app.example.org", "https://ws.example.org", false); /* the same host is no exception */
    assert_pattern("http://[::1]:3000", "http://[::1]:3000", true);
    assert_pattern("capacitor://localhost", "capacitor://localhost", true);
}

static void a_pattern_without_scheme_matches_http_and_https(void **state)
{
    assert_pattern("app.example.org", "https://app.example.org", true);
    assert_pattern("app.example.org", "http://app.example.org", true);
    assert_pattern("app.example.org", "capacitor://app.example.org", false);
    assert_pattern("app.example.org", "http://app.example.org:8080", false);
    assert_pattern("app.example.org:443", "http://app.example.org:443", true);
    assert_pattern("app.example.org:443", "http://app.example.org", false);
    assert_pattern("[::1]", "http://[::1]", true);
}

static void a_star_stands_for_characters_within_a_part(void **state)
{
    assert_pattern("https://*.example.org", "https://a.example.org", true);
    assert_pattern("https://*.example.org", "https://a.b.example.org", true);
    assert_pattern("https://*.example.org", "https://example.org", false);
    assert_pattern("https://*.example.org", "https://evilexample.org", false);
    assert_pattern("https://*.example.org", "https://a.example.org.evil.example", false);
    assert_pattern("https://*.example.org", "https://a.example.org:8443", false);
    assert_pattern("https://pr-*-app.*.example.org", "https://pr-17-app.eu.example.org", true);
    assert_pattern("https://pr-*-app.*.example.org", "https://pr-17-app.example.org", false);
    assert_pattern("https://a*b*c", "https://abbbcbc", true);
    assert_pattern("https://a*b*c", "https://abbbcb", false);
    assert_pattern("http://localhost:*", "http://localhost:5173", true);
    assert_pattern("http://localhost:*", "http://localhost", true);
    assert_pattern("http://localhost:51*", "http://localhost:5173", true);
    assert_pattern("http://localhost:51*", "http://localhost:5273", false);
    assert_pattern("http*://app.example.org", "https://app.example.org", true);
    assert_pattern("*://app.example.org", "capacitor://app.example.org", true);
    assert_pattern("https://*", "https://anything.example", true);
    assert_pattern("https://*", "https://anything.example:8443", false);
    assert_pattern("http://[*]:3000", "http://[2001:db8::1]:3000", true);
}

static void a_star_alone_allows_any_origin_but_null(void **state)
{
    assert_pattern("*", "https://anything.example:8443", true);
    assert_pattern("*", "capacitor://localhost", true);
    assert_pattern("*", "null", false);
    assert_pattern("null", "null", true);
    assert_pattern("null", "https://null", false);
    assert_pattern("*", "NULL", false);
}

static void no_pattern_at_all_allows_nothing(void **state)
{
    char *none[] = {NULL};

    assert_false(origin_allowed(STR_LIT("https://app.example.org"), STR_LIT("app.example.org"), none));
}

static void patterns_that_can_match_nothing_are_invalid(void **state)
{
    static const char *const bad[] = {"",
                                      "https://",
                                      "https://app.example.org/",
                                      "app.example.org/path",
                                      "https://a b",
                                      "https://[::1",
                                      "https://app.example.org:port",
                                      "https://user@app.example.org",
                                      "://app.example.org",
                                      "**/"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (origin_pattern_valid(str_of(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_host_and_port_are_allowed),
        cmocka_unit_test(a_missing_port_is_the_default_of_the_scheme),
        cmocka_unit_test(another_host_is_refused),
        cmocka_unit_test(what_is_no_origin_is_refused),
        cmocka_unit_test(what_is_no_host_allows_nothing),
        cmocka_unit_test(exact_patterns_match_scheme_host_and_port),
        cmocka_unit_test(a_pattern_without_scheme_matches_http_and_https),
        cmocka_unit_test(a_star_stands_for_characters_within_a_part),
        cmocka_unit_test(a_star_alone_allows_any_origin_but_null),
        cmocka_unit_test(no_pattern_at_all_allows_nothing),
        cmocka_unit_test(patterns_that_can_match_nothing_are_invalid),
    };

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
