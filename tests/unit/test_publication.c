/* Tests of the publishing bodies: the flat calls, POST /events, batches, and the field that an error names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/publication.h"

static const struct publication_limits limits = {.max_message_bytes = 64 * 1024};
static struct arena arena;
static struct publication out;
static struct input_error error;

static int clear(void **state)
{
    arena_free(&arena);
    return 0;
}

static int read_flat(enum convenience_call call, const char *id, const char *body)
{
    return publication_from_flat(&arena, call, str_of(id), str_of(body), &limits, &out, &error);
}

static int read_event(const char *body)
{
    return publication_from_event(&arena, str_of(body), &limits, &out, &error);
}

static void assert_text(struct str s, const char *expected)
{
    if (!str_eq(s, str_of(expected)))
        fail_msg("got %.*s, expected %s", (int)s.n, s.p, expected);
}

static void assert_audience(const char *expected)
{
    struct buf b = {0};
    audience_json(&b, &out.audience);
    assert_text(buf_str(&b), expected);
    buf_free(&b);
}

static void assert_error(int result, int status, const char *field)
{
    assert_int_equal(result, -1);
    if (error.status != status || strcmp(error.field, field) != 0)
        fail_msg("got %d at %s (%s), expected %d at %s", error.status, error.field, error.detail, status, field);
    assert_true(error.detail[0] != '\0');
}

static void a_task_gets_the_id_of_its_path_first(void **state)
{
    assert_int_equal(read_flat(CALL_TASK, "t\"1", " {\"status\":\"running\",\"progress\": 62.50,\"x\":[1.10]} "), 0);
    assert_text(out.type, "task_status_update");
    assert_text(out.data, "{\"task_id\":\"t\\\"1\",\"status\":\"running\",\"progress\": 62.50,\"x\":[1.10]}");
    assert_audience("\"broadcast\"");
    assert_true(out.replay);
}

static void an_id_in_the_body_stays_where_it_is_and_has_to_be_the_paths(void **state)
{
    assert_int_equal(read_flat(CALL_TASK, "t1", "{\"status\":\"a\",\"task_id\":\"t\\u0031\"}"), 0);
    assert_text(out.data, "{\"status\":\"a\",\"task_id\":\"t\\u0031\"}");
    assert_error(read_flat(CALL_TASK, "t1", "{\"status\":\"a\",\"task_id\":\"t2\"}"), 422, "/task_id");
    assert_error(read_flat(CALL_TASK, "t1", "{\"status\":\"a\",\"task_id\":null}"), 422, "/task_id");
    assert_error(read_flat(CALL_TASK, "1", "{\"status\":\"a\",\"task_id\":1}"), 422, "/task_id");
    assert_error(read_flat(CALL_AGENT, "a1", "{\"activity\":\"a\",\"agent_id\":\"a2\"}"), 422, "/agent_id");
    assert_error(read_flat(CALL_NOTIFICATION, "u", "{\"title\":\"t\",\"message\":\"\",\"user_id\":\"v\"}"), 422,
                 "/user_id");
    assert_error(read_flat(CALL_NOTIFICATION, "", "{\"title\":\"t\",\"message\":\"\"}"), 422, "/user_id");
}

static void audience_and_replay_are_taken_out_of_a_flat_body(void **state)
{
    assert_int_equal(
        read_flat(CALL_AGENT, "a", "{\"audience\":{\"user\":\"u\"},\"activity\":\"x\",\"replay\":false,\"z\":0}"), 0);
    assert_text(out.data, "{\"agent_id\":\"a\",\"activity\":\"x\",\"z\":0}");
    assert_audience("{\"user\":\"u\"}");
    assert_false(out.replay);
    assert_int_equal(
        read_flat(CALL_AGENT, "a", "{\"replay\":true,\"activity\":\"x\",\"audience\":{\"connection\":\"c\"}}"), 0);
    assert_text(out.data, "{\"agent_id\":\"a\",\"activity\":\"x\"}");
    assert_audience("{\"connection\":\"c\"}");
    assert_true(out.replay);
}

static void a_notification_is_for_the_user_of_its_path(void **state)
{
    assert_int_equal(read_flat(CALL_NOTIFICATION, "u/1", "{\"title\":\"t\",\"message\":\"\",\"level\":\"error\"}"), 0);
    assert_text(out.data, "{\"title\":\"t\",\"message\":\"\",\"level\":\"error\"}");
    assert_audience("{\"user\":\"u/1\"}");
    assert_int_equal(read_flat(CALL_NOTIFICATION, "u", "{\"title\":\"t\",\"message\":\"\",\"audience\":\"broadcast\"}"),
                     0);
    assert_audience("\"broadcast\"");
}

static void a_notification_without_level_says_info(void **state)
{
    assert_int_equal(read_flat(CALL_NOTIFICATION, "u", "{\"title\":\"t\",\"message\":\"m\"}"), 0);
    assert_text(out.data, "{\"title\":\"t\",\"message\":\"m\",\"level\":\"info\"}");
    assert_int_equal(
        read_event(
            "{\"type\":\"notification\",\"audience\":\"broadcast\",\"data\":{\"title\":\"t\",\"message\":\"m\" }}"),
        0);
    assert_text(out.data, "{\"title\":\"t\",\"message\":\"m\" ,\"level\":\"info\"}");
    assert_error(read_flat(CALL_NOTIFICATION, "u", "{\"title\":\"t\",\"message\":\"m\",\"level\":\"fatal\"}"), 422,
                 "/level");
}

#define PERIOD "\"title\":\"t\",\"start\":\"2025-11-08T22:00:00Z\",\"end\":\"2025-11-08T23:00:00+01:00\""

static void a_calendar_event_is_for_its_attendees(void **state)
{
    assert_int_equal(read_flat(CALL_CALENDAR, NULL, "{" PERIOD ",\"attendees\":[\"a\",\"b\",\"a\"]}"), 0);
    assert_text(out.data, "{" PERIOD ",\"attendees\":[\"a\",\"b\",\"a\"]}");
    assert_audience("{\"users\":[\"a\",\"b\"]}");
    assert_int_equal(read_flat(CALL_CALENDAR, NULL, "{" PERIOD ",\"attendees\":[]}"), 0);
    assert_audience("\"broadcast\"");
    assert_int_equal(read_flat(CALL_CALENDAR, NULL, "{" PERIOD ",\"attendees\":null}"), 0);
    assert_audience("\"broadcast\"");
    assert_int_equal(
        read_flat(CALL_CALENDAR, NULL, "{" PERIOD ",\"attendees\":[\"a\"],\"audience\":{\"users\":[\"z\"]}}"), 0);
    assert_audience("{\"users\":[\"z\"]}");
}

static void a_body_that_is_no_json_object_is_named_as_a_whole(void **state)
{
    assert_error(read_flat(CALL_TASK, "t", "{\"status\":}"), 400, "");
    assert_string_equal(error.detail, "bad JSON: not JSON");
    assert_error(read_flat(CALL_TASK, "t", "{\"status\":\"a\",\"status\":\"b\"}"), 400, "");
    assert_string_equal(error.detail, "bad JSON: duplicate member \"status\"");
    assert_error(read_event("{\"data\":{\"a\":1,\"a\":2}}"), 400, "");
    assert_error(read_flat(CALL_TASK, "t", "[]"), 422, "");
    assert_error(read_event("\"x\""), 422, "");
    assert_error(read_event(""), 400, "");
}

static void an_event_keeps_its_data_byte_for_byte(void **state)
{
    assert_int_equal(
        read_event("{\"type\":\"a.b_c-9\",\"data\": { \"n\" : 1.0e0,\"s\":\"\\u00e9\" } ,\"audience\":\"broadcast\"}"),
        0);
    assert_text(out.type, "a.b_c-9");
    assert_text(out.data, "{ \"n\" : 1.0e0,\"s\":\"\\u00e9\" }");
    assert_true(out.replay);
    assert_int_equal(read_event("{\"type\":\"a\",\"data\":{},\"audience\":\"broadcast\",\"replay\":false}"), 0);
    assert_false(out.replay);
}

static void the_members_of_an_event_are_checked(void **state)
{
    assert_error(read_event("{\"data\":{},\"audience\":\"broadcast\"}"), 422, "/type");
    assert_error(read_event("{\"type\":1,\"data\":{},\"audience\":\"broadcast\"}"), 422, "/type");
    assert_error(read_event("{\"type\":\"a\",\"audience\":\"broadcast\"}"), 422, "/data");
    assert_error(read_event("{\"type\":\"a\",\"data\":[],\"audience\":\"broadcast\"}"), 422, "/data");
    assert_error(read_event("{\"type\":\"a\",\"data\":null,\"audience\":\"broadcast\"}"), 422, "/data");
    assert_error(read_event("{\"type\":\"a\",\"data\":{}}"), 422, "/audience");
    assert_error(read_event("{\"type\":\"a\",\"data\":{},\"audience\":\"broadcast\",\"replay\":\"no\"}"), 422,
                 "/replay");
    assert_error(read_event("{\"type\":\"a\",\"data\":{},\"audience\":\"broadcast\",\"replay\":null}"), 422, "/replay");
    assert_error(read_event("{\"type\":\"a\",\"data\":{},\"audience\":\"broadcast\",\"re~p/lay\":1}"), 422,
                 "/re~0p~1lay");
    assert_error(read_event("{\"type\":\"task_status_update\",\"audience\":\"broadcast\","
                            "\"data\":{\"task_id\":\"t\",\"status\":\"s\",\"progress\":101}}"),
                 422, "/data/progress");
}

static void the_protocols_own_types_are_no_events(void **state)
{
    static const char *const own[] = {"welcome", "caught_up",       "ping",     "pong", "ack", "auth",
                                      "error",   "resync_required", "reconnect"};
    char body[100];
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); ++i) {
        snprintf(body, sizeof(body), "{\"type\":\"%s\",\"data\":{},\"audience\":\"broadcast\"}", own[i]);
        assert_error(read_event(body), 422, "/type");
    }
    assert_true(event_type_valid(STR_LIT("pings")));
}

static void a_type_has_a_form(void **state)
{
    char longest[EVENT_TYPE_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(event_type_valid((struct str){longest, EVENT_TYPE_MAX}));
    assert_false(event_type_valid((struct str){longest, EVENT_TYPE_MAX + 1}));
    assert_true(event_type_valid(STR_LIT("a")));
    assert_false(event_type_valid(STR_LIT("")));
    assert_false(event_type_valid(STR_NONE));
    assert_false(event_type_valid(STR_LIT("9a")));
    assert_false(event_type_valid(STR_LIT("_a")));
    assert_false(event_type_valid(STR_LIT("aB")));
    assert_false(event_type_valid(STR_LIT("a b")));
    assert_false(event_type_valid(((struct str){"a\0", 2})));
}

/* {"type":"a","audience":"broadcast","data":{"x":"aaa…"}} whose data has n bytes */
static struct str event_of_size(struct buf *b, size_t n)
{
    buf_lit(b, "{\"type\":\"a\",\"audience\":\"broadcast\",\"data\":{\"x\":\"");
    memset(buf_reserve(b, n - 8), 'a', n - 8);
    b->n += n - 8;
    buf_lit(b, "\"}}");
    return buf_str(b);
}

