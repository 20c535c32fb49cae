/* Tests of the strict JSON check and of the walk over checked text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/json.h"

/* The text stands in memory of exactly its size, so that a sanitizer sees every byte read beyond it. */
static const char *check_n(const char *text, size_t n)
{
    static char *last;
    free(last);
    last = mem_alloc(n + 1);
    memcpy(last, text, n);
    last = mem_realloc(last, n == 0 ? 1 : n);
    return json_check((struct str){last, n});
}
#define CHECK(text) check_n((text), sizeof(text) - 1)

static void json_that_rfc_8259_allows_passes(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " {\"a\" : [ ] }\r\n\t",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.50",
        "-1.5e-7",
        "1E+5",
        "[1e400,-1e400]",
        "\"\"",
        "\"a\"",
        "\"\\/\"",
        "[[],{}]",
        "\"\\u00e9\"",
        "\"\x7f\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"",
        "{\"\":1}",
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "{\"\\u0000\":\"\\u0000\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
        const char *problem = check_n(texts[i], strlen(texts[i]));
        if (problem != NULL)
            fail_msg("%s: %s", texts[i], problem);
    }
}

static void text_that_is_no_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{1:2}",
        "{\"a\":}",
        "[1 2]",
        "1 2",
        "{} x",
        "{}{}",
        "01",
        "-01",
        "+1",
        ".5",
        "1.",
        "-",
        "1e",
        "0x10",
        "NaN",
        "nul",
        "truex",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\n\"",
        "\"\\",
        "/*x*/1",
        "\v1",
        "[1,\f2]",
        "[}",
        "{]",
        "\xef\xbb\xbf{}",
        "a",
        "//x\n1",
        "[,]",
        ":",
        "[1]\v",
        "\"\x01\"",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
        const char *problem = check_n(texts[i], strlen(texts[i]));
        if (problem == NULL || strcmp(problem, "not JSON") != 0)
            fail_msg("%s: %s", texts[i], problem == NULL ? "passed" : problem);
    }
    assert_string_equal(CHECK("[1]\0"), "not JSON");
    assert_string_equal(CHECK("\0"), "not JSON");
    assert_string_equal(CHECK("\"\0\""), "not JSON");
    assert_string_equal(json_check(STR_NONE), "not JSON");
}

static void bytes_that_are_no_strict_utf8_are_refused(void **state)
{
    assert_string_equal(CHECK("\"\xc0\x80\""), "not UTF-8");
    assert_string_equal(CHECK("\"\xed\xa0\x80\""), "not UTF-8");
    assert_string_equal(CHECK("\"\xf7\xbf\xbf\xbf\""), "not UTF-8");
    assert_string_equal(CHECK("\"\xe2\x82"), "not UTF-8");
    assert_string_equal(CHECK("{\"\xff\":1}"), "not UTF-8");
}

static void a_surrogate_escape_without_its_half_is_refused(void **state)
{
    assert_string_equal(CHECK("\"\\ud800\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\udc00\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\uD83Dx\\uDE00\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\ud83d\\u0041\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\ud83d\\ud83d\\ude00\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\ude00\\ud83d\""), "lone surrogate escape");
    assert_string_equal(CHECK("{\"\\udfff\":1}"), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\ud83d\\n\\ude00\""), "lone surrogate escape");
    assert_string_equal(CHECK("\"\\udc00\\udc00\""), "lone surrogate escape");
    assert_null(CHECK("\"\\\\ud800\"")); /* an escaped backslash, then letters */
    assert_null(CHECK("\"\\uDBFF\\uDFFF\\uE000\\uD7ff\""));
}

static const char *check_nested(unsigned depth, char open, char close)
{
    char text[128];
    memset(text, open, depth);
    memset(text + depth, close, depth);
    return check_n(text, 2 * depth);
}

static void nesting_ends_at_its_limit(void **state)
{
    assert_null(check_nested(JSON_DEPTH_MAX, '[', ']'));
    assert_string_equal(check_nested(JSON_DEPTH_MAX + 1, '[', ']'), "nested deeper than 32");
    struct json_limits two = {.depth = 2, .unique_levels = 2};
    assert_null(json_check_limits(STR_LIT("[{},[]]"), two));
    assert_string_equal(json_check_limits(STR_LIT("[{\"a\":[]}]"), two), "nested deeper than 2");
}

static void ten_million_levels_are_refused_at_once(void **state)
{
    size_t n = 10 * 1000 * 1000;
    char *text = mem_alloc(n);
    memset(text, '[', n);
    assert_string_equal(json_check((struct str){text, n}), "nested deeper than 32");
    free(text);
}

