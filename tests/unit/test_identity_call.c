/* Calls of the scripts that keep identities, their answers, and close orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "pubsub/identity_call.h"
#include "pubsub/pubsub.h"

#define ONE "aaaaaaaaaaaaaaaaaaaaa1"
#define TWO "bbbbbbbbbbbbbbbbbbbbb2"
#define OLD "ccccccccccccccccccccc3"
static const struct script_settings settings = {.prefix = STR_LIT("p:"), .replay_ttl_ms = 1000};
static const struct script_settings telling = {.prefix = STR_LIT("p:"), .lifecycle = true, .presence_grace_ms = 7000};
static const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};

static struct identity_entry *entry(enum identity_act act, const char *id, const char *user, uint32_t gen,
                                    const uint8_t *address, const char *agent)
{
    struct identity i = {.id = str_of(id),
                         .user = str_of(user),
                         .gen = gen,
                         .address = address,
                         .user_agent = str_of(agent),
                         .since_ms = 17};
    return identity_entry_create(act, &i);
}

static void expect_arguments(const struct script_call *c, const char *const *expected, size_t n)
{
    assert_int_equal(c->argc, n + 2);
    for (size_t i = 0; i < n; ++i) {
        if (!str_eq((struct str){c->argv[i + 2], c->argvlen[i + 2]}, str_of(expected[i])))
            fail_msg("argument %zu is %.*s, not %s", i, (int)c->argvlen[i + 2], c->argv[i + 2], expected[i]);
    }
}
#define EXPECT(c, ...)                                                                                                 \
    expect_arguments((c), (const char *const[]){__VA_ARGS__},                                                          \
                     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void a_registration_and_a_claim_share_a_call(void **state)
{
    struct script_call c = {0};
    struct identity_entry *first = entry(IDENTITY_REGISTER, ONE, "al\"ice", 3, v4, "Agent/1 \"x\"");
    struct identity_entry *second = entry(IDENTITY_CLAIM, TWO, "bob", 0, NULL, "");

    memcpy(second->claimed, OLD, RANDOM_ID_LEN);
    first->next = second;
    script_register_build(&c, &settings, STR_LIT("node"), first);
    EXPECT(&c, "12", "p:conns", "p:lifecycle", "p:lifecycle:due", "p:nodes", "p:node:node", "p:head", "p:away:" ONE,
           "p:log:conn:" ONE, "p:user:al\"ice:conns", "p:away:" OLD, "p:log:conn:" OLD, "p:user:bob:conns", "", "node",
           "3601000", "", ONE, "3", "al\"ice", "{\"user\":\"al\\\"ice\",\"node\":\"node\",\"gen\":",
           ",\"address\":\"192.0.2.7\",\"user_agent\":\"Agent/1 \\\"x\\\"\",\"since\":17}", OLD, TWO, "0", "bob",
           "{\"user\":\"bob\",\"node\":\"node\",\"gen\":", ",\"address\":null,\"user_agent\":null,\"since\":17}");
    script_call_free(&c);
    free(first);
    free(second);
}

static void leaves_and_steps_of_the_reaper_name_their_keys(void **state)
{
    struct script_call c = {0};
    struct identity_entry *e = entry(IDENTITY_LEAVE, ONE, "alice", 4294967295u, NULL, "");

    e->code = 4408;
    e->duration_ms = 12;
    script_leave_build(&c, &telling, STR_LIT("node"), e);
    EXPECT(&c, "6", "p:conns", "p:lifecycle", "p:lifecycle:due", "p:away:" ONE, "p:log:conn:" ONE, "p:user:alice:conns",
           "7000", "node", "300000", ONE, "4294967295", "4408", "12");
    script_call_free(&c);
    script_reap_build(&c, &settings, &(struct script_reap){.node = STR_LIT(TWO), .cursor = STR_LIT("77")});
    EXPECT(&c, "5", "p:conns", "p:lifecycle", "p:lifecycle:due", "p:nodes", "p:node:" TWO, "", TWO, "77", "500",
           "300000", "30000");
    script_call_free(&c);
    free(e);
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

static int parse_register(const char *wire, size_t n, struct identity_answer *out)
{
    redisReply *r = reply_of(wire);
    uint64_t epoch = 0;
    int rc = script_register_parse(r, n, out, &epoch);

    assert_true(rc != 0 || epoch == 9);

    freeReplyObject(r);
    return rc;
}

static void answers_are_read_and_others_are_none(void **state)
{
    struct identity_answer a[2];
    uint64_t epoch;

    assert_int_equal(parse_register("*5\r\n:0\r\n:5\r\n:3\r\n:4294967295\r\n:9\r\n", 2, a), 0);
    assert_true(a[0].status == IDENTITY_SUPERSEDED && a[0].gen == 5);
    assert_true(a[1].status == IDENTITY_CLAIMED && a[1].gen == 4294967295u);
    assert_int_equal(parse_register("*3\r\n:0\r\n:5\r\n:9\r\n", 2, a), -1);
    assert_int_equal(parse_register("*2\r\n:0\r\n:5\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:0\r\n:5\r\n:-9\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:0\r\n:5\r\n$1\r\n9\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:5\r\n:5\r\n:9\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:-1\r\n:5\r\n:9\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:1\r\n:4294967296\r\n:9\r\n", 1, a), -1);
    assert_int_equal(parse_register("*3\r\n:1\r\n$1\r\n5\r\n:9\r\n", 1, a), -1);
    assert_int_equal(parse_register("+OK\r\n", 1, a), -1);
    assert_int_equal(script_register_parse(NULL, 0, a, &epoch), -1);
}

static int parse_reap(const char *wire, struct script_reap_reply *out, char cursor[32])
{
    redisReply *r = reply_of(wire);
    int rc = script_reap_parse(r, out);

    if (rc == 0) {
        memcpy(cursor, out->cursor.p, out->cursor.n);
        cursor[out->cursor.n] = '\0';
    }
    freeReplyObject(r);
    return rc;
}

static void a_step_of_the_reaper_tells_its_cursor(void **state)
{
    struct script_reap_reply out;
    char cursor[32];

    assert_int_equal(parse_reap("*2\r\n$20\r\n18446744073709551615\r\n:7\r\n", &out, cursor), 0);
    assert_string_equal(cursor, "18446744073709551615");
    assert_int_equal(out.moved, 7);
    assert_int_equal(parse_reap("*2\r\n$21\r\n184467440737095516150\r\n:7\r\n", &out, cursor), -1);
    assert_int_equal(parse_reap("*2\r\n$2\r\n-1\r\n:7\r\n", &out, cursor), -1);
    assert_int_equal(parse_reap("*2\r\n$0\r\n\r\n:7\r\n", &out, cursor), -1);
    assert_int_equal(parse_reap("*2\r\n:0\r\n:7\r\n", &out, cursor), -1);
    assert_int_equal(parse_reap("*2\r\n$1\r\n0\r\n:-7\r\n", &out, cursor), -1);
    assert_int_equal(parse_reap("*1\r\n$1\r\n0\r\n", &out, cursor), -1);
}

static int parse_offline(const char *wire, struct script_offline_reply *out)
{
    redisReply *r = reply_of(wire);
    int rc = script_offline_parse(r, out);

    freeReplyObject(r);
    return rc;
}

static void a_step_that_tells_who_is_offline_is_read(void **state)
{
    struct script_offline_reply out;
    struct script_call c = {0};

    script_offline_build(&c, &telling);
    EXPECT(&c, "3", "p:conns", "p:lifecycle", "p:lifecycle:due", "7000", "500");
    script_call_free(&c);
    assert_int_equal(parse_offline("*2\r\n:3\r\n:-1\r\n", &out), 0);
    assert_true(out.told == 3 && !out.more);
    assert_int_equal(parse_offline("*2\r\n:0\r\n:0\r\n", &out), 0);
    assert_true(out.told == 0 && out.more && out.next_ms == 0);
    assert_int_equal(parse_offline("*2\r\n:0\r\n:-2\r\n", &out), -1);
    assert_int_equal(parse_offline("*2\r\n:-1\r\n:0\r\n", &out), -1);
    assert_int_equal(parse_offline("*1\r\n:0\r\n", &out), -1);
    assert_int_equal(parse_offline("-ERR\r\n", &out), -1);
    assert_int_equal(script_offline_parse(NULL, &out), -1);
}

static void a_close_order_is_told_from_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        "close",
        "close ",
        "close " ONE,
        "close " ONE " ",
        "close " ONE " x",
        "close " ONE " -1",
        "close " ONE " 4294967296",
        "close " ONE " 1 ",
        "close  " ONE " 1",
        "Close " ONE " 1",
        "close short 1",
        "close " ONE "x 1",
        "close aaaaaaaaaaaaaaaaaaaaa! 1",
        "canary 9-50 1",
    };
    struct str id;
    uint32_t gen;

    assert_int_equal(identity_order_parse(STR_LIT("close " ONE " 4294967295"), &id, &gen), 0);
    assert_true(str_eq(id, STR_LIT(ONE)) && gen == 4294967295u);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (identity_order_parse(str_of(bad[i]), &id, &gen) != -1)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(identity_order_parse(STR_NONE, &id, &gen), -1);
}

static void random_ids_have_their_own_form(void **state)
{
    char id[RANDOM_ID_LEN];

    random_id(id);
    assert_true(random_id_valid((struct str){id, sizeof(id)}));
    assert_true(random_id_valid(STR_LIT("0aZ-_0aZ-_0aZ-_0aZ-_00")));
    assert_false(random_id_valid(STR_LIT("0aZ-_0aZ-_0aZ-_0aZ-_0")));
    assert_false(random_id_valid(STR_LIT("0aZ-_0aZ-_0aZ-_0aZ-_000")));
    assert_false(random_id_valid(STR_LIT("0aZ-_0aZ-_0aZ-_0aZ-_0\0")));
    assert_false(random_id_valid(STR_LIT("0aZ-_0aZ-_0aZ-_0aZ-_0:")));
    assert_false(random_id_valid(STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registration_and_a_claim_share_a_call),
        cmocka_unit_test(leaves_and_steps_of_the_reaper_name_their_keys),
        cmocka_unit_test(answers_are_read_and_others_are_none),
        cmocka_unit_test(a_step_of_the_reaper_tells_its_cursor),
        cmocka_unit_test(a_step_that_tells_who_is_offline_is_read),
        cmocka_unit_test(a_close_order_is_told_from_everything_else),
        cmocka_unit_test(random_ids_have_their_own_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
