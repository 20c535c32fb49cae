/* Patterns of paths against the segments of a path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/route.h"

/* Segments of "a/b", for what has no slash in a segment; "" is no segment. */
static bool match(const char *pattern, const char *path, struct str *param)
{
    struct str segments[8], rest = str_of(path);
    size_t n = 0;

    while (rest.p != NULL && path[0] != '\0')
        segments[n++] = str_split(&rest, '/');
    return route_match(pattern, segments, n, param);
}

static void route_of_the_root_has_no_segment(void **state)
{
    struct str param = STR_LIT("old");

    (void)state;
    assert_true(match("/", "", &param));
    assert_null(param.p);
    assert_false(match("/", "ws", &param));
    assert_false(match("/ws", "", &param));
}

static void route_of_literals_matches_them_all_and_exactly(void **state)
{
    struct str param;

    (void)state;
    assert_true(match("/events/batch", "events/batch", &param));
    assert_null(param.p);
    assert_false(match("/events/batch", "events", &param));
    assert_false(match("/events", "events/batch", &param));
    assert_false(match("/events", "events/", &param));
    assert_false(match("/events", "Events", &param));
    assert_false(match("/events/batch", "events/batches", &param));
}

static void route_takes_one_segment_for_a_parameter(void **state)
{
    struct str param;
    const struct str with_slash[] = {STR_LIT("tasks"), STR_LIT("a/b"), STR_LIT("broadcast-update")};

    (void)state;
    assert_true(match("/tasks/{task_id}/broadcast-update", "tasks/t1/broadcast-update", &param));
    assert_true(str_eq(param, STR_LIT("t1")));
    assert_true(route_match("/tasks/{task_id}/broadcast-update", with_slash, 3, &param));
    assert_true(str_eq(param, STR_LIT("a/b")));
    assert_false(match("/tasks/{task_id}/broadcast-update", "tasks/a/b/broadcast-update", &param));
    assert_false(match("/connections/{id}", "connections", &param));
}

static void route_parameter_is_never_empty(void **state)
{
    const struct str empty[] = {STR_LIT("connections"), STR_LIT("")};
    struct str param;

    (void)state;
    assert_false(route_match("/connections/{id}", empty, 2, &param));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_of_the_root_has_no_segment),
        cmocka_unit_test(route_of_literals_matches_them_all_and_exactly),
        cmocka_unit_test(route_takes_one_segment_for_a_parameter),
        cmocka_unit_test(route_parameter_is_never_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
