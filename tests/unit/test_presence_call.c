/* Entries of connections, cursors of their pages, messages on the channels of nodes, and the script that disconnects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "pubsub/presence_call.h"

#define ONE "aaaaaaaaaaaaaaaaaaaaa1"
#define TWO "bbbbbbbbbbbbbbbbbbbbb2"
#define NONCE "ccccccccccccccccccccc3"
#define ENTRY(user, node, address, agent, since)                                                                       \
    "{\"user\":" user ",\"node\":" node ",\"gen\":3,\"address\":" address ",\"user_agent\":" agent ",\"since\":" since \
    "}"

static int parse_entry(const char *id, const char *json, struct presence_entry *out, struct arena *a)
{
    return presence_entry_parse(a, str_of(id), str_of(json), out);
}

static void an_entry_is_read_with_and_without_what_may_be_absent(void **state)
{
    struct arena a = {0};
    struct presence_entry e;

    assert_int_equal(
        parse_entry(ONE, ENTRY("\"al\\\"ice\"", "\"" TWO "\"", "\"192.0.2.7\"", "\"Agent/1\"", "17"), &e, &a), 0);
    assert_true(str_eq(e.id, STR_LIT(ONE)) && str_eq(e.user, STR_LIT("al\"ice")) && str_eq(e.node, STR_LIT(TWO)));
    assert_true(str_eq(e.address, STR_LIT("192.0.2.7")) && str_eq(e.user_agent, STR_LIT("Agent/1")) &&
                e.since_ms == 17);
    assert_int_equal(parse_entry(ONE, ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "18446744073709551615"), &e, &a),
                     0);
    assert_true(e.address.p == NULL && e.user_agent.p == NULL && e.since_ms == UINT64_MAX);
    arena_free(&a);
}

static void what_is_no_entry_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"user\":\"u\"",
        ENTRY("1", "\"" TWO "\"", "null", "null", "1"),
        ENTRY("null", "\"" TWO "\"", "null", "null", "1"),
        ENTRY("\"\"", "\"" TWO "\"", "null", "null", "1"),
        ENTRY("\"a\\u0000\"", "\"" TWO "\"", "null", "null", "1"),
        ENTRY("\"u\"", "\"short\"", "null", "null", "1"),
        ENTRY("\"u\"", "null", "null", "null", "1"),
        ENTRY("\"u\"", "\"" TWO "\"", "1", "null", "1"),
        ENTRY("\"u\"", "\"" TWO "\"", "null", "{}", "1"),
        ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "-1"),
        ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "1.5"),
        ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "18446744073709551616"),
        ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "\"1\""),
        "-3 disconnected by an operator",
    };
    struct arena a = {0};
    struct presence_entry e;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parse_entry(ONE, bad[i], &e, &a) != -1)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(parse_entry("short", ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "1"), &e, &a), -1);
    char large[PRESENCE_ENTRY_MAX + 200];
    memset(large, ' ', sizeof(large));
    memcpy(large, ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "1"),
           sizeof(ENTRY("\"u\"", "\"" TWO "\"", "null", "null", "1")) - 1);
    assert_int_equal(presence_entry_parse(&a, STR_LIT(ONE), (struct str){large, PRESENCE_ENTRY_MAX}, &e), 0);
    assert_int_equal(presence_entry_parse(&a, STR_LIT(ONE), (struct str){large, PRESENCE_ENTRY_MAX + 1}, &e), -1);
    arena_free(&a);
}

static redisReply *reply_of(const char *wire)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, wire, strlen(wire)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void a_step_of_a_scan_is_told_from_other_replies(void **state)
{
    static const char *const bad[] = {
        "*1\r\n$1\r\n0\r\n",
        "*2\r\n:0\r\n*0\r\n",
        "*2\r\n$2\r\n-1\r\n*0\r\n",
        "*2\r\n$0\r\n\r\n*0\r\n",
        "*2\r\n$1\r\n0\r\n$1\r\nx\r\n",
        "*2\r\n$1\r\n0\r\n*1\r\n:1\r\n",
        "*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n",
        "-ERR\r\n",
    };
    struct presence_scan s;
    redisReply *r = reply_of("*2\r\n$20\r\n18446744073709551615\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");

    assert_int_equal(presence_scan_parse(r, &s), 0);
    assert_true(s.cursor == UINT64_MAX && s.n == 2 && s.elements[1]->str[0] == 'b');
    freeReplyObject(r);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        r = reply_of(bad[i]);
        if (presence_scan_parse(r, &s) != -1)
            fail_msg("accepted: %s", bad[i]);
        freeReplyObject(r);
    }
    assert_int_equal(presence_scan_parse(NULL, &s), -1);
}

static void expect_same_cursor(const char *text)
{
    struct presence_cursor c;
    struct buf again = {0};

    assert_int_equal(presence_cursor_parse(str_of(text), &c), 0);
    presence_cursor_format(&again, &c);
    assert_true(str_eq(buf_str(&again), str_of(text)));
    buf_free(&again);
}

static void a_cursor_survives_the_way_to_the_caller_and_back(void **state)
{
    static const char *const bad[] = {
        "",         "s",          "u",    "x1",        "s0",        "s-1",           "s+1",
        " s1",      "s1.",        "s1.x", "s1..." ONE, "u" ONE "x", "u" ONE "." TWO, "ushort",
        "s1 ." ONE, "s1." ONE "."};
    struct presence_cursor c;
    struct buf many = {0};

    expect_same_cursor("s1");
    expect_same_cursor("s18446744073709551615." ONE "." TWO);
    expect_same_cursor("s0." ONE);
    expect_same_cursor("u" TWO);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (presence_cursor_parse(str_of(bad[i]), &c) != -1)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(presence_cursor_parse(STR_NONE, &c), -1);
    buf_lit(&many, "s1");
    for (size_t i = 0; i < PRESENCE_REST_MAX; i++)
        buf_lit(&many, "." ONE);
    assert_int_equal(presence_cursor_parse(buf_str(&many), &c), 0);
    assert_int_equal(c.rest_n, PRESENCE_REST_MAX);
    buf_lit(&many, "." ONE);
    assert_int_equal(presence_cursor_parse(buf_str(&many), &c), -1);
    buf_free(&many);
}

static void a_question_is_told_from_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        "ask",
        "ask ",
        "ask " NONCE " " ONE,
        "ask " NONCE " " ONE " " TWO " ",
        "ask " NONCE " " ONE " " TWO " x",
        "ask short " ONE " " TWO,
        "ask " NONCE " " ONE " ccccccccccccccccccccc:",
        "Ask " NONCE " " ONE " " TWO,
        "canary 9-50 1",
    };
    struct presence_question q = {.nonce = STR_LIT(NONCE), .node = STR_LIT(ONE), .id = STR_LIT(TWO)}, out;
    struct buf text = {0};

    presence_question_format(&text, &q);
    assert_true(str_eq(buf_str(&text), STR_LIT("ask " NONCE " " ONE " " TWO)));
    assert_int_equal(presence_question_parse(buf_str(&text), &out), 0);
    assert_true(str_eq(out.nonce, q.nonce) && str_eq(out.node, q.node) && str_eq(out.id, q.id));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (presence_question_parse(str_of(bad[i]), &out) != -1)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(presence_question_parse(STR_NONE, &out), -1);
    buf_free(&text);
}

static void expect_answer(const struct presence_answer *a, const char *expected)
{
    struct presence_answer out;
    struct buf text = {0};

    presence_answer_format(&text, a);
    assert_true(str_eq(buf_str(&text), str_of(expected)));
    assert_int_equal(presence_answer_parse(buf_str(&text), &out), 0);
    assert_true(str_eq(out.nonce, a->nonce) && str_eq(out.id, a->id) && out.gone == a->gone);
    assert_true(out.now.state == a->now.state && out.now.last_seen_ms == a->now.last_seen_ms);
    assert_int_equal(position_cmp(out.now.position, a->now.position), 0);
    buf_free(&text);
}

static void an_answer_is_told_from_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        "answer",
        "answer " NONCE " " ONE,
        "answer " NONCE " " ONE " ",
        "answer " NONCE " " ONE " gon",
        "answer " NONCE " " ONE " gone ",
        "answer " NONCE " " ONE " away 1 1-1",
        "answer " NONCE " " ONE " live 1",
        "answer " NONCE " " ONE " live 1 1-1 ",
        "answer " NONCE " " ONE " live -1 1-1",
        "answer " NONCE " " ONE " live 1 x",
        "answer " NONCE " short live 1 1-1",
        "answer short " ONE " live 1 1-1",
    };
    struct presence_answer a = {.nonce = STR_LIT(NONCE), .id = STR_LIT(ONE), .gone = true}, out;

    expect_answer(&a, "answer " NONCE " " ONE " gone");
    a.gone = false;
    a.now = (struct presence_now){PRESENCE_LIVE, 12, {9, 50, 3}};
    expect_answer(&a, "answer " NONCE " " ONE " live 12 9-50.3");
    a.now = (struct presence_now){PRESENCE_CATCHING_UP, UINT64_MAX, {0, 0, 0}};
    expect_answer(&a, "answer " NONCE " " ONE " catching_up 18446744073709551615 0-0");
    a.now.state = PRESENCE_CONNECTING;
    expect_answer(&a, "answer " NONCE " " ONE " connecting 18446744073709551615 0-0");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (presence_answer_parse(str_of(bad[i]), &out) != -1)
            fail_msg("accepted: %s", bad[i]);
}

static void an_order_to_disconnect_is_told_from_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        "disconnect",
        "disconnect " ONE,
        "disconnect " ONE " 1",
        "disconnect " ONE " 1 ",
        "disconnect " ONE " x why",
        "disconnect " ONE " 4294967296 why",
        "disconnect short 1 why",
        "disconnect " ONE " 1 a\nb",
        "disconnect " ONE " 1 a\xff",
        "disconnect " ONE " 1 "
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "close " ONE " 1",
    };
    struct presence_order o;

    assert_int_equal(presence_order_parse(STR_LIT("disconnect " ONE " 4294967295 do not  come back"), &o), 0);
    assert_true(str_eq(o.id, STR_LIT(ONE)) && o.gen == UINT32_MAX && str_eq(o.reason, STR_LIT("do not  come back")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (presence_order_parse(str_of(bad[i]), &o) != -1)
            fail_msg("accepted: %s", bad[i]);
}

static void expect_arguments(const struct script_call *c, const char *const *expected, size_t n)
{
    assert_int_equal(c->argc, n + 2);
    for (size_t i = 0; i < n; ++i) {
        if (!str_eq((struct str){c->argv[i + 2], c->argvlen[i + 2]}, str_of(expected[i])))
            fail_msg("argument %zu is %.*s, not %s", i, (int)c->argvlen[i + 2], c->argv[i + 2], expected[i]);
    }
}

static void a_disconnection_names_its_keys_and_reads_its_answer(void **state)
{
    static const struct script_settings settings = {.prefix = STR_LIT("p:")};
    static const char *const one[] = {
        "5",          "p:conns", "p:lifecycle", "p:lifecycle:due", "p:away:" ONE, "p:log:conn:" ONE, "",
        "connection", ONE,       "500",         "300000",          "why"};
    static const char *const all[] = {
        "4",   "p:conns", "p:lifecycle", "p:lifecycle:due", "p:user:al ice:conns", "", "user", "al ice",
        "500", "300000",  "why"};
    static const char *const bad[] = {"*1\r\n:1\r\n", "*2\r\n:-1\r\n:0\r\n", "*2\r\n:1\r\n:-1\r\n",
                                      "*2\r\n$1\r\n1\r\n:0\r\n", "-ERR\r\n"};
    struct script_disconnect_reply out;
    struct script_call c = {0};

    script_disconnect_build(&c, &settings, false, STR_LIT(ONE), STR_LIT("why"));
    expect_arguments(&c, one, sizeof(one) / sizeof(one[0]));
    script_call_free(&c);
    script_disconnect_build(&c, &settings, true, STR_LIT("al ice"), STR_LIT("why"));
    expect_arguments(&c, all, sizeof(all) / sizeof(all[0]));
    script_call_free(&c);
    redisReply *r = reply_of("*2\r\n:500\r\n:20\r\n");
    assert_int_equal(script_disconnect_parse(r, &out), 0);
    assert_true(out.ordered == 500 && out.left == 20);
    freeReplyObject(r);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        r = reply_of(bad[i]);
        if (script_disconnect_parse(r, &out) != -1)
            fail_msg("accepted: %s", bad[i]);
        freeReplyObject(r);
    }
    assert_int_equal(script_disconnect_parse(NULL, &out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_read_with_and_without_what_may_be_absent),
        cmocka_unit_test(what_is_no_entry_is_refused),
        cmocka_unit_test(a_step_of_a_scan_is_told_from_other_replies),
        cmocka_unit_test(a_cursor_survives_the_way_to_the_caller_and_back),
        cmocka_unit_test(a_question_is_told_from_everything_else),
        cmocka_unit_test(an_answer_is_told_from_everything_else),
        cmocka_unit_test(an_order_to_disconnect_is_told_from_everything_else),
        cmocka_unit_test(a_disconnection_names_its_keys_and_reads_its_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
