/* Tests of what clients send: the five kinds, and the answer to everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/message.h"

static const struct publication_limits limits = {.max_message_bytes = 1024};
static struct arena arena;
static struct client_message m;
static struct client_error error;

static int clear(void **state)
{
    arena_free(&arena);
    return 0;
}

static int parse(const char *text)
{
    return client_message_parse(&arena, str_of(text), &limits, &m, &error);
}

static void assert_text(struct str s, const char *expected)
{
    if (!str_eq(s, str_of(expected)))
        fail_msg("got %.*s, expected %s", (int)s.n, s.p, expected);
}

static void assert_error(const char *text, enum error_code code, const char *field)
{
    assert_int_equal(parse(text), -1);
    if (error.code != code || strcmp(error.field, field) != 0)
        fail_msg("%s: got %s at %s (%s)", text, error_code_name(error.code), error.field, error.detail);
    assert_true(error.detail[0] != '\0');
}

static void a_pong_needs_no_data(void **state)
{
    assert_int_equal(parse("{\"type\":\"pong\",\"event_id\":\"1762-abc\",\"timestamp\":\"2025-11-08T22:00:00.123Z\"}"),
                     0);
    assert_int_equal(m.kind, CLIENT_PONG);
    assert_text(m.ref, "1762-abc");
    assert_int_equal(parse("{\"type\":\"pong\",\"data\":null}"), 0);
    assert_null(m.ref.p);
}

static void a_ping_brings_its_ref(void **state)
{
    assert_int_equal(parse(" {\"data\":{},\"event_id\":\"r\\u00e9\",\"more\":[1],\"type\":\"p\\u0069ng\"} "), 0);
    assert_int_equal(m.kind, CLIENT_PING);
    assert_text(m.ref, "r\xc3\xa9");
    assert_int_equal(parse("{\"type\":\"ping\",\"event_id\":\"\"}"), 0);
    assert_non_null(m.ref.p);
    assert_int_equal(m.ref.n, 0);
}

static void an_event_id_that_is_no_short_string_is_no_ref(void **state)
{
    struct buf b = {0};
    assert_int_equal(parse("{\"type\":\"ping\",\"event_id\":7}"), 0);
    assert_null(m.ref.p);
    for (size_t n = MESSAGE_REF_MAX; n <= MESSAGE_REF_MAX + 1; ++n) {
        b.n = 0;
        buf_lit(&b, "{\"type\":\"ping\",\"event_id\":\"");
        for (size_t i = 0; i < n; ++i)
            buf_append_char(&b, 'a');
        buf_lit(&b, "\"}");
        assert_int_equal(client_message_parse(&arena, buf_str(&b), &limits, &m, &error), 0);
        assert_int_equal(m.ref.n, n == MESSAGE_REF_MAX ? n : 0);
    }
    buf_free(&b);
}

static void an_ack_names_an_id_in_data_or_is_its_own(void **state)
{
    assert_int_equal(parse("{\"type\":\"ack\",\"event_id\":\"r\",\"data\":{\"event_id\":\"5-6\"}}"), 0);
    assert_int_equal(m.kind, CLIENT_ACK);
    assert_true(m.acked.epoch == 5 && m.acked.seq == 6 && m.acked.n == 0);
    assert_string_equal(m.acked_from, "/data/event_id");
    assert_text(m.ref, "r");
    assert_int_equal(parse("{\"type\":\"ack\",\"event_id\":\"5-7\",\"data\":{}}"), 0);
    assert_true(m.acked.epoch == 5 && m.acked.seq == 7);
    assert_string_equal(m.acked_from, "/event_id");
    assert_int_equal(parse("{\"type\":\"ack\",\"event_id\":\"5-8\",\"data\":null}"), 0);
    assert_true(m.acked.seq == 8);
    assert_int_equal(parse("{\"type\":\"ack\",\"event_id\":\"5-8.3\"}"), 0);
    assert_true(m.acked.seq == 8 && m.acked.n == 3);
    assert_error("{\"type\":\"ack\",\"event_id\":\"my-9\"}", ERROR_BAD_MESSAGE, "/event_id");
    assert_error("{\"type\":\"ack\",\"event_id\":\"5-8\",\"data\":{\"event_id\":\"5-08\"}}", ERROR_BAD_MESSAGE,
                 "/data/event_id");
    assert_error("{\"type\":\"ack\"}", ERROR_BAD_MESSAGE, "/event_id");
    assert_error("{\"type\":\"ack\",\"event_id\":5}", ERROR_BAD_MESSAGE, "/event_id");
    assert_error("{\"type\":\"ack\",\"event_id\":\"r\",\"data\":{\"event_id\":5}}", ERROR_BAD_MESSAGE,
                 "/data/event_id");
    assert_text(error.ref, "r");
}

static void auth_brings_a_token(void **state)
{
    assert_int_equal(parse("{\"type\":\"auth\",\"data\":{\"token\":\"a.b.c\"}}"), 0);
    assert_int_equal(m.kind, CLIENT_AUTH);
    assert_text(m.token, "a.b.c");
    assert_error("{\"type\":\"auth\"}", ERROR_BAD_MESSAGE, "/data/token");
    assert_error("{\"type\":\"auth\",\"data\":\"a.b.c\"}", ERROR_BAD_MESSAGE, "/data/token");
    assert_error("{\"type\":\"auth\",\"data\":{\"token\":null}}", ERROR_BAD_MESSAGE, "/data/token");
}

static void audience_beside_data_is_an_event_to_publish(void **state)
{
    assert_int_equal(
        parse("{\"type\":\"chat.line\",\"event_id\":\"r\",\"timestamp\":1,\"audience\":{\"users\":[\"a\",\"b\"]},"
              "\"data\":{\"x\": 1.0},\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}"),
        0);
    assert_int_equal(m.kind, CLIENT_EVENT);
    assert_text(m.ref, "r");
    assert_text(m.event.type, "chat.line");
    assert_text(m.event.data, "{\"x\": 1.0}");
    assert_int_equal(m.event.audience.count, 2);
    assert_true(m.event.replay);
    assert_int_equal(m.traceparent.n, 55);
    assert_int_equal(
        parse("{\"type\":\"a\",\"audience\":\"broadcast\",\"data\":{},\"replay\":false,\"traceparent\":\"x\"}"), 0);
    assert_false(m.event.replay);
    assert_null(m.traceparent.p);
}

static void an_event_is_validated_as_by_rest(void **state)
{
    assert_error("{\"type\":\"a\",\"audience\":\"all\",\"data\":{},\"event_id\":\"r\"}", ERROR_BAD_MESSAGE,
                 "/audience");
    assert_text(error.ref, "r");
    assert_error("{\"type\":\"a\",\"audience\":null,\"data\":{}}", ERROR_BAD_MESSAGE, "/audience");
    assert_error("{\"type\":\"a\",\"audience\":\"broadcast\"}", ERROR_BAD_MESSAGE, "/data");
    assert_error("{\"type\":\"a\",\"audience\":\"broadcast\",\"data\":{},\"replay\":0}", ERROR_BAD_MESSAGE, "/replay");
    assert_error("{\"type\":\"welcome\",\"audience\":\"broadcast\",\"data\":{}}", ERROR_BAD_MESSAGE, "/type");
    assert_error("{\"type\":\"notification\",\"audience\":\"broadcast\",\"data\":{\"title\":\"\",\"message\":\"\"}}",
                 ERROR_BAD_MESSAGE, "/data/title");
}

static void an_event_over_the_limit_is_too_large(void **state)
{
    struct buf b = {0};
    buf_lit(&b, "{\"type\":\"a\",\"event_id\":\"r\",\"audience\":\"broadcast\",\"data\":{\"x\":\"");
    for (int i = 0; i < 1024; ++i)
        buf_append_char(&b, 'a');
    buf_append(&b, (struct str){"\"}}", 4}); /* with its NUL */
    assert_error(b.p, ERROR_TOO_LARGE, "/data");
    assert_text(error.ref, "r");
    buf_free(&b);
}

