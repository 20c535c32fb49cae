/* Tests of core/api_keys.c. */
#include "tests/unit/signing.h"

#include "core/api_keys.h"
#include "core/token.h"

#define KEY_A "sesame-aaaaaaaaaaaaaaaaaaaaaaaaa" /* 32 bytes */
#define KEY_B "sesame-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void refused(struct str text, const char *why)
{
    struct buf error = {0};

    assert_null(api_keys_parse(text, &error));
    buf_append_char(&error, '\0');
    if (strncmp(error.p, why, strlen(why)) != 0)
        fail_msg("expected \"%s\", got \"%s\"", why, error.p);
    assert_null(strstr(error.p, "sesame"));
    buf_free(&error);
}

static struct api_keys *parsed(struct str text)
{
    struct buf error = {0};
    struct api_keys *k = api_keys_parse(text, &error);

    if (k == NULL)
        fail_msg("%.*s", (int)error.n, error.p);
    return k;
}

static void a_secret_finds_its_name_and_scopes(void **state)
{
    struct api_keys *k = parsed(STR_LIT("# services\r\n\n billing:" KEY_A ":events:publish  connections:read \r\n"
                                        "ops.1_x-Y:" KEY_B ":connections:write\n"));
    struct api_key found;

    assert_true(api_keys_find(k, STR_LIT(KEY_A), &found));
    assert_true(str_eq(found.name, STR_LIT("billing")));
    assert_int_equal(found.scopes, SCOPE_EVENTS_PUBLISH | SCOPE_CONNECTIONS_READ);
    assert_true(api_keys_find(k, STR_LIT(KEY_B), &found));
    assert_true(str_eq(found.name, STR_LIT("ops.1_x-Y")));
    assert_int_equal(found.scopes, SCOPE_CONNECTIONS_WRITE);
    api_keys_unref(k);
}

static void another_secret_finds_nothing(void **state)
{
    struct api_keys *k = parsed(STR_LIT("billing:" KEY_A ":events:publish"));
    struct api_key found;

    assert_false(api_keys_find(k, STR_NONE, &found));
    assert_false(api_keys_find(k, STR_LIT("sesame-aaaaaaaaaaaaaaaaaaaaaaaa"), &found));
    assert_false(api_keys_find(k, STR_LIT(KEY_A "a"), &found));
    assert_false(api_keys_find(k, STR_LIT("Sesame-aaaaaaaaaaaaaaaaaaaaaaaaa"), &found));
    assert_false(api_keys_find(k, STR_LIT("billing:" KEY_A), &found));
    assert_false(api_keys_find(NULL, STR_LIT(KEY_A), &found));
    api_keys_unref(k);
}

static void wrong_lines_are_refused_by_number(void **state)
{
    refused(STR_LIT(""), "the file holds no key");
    refused(STR_LIT("# none\n\n"), "the file holds no key");
    refused(STR_LIT("\nbilling"), "line 2: the line is name:secret:scope scope");
    refused(STR_LIT("billing:" KEY_A), "line 1: the line is name:secret:scope scope");
    refused(STR_LIT(KEY_A), "line 1: the line is name:secret:scope scope");
    refused(STR_LIT(":" KEY_A ":events:read"), "line 1: the name is 1 to 64 of");
    refused(STR_LIT("sesame open:" KEY_A ":events:read"), "line 1: the name is 1 to 64 of");
    refused(STR_LIT("j\xc3\xbcrgen:" KEY_A ":events:read"), "line 1: the name is 1 to 64 of");
    refused(STR_LIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:" KEY_A ":events:read"),
            "line 1: the name is 1 to 64 of");
    refused(STR_LIT("billing:sesame:events:read"), "line 1: the secret needs at least 32 bytes");
    refused(STR_LIT("billing::events:read"), "line 1: the secret needs at least 32 bytes");
    refused(STR_LIT("billing:" KEY_A "\x01:events:read"), "line 1: a control character");
    refused(STR_LIT("billing:" KEY_A ":"), "line 1: no scope");
    refused(STR_LIT("billing:" KEY_A ":  "), "line 1: no scope");
    refused(STR_LIT("billing:" KEY_A ":events:read sesame"),
            "line 1: scope number 2 is unknown; known are events:publish");
    refused(STR_LIT("a:" KEY_A ":events:read\n\na:" KEY_B ":events:read"), "line 3: the same name as in line 1");
    refused(STR_LIT("#\na:" KEY_A ":events:read\nb:" KEY_A ":events:read"), "line 3: the same secret as in line 2");
}

static void as_many_keys_as_the_limit_are_taken_and_no_more(void **state)
{
    struct buf text = {0};
    struct api_keys *k;
    struct api_key found;

    for (int i = 0; i < API_KEYS_MAX; i++)
        buf_printf(&text, "n%d:" KEY_A "%d:events:read\n", i, i);
    k = parsed(buf_str(&text));
    assert_true(api_keys_find(k, STR_LIT(KEY_A "255"), &found));
    api_keys_unref(k);
    buf_lit(&text, "one-more:" KEY_B ":events:read\n");
    refused(buf_str(&text), "line 257: more than 256 keys");
    buf_free(&text);
}

static void a_reference_keeps_the_keys_alive(void **state)
{
    struct api_keys *k = parsed(STR_LIT("billing:" KEY_A ":events:publish")), *same = api_keys_ref(k);
    struct api_key found;

    api_keys_unref(k);
    assert_true(api_keys_find(same, STR_LIT(KEY_A), &found));
    api_keys_unref(same);
    api_keys_unref(NULL);
    assert_null(api_keys_ref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_finds_its_name_and_scopes),
        cmocka_unit_test(another_secret_finds_nothing),
        cmocka_unit_test(wrong_lines_are_refused_by_number),
        cmocka_unit_test(as_many_keys_as_the_limit_are_taken_and_no_more),
        cmocka_unit_test(a_reference_keeps_the_keys_alive),
    };

    return cmocka_run_group_tests_name("api_keys", tests, NULL, NULL);
}