static void a_member_that_stands_twice_is_named(void **state)
{
    assert_string_equal(CHECK("{\"a\":1,\"b\":2,\"a\":3}"), "duplicate member \"a\"");
    assert_string_equal(CHECK("{\"x\":{\"b\":1,\"b\":1}}"), "duplicate member \"b\"");
    assert_string_equal(CHECK("[{\"c\":1,\"c\":1}]"), "duplicate member \"c\"");
    assert_string_equal(CHECK("{\"type\":1,\"t\\u0079pe\":2}"), "duplicate member \"type\"");
    assert_string_equal(CHECK("{\"\\u0061\":1,\"\\u0062\":2,\"\\u0061\":3}"), "duplicate member \"a\"");
    assert_string_equal(CHECK("{\"\":1,\"\":2}"), "duplicate member \"\"");
    assert_string_equal(CHECK("{\"x\":{\"q\":1},\"y\":1,\"x\":1}"), "duplicate member \"x\"");
    assert_null(CHECK("{\"\\u0061\":1,\"\\u0062\":2,\"\\u0063\":3}"));
    assert_null(CHECK("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"));
    assert_null(CHECK("[{\"a\":1},{\"a\":1}]"));
}

static void duplicates_are_looked_for_in_the_asked_levels(void **state)
{
    struct str third = STR_LIT("{\"x\":{\"y\":{\"z\":1,\"z\":1}}}");
    assert_null(json_check(third));
    assert_string_equal(json_check_limits(third, (struct json_limits){32, 3}), "duplicate member \"z\"");
    assert_string_equal(json_check_limits(STR_LIT("{\"e\":[{\"d\":{\"z\":1,\"z\":1}}]}"), (struct json_limits){32, 4}),
                        "duplicate member \"z\"");
}

static void a_long_name_is_cut_at_a_character(void **state)
{
    /* 47 bytes, then a character of two: the cut lies before it */
    assert_string_equal(CHECK("{\"12345678901234567890123456789012345678901234567\xc3\xa9\":1,"
                              "\"12345678901234567890123456789012345678901234567\xc3\xa9\":1}"),
                        "duplicate member \"12345678901234567890123456789012345678901234567\"");
}

/* {"m0":0,…,"m<n-1>":0,"<last>":0} */
static void put_members(struct buf *b, int n, const char *last)
{
    buf_append_char(b, '{');
    for (int i = 0; i < n; ++i)
        buf_printf(b, "\"m%d\":0,", i);
    buf_printf(b, "\"%s\":0}", last);
}

static void one_duplicate_among_many_members_is_found(void **state)
{
    struct buf b = {0};
    put_members(&b, 50000, "m31234");
    assert_string_equal(json_check(buf_str(&b)), "duplicate member \"m31234\"");
    b.n = 0;
    put_members(&b, 50000, "m50000");
    assert_null(json_check(buf_str(&b)));
    buf_free(&b);
}

static void members_are_found_with_their_bytes_as_they_stand(void **state)
{
    struct arena a = {0};
    struct json_member *m;
    struct str text =
        STR_LIT(" { \"a\" : 1.50 , \"b\\u0063\":{\"x\":[1,\"}\"]} ,\"d\":\"q\\\"]\",\"e\":null,\"f\":true } ");
    assert_null(json_check(text));
    size_t n = json_members(&a, text, &m);
    assert_int_equal(n, 5);
    assert_true(str_eq(m[0].name, STR_LIT("a")));
    assert_true(str_eq(m[0].value.raw, STR_LIT("1.50")));
    assert_int_equal(m[0].value.kind, JSON_NUMBER);
    assert_true(str_eq(m[0].whole, STR_LIT("\"a\" : 1.50")));
    assert_true(str_eq(m[1].name, STR_LIT("bc")));
    assert_true(str_eq(m[1].whole, STR_LIT("\"b\\u0063\":{\"x\":[1,\"}\"]}")));
    assert_int_equal(m[1].value.kind, JSON_OBJECT);
    assert_true(str_eq(json_string(&a, m[2].value), STR_LIT("q\"]")));
    assert_int_equal(json_get(m, n, "e").kind, JSON_NULL);
    assert_int_equal(json_get(m, n, "f").kind, JSON_BOOL);
    assert_int_equal(json_get(m, n, "b").kind, JSON_ABSENT);
    arena_free(&a);
}

static void a_string_ends_at_a_quote_behind_an_even_number_of_backslashes(void **state)
{
    struct arena a = {0};
    struct json_value *v;
    assert_int_equal(json_items(&a, STR_LIT("[\"\\\\\",\"\\\\\\\",\",\"\\\\\\\\\"]"), &v), 3);
    assert_true(str_eq(json_string(&a, v[0]), STR_LIT("\\")));
    assert_true(str_eq(json_string(&a, v[1]), STR_LIT("\\\",")));
    assert_true(str_eq(json_string(&a, v[2]), STR_LIT("\\\\")));
    arena_free(&a);
}

