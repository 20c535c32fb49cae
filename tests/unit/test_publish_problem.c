/* pubsub/publish_problem.c: every outcome of a publish has a complete answer, and no two share a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pubsub/pubsub.h"

#define FIRST PUBLISH_OK
#define LAST PUBLISH_FAILED

static void every_outcome_is_described(void **state)
{
    for (int s = FIRST; s <= LAST; ++s) {
        struct publish_problem p = publish_problem((enum publish_status)s);
        assert_true(p.status >= 200 && p.status < 600);
        assert_true(p.type != NULL && p.type[0] != '\0' &&
                    p.type[strspn(p.type, "abcdefghijklmnopqrstuvwxyz-")] == '\0');
        assert_true(p.title != NULL && p.title[0] >= 'A' && p.title[0] <= 'Z');
        assert_true(p.detail != NULL && p.detail[0] != '\0' && p.detail[strlen(p.detail) - 1] != '.');
    }
}

static void names_are_different(void **state)
{
    for (int a = FIRST; a <= LAST; ++a)
        for (int b = a + 1; b <= LAST; ++b)
            assert_string_not_equal(publish_problem((enum publish_status)a).type,
                                    publish_problem((enum publish_status)b).type);
}

static void each_status_is_the_contracts(void **state)
{
    for (int s = FIRST; s <= LAST; ++s) {
        int expected = s == PUBLISH_OK                ? 202
                       : s == PUBLISH_KEY_REUSED      ? 422
                       : s == PUBLISH_OUTCOME_UNKNOWN ? 504
                       : s == PUBLISH_REPLICAS_BEHIND ? 504
                       : s == PUBLISH_FAILED          ? 500
                                                      : 503;
        assert_int_equal(publish_problem((enum publish_status)s).status, expected);
    }
}

/* A 503 promises that nothing was accepted; a 504 that nobody knows. */
static void the_text_says_what_became_of_the_event(void **state)
{
    for (int s = FIRST; s <= LAST; ++s) {
        struct publish_problem p = publish_problem((enum publish_status)s);
        if (p.status == 503)
            assert_non_null(strstr(p.detail, "not accepted"));
        else
            assert_null(strstr(p.detail, "not accepted"));
    }
    assert_non_null(strstr(publish_problem(PUBLISH_OUTCOME_UNKNOWN).detail, "Idempotency-Key"));
    assert_non_null(strstr(publish_problem(PUBLISH_REPLICAS_BEHIND).detail, "Idempotency-Key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_is_described),
        cmocka_unit_test(names_are_different),
        cmocka_unit_test(each_status_is_the_contracts),
        cmocka_unit_test(the_text_says_what_became_of_the_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
