/* Problem bodies: what stands in them, and that nothing a caller sent can break them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "core/problem.h"

static void assert_body(const struct problem *p, const char *expected)
{
    struct buf out = {0};

    problem_json(&out, p);
    buf_append_char(&out, '\0');
    assert_string_equal(out.p, expected);
    buf_free(&out);
}

static void problem_without_slug_is_about_blank_with_the_reason_as_title(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 404}, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}");
}

static void problem_with_all_members(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 422,
                                  .slug = "invalid-field",
                                  .title = "A field is not valid",
                                  .detail = STR_LIT("has to be a number"),
                                  .field = STR_LIT("/data/progress")},
                "{\"type\":\"urn:belfry:problem:invalid-field\",\"title\":\"A field is not valid\",\"status\":422,"
                "\"detail\":\"has to be a number\",\"field\":\"/data/progress\"}");
}

static void problem_of_the_whole_body_has_an_empty_field(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 422, .field = STR_LIT("")},
                "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,\"field\":\"\"}");
}

static void problem_with_members_of_its_own(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 410, .more = STR_LIT("\"reason\":\"ahead\"")},
                "{\"type\":\"about:blank\",\"title\":\"Gone\",\"status\":410,\"reason\":\"ahead\"}");
}

static void problem_escapes_what_callers_wrote(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 400, .detail = STR_LIT("a\"b\\c\n")},
                "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"a\\\"b\\\\c\\n\"}");
}

static void problem_detail_cut_in_a_character_ends_before_it(void **state)
{
    (void)state;
    assert_body(&(struct problem){.status = 400, .detail = STR_LIT("caf\xc3")},
                "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"caf\"}");
    assert_body(&(struct problem){.status = 400, .detail = STR_LIT("caf\xc3\xa9")},
                "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"caf\xc3\xa9\"}");
}

static void problem_reason_of_an_unknown_status_is_still_a_word(void **state)
{
    (void)state;
    assert_string_equal(problem_reason(504), "Gateway Timeout");
    assert_string_equal(problem_reason(599), "Error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problem_without_slug_is_about_blank_with_the_reason_as_title),
        cmocka_unit_test(problem_with_all_members),
        cmocka_unit_test(problem_of_the_whole_body_has_an_empty_field),
        cmocka_unit_test(problem_with_members_of_its_own),
        cmocka_unit_test(problem_escapes_what_callers_wrote),
        cmocka_unit_test(problem_detail_cut_in_a_character_ends_before_it),
        cmocka_unit_test(problem_reason_of_an_unknown_status_is_still_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
