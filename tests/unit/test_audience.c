/* Tests of audiences: the four forms, what is none of them, and the ids in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/audience.h"

static struct arena arena;
static struct audience out;
static struct input_error error;

static int clear(void **state)
{
    arena_free(&arena);
    return 0;
}

static int parse(const char *text)
{
    assert_null(json_check(str_of(text)));
    return audience_parse(&arena, json_value(str_of(text)), &out, &error);
}

static void assert_echo(const char *text, const char *expected)
{
    struct buf b = {0};
    assert_int_equal(parse(text), 0);
    audience_json(&b, &out);
    assert_true(str_eq(buf_str(&b), str_of(expected)));
    buf_free(&b);
}

static void assert_refused(const char *text, const char *field)
{
    assert_int_equal(parse(text), -1);
    assert_int_equal(error.status, 422);
    assert_string_equal(error.field, field);
}

static void the_four_forms_are_read_and_echoed(void **state)
{
    assert_echo("\"broadcast\"", "\"broadcast\"");
    assert_echo("{ \"user\" : \"a\\u0062\" }", "{\"user\":\"ab\"}");
    assert_int_equal(out.kind, AUDIENCE_USERS);
    assert_echo("{\"users\":[\"a\"]}", "{\"users\":[\"a\"]}");
    assert_echo("{\"users\":[\"a\",\"\xc3\xa9\\\"\"]}", "{\"users\":[\"a\",\"\xc3\xa9\\\"\"]}");
    assert_echo("{\"connection\":\"c\"}", "{\"connection\":\"c\"}");
    assert_int_equal(out.kind, AUDIENCE_CONNECTION);
}

static void a_user_named_twice_counts_once(void **state)
{
    assert_echo("{\"users\":[\"b\",\"a\",\"b\",\"\\u0061\",\"c\"]}", "{\"users\":[\"b\",\"a\",\"c\"]}");
    assert_int_equal(out.count, 3);
}

static void anything_else_is_refused(void **state)
{
    static const char *const texts[] = {"\"Broadcast\"",
                                        "\"all\"",
                                        "null",
                                        "true",
                                        "1",
                                        "[]",
                                        "{}",
                                        "[\"a\"]",
                                        "{\"user\":\"a\",\"connection\":\"c\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i)
        assert_refused(texts[i], "");
    assert_refused("{\"topic\":\"a\"}", "/topic");
    assert_refused("{\"user\":\"\"}", "/user");
    assert_refused("{\"user\":null}", "/user");
    assert_refused("{\"user\":[\"a\"]}", "/user");
    assert_refused("{\"connection\":7}", "/connection");
    assert_refused("{\"users\":[]}", "/users");
    assert_refused("{\"users\":\"a\"}", "/users");
    assert_refused("{\"users\":[\"a\",\"b\\n\"]}", "/users/1");
}

/* {"users":["u0","u1",…]} with n different ids */
static const char *users(struct buf *b, int n)
{
    b->n = 0;
    buf_lit(b, "{\"users\":[\"u0\"");
    for (int i = 1; i < n; ++i)
        buf_printf(b, ",\"u%d\"", i);
    buf_append(b, (struct str){"]}", 3}); /* with its NUL */
    return b->p;
}

static void a_list_has_at_most_500_users(void **state)
{
    struct buf b = {0};
    assert_int_equal(parse(users(&b, AUDIENCE_USERS_MAX)), 0);
    assert_int_equal(out.count, AUDIENCE_USERS_MAX);
    assert_true(str_eq(out.ids[499], STR_LIT("u499")));
    assert_refused(users(&b, AUDIENCE_USERS_MAX + 1), "/users");
    buf_free(&b);
}

static void ids_have_a_length_and_no_control_characters(void **state)
{
    char longest[USER_ID_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_true(id_valid((struct str){longest, USER_ID_MAX}, USER_ID_MAX));
    assert_false(id_valid((struct str){longest, USER_ID_MAX + 1}, USER_ID_MAX));
    assert_false(id_valid(STR_NONE, USER_ID_MAX));
    assert_true(id_valid(STR_LIT("a b/\xc3\xa9:\xc2\xa0"), USER_ID_MAX));
    assert_false(id_valid(((struct str){"a\0b", 3}), USER_ID_MAX));
    assert_false(id_valid(STR_LIT("a\x1f"), USER_ID_MAX));
    assert_false(id_valid(STR_LIT("a\x7f"), USER_ID_MAX));
    assert_false(id_valid(STR_LIT("a\xc2\x85"), USER_ID_MAX));
    assert_false(id_valid(STR_LIT("a\xc2"), USER_ID_MAX));
    assert_false(id_valid(STR_LIT("\xed\xa0\x80"), USER_ID_MAX));
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_four_forms_are_read_and_echoed),
        TEST(a_user_named_twice_counts_once),
        TEST(anything_else_is_refused),
        TEST(a_list_has_at_most_500_users),
        TEST(ids_have_a_length_and_no_control_characters),
    };
    return cmocka_run_group_tests_name("audience", tests, NULL, NULL);
}