static void many_members_and_none(void **state)
{
    struct arena a = {0};
    struct json_member *m;
    struct buf b = {0};
    put_members(&b, 1000, "last");
    assert_int_equal(json_members(&a, buf_str(&b), &m), 1001);
    assert_true(str_eq(m[1000].name, STR_LIT("last")));
    assert_true(str_eq(m[7].whole, STR_LIT("\"m7\":0")));
    assert_int_equal(json_members(&a, STR_LIT("{ }"), &m), 0);
    buf_free(&b);
    arena_free(&a);
}

static void items_are_counted_and_kept_in_order(void **state)
{
    struct arena a = {0};
    struct json_value *v;
    struct str text = STR_LIT("[1, \"a,]\" ,[2,[3]], {\"b\":[]},null]");
    assert_int_equal(json_count(text), 5);
    assert_int_equal(json_items(&a, text, &v), 5);
    assert_true(str_eq(v[1].raw, STR_LIT("\"a,]\"")));
    assert_true(str_eq(v[2].raw, STR_LIT("[2,[3]]")));
    assert_int_equal(v[3].kind, JSON_OBJECT);
    assert_int_equal(v[4].kind, JSON_NULL);
    assert_int_equal(json_count(STR_LIT("[ ]")), 0);
    assert_int_equal(json_items(&a, STR_LIT("[]"), &v), 0);
    arena_free(&a);
}

static struct str decode(struct arena *a, const char *raw)
{
    assert_null(json_check(str_of(raw)));
    return json_string(a, json_value(str_of(raw)));
}

static void escapes_are_decoded(void **state)
{
    struct arena a = {0};
    assert_true(str_eq(decode(&a, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_LIT("\"\\/\b\f\n\r\t")));
    assert_true(str_eq(decode(&a, "\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00z\""),
                       STR_LIT("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z")));
    assert_true(str_eq(decode(&a, "\"a\\u0000b\""), ((struct str){"a\0b", 3})));
    assert_true(str_eq(decode(&a, "\"\\udbff\\udfff\""), STR_LIT("\xf4\x8f\xbf\xbf")));
    arena_free(&a);
}

static void a_string_without_escapes_is_not_copied(void **state)
{
    struct arena a = {0};
    struct str text = STR_LIT(" \"plain\" ");
    struct str s = json_string(&a, json_value(text));
    assert_ptr_equal(s.p, text.p + 2);
    assert_int_equal(s.n, 5);
    assert_non_null(json_string(&a, json_value(STR_LIT("\"\""))).p); /* empty is not absent */
    assert_null(a.blocks);
}

static void numbers_have_values_however_long_they_are_written(void **state)
{
    char longer[200] = "0.";
    memset(longer + 2, '0', 150);
    strcpy(longer + 152, "1");
    assert_true(json_number(json_value(STR_LIT("62.5"))) == 62.5);
    assert_true(json_number(json_value(STR_LIT("-1e2"))) == -100);
    assert_true(json_number(json_value(STR_LIT("1e999"))) > 1e300);
    assert_true(json_number(json_value(str_of(longer))) > 0);
    assert_true(json_number(json_value(str_of(longer))) < 1e-100);
}

static void the_arena_serves_small_and_large_requests(void **state)
{
    struct arena a = {0};
    char *small = arena_alloc(&a, 1), *large = arena_alloc(&a, 3 * 1024 * 1024), *after = arena_alloc(&a, 40);
    memset(small, 1, 1);
    memset(large, 2, 3 * 1024 * 1024);
    memset(after, 3, 40);
    assert_int_equal(small[0], 1);
    assert_int_equal(large[3 * 1024 * 1024 - 1], 2);
    assert_int_equal((uintptr_t)after % 16, 0);
    assert_true(str_eq(arena_copy(&a, STR_LIT("abc")), STR_LIT("abc")));
    assert_non_null(arena_alloc(&a, 0));
    arena_free(&a);
    assert_null(a.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_that_rfc_8259_allows_passes),
        cmocka_unit_test(text_that_is_no_json_is_refused),
        cmocka_unit_test(bytes_that_are_no_strict_utf8_are_refused),
        cmocka_unit_test(a_surrogate_escape_without_its_half_is_refused),
        cmocka_unit_test(nesting_ends_at_its_limit),
        cmocka_unit_test(ten_million_levels_are_refused_at_once),
        cmocka_unit_test(a_member_that_stands_twice_is_named),
        cmocka_unit_test(duplicates_are_looked_for_in_the_asked_levels),
        cmocka_unit_test(a_long_name_is_cut_at_a_character),
        cmocka_unit_test(one_duplicate_among_many_members_is_found),
        cmocka_unit_test(members_are_found_with_their_bytes_as_they_stand),
        cmocka_unit_test(a_string_ends_at_a_quote_behind_an_even_number_of_backslashes),
        cmocka_unit_test(many_members_and_none),
        cmocka_unit_test(items_are_counted_and_kept_in_order),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(a_string_without_escapes_is_not_copied),
        cmocka_unit_test(numbers_have_values_however_long_they_are_written),
        cmocka_unit_test(the_arena_serves_small_and_large_requests),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