static void other_types_are_unknown(void **state)
{
    assert_error("{\"type\":\"subscribe\",\"event_id\":\"r\"}", ERROR_UNKNOWN_TYPE, "/type");
    assert_text(error.ref, "r");
    assert_error("{\"type\":\"welcome\"}", ERROR_UNKNOWN_TYPE, "/type");
    assert_error("{\"type\":\"\"}", ERROR_UNKNOWN_TYPE, "/type");
}

static void what_is_no_message_is_told(void **state)
{
    assert_error("hello", ERROR_BAD_JSON, "");
    assert_error("", ERROR_BAD_JSON, "");
    assert_error("{\"type\":\"ping\",\"type\":\"pong\"}", ERROR_BAD_JSON, "");
    assert_string_equal(error.detail, "duplicate member \"type\"");
    assert_null(error.ref.p);
    assert_error("[]", ERROR_BAD_MESSAGE, "");
    assert_error("{}", ERROR_BAD_MESSAGE, "/type");
    assert_error("{\"type\":null,\"event_id\":\"r\"}", ERROR_BAD_MESSAGE, "/type");
    assert_text(error.ref, "r");
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pong_needs_no_data),
        TEST(a_ping_brings_its_ref),
        TEST(an_event_id_that_is_no_short_string_is_no_ref),
        TEST(an_ack_names_an_id_in_data_or_is_its_own),
        TEST(auth_brings_a_token),
        TEST(audience_beside_data_is_an_event_to_publish),
        TEST(an_event_is_validated_as_by_rest),
        TEST(an_event_over_the_limit_is_too_large),
        TEST(other_types_are_unknown),
        TEST(what_is_no_message_is_told),
    };
    return cmocka_run_group_tests_name("client_message", tests, NULL, NULL);
}
