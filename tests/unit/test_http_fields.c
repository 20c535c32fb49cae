/* Content-Type, Idempotency-Key, traceparent and Authorization: what is accepted and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/http_fields.h"

static void content_type_is_json_in_its_accepted_forms(void **state)
{
    static const char *const yes[] = {
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json; profile=\"a\\\"b;c\"; charset=utf-8",
        "application/json;",
        "application/json; ;charset=utf-8",
        "application/json; version=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (!content_type_is_json(str_of(yes[i])))
            fail_msg("refused: %s", yes[i]);
    }
}

static void content_type_that_is_not_json_is_refused(void **state)
{
    static const char *const no[] = {
        "",
        "text/plain",
        "application/jsonp",
        "application/json+x",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/json; charset",
        "application/json; charset=",
        "application/json; charset=\"utf-8",
        "application/json; charset=utf-8 x",
        "application/json, text/plain",
        "application/json x",
        "application",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        if (content_type_is_json(str_of(no[i])))
            fail_msg("accepted: %s", no[i]);
    }
}

static void assert_key(const char *value, const char *expected)
{
    char storage[IDEMPOTENCY_KEY_MAX];
    struct str key = STR_NONE;
    int result = idempotency_key_parse(str_of(value), storage, &key);

    if (expected == NULL) {
        if (result != -1)
            fail_msg("accepted: %s", value);
        return;
    }
    assert_int_equal(result, 0);
    if (!str_eq(key, str_of(expected)))
        fail_msg("%s became %.*s", value, (int)key.n, key.p);
}

static void idempotency_key_bare_and_quoted_are_one_key(void **state)
{
    (void)state;
    assert_key("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324");
    assert_key("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", "8e03978e-40d5-43e8-bc93-6894a57f9324");
    assert_key("  abc ", "abc");
    assert_key("\"a b\"", "a b");
    assert_key("\"a\\\"b\\\\c\"", "a\"b\\c");
    assert_key("a\\b", "a\\b");
}

static void idempotency_key_of_another_form_is_refused(void **state)
{
    static const char *const no[] = {"",        "\"\"",     "a b",      "\"abc", "abc\"",       "\"a\"b\"",
                                     "\"a\";x", "\"a\\n\"", "\"a\tb\"", "a\x7f", "caf\xc3\xa9", "\"\xc3\xa9\"",
                                     "\"",      "\"a\\"};

    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_key(no[i], NULL);
}

static void idempotency_key_has_at_most_255_characters(void **state)
{
    char text[300];

    (void)state;
    memset(text, 'k', sizeof(text));
    text[255] = '\0';
    assert_key(text, text);
    text[255] = 'k';
    text[256] = '\0';
    assert_key(text, NULL);
    text[0] = '"';
    text[256] = '"';
    text[257] = '\0';
    char storage[IDEMPOTENCY_KEY_MAX];
    struct str key;
    assert_int_equal(idempotency_key_parse(str_of(text), storage, &key), 0);
    assert_int_equal(key.n, 255);
    text[256] = 'k';
    text[257] = '"';
    text[258] = '\0';
    assert_key(text, NULL);
}

static void traceparent_of_the_standards_example_is_valid(void **state)
{
    (void)state;
    assert_true(traceparent_valid(STR_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
    assert_true(traceparent_valid(STR_LIT("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
    assert_true(traceparent_valid(STR_LIT("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later")));
}

static void the_trace_id_is_the_second_part(void **state)
{
    struct str id = traceparent_trace_id(STR_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_true(str_eq(id, STR_LIT("4bf92f3577b34da6a3ce929d0e0e4736")));
    assert_null(traceparent_trace_id(STR_NONE).p);
}

static void traceparent_of_another_form_is_not(void **state)
{
    static const char *const no[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        if (traceparent_valid(str_of(no[i])))
            fail_msg("accepted: %s", no[i]);
    }
}

static void authorization_hands_out_a_bearer_token_only(void **state)
{
    struct str token = STR_NONE;

    (void)state;
    assert_true(authorization_bearer(STR_LIT("Bearer a.b.c"), &token));
    assert_true(str_eq(token, STR_LIT("a.b.c")));
    assert_true(authorization_bearer(STR_LIT("bearer   a.b.c "), &token));
    assert_true(str_eq(token, STR_LIT("a.b.c")));
    assert_false(authorization_bearer(STR_LIT("Bearer"), &token));
    assert_false(authorization_bearer(STR_LIT("Bearer  "), &token));
    assert_false(authorization_bearer(STR_LIT("Basic YTpi"), &token));
    assert_false(authorization_bearer(STR_LIT("Bearera.b.c"), &token));
    assert_false(authorization_bearer(STR_LIT(""), &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_type_is_json_in_its_accepted_forms),
        cmocka_unit_test(content_type_that_is_not_json_is_refused),
        cmocka_unit_test(idempotency_key_bare_and_quoted_are_one_key),
        cmocka_unit_test(idempotency_key_of_another_form_is_refused),
        cmocka_unit_test(idempotency_key_has_at_most_255_characters),
        cmocka_unit_test(traceparent_of_the_standards_example_is_valid),
        cmocka_unit_test(traceparent_of_another_form_is_not),
        cmocka_unit_test(the_trace_id_is_the_second_part),
        cmocka_unit_test(authorization_hands_out_a_bearer_token_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
