/* Tests of envelopes: the two halves, what is own and what foreign, and what is dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/envelope.h"

#define AT 1762639200123 /* 2025-11-08T22:00:00.123Z */
#define LATER "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACE "00" LATER

static struct arena arena;
static struct envelope e;

static int clear(void **state)
{
    arena_free(&arena);
    return 0;
}

static void assert_text(struct str s, const char *expected)
{
    if (!str_eq(s, str_of(expected)))
        fail_msg("got %.*s, expected %s", (int)s.n, s.p, expected);
}

static void assert_dropped(const char *payload, const char *why)
{
    const char *problem = envelope_parse(&arena, str_of(payload), &e);
    if (problem == NULL || strcmp(problem, why) != 0)
        fail_msg("%s: %s", payload, problem == NULL ? "passed" : problem);
}

/* The halves with the id between them, as the script joins them. */
static struct str join(struct buf *b, const char *id, struct str traceparent, struct str data)
{
    envelope_head(b, STR_LIT("note"));
    buf_append(b, str_of(id));
    envelope_tail(b, AT, traceparent, data);
    return buf_str(b);
}

static void two_halves_and_an_id_are_an_own_event(void **state)
{
    struct buf b = {0};
    struct str payload = join(&b, "1762639200000-7", STR_NONE, STR_LIT("{\"a\":1.50}"));
    assert_text(payload,
                " {\"type\":\"note\",\"event_id\":\"1762639200000-7\",\"timestamp\":\"2025-11-08T22:00:00.123Z\","
                "\"data\":{\"a\":1.50}}");
    assert_null(envelope_parse(&arena, payload, &e));
    assert_true(e.own);
    assert_true(e.id.epoch == 1762639200000 && e.id.seq == 7 && e.id.n == 0);
    assert_text(e.type, "note");
    assert_text(e.event_id, "1762639200000-7");
    assert_text(e.data, "{\"a\":1.50}");
    assert_null(e.source_id.p);
    assert_null(e.traceparent.p);
    assert_ptr_equal(e.text.p, payload.p + 1);
    assert_int_equal(e.text.n, payload.n - 1);
    buf_free(&b);
}

static void a_traceparent_travels_if_it_is_one(void **state)
{
    struct buf b = {0};
    assert_null(envelope_parse(&arena, join(&b, "1-2", STR_LIT(TRACE), STR_LIT("{}")), &e));
    assert_text(e.traceparent, TRACE);
    b.n = 0;
    assert_text(join(&b, "1-2", STR_LIT("x\"y"), STR_LIT("{}")),
                " {\"type\":\"note\",\"event_id\":\"1-2\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{}}");
    buf_free(&b);
}

static void what_does_not_look_own_is_foreign(void **state)
{
    static const char *const payloads[] = {
        "{\"type\":\"a\",\"event_id\":\"1-2\",\"data\":{}}",    /* no space */
        "  {\"type\":\"a\",\"event_id\":\"1-2\",\"data\":{}}",  /* two */
        "\t{\"type\":\"a\",\"event_id\":\"1-2\",\"data\":{}}",  /* another */
        " {\"type\":\"a\",\"event_id\":\"1-2.3\",\"data\":{}}", /* an id of a foreign event */
        " {\"type\":\"a\",\"event_id\":\"01-2\",\"data\":{}}",
        " {\"type\":\"a\",\"event_id\":\"6f1b\",\"data\":{}}",
        " {\"type\":\"a\",\"event_id\":12,\"data\":{}}",
        " {\"type\":\"a\",\"data\":{}}",
        " {\"type\":\"a\",\"event_id\":\"1-2\"}",
        " {\"type\":\"a\",\"event_id\":\"1-2\",\"data\":null}",
    };
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); ++i) {
        assert_null(envelope_parse(&arena, str_of(payloads[i]), &e));
        if (e.own)
            fail_msg("%s passed as own", payloads[i]);
    }
}

