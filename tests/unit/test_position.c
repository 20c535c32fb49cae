/* core/position.c: the one text of a position, and the order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/position.h"

static void assert_same_text(const char *text, struct position expected)
{
    struct position p;
    char out[POSITION_MAX];

    assert_int_equal(position_parse(str_of(text), &p), 0);
    assert_true(p.epoch == expected.epoch && p.seq == expected.seq && p.n == expected.n);
    assert_int_equal(position_format(out, p), strlen(text));
    assert_memory_equal(out, text, strlen(text));
}

static void a_position_and_its_text_are_the_same(void **state)
{
    assert_same_text("0-0", (struct position){0, 0, 0});
    assert_same_text("1762639200123-42", (struct position){1762639200123, 42, 0});
    assert_same_text("1762639200123-42.7", (struct position){1762639200123, 42, 7});
    assert_same_text("18446744073709551615-18446744073709551615.18446744073709551615",
                     (struct position){UINT64_MAX, UINT64_MAX, UINT64_MAX});
    assert_same_text("10-100.10", (struct position){10, 100, 10});
    assert_int_equal(strlen("18446744073709551615-18446744073709551615.18446744073709551615"), POSITION_MAX);
}

static void anything_else_is_refused_and_leaves_the_result_alone(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-",
        "1-2-3",
        "1-2.",
        "1-2.0",
        "1-2.01",
        "01-2",
        "1-02",
        "00-0",
        "+1-2",
        "1-+2",
        "1--2",
        " 1-2",
        "1-2 ",
        "1 -2",
        "1-2\n",
        "1.2",
        "1-2.3.4",
        "0x1-2",
        "1-2a",
        "a-b",
        "$",
        "(1-2",
        "1-2.-1",
        "18446744073709551616-1",
        "1-18446744073709551616",
        "99999999999999999999-1",
        "1-2.18446744073709551616",
        "184467440737095516150-1",
        "d9428888-122b-11e1-b85c-61cd3cbb3210",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct position p = {11, 12, 13};
        if (position_parse(str_of(bad[i]), &p) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_true(p.epoch == 11 && p.seq == 12 && p.n == 13);
    }
    struct position p;
    assert_int_equal(position_parse((struct str){"1-2\0", 4}, &p), -1);
    assert_int_equal(position_parse(STR_NONE, &p), -1);
}

static void order_is_by_epoch_then_seq_then_n(void **state)
{
    static const struct position ascending[] = {
        {0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, UINT64_MAX, 0}, {1, 0, 0},
        {1, 5, 0}, {1, 5, 9}, {1, 6, 0}, {UINT64_MAX, 0, 0},
    };
    int n = (int)(sizeof(ascending) / sizeof(ascending[0]));

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            assert_int_equal(position_cmp(ascending[i], ascending[j]), (i > j) - (i < j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_and_its_text_are_the_same),
        cmocka_unit_test(anything_else_is_refused_and_leaves_the_result_alone),
        cmocka_unit_test(order_is_by_epoch_then_seq_then_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