static void data_over_the_limit_is_413(void **state)
{
    struct buf b = {0};
    struct publication_limits small = {.max_message_bytes = 100};
    assert_int_equal(publication_from_event(&arena, event_of_size(&b, 100), &small, &out, &error), 0);
    assert_int_equal(out.data.n, 100);
    b.n = 0;
    assert_error(publication_from_event(&arena, event_of_size(&b, 101), &small, &out, &error), 413, "/data");
    b.n = 0;
    buf_lit(&b, "{\"status\":\"s\",\"x\":\"");
    memset(buf_reserve(&b, 90), 'a', 90);
    b.n += 90;
    buf_lit(&b, "\"}");
    assert_error(publication_from_flat(&arena, CALL_TASK, STR_LIT("t"), buf_str(&b), &small, &out, &error), 413, "");
    buf_free(&b);
}

/* `depth` arrays around nothing */
static void put_arrays(struct buf *b, int depth)
{
    for (int i = 0; i < depth; ++i)
        buf_append_char(b, '[');
    for (int i = 0; i < depth; ++i)
        buf_append_char(b, ']');
}

static int read_nested(int kind, int depth)
{
    static const char *const before[] = {
        "{\"status\":\"s\",\"x\":", "{\"type\":\"a\",\"audience\":\"broadcast\",\"data\":{\"x\":",
        "{\"events\":[{\"type\":\"a\",\"audience\":\"broadcast\",\"data\":{\"x\":"};
    static const char *const after[] = {"}", "}}", "}}]}"};
    struct buf b = {0};
    struct publication *events;
    size_t n;
    buf_append(&b, str_of(before[kind]));
    put_arrays(&b, depth);
    buf_append(&b, str_of(after[kind]));
    int result = kind == 0 ? publication_from_flat(&arena, CALL_TASK, STR_LIT("t"), buf_str(&b), &limits, &out, &error)
                 : kind == 1 ? publication_from_event(&arena, buf_str(&b), &limits, &out, &error)
                             : publication_from_batch(&arena, buf_str(&b), &limits, &events, &n, &error);
    buf_free(&b);
    return result;
}

