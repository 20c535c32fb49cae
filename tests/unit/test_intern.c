/* Strings that many hold, kept once each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "core/intern.h"

static void equal_strings_are_one_until_the_last_holder_lets_go(void **state)
{
    struct table t;
    table_init(&t);
    struct interned *a = intern_hold(&t, STR_LIT("agent")), *b = intern_hold(&t, STR_LIT("agent"));
    struct interned *c = intern_hold(&t, STR_LIT("agent2"));
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(t.count, 2);
    intern_release(&t, a);
    assert_true(str_eq(intern_str(b), STR_LIT("agent")));
    intern_release(&t, b);
    assert_int_equal(t.count, 1);
    intern_release(&t, c);
    assert_int_equal(t.count, 0);
    table_dispose(&t);
}

static void a_string_without_bytes_is_nothing(void **state)
{
    struct table t;
    table_init(&t);
    assert_null(intern_hold(&t, STR_LIT("")));
    assert_null(intern_hold(&t, STR_NONE));
    intern_release(&t, NULL);
    assert_true(str_eq(intern_str(NULL), STR_LIT("")));
    table_dispose(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_are_one_until_the_last_holder_lets_go),
        cmocka_unit_test(a_string_without_bytes_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
