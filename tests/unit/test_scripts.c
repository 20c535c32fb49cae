/* pubsub/scripts.c: the embedded scripts are the files of the source tree, joined, under the SHA-1 that Redis gives
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "pubsub/pubsub.h"
#include "pubsub/scripts.h"

/* Another implementation of joining and hashing, from the source root where tests run. */
static void assert_sha1_of_files(enum script s, const char *command)
{
    char expected[SCRIPT_SHA1_LEN + 1] = "";
    FILE *f = popen(command, "r");

    assert_non_null(f);
    assert_non_null(fgets(expected, sizeof(expected), f));
    assert_int_equal(pclose(f), 0);
    assert_int_equal(script_sha1(s).n, SCRIPT_SHA1_LEN);
    assert_memory_equal(script_sha1(s).p, expected, SCRIPT_SHA1_LEN);
}

static void each_script_is_its_files_one_after_the_other(void **state)
{
    assert_sha1_of_files(SCRIPT_PUBLISH,
                         "cat pubsub/publish_usage.lua pubsub/common.lua pubsub/publish.lua | sha1sum | cut -c1-40");
    assert_sha1_of_files(SCRIPT_CANARY, "cat pubsub/common.lua pubsub/canary.lua | sha1sum | cut -c1-40");
    assert_sha1_of_files(SCRIPT_TOTALS, "sha1sum < pubsub/totals.lua | cut -c1-40");
    assert_sha1_of_files(SCRIPT_ERASE, "cat pubsub/common.lua pubsub/erase.lua | sha1sum | cut -c1-40");
    assert_sha1_of_files(SCRIPT_CURSORS, "sha1sum < pubsub/cursors.lua | cut -c1-40");
}

static void the_text_for_other_services_is_what_belfry_runs_and_begins_with_its_explanation(void **state)
{
    struct str text = pubsub_script_text();

    assert_true(str_eq(text, script_text(SCRIPT_PUBLISH)));
    assert_true(str_starts_with(text, STR_LIT("-- Publishes events")));
    assert_non_null(memmem(text.p, text.n, "-- KEYS\n", 8));
    assert_non_null(memmem(text.p, text.n, "-- ARGV\n", 8));
    assert_null(memchr(text.p, '\0', text.n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_script_is_its_files_one_after_the_other),
        cmocka_unit_test(the_text_for_other_services_is_what_belfry_runs_and_begins_with_its_explanation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