static void every_call_takes_data_as_deep_as_receivers_do(void **state)
{
    for (int kind = 0; kind < 3; ++kind) {
        assert_int_equal(read_nested(kind, EVENT_DATA_DEPTH_MAX - 1), 0);
        assert_error(read_nested(kind, EVENT_DATA_DEPTH_MAX), 400, "");
    }
}

static int read_batch(const char *body, struct publication **events, size_t *n)
{
    return publication_from_batch(&arena, str_of(body), &limits, events, n, &error);
}

#define EVENT(type) "{\"type\":\"" type "\",\"data\":{},\"audience\":\"broadcast\"}"

static void a_batch_keeps_its_order(void **state)
{
    struct publication *events;
    size_t n;
    assert_int_equal(read_batch("{\"events\":[" EVENT("a") "," EVENT("b") "," EVENT("c") "]}", &events, &n), 0);
    assert_int_equal(n, 3);
    assert_text(events[0].type, "a");
    assert_text(events[2].type, "c");
}

static void an_error_in_a_batch_names_the_event(void **state)
{
    struct publication *events;
    size_t n;
    assert_error(read_batch("{\"events\":[" EVENT("a") "," EVENT("B") "]}", &events, &n), 422, "/events/1/type");
    assert_error(read_batch("{\"events\":[" EVENT("a") ",7]}", &events, &n), 422, "/events/1");
    assert_error(
        read_batch("{\"events\":[{\"type\":\"a\",\"data\":{},\"audience\":{\"users\":[\"u\",\"\"]}}]}", &events, &n),
        422, "/events/0/audience/users/1");
    assert_error(read_batch("{\"events\":[" EVENT("a") ",{\"type\":\"notification\",\"audience\":\"broadcast\","
                                                       "\"data\":{\"title\":\"t\"}}]}",
                            &events, &n),
                 422, "/events/1/data/message");
    assert_error(read_batch("{\"events\":[{\"type\":\"a\",\"data\":{\"x\":1,\"x\":2},\"audience\":\"broadcast\"}]}",
                            &events, &n),
                 400, "");
}

