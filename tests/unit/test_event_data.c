/* Tests of the known event types field by field: each bound from both sides, and the field that is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/event_data.h"

/* The field at fault, "ok" if there is none. */
static const char *check(const char *type, const char *data)
{
    static struct input_error error;
    struct arena a = {0};
    struct json_member *members;
    assert_null(json_check(str_of(data)));
    size_t n = json_members(&a, str_of(data), &members);
    int result = event_data_check(&a, str_of(type), members, n, &error);
    arena_free(&a);
    if (result == 0)
        return "ok";
    assert_int_equal(error.status, 422);
    return error.field;
}

/* `members` and then "name":"aaa…" with n bytes. */
static const char *check_length(const char *type, const char *members, const char *name, size_t n)
{
    struct buf b = {0};
    buf_printf(&b, "{%s%s\"%s\":\"", members, members[0] != '\0' ? "," : "", name);
    for (size_t i = 0; i < n; ++i)
        buf_append_char(&b, 'a');
    buf_append(&b, (struct str){"\"}", 3}); /* with its NUL */
    const char *result = check(type, b.p);
    buf_free(&b);
    return result;
}

static void assert_lengths(const char *type, const char *members, const char *name, size_t min, size_t max)
{
    char field[64];
    snprintf(field, sizeof(field), "/%s", name);
    assert_string_equal(check_length(type, members, name, min), "ok");
    assert_string_equal(check_length(type, members, name, max), "ok");
    assert_string_equal(check_length(type, members, name, max + 1), field);
    if (min > 0)
        assert_string_equal(check_length(type, members, name, min - 1), field);
}

#define TASK(more) "{\"task_id\":\"t\",\"status\":\"s\"" more "}"

static void task_status_update(void **state)
{
    assert_string_equal(check("task_status_update", TASK("")), "ok");
    assert_string_equal(check("task_status_update", "{\"status\":\"s\"}"), "/task_id");
    assert_string_equal(check("task_status_update", "{\"task_id\":\"t\"}"), "/status");
    assert_string_equal(check("task_status_update", "{\"task_id\":\"t\",\"status\":null}"), "/status");
    assert_string_equal(check("task_status_update", "{\"task_id\":\"t\",\"status\":1}"), "/status");
    assert_lengths("task_status_update", "\"status\":\"s\"", "task_id", 1, 256);
    assert_lengths("task_status_update", "\"task_id\":\"t\"", "status", 1, 64);
    assert_lengths("task_status_update", "\"task_id\":\"t\",\"status\":\"s\"", "message", 0, 4096);
}

static void progress(void **state)
{
    assert_string_equal(check("task_status_update", TASK(",\"progress\":0")), "ok");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":100")), "ok");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":1e2")), "ok");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":null")), "ok");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":100.001")), "/progress");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":-0.5")), "/progress");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":1e999")), "/progress");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":\"50\"")), "/progress");
    assert_string_equal(check("task_status_update", TASK(",\"progress\":true")), "/progress");
}

static void lengths_count_decoded_bytes(void **state)
{
    /* 64 bytes, written with 384: U+0041 each; and 33 characters of two bytes, which are 66 */
    struct buf b = {0};
    buf_lit(&b, "{\"task_id\":\"t\",\"status\":\"");
    for (int i = 0; i < 64; ++i)
        buf_lit(&b, "\\u0041");
    buf_append(&b, (struct str){"\"}", 3});
    assert_string_equal(check("task_status_update", b.p), "ok");
    b.n = 0;
    buf_lit(&b, "{\"task_id\":\"t\",\"status\":\"");
    for (int i = 0; i < 33; ++i)
        buf_lit(&b, "\xc3\xa9");
    buf_append(&b, (struct str){"\"}", 3});
    assert_string_equal(check("task_status_update", b.p), "/status");
    buf_free(&b);
}

static void agent_activity_update(void **state)
{
    const char *both = "\"agent_id\":\"a\",\"activity\":\"x\"";
    assert_string_equal(check("agent_activity_update", "{\"activity\":\"x\"}"), "/agent_id");
    assert_string_equal(check("agent_activity_update", "{\"agent_id\":\"a\"}"), "/activity");
    assert_lengths("agent_activity_update", "\"activity\":\"x\"", "agent_id", 1, 256);
    assert_lengths("agent_activity_update", "\"agent_id\":\"a\"", "activity", 1, 256);
    assert_lengths("agent_activity_update", both, "task_id", 1, 256);
    assert_lengths("agent_activity_update", both, "status", 0, 64);
    assert_lengths("agent_activity_update", both, "message", 0, 4096);
}

#define TIMES "\"start\":\"2025-11-08T22:00:00Z\",\"end\":\"2025-11-08T22:00:00Z\""
#define CALENDAR(more) "{\"title\":\"t\"," TIMES more "}"

