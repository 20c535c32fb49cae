/* pubsub/log_reply.c: the logs' entries and the history in front of them, well-formed, cut short, of wrong types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "core/str.h"
#include "pubsub/log_reply.h"

/* A reply from its bytes, through the parser that reads Redis itself. */
static redisReply *reply_of(struct str wire)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, wire.p, wire.n), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void put_bulk(struct buf *out, const char *text)
{
    buf_printf(out, "$%zu\r\n%s\r\n", strlen(text), text);
}

/* Words as one array of strings. */
static redisReply *words(size_t n, const char *const *texts)
{
    struct buf wire = {0};

    buf_printf(&wire, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        put_bulk(&wire, texts[i]);
    redisReply *r = reply_of(buf_str(&wire));
    buf_free(&wire);
    return r;
}

/* --- the history ----------------------------------------------------------------------------------------------------
 */

static int parse_history(size_t n, const char *const *head, size_t m, const char *const *ends, struct history *out)
{
    redisReply *h = words(n, head), *e = words(m, ends);
    int rc = history_parse(h, e, out);

    freeReplyObject(h);
    freeReplyObject(e);
    return rc;
}

#define HEAD(...)                                                                                                      \
    4, (const char *const[])                                                                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void a_history_has_its_head_its_floor_and_where_epochs_ended(void **state)
{
    struct history h;

    assert_int_equal(
        parse_history(HEAD("30", "77", "12", "30-75"), 4, (const char *const[]){"10", "50", "20", "60"}, &h), 0);
    assert_true(h.head.epoch == 30 && h.head.seq == 77 && h.head.n == 0 && h.floor == 12);
    assert_true(h.last.epoch == 30 && h.last.seq == 75);
    assert_int_equal(h.n, 2);
    assert_true(h.ends[0].epoch == 10 && h.ends[0].seq == 50 && h.ends[1].epoch == 20 && h.ends[1].seq == 60);
    free(h.ends);
}

static void a_young_one_has_neither(void **state)
{
    struct history h;

    assert_int_equal(parse_history(HEAD("30", "0", "0", "0-0"), 0, NULL, &h), 0);
    assert_int_equal(h.n, 0);
    assert_true(h.last.epoch == 0 && h.last.seq == 0);
    free(h.ends);
}

static void a_head_of_another_form_is_none(void **state)
{
    struct history h;

    assert_int_equal(parse_history(HEAD("", "77", "12", "30-75"), 0, NULL, &h), -1);
    assert_int_equal(parse_history(HEAD("30", "-1", "12", "30-75"), 0, NULL, &h), -1);
    assert_int_equal(parse_history(HEAD("30", "77", "x", "30-75"), 0, NULL, &h), -1);
    assert_int_equal(parse_history(HEAD("30", "77", "12", "30-75.1"), 0, NULL, &h), -1);
    assert_int_equal(parse_history(HEAD("30", "77", "12", "last"), 0, NULL, &h), -1);
    assert_int_equal(parse_history(3, (const char *const[]){"30", "77", "12"}, 0, NULL, &h), -1);
    assert_int_equal(parse_history(HEAD("30", "77", "12", "30-75"), 1, (const char *const[]){"10"}, &h), -1);
}

static void a_missing_head_is_none(void **state)
{
    struct history h;
    redisReply *head = reply_of(STR_LIT("*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n")), *ends = reply_of(STR_LIT("*0\r\n"));

    assert_int_equal(history_parse(head, ends, &h), -1);
    assert_int_equal(history_parse(head, head, &h), -1);
    assert_int_equal(history_parse(NULL, ends, &h), -1);
    freeReplyObject(head);
    freeReplyObject(ends);
}

static void ends_that_cannot_be_read_are_left_out(void **state)
{
    struct history h;

    assert_int_equal(
        parse_history(HEAD("30", "77", "12", "30-75"), 6, (const char *const[]){"10", "x", "y", "5", "20", "60"}, &h),
        0);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.ends[0].epoch, 20);
    free(h.ends);
}