static void a_batch_has_one_to_a_thousand_events(void **state)
{
    struct publication *events;
    struct buf b = {0};
    size_t n;
    assert_error(read_batch("{\"events\":[]}", &events, &n), 422, "/events");
    assert_error(read_batch("{\"events\":{}}", &events, &n), 422, "/events");
    assert_error(read_batch("{}", &events, &n), 422, "/events");
    assert_error(read_batch("{\"events\":[" EVENT("a") "],\"x\":1}", &events, &n), 422, "/x");
    buf_lit(&b, "{\"events\":[");
    for (int i = 0; i < BATCH_MAX; ++i)
        buf_append(&b, i == 0 ? STR_LIT(EVENT("a")) : STR_LIT("," EVENT("a")));
    size_t thousand = b.n;
    buf_lit(&b, "]}");
    assert_int_equal(publication_from_batch(&arena, buf_str(&b), &limits, &events, &n, &error), 0);
    assert_int_equal(n, BATCH_MAX);
    b.n = thousand;
    buf_lit(&b, "," EVENT("a") "]}");
    assert_error(publication_from_batch(&arena, buf_str(&b), &limits, &events, &n, &error), 422, "/events");
    buf_free(&b);
}

static void a_pointer_that_is_too_long_is_cut_at_a_character(void **state)
{
    struct buf b = {0};
    buf_lit(&b, "{\"");
    for (int i = 0; i < 100; ++i)
        buf_lit(&b, "\xc3\xa9");
    buf_lit(&b, "\":1}");
    assert_int_equal(publication_from_event(&arena, buf_str(&b), &limits, &out, &error), -1);
    assert_int_equal(strlen(error.field), 159); /* a slash and 79 characters of two bytes */
    b.p[2] = 'x';                               /* no longer UTF-8 */
    assert_error(publication_from_event(&arena, buf_str(&b), &limits, &out, &error), 400, "");
    buf_free(&b);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_gets_the_id_of_its_path_first),
        TEST(an_id_in_the_body_stays_where_it_is_and_has_to_be_the_paths),
        TEST(audience_and_replay_are_taken_out_of_a_flat_body),
        TEST(a_notification_is_for_the_user_of_its_path),
        TEST(a_notification_without_level_says_info),
        TEST(a_calendar_event_is_for_its_attendees),
        TEST(a_body_that_is_no_json_object_is_named_as_a_whole),
        TEST(an_event_keeps_its_data_byte_for_byte),
        TEST(the_members_of_an_event_are_checked),
        TEST(the_protocols_own_types_are_no_events),
        TEST(a_type_has_a_form),
        TEST(data_over_the_limit_is_413),
        TEST(every_call_takes_data_as_deep_as_receivers_do),
        TEST(a_batch_keeps_its_order),
        TEST(an_error_in_a_batch_names_the_event),
        TEST(a_batch_has_one_to_a_thousand_events),
        TEST(a_pointer_that_is_too_long_is_cut_at_a_character),
    };
    return cmocka_run_group_tests_name("publication", tests, NULL, NULL);
}
