/* The table of routes: what is found on which listener, and what is offered instead. The handlers stand in for the real
 * ones: the table only points at them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/api.h"
#include "server/routes.h"

#define ALL_IN_ONE (SURFACE_PUBLIC | SURFACE_API)

/* clang-format off */
void api_publish_task(struct api_call *call) { (void)call; }
void api_publish_agent(struct api_call *call) { (void)call; }
void api_publish_notification(struct api_call *call) { (void)call; }
void api_publish_calendar(struct api_call *call) { (void)call; }
void api_publish_event(struct api_call *call) { (void)call; }
void api_publish_batch(struct api_call *call) { (void)call; }
void api_erase(struct api_call *call) { (void)call; }
void api_position(struct api_call *call) { (void)call; }
void api_list_events(struct api_call *call) { (void)call; }
void api_cursor(struct api_call *call) { (void)call; }
void api_health(struct api_call *call) { (void)call; }
void api_openapi(struct api_call *call) { (void)call; }
void api_asyncapi(struct api_call *call) { (void)call; }
void api_list_connections(struct api_call *call) { (void)call; }
void api_list_user_connections(struct api_call *call) { (void)call; }
void api_connection(struct api_call *call) { (void)call; }
void api_disconnect(struct api_call *call) { (void)call; }
void api_disconnect_user(struct api_call *call) { (void)call; }
void serve_ws(struct routed *r) { (void)r; }
void serve_demo(struct routed *r) { (void)r; }
void serve_livez(struct routed *r) { (void)r; }
void serve_readyz(struct routed *r) { (void)r; }
void serve_metrics(struct routed *r) { (void)r; }
/* clang-format on */

static struct route_result find(unsigned surfaces, const char *method, const char *path)
{
    struct str segments[8], rest = str_of(path);
    size_t n = 0;

    while (rest.p != NULL && path[0] != '\0')
        segments[n++] = str_split(&rest, '/');
    return route_find(surfaces, true, str_of(method), segments, n);
}

static bool found(unsigned surfaces, const char *method, const char *path)
{
    struct route_result r = find(surfaces, method, path);

    buf_free(&r.allow);
    return r.route != NULL;
}

static void assert_allowed(const char *path, const char *expected)
{
    struct route_result r = find(ALL_IN_ONE, "PATCH", path);

    assert_null(r.route);
    buf_append_char(&r.allow, '\0');
    assert_string_equal(r.allow.p, expected);
    buf_free(&r.allow);
}

static void routes_hand_out_the_id_and_the_scope(void **state)
{
    struct route_result r = find(ALL_IN_ONE, "POST", "tasks/t1/broadcast-update");

    (void)state;
    assert_ptr_equal(r.route->call, api_publish_task);
    assert_int_equal(r.route->scope, SCOPE_EVENTS_PUBLISH);
    assert_true(str_eq(r.param, STR_LIT("t1")));
    r = find(ALL_IN_ONE, "DELETE", "connections/c1");
    assert_int_equal(r.route->scope, SCOPE_CONNECTIONS_WRITE);
    r = find(ALL_IN_ONE, "GET", "ws/health");
    assert_int_equal(r.route->scope, 0);
    assert_null(r.param.p);
}

static void routes_find_a_method_that_stands_behind_another_of_the_same_path(void **state)
{
    struct route_result r = find(ALL_IN_ONE, "GET", "events");

    (void)state;
    assert_ptr_equal(r.route->call, api_list_events);
    assert_int_equal(r.allow.n, 0);
    buf_free(&r.allow);
}

static void routes_answer_head_where_get_is(void **state)
{
    (void)state;
    assert_true(found(ALL_IN_ONE, "HEAD", "openapi.yaml"));
    assert_true(found(ALL_IN_ONE, "HEAD", "events"));
    assert_false(found(ALL_IN_ONE, "HEAD", "events/batch"));
    assert_false(found(ALL_IN_ONE, "get", "openapi.yaml"));
}

static void routes_of_another_method_say_which_are_allowed(void **state)
{
    (void)state;
    assert_allowed("events/batch", "POST");
    assert_allowed("events", "POST, GET, HEAD");
    assert_allowed("connections/c", "GET, HEAD, DELETE");
    assert_allowed("nothing/here", "");
    assert_allowed("livez", "");
}

static void routes_leave_every_method_of_ws_to_the_edge(void **state)
{
    (void)state;
    assert_true(found(SURFACE_PUBLIC, "GET", "ws"));
    assert_true(found(SURFACE_PUBLIC, "POST", "ws"));
    assert_false(found(SURFACE_API, "GET", "ws"));
}

static void routes_keep_to_their_listener(void **state)
{
    static const char *const rest[][2] = {
        {"POST", "events"}, {"GET", "connections"}, {"POST", "calendar/events/create"}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_false(found(SURFACE_PUBLIC, rest[i][0], rest[i][1]));
        assert_true(found(SURFACE_API, rest[i][0], rest[i][1]));
        assert_false(found(SURFACE_METRICS, rest[i][0], rest[i][1]));
    }
    assert_true(found(SURFACE_PUBLIC, "GET", "openapi.yaml"));
    assert_true(found(SURFACE_API, "GET", "openapi.yaml"));
    assert_false(found(SURFACE_API, "GET", ""));
    assert_true(found(SURFACE_METRICS, "GET", "livez"));
    assert_false(found(ALL_IN_ONE, "GET", "metrics"));
}

static void routes_have_no_demo_page_where_it_is_off(void **state)
{
    struct str none[1] = {STR_NONE};
    struct route_result off = route_find(ALL_IN_ONE, false, STR_LIT("GET"), none, 0);
    struct route_result post = route_find(ALL_IN_ONE, false, STR_LIT("POST"), none, 0);

    (void)state;
    assert_true(found(SURFACE_PUBLIC, "GET", ""));
    assert_null(off.route);
    assert_null(post.route);
    assert_int_equal(post.allow.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_hand_out_the_id_and_the_scope),
        cmocka_unit_test(routes_find_a_method_that_stands_behind_another_of_the_same_path),
        cmocka_unit_test(routes_answer_head_where_get_is),
        cmocka_unit_test(routes_of_another_method_say_which_are_allowed),
        cmocka_unit_test(routes_leave_every_method_of_ws_to_the_edge),
        cmocka_unit_test(routes_keep_to_their_listener),
        cmocka_unit_test(routes_have_no_demo_page_where_it_is_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