static void a_foreign_event_moves_its_id_to_source_id(void **state)
{
    struct buf b = {0};
    assert_null(envelope_parse(&arena,
                               STR_LIT("{\"data\": {\"b\" : [1.0]} ,\"timestamp\":\"yesterday\",\"type\":\"a.b\","
                                       "\"event_id\":\"6f\\u0022\",\"traceparent\":\"" TRACE "\",\"x\":1}"),
                               &e));
    envelope_foreign(&b, &e, (struct position){5, 6, 7}, AT);
    assert_text(buf_str(&b), "{\"type\":\"a.b\",\"event_id\":\"5-6.7\",\"timestamp\":\"2025-11-08T22:00:00.123Z\","
                             "\"source_id\":\"6f\\\"\",\"traceparent\":\"" TRACE "\",\"data\":{\"b\" : [1.0]}}");
    buf_free(&b);
}

static void a_foreign_event_may_come_without_id_and_data(void **state)
{
    struct buf b = {0};
    assert_null(envelope_parse(&arena, STR_LIT("{\"type\":\"a\",\"event_id\":null,\"traceparent\":\"junk\"}"), &e));
    envelope_foreign(&b, &e, (struct position){5, 6, 1}, AT);
    assert_text(buf_str(&b),
                "{\"type\":\"a\",\"event_id\":\"5-6.1\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{}}");
    b.n = 0;
    assert_null(envelope_parse(&arena, STR_LIT("{\"type\":\"a\",\"source_id\":\"s\",\"data\":null}"), &e));
    envelope_foreign(&b, &e, (struct position){5, 6, 1}, AT);
    assert_text(buf_str(&b), "{\"type\":\"a\",\"event_id\":\"5-6.1\",\"timestamp\":\"2025-11-08T22:00:00.123Z\","
                             "\"source_id\":\"s\",\"data\":{}}");
    buf_free(&b);
}

static void junk_is_dropped_with_its_reason(void **state)
{
    static const char *const types[] = {"{}",
                                        "{\"type\":1}",
                                        "{\"type\":\"\"}",
                                        "{\"type\":\"Aa\"}",
                                        "{\"type\":\"welcome\"}",
                                        " {\"type\":\"ping\",\"event_id\":\"1-2\",\"data\":{}}"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i)
        assert_dropped(types[i], "type is missing, not of the form, or the protocol's own");
    assert_dropped("", "not JSON");
    assert_dropped("hello", "not JSON");
    assert_dropped("[]", "not an object");
    assert_dropped("7", "not an object");
    assert_dropped("{\"type\":\"a\",\"data\":[]}", "data is not an object");
    assert_dropped(" {\"type\":\"a\",\"event_id\":\"1-2\",\"data\":\"x\"}", "data is not an object");
    assert_dropped("{\"type\":\"a\",\"type\":\"b\"}", "duplicate member \"type\"");
    assert_dropped(" {\"type\":\"a\",\"event_id\":\"1-2\",\"event_id\":\"1-9\",\"data\":{}}",
                   "duplicate member \"event_id\"");
    assert_dropped("{\"type\":\"a\",\"data\":{\"x\":\"\\ud800\"}}", "lone surrogate escape");
    assert_dropped("{\"type\":\"a\",\"data\":{\"x\":\"\xff\"}}", "not UTF-8");
}

/* `before` + a's + `"}}` with n bytes in all */
static struct str of_size(struct buf *b, const char *before, size_t n)
{
    b->n = 0;
    buf_append(b, str_of(before));
    size_t fill = n - b->n - 3;
    memset(buf_reserve(b, fill), 'a', fill);
    b->n += fill;
    buf_lit(b, "\"}}");
    return buf_str(b);
}

