/* Tests of core/lines.c. */
#include "tests/unit/signing.h"

#include "core/lines.h"

static void blank_lines_and_comments_are_skipped_and_counted(void **state)
{
    struct lines l = {.rest = STR_LIT("\n# comment\r\n  \t\r\n  one two \t\r\n\n#\nlast")};
    struct str line;

    assert_true(lines_next(&l, &line));
    assert_true(str_eq(line, STR_LIT("one two")));
    assert_int_equal(l.number, 4);
    assert_true(lines_next(&l, &line));
    assert_true(str_eq(line, STR_LIT("last")));
    assert_int_equal(l.number, 7);
    assert_false(lines_next(&l, &line));
}

static void an_empty_text_has_no_line(void **state)
{
    struct lines empty = {.rest = STR_LIT("")}, absent = {0}, newline = {.rest = STR_LIT("\n")};
    struct str line;

    assert_false(lines_next(&empty, &line));
    assert_false(lines_next(&absent, &line));
    assert_false(lines_next(&newline, &line));
}

static void control_characters_are_seen_wherever_they_stand(void **state)
{
    assert_false(lines_has_control(STR_LIT("plain \xc3\xa9 text ~")));
    assert_true(lines_has_control(STR_LIT("\0abc")));
    assert_true(lines_has_control(STR_LIT("ab\tc")));
    assert_true(lines_has_control(STR_LIT("abc\x7f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blank_lines_and_comments_are_skipped_and_counted),
        cmocka_unit_test(an_empty_text_has_no_line),
        cmocka_unit_test(control_characters_are_seen_wherever_they_stand),
    };

    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