static void ends_are_bounded(void **state)
{
    struct history h;
    struct buf wire = {0};

    buf_printf(&wire, "*%d\r\n", 2 * (HISTORY_ENDS_MAX + 10));
    for (int i = 0; i < 2 * (HISTORY_ENDS_MAX + 10); i++)
        buf_lit(&wire, "$1\r\n7\r\n");
    redisReply *ends = reply_of(buf_str(&wire));
    redisReply *head = words(HEAD("30", "77", "12", "30-75"));
    assert_int_equal(history_parse(head, ends, &h), 0);
    assert_int_equal(h.n, HISTORY_ENDS_MAX);
    free(h.ends);
    freeReplyObject(head);
    freeReplyObject(ends);
    buf_free(&wire);
}

/* --- entries --------------------------------------------------------------------------------------------------------
 */

static void put_entry(struct buf *out, const char *id, size_t n, const char *const *fields)
{
    buf_lit(out, "*2\r\n");
    put_bulk(out, id);
    buf_printf(out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        put_bulk(out, fields[i]);
}

#define FIELDS(...)                                                                                                    \
    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), (const char *const[])                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static redisReply *entry_of(const char *id, size_t n, const char *const *fields)
{
    struct buf wire = {0};

    put_entry(&wire, id, n, fields);
    redisReply *r = reply_of(buf_str(&wire));
    buf_free(&wire);
    return r;
}

static void an_entry_has_its_id_its_payload_and_what_came_before_it(void **state)
{
    struct log_entry e;
    redisReply *r = entry_of("5-7", FIELDS("payload", " {}", "prev", "4-3"));

    assert_int_equal(log_entry_parse(r, &e), 0);
    assert_true(e.id.epoch == 5 && e.id.seq == 7 && e.prev.epoch == 4 && e.prev.seq == 3);
    assert_true(str_eq(e.payload, STR_LIT(" {}")));
    freeReplyObject(r);
}

static void an_entry_that_does_not_tell_what_came_before_it_is_its_own_predecessor(void **state)
{
    static const char *const wrong[] = {"5-7", "5-8", "6-0", "x", "4-3.1", ""};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct log_entry e;
        redisReply *r = entry_of("5-7", FIELDS("payload", "x", "prev", wrong[i]));
        assert_int_equal(log_entry_parse(r, &e), 0);
        assert_int_equal(position_cmp(e.prev, e.id), 0);
        freeReplyObject(r);
    }
    struct log_entry e;
    redisReply *r = entry_of("5-7", FIELDS("what", "ever"));
    assert_int_equal(log_entry_parse(r, &e), 0);
    assert_int_equal(position_cmp(e.prev, e.id), 0);
    assert_null(e.payload.p);
    freeReplyObject(r);
}