static void calendar_event_created(void **state)
{
    const char *all = "\"title\":\"t\"," TIMES;
    assert_string_equal(check("calendar_event_created", CALENDAR("")), "ok");
    assert_string_equal(check("calendar_event_created", "{" TIMES "}"), "/title");
    assert_lengths("calendar_event_created", TIMES, "title", 1, 256);
    assert_lengths("calendar_event_created", all, "calendar_event_id", 1, 256);
    assert_lengths("calendar_event_created", all, "description", 0, 4096);
    assert_lengths("calendar_event_created", all, "location", 0, 256);
}

#define PERIOD(start, end) "{\"title\":\"t\",\"start\":\"" start "\",\"end\":\"" end "\"}"

static void a_period_has_real_dates_with_offset_and_does_not_end_before_it_starts(void **state)
{
    const char *type = "calendar_event_created";
    assert_string_equal(check(type, PERIOD("2025-11-08T22:00:00+02:00", "2025-11-08T20:00:00Z")), "ok");
    assert_string_equal(check(type, PERIOD("2025-11-08T22:00:00+02:00", "2025-11-08T19:59:59.999Z")), "/end");
    assert_string_equal(check(type, PERIOD("2025-02-29T00:00:00Z", "2025-11-08T20:00:00Z")), "/start");
    assert_string_equal(check(type, PERIOD("2025-11-08T22:00:00", "2025-11-09T20:00:00Z")), "/start");
    assert_string_equal(check(type, PERIOD("2025-11-08T22:00:00Z", "2025-11-09")), "/end");
    assert_string_equal(check(type, "{\"title\":\"t\",\"start\":1762639200,\"end\":1762639200}"), "/start");
    assert_string_equal(check(type, "{\"title\":\"t\",\"start\":\"2025-11-08T22:00:00Z\"}"), "/end");
}

static void attendees(void **state)
{
    const char *type = "calendar_event_created";
    assert_string_equal(check(type, CALENDAR(",\"attendees\":[]")), "ok");
    assert_string_equal(check(type, CALENDAR(",\"attendees\":null")), "ok");
    assert_string_equal(check(type, CALENDAR(",\"attendees\":[\"a\",\"b\",\"c\",7]")), "/attendees/3");
    assert_string_equal(check(type, CALENDAR(",\"attendees\":[\"\"]")), "/attendees/0");
    assert_string_equal(check(type, CALENDAR(",\"attendees\":[\"a\\u0000\"]")), "/attendees/0");
    assert_string_equal(check(type, CALENDAR(",\"attendees\":\"a\"")), "/attendees");
}

#define NOTE(more) "{\"title\":\"t\",\"message\":\"\"" more "}"

static void notification(void **state)
{
    assert_string_equal(check("notification", "{\"message\":\"\"}"), "/title");
    assert_string_equal(check("notification", "{\"title\":\"t\"}"), "/message");
    assert_lengths("notification", "\"message\":\"\"", "title", 1, 256);
    assert_lengths("notification", "\"title\":\"t\"", "message", 0, 4096);
    assert_lengths("notification", "\"title\":\"t\",\"message\":\"\"", "link", 0, 2048);
    assert_string_equal(check("notification", NOTE(",\"level\":\"info\"")), "ok");
    assert_string_equal(check("notification", NOTE(",\"level\":\"success\"")), "ok");
    assert_string_equal(check("notification", NOTE(",\"level\":\"warning\"")), "ok");
    assert_string_equal(check("notification", NOTE(",\"level\":\"error\"")), "ok");
    assert_string_equal(check("notification", NOTE(",\"level\":null")), "ok");
    assert_string_equal(check("notification", NOTE(",\"level\":\"Info\"")), "/level");
    assert_string_equal(check("notification", NOTE(",\"level\":\"\"")), "/level");
    assert_string_equal(check("notification", NOTE(",\"level\":1")), "/level");
}

static void other_types_and_other_members_pass(void **state)
{
    assert_string_equal(check("other", "{\"title\":1,\"progress\":\"x\"}"), "ok");
    assert_string_equal(check("notification", NOTE(",\"progress\":\"x\",\"\":null")), "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_status_update),
        cmocka_unit_test(progress),
        cmocka_unit_test(lengths_count_decoded_bytes),
        cmocka_unit_test(agent_activity_update),
        cmocka_unit_test(calendar_event_created),
        cmocka_unit_test(a_period_has_real_dates_with_offset_and_does_not_end_before_it_starts),
        cmocka_unit_test(attendees),
        cmocka_unit_test(notification),
        cmocka_unit_test(other_types_and_other_members_pass),
    };
    return cmocka_run_group_tests_name("event_data", tests, NULL, NULL);
}
