/* Tests of the server's own messages, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/message.h"

#define NOW 1762639200123
#define HEAD(type) "{\"type\":\"" type "\",\"event_id\":\"5-6.7\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{"

static const struct position at = {5, 6, 7};
static struct buf out;

static int clear(void **state)
{
    buf_free(&out);
    out = (struct buf){0};
    return 0;
}

/* and starts again */
static void assert_written(const char *expected)
{
    assert_null(json_check(buf_str(&out)));
    if (!str_eq(buf_str(&out), str_of(expected)))
        fail_msg("got %.*s, expected %s", (int)out.n, out.p, expected);
    out.n = 0;
}

static void welcome(void **state)
{
    struct message_welcome m = {.connection_id = STR_LIT("c1"),
                                .user_id = STR_LIT("u\"\n\xc3\xa9"),
                                .position = at,
                                .resumed = false,
                                .recovering = true,
                                .ping_interval_ms = 30000,
                                .backoff_base_ms = 500,
                                .backoff_max_ms = 30000};
    message_welcome(&out, &m, NOW);
    assert_written(HEAD("welcome") "\"connection_id\":\"c1\",\"user_id\":\"u\\\"\\n\xc3\xa9\",\"position\":\"5-6.7\","
                                   "\"resumed\":false,\"recovering\":true,\"ping_interval_ms\":30000,"
                                   "\"backoff\":{\"base_ms\":500,\"max_ms\":30000}}}");
}

static void ping_and_pong(void **state)
{
    message_ping(&out, at, NOW);
    assert_written(HEAD("ping") "}}");
    message_pong(&out, at, NOW, STR_LIT("r"));
    assert_written(HEAD("pong") "\"ref\":\"r\"}}");
    message_pong(&out, at, NOW, STR_NONE);
    assert_written(HEAD("pong") "}}");
    message_pong(&out, at, NOW, STR_LIT("")); /* an empty ref is one */
    assert_written(HEAD("pong") "\"ref\":\"\"}}");
}

static void ack(void **state)
{
    struct position published = {5, 99, 0};
    message_ack(&out, at, NOW, STR_LIT("r"), &published, STR_NONE);
    assert_written(HEAD("ack") "\"ref\":\"r\",\"event_id\":\"5-99\"}}");
    message_ack(&out, at, NOW, STR_NONE, &published, STR_NONE);
    assert_written(HEAD("ack") "\"event_id\":\"5-99\"}}");
    message_ack(&out, at, NOW, STR_LIT("r"), NULL, STR_NONE);
    assert_written(HEAD("ack") "\"ref\":\"r\"}}");
    message_ack(&out, at, NOW, STR_NONE, NULL, STR_NONE);
    assert_written(HEAD("ack") "}}");
    message_ack(&out, at, NOW, STR_LIT("r"), &published, STR_LIT("00-4bf9-01"));
    assert_written("{\"type\":\"ack\",\"event_id\":\"5-6.7\",\"timestamp\":\"2025-11-08T22:00:00.123Z\","
                   "\"traceparent\":\"00-4bf9-01\",\"data\":{\"ref\":\"r\",\"event_id\":\"5-99\"}}");
}

static void error(void **state)
{
    message_error(&out, at, NOW, ERROR_BAD_MESSAGE, STR_LIT("no \"x\""), STR_LIT("r"), STR_LIT("/data/x"));
    assert_written(
        HEAD("error") "\"code\":\"bad_message\",\"message\":\"no \\\"x\\\"\",\"ref\":\"r\",\"field\":\"/data/x\"}}");
    message_error(&out, at, NOW, ERROR_INTERNAL, STR_LIT("m"), STR_NONE, STR_NONE);
    assert_written(HEAD("error") "\"code\":\"internal\",\"message\":\"m\"}}");
    message_error(&out, at, NOW, ERROR_BAD_JSON, STR_LIT("m"), STR_NONE, STR_LIT(""));
    assert_written(HEAD("error") "\"code\":\"bad_json\",\"message\":\"m\"}}");
}

static void every_error_has_its_name(void **state)
{
    assert_string_equal(error_code_name(ERROR_BAD_JSON), "bad_json");
    assert_string_equal(error_code_name(ERROR_BAD_MESSAGE), "bad_message");
    assert_string_equal(error_code_name(ERROR_UNKNOWN_TYPE), "unknown_type");
    assert_string_equal(error_code_name(ERROR_FORBIDDEN), "forbidden");
    assert_string_equal(error_code_name(ERROR_RATE_LIMITED), "rate_limited");
    assert_string_equal(error_code_name(ERROR_TOO_LARGE), "too_large");
    assert_string_equal(error_code_name(ERROR_NOT_ACCEPTED), "not_accepted");
    assert_string_equal(error_code_name(ERROR_OUTCOME_UNKNOWN), "outcome_unknown");
    assert_string_equal(error_code_name(ERROR_TOKEN_EXPIRING), "token_expiring");
    assert_string_equal(error_code_name(ERROR_INTERNAL), "internal");
}

static void resync_reconnect_and_caught_up(void **state)
{
    message_resync_required(&out, at, NOW, "expired", (struct position){5, 2, 0});
    assert_written(HEAD("resync_required") "\"reason\":\"expired\",\"oldest\":\"5-2\",\"position\":\"5-6.7\"}}");
    message_reconnect(&out, at, NOW, 1234);
    assert_written(HEAD("reconnect") "\"after_ms\":1234,\"position\":\"5-6.7\"}}");
    message_caught_up(&out, at, NOW, UINT64_MAX);
    assert_written(HEAD("caught_up") "\"replayed\":18446744073709551615,\"position\":\"5-6.7\"}}");
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(welcome),
        TEST(ping_and_pong),
        TEST(ack),
        TEST(error),
        TEST(every_error_has_its_name),
        TEST(resync_reconnect_and_caught_up),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