static void what_is_no_entry_is_refused(void **state)
{
    static const struct str bad[] = {
        STR_LIT("+OK\r\n"),
        STR_LIT("*1\r\n$3\r\n5-7\r\n"),
        STR_LIT("*2\r\n$3\r\n5-x\r\n*0\r\n"),
        STR_LIT("*2\r\n:5\r\n*0\r\n"),
        STR_LIT("*2\r\n$3\r\n5-7\r\n$-1\r\n"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct log_entry e;
        redisReply *r = reply_of(bad[i]);
        assert_int_equal(log_entry_parse(r, &e), -1);
        freeReplyObject(r);
    }
}

#define PAYLOAD(id) " {\"type\":\"a.b\",\"event_id\":\"" id "\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{}}"

static struct str text_of_payload(struct str payload, const char **why)
{
    struct log_entry e = {.id = {5, 7, 0}, .payload = payload};

    return log_entry_text(&e, why);
}

static void the_text_is_the_payload_without_its_space(void **state)
{
    const char *why;
    struct str payload = STR_LIT(PAYLOAD("5-7")), text = text_of_payload(payload, &why);

    assert_null(why);
    assert_ptr_equal(text.p, payload.p + 1);
    assert_int_equal(text.n, payload.n - 1);
}

static void an_erased_entry_has_no_text_and_is_no_junk(void **state)
{
    const char *why = "";

    assert_null(text_of_payload(STR_NONE, &why).p);
    assert_null(why);
}

static void what_belfry_has_not_written_has_no_text(void **state)
{
    static const struct str bad[] = {
        STR_LIT(PAYLOAD("5-8")),
        STR_LIT(PAYLOAD("5-7.1")),
        STR_LIT("{\"type\":\"a.b\",\"event_id\":\"5-7\",\"data\":{}}"),
        STR_LIT(" {\"type\":\"ping\",\"event_id\":\"5-7\",\"data\":{}}"),
        STR_LIT(" {\"type\":\"a.b\",\"event_id\":\"5-7\",\"data\":[]}"),
        STR_LIT(" {\"type\":\"a.b\",\"event_id\":\"5-7\",\"data\":{\"a\":\"\xc0\x80\"}}"),
        STR_LIT(" {"),
        STR_LIT(""),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *why;
        assert_null(text_of_payload(bad[i], &why).p);
        assert_non_null(why);
    }
}

/* --- a page's log ---------------------------------------------------------------------------------------------------
 */

/* A range of entries 5-`from`, … whose data has `filler` bytes. */
static redisReply *range_of(unsigned from, unsigned n, size_t filler)
{
    struct buf wire = {0};

    buf_printf(&wire, "*%u\r\n", n);
    for (unsigned seq = from; seq < from + n; seq++) {
        struct buf payload = {0};
        char id[24], prev[24];
        snprintf(id, sizeof(id), "5-%u", seq);
        snprintf(prev, sizeof(prev), "5-%u", seq - 1);
        buf_printf(
            &payload,
            " {\"type\":\"a.b\",\"event_id\":\"%s\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{\"x\":\"", id);
        memset(buf_reserve(&payload, filler), 'x', filler);
        payload.n += filler;
        buf_append(&payload, (struct str){"\"}}", 4});
        put_entry(&wire, id, 4, (const char *const[]){"payload", payload.p, "prev", prev});
        buf_free(&payload);
    }
    redisReply *r = reply_of(buf_str(&wire));
    buf_free(&wire);
    return r;
}

static int parse_page(unsigned after, unsigned n, size_t filler, unsigned asked, struct page_log *out,
                      struct log_sample *sample)
{
    redisReply *first = range_of(3, 1, 1), *range = range_of(after + 1, n, filler);
    int rc = page_log_parse(first, range, (struct position){5, after, 0}, asked, out, sample);

    freeReplyObject(first);
    freeReplyObject(range);
    return rc;
}

static void a_page_has_what_the_range_has(void **state)
{
    struct page_log log;
    struct log_sample sample;

    assert_int_equal(parse_page(10, 3, 10, 4, &log, &sample), 0);
    assert_false(log.empty);
    assert_true(log.first.seq == 3 && log.first_prev.seq == 2);
    assert_int_equal(log.n, 3);
    assert_false(log.full);
    assert_true(log.entries[0].id.seq == 11 && log.entries[2].id.seq == 13);
    assert_true(sample.entries == 3 && sample.junk == 0 && sample.bytes > 30);
    free(log.entries);
}

static void it_is_full_if_all_that_were_asked_for_came(void **state)
{
    struct page_log log;
    struct log_sample sample;

    assert_int_equal(parse_page(10, 4, 10, 4, &log, &sample), 0);
    assert_true(log.full);
    free(log.entries);
    assert_int_equal(parse_page(10, 5, 10, 4, &log, &sample), -1);
}

static void a_page_is_cut_at_its_bytes_and_then_full(void **state)
{
    struct page_log log;
    struct log_sample sample;

    assert_int_equal(parse_page(10, 5, 100 * 1024, 9, &log, &sample), 0);
    assert_int_equal(log.n, 2);
    assert_true(log.full);
    assert_int_equal(log.entries[1].id.seq, 12);
    assert_int_equal(sample.entries, 5);
    free(log.entries);
}

static void one_entry_is_taken_however_large_it_is(void **state)
{
    struct page_log log;
    struct log_sample sample;

    assert_int_equal(parse_page(10, 2, 1000 * 1024, 9, &log, &sample), 0);
    assert_int_equal(log.n, 1);
    assert_true(log.full);
    free(log.entries);
    assert_int_equal(parse_page(10, 1, 1000 * 1024, 9, &log, &sample), 0);
    assert_int_equal(log.n, 1);
    assert_false(log.full);
    free(log.entries);
}

static void junk_keeps_its_place_without_a_text(void **state)
{
    struct page_log log;
    struct log_sample sample;
    struct buf wire = {0};
    redisReply *first = reply_of(STR_LIT("*0\r\n"));

    buf_lit(&wire, "*3\r\n");
    put_entry(&wire, "5-1", FIELDS("payload", PAYLOAD("5-1"), "prev", "0-0"));
    put_entry(&wire, "5-2", FIELDS("junk", "junk"));
    put_entry(&wire, "5-3", FIELDS("payload", PAYLOAD("5-1"), "prev", "5-1"));
    redisReply *range = reply_of(buf_str(&wire));
    assert_int_equal(page_log_parse(first, range, (struct position){0}, 10, &log, &sample), 0);
    assert_true(log.empty);
    assert_int_equal(log.n, 3);
    assert_non_null(log.entries[0].text.p);
    assert_null(log.entries[1].text.p);
    assert_null(log.entries[2].text.p);
    assert_int_equal(sample.junk, 1); /* an entry without a payload is one that was erased */
    assert_non_null(sample.why);
    free(log.entries);
    freeReplyObject(first);
    freeReplyObject(range);
    buf_free(&wire);
}

static void a_page_out_of_order_is_refused(void **state)
{
    struct page_log log;
    struct log_sample sample;
    redisReply *first = reply_of(STR_LIT("*0\r\n")), *range = range_of(11, 2, 1);

    assert_int_equal(page_log_parse(first, range, (struct position){5, 11, 0}, 10, &log, &sample), -1);
    assert_int_equal(page_log_parse(first, range, (struct position){5, 10, 3}, 10, &log, &sample), 0);
    free(log.entries);
    assert_int_equal(page_log_parse(range, range, (struct position){0}, 10, &log, &sample), -1);
    assert_int_equal(page_log_parse(NULL, range, (struct position){0}, 10, &log, &sample), -1);
    assert_int_equal(page_log_parse(first, NULL, (struct position){0}, 10, &log, &sample), -1);
    freeReplyObject(first);
    freeReplyObject(range);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_has_its_head_its_floor_and_where_epochs_ended),
        cmocka_unit_test(a_young_one_has_neither),
        cmocka_unit_test(a_head_of_another_form_is_none),
        cmocka_unit_test(a_missing_head_is_none),
        cmocka_unit_test(ends_that_cannot_be_read_are_left_out),
        cmocka_unit_test(ends_are_bounded),
        cmocka_unit_test(an_entry_has_its_id_its_payload_and_what_came_before_it),
        cmocka_unit_test(an_entry_that_does_not_tell_what_came_before_it_is_its_own_predecessor),
        cmocka_unit_test(what_is_no_entry_is_refused),
        cmocka_unit_test(the_text_is_the_payload_without_its_space),
        cmocka_unit_test(an_erased_entry_has_no_text_and_is_no_junk),
        cmocka_unit_test(what_belfry_has_not_written_has_no_text),
        cmocka_unit_test(a_page_has_what_the_range_has),
        cmocka_unit_test(it_is_full_if_all_that_were_asked_for_came),
        cmocka_unit_test(a_page_is_cut_at_its_bytes_and_then_full),
        cmocka_unit_test(one_entry_is_taken_however_large_it_is),
        cmocka_unit_test(junk_keeps_its_place_without_a_text),
        cmocka_unit_test(a_page_out_of_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