static void own_and_foreign_events_have_a_limit_each(void **state)
{
    const char *foreign = "{\"type\":\"a\",\"data\":{\"x\":\"",
               *own = " {\"type\":\"a\",\"event_id\":\"1-2\",\"data\":{\"x\":\"";
    struct buf b = {0};
    assert_null(envelope_parse(&arena, of_size(&b, foreign, ENVELOPE_FOREIGN_MAX), &e));
    assert_string_equal(envelope_parse(&arena, of_size(&b, foreign, ENVELOPE_FOREIGN_MAX + 1), &e), "too large");
    assert_null(envelope_parse(&arena, of_size(&b, own, ENVELOPE_OWN_MAX), &e));
    assert_true(e.own);
    assert_string_equal(envelope_parse(&arena, of_size(&b, own, ENVELOPE_OWN_MAX + 1), &e), "too large");
    /* the space alone buys no more room */
    assert_string_equal(
        envelope_parse(&arena, of_size(&b, " {\"type\":\"a\",\"data\":{\"x\":\"", ENVELOPE_FOREIGN_MAX + 1), &e),
        "too large");
    buf_free(&b);
}

static void the_halves_fit_into_what_receivers_allow_beyond_data(void **state)
{
    struct buf b = {0};
    char type[64];
    memset(type, 'a', sizeof(type));
    envelope_head(&b, (struct str){type, sizeof(type)});
    buf_lit(&b, "18446744073709551615-18446744073709551615");
    envelope_tail(&b, AT, STR_LIT("01" LATER "-and-what-comes-later"), STR_LIT("{}"));
    assert_null(envelope_parse(&arena, buf_str(&b), &e));
    assert_text(e.traceparent, "01" LATER);
    assert_true(b.n - 2 < 512);
    buf_free(&b);
}

static void data_at_the_depth_limit_of_events_is_received(void **state)
{
    struct buf b = {0};
    buf_lit(&b, " {\"type\":\"a\",\"event_id\":\"1-2\",\"data\":{\"x\":");
    for (int i = 0; i < JSON_DEPTH_MAX - 2; ++i)
        buf_append_char(&b, '[');
    for (int i = 0; i < JSON_DEPTH_MAX - 2; ++i)
        buf_append_char(&b, ']');
    buf_lit(&b, "}}");
    assert_null(envelope_parse(&arena, buf_str(&b), &e));
    buf_free(&b);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

static void the_timestamp_is_read_out_of_the_beginning(void **state)
{
    struct buf text = {0};

    (void)state;
    buf_lit(&text, "\x81\x7e"); /* as on the tape, behind a frame's header */
    envelope_open(&text, STR_LIT("t"), (struct position){1762639200123, 7, 0}, 1762639200123);
    assert_true(envelope_timestamp(buf_str(&text)) == 1762639200123);
    text.n -= 2;
    assert_true(envelope_timestamp(buf_str(&text)) == 0);
    assert_true(envelope_timestamp(STR_LIT("{\"timestamp\":\"2025-11-08T22:00:00.123Z\"")) == 1762639200123);
    assert_true(envelope_timestamp(STR_LIT("{\"timestamp\":\"2025-13-08T22:00:00.123Z\"")) == 0);
    assert_true(envelope_timestamp(STR_LIT("{\"timestamp\":\"1925-11-08T22:00:00.123Z\"")) == 0);
    assert_true(envelope_timestamp(STR_LIT("{\"timestamp\":\"")) == 0);
    assert_true(envelope_timestamp(STR_LIT("")) == 0);
    text.n = 0;
    for (int i = 0; i < ENVELOPE_TIMESTAMP_WITHIN - 12; i++)
        buf_append_char(&text, ' ');
    buf_lit(&text, "\"timestamp\":\"2025-11-08T22:00:00.123Z\"");
    assert_true(envelope_timestamp(buf_str(&text)) == 0);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_halves_and_an_id_are_an_own_event),
        TEST(a_traceparent_travels_if_it_is_one),
        TEST(what_does_not_look_own_is_foreign),
        TEST(a_foreign_event_moves_its_id_to_source_id),
        TEST(a_foreign_event_may_come_without_id_and_data),
        TEST(junk_is_dropped_with_its_reason),
        TEST(own_and_foreign_events_have_a_limit_each),
        TEST(the_halves_fit_into_what_receivers_allow_beyond_data),
        TEST(data_at_the_depth_limit_of_events_is_received),
        cmocka_unit_test(the_timestamp_is_read_out_of_the_beginning),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
