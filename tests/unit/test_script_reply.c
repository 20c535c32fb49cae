/* pubsub/script_reply.c: answers of the scripts, well-formed, cut short, of wrong types; errors of several Redis
 * versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "pubsub/script_reply.h"

/* A reply from its bytes, through the parser that reads Redis itself. */
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

static int parse_publish(const char *wire, size_t n, struct script_publish_reply *out, struct publish_result *results)
{
    redisReply *r = reply_of(wire);
    int rc = script_publish_parse(r, n, out, results);

    freeReplyObject(r);
    return rc;
}

static void a_publish_is_read_with_all_its_events(void **state)
{
    struct script_publish_reply out;
    struct publish_result results[2];

    assert_int_equal(parse_publish("*7\r\n$2\r\nok\r\n:1762639200123\r\n:43\r\n$16\r\n1762639200123-42\r\n:3\r\n"
                                   "$16\r\n1762639200123-43\r\n:0\r\n",
                                   2, &out, results),
                     0);
    assert_int_equal(out.status, SCRIPT_PUBLISH_OK);
    assert_true(out.head.epoch == 1762639200123 && out.head.seq == 43 && out.head.n == 0);
    assert_true(results[0].id.epoch == 1762639200123 && results[0].id.seq == 42 && results[0].receivers == 3);
    assert_true(results[1].id.epoch == 1762639200123 && results[1].id.seq == 43 && results[1].receivers == 0);
}

static void a_repeated_publish_brings_the_first_result_under_the_present_head(void **state)
{
    struct script_publish_reply out;
    struct publish_result result;

    assert_int_equal(parse_publish("*5\r\n$5\r\nagain\r\n:9\r\n:50\r\n$3\r\n8-4\r\n:2\r\n", 1, &out, &result), 0);
    assert_int_equal(out.status, SCRIPT_PUBLISH_AGAIN);
    assert_true(out.head.epoch == 9 && out.head.seq == 50);
    assert_true(result.id.epoch == 8 && result.id.seq == 4 && result.receivers == 2);
}

static void a_reused_key_brings_no_events(void **state)
{
    struct script_publish_reply out;

    assert_int_equal(parse_publish("*3\r\n$10\r\nkey_reused\r\n:9\r\n:50\r\n", 3, &out, NULL), 0);
    assert_int_equal(out.status, SCRIPT_PUBLISH_KEY_REUSED);
}

static void a_publish_reply_of_another_form_is_refused(void **state)
{
    static const char *const bad[] = {
        "*5\r\n$5\r\nother\r\n:9\r\n:50\r\n$3\r\n9-4\r\n:2\r\n",                 /* unknown status */
        "*3\r\n$2\r\nok\r\n:9\r\n:50\r\n",                                       /* no event */
        "*4\r\n$2\r\nok\r\n:9\r\n:50\r\n$3\r\n9-4\r\n",                          /* half an event */
        "*7\r\n$2\r\nok\r\n:9\r\n:50\r\n$3\r\n9-4\r\n:2\r\n$3\r\n9-5\r\n:2\r\n", /* one too many */
        "*5\r\n$2\r\nok\r\n:-9\r\n:50\r\n$3\r\n9-4\r\n:2\r\n",                   /* negative */
        "*5\r\n$2\r\nok\r\n$1\r\n9\r\n:50\r\n$3\r\n9-4\r\n:2\r\n",               /* text for a number */
        "*5\r\n$2\r\nok\r\n:9\r\n:50\r\n$3\r\n9:4\r\n:2\r\n",                    /* no id */
        "*5\r\n$2\r\nok\r\n:9\r\n:50\r\n$5\r\n9-4.1\r\n:2\r\n",                  /* a foreign id */
        "*5\r\n$2\r\nok\r\n:9\r\n:50\r\n*1\r\n$3\r\n9-4\r\n:2\r\n",              /* an array for an id */
        "*5\r\n$2\r\nok\r\n:9\r\n:50\r\n$-1\r\n:2\r\n",                          /* nil for an id */
        "*5\r\n$2\r\nok\r\n:9\r\n:50\r\n$3\r\n9-4\r\n$-1\r\n",                   /* nil for receivers */
        "*2\r\n$2\r\nok\r\n:9\r\n",
        "*0\r\n",
        "$2\r\nok\r\n",
        ":1\r\n",
        "-ERR x\r\n",
        "*-1\r\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct script_publish_reply out;
        struct publish_result result;

        if (parse_publish(bad[i], 1, &out, &result) != -1)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(script_publish_parse(NULL, 1, &(struct script_publish_reply){0}, NULL), -1);
}

static int parse_canary(const char *wire, struct script_canary_reply *out)
{
    redisReply *r = reply_of(wire);
    int rc = script_canary_parse(r, out);

    freeReplyObject(r);
    return rc;
}

static void a_canary_reply_is_read(void **state)
{
    struct script_canary_reply out;

    assert_int_equal(parse_canary("*6\r\n:9\r\n:50\r\n:7\r\n$3\r\n8-8\r\n:1\r\n$0\r\n\r\n", &out), 0);
    assert_true(out.head.epoch == 9 && out.head.seq == 50 && out.floor == 7 && out.lease_existed);
    assert_true(out.oldest.epoch == 8 && out.oldest.seq == 8);
    assert_false(out.points_at_ended);
    assert_int_equal(parse_canary("*6\r\n:9\r\n:0\r\n:0\r\n$3\r\n0-0\r\n:0\r\n$22\r\nabcdefghijklmnopqrstuv\r\n", &out),
                     0);
    assert_false(out.lease_existed);
    assert_true(out.oldest.epoch == 0 && out.oldest.seq == 0);
    assert_true(out.points_at_ended);
    assert_memory_equal(out.ended, "abcdefghijklmnopqrstuv", RANDOM_ID_LEN);
    assert_int_equal(parse_canary("*7\r\n:9\r\n:0\r\n:0\r\n$3\r\n0-0\r\n:0\r\n$0\r\n\r\n:1\r\n", &out), 0);
    assert_true(out.user_due);
    assert_int_equal(parse_canary("*7\r\n:9\r\n:0\r\n:0\r\n$3\r\n0-0\r\n:0\r\n$0\r\n\r\n:0\r\n", &out), 0);
    assert_false(out.user_due);
    assert_int_equal(parse_canary("*7\r\n:9\r\n:0\r\n:0\r\n$3\r\n0-0\r\n:0\r\n$0\r\n\r\n$1\r\n1\r\n", &out), -1);
    assert_int_equal(parse_canary("*5\r\n:9\r\n:50\r\n:7\r\n$3\r\n8-8\r\n:1\r\n", &out), -1);
    assert_int_equal(parse_canary("*6\r\n:9\r\n:50\r\n:7\r\n$3\r\n8-x\r\n:1\r\n$0\r\n\r\n", &out), -1);
    assert_int_equal(parse_canary("*6\r\n:9\r\n:50\r\n:-7\r\n$3\r\n8-8\r\n:1\r\n$0\r\n\r\n", &out), -1);
    assert_int_equal(parse_canary("*6\r\n:9\r\n:50\r\n:7\r\n$3\r\n8-8\r\n:1\r\n$5\r\nshort\r\n", &out), -1);
    assert_int_equal(parse_canary("*6\r\n:9\r\n:50\r\n:7\r\n$3\r\n8-8\r\n:1\r\n:7\r\n", &out), -1);
    assert_int_equal(parse_canary("+OK\r\n", &out), -1);
}

static void a_canary_message_is_told_from_everything_else_on_its_channel(void **state)
{
    static const char *const bad[] = {"",
                                      "canary",
                                      "canary ",
                                      "canary 9-50",
                                      "canary 9-50 ",
                                      "canary x n",
                                      "canary  9-50 n",
                                      "canary 9-50.1 n",
                                      "Canary 9-50 n",
                                      "close 9-50 n",
                                      "canary9-50 n"};
    struct position head;
    struct str nonce;

    assert_int_equal(script_canary_message_parse(STR_LIT("canary 9-50 abc 1"), &head, &nonce), 0);
    assert_true(head.epoch == 9 && head.seq == 50 && str_eq(nonce, STR_LIT("abc 1")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (script_canary_message_parse(str_of(bad[i]), &head, &nonce) != -1)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(script_canary_message_parse(STR_NONE, &head, &nonce), -1);
}

static void totals_are_read(void **state)
{
    struct script_totals_reply out;
    redisReply *good = reply_of("*3\r\n:12\r\n:3\r\n:4\r\n"), *bad = reply_of("*3\r\n:12\r\n:3\r\n$-1\r\n");

    assert_int_equal(script_totals_parse(good, &out), 0);
    assert_true(out.local == 12 && out.dead == 3 && out.nodes == 4);
    assert_int_equal(script_totals_parse(bad, &out), -1);
    freeReplyObject(good);
    freeReplyObject(bad);
}

static void errors_are_recognised_as_each_redis_writes_them(void **state)
{
    static const struct {
        const char *text;
        enum script_error error;
    } cases[] = {
        {"NOSCRIPT No matching script. Please use EVAL.", SCRIPT_ERROR_NOSCRIPT},
        {"LOADING Redis is loading the dataset in memory", SCRIPT_ERROR_LOADING},
        {"READONLY You can't write against a read only replica. script: 1f, on @user_script:417.",
         SCRIPT_ERROR_READONLY},
        {"@user_script: 417: -READONLY You can't write against a read only replica.", SCRIPT_ERROR_READONLY},
        {"ERR Error running script (call to f_1f): @user_script:8: @user_script: 8: -READONLY You can't write",
         SCRIPT_ERROR_READONLY},
        {"OOM command not allowed when used memory > 'maxmemory'.", SCRIPT_ERROR_OOM},
        {"@user_script: 199: -OOM command not allowed when used memory > 'maxmemory'.", SCRIPT_ERROR_OOM},
        {"NOREPLICAS Not enough good replicas to write.", SCRIPT_ERROR_NOREPLICAS},
        {"MISCONF Redis is configured to save RDB snapshots", SCRIPT_ERROR_MISCONF},
        {"BUSY Redis is busy running a script.", SCRIPT_ERROR_BUSY},
        {"NOPERM this user has no permissions to run the 'evalsha' command", SCRIPT_ERROR_NOPERM},
        {"ERR The user executing the script can't run this command or subcommand script: 1f, on @user_script:8.",
         SCRIPT_ERROR_NOPERM},
        {"NOAUTH Authentication required.", SCRIPT_ERROR_NOAUTH},
        {"MOVED 866 127.0.0.1:7000", SCRIPT_ERROR_CLUSTER},
        {"CROSSSLOT Keys in request don't hash to the same slot", SCRIPT_ERROR_CLUSTER},
        {"CLUSTERDOWN Hash slot not served", SCRIPT_ERROR_CLUSTER},
        {"BELFRY_SCHEMA 2", SCRIPT_ERROR_SCHEMA},
        {"BELFRY_INFO INFO is refused inside scripts", SCRIPT_ERROR_INFO},
        {"BELFRY_ARGS ARGV[7] has to be 1 to 1000", SCRIPT_ERROR_ARGS},
        {"BELFRY_LOG the logs refuse every id", SCRIPT_ERROR_LOG},
        {"ERR unknown command", SCRIPT_ERROR_OTHER},
        {"WRONGTYPE Operation against a key: -5 is no code", SCRIPT_ERROR_OTHER},
        {"OOMX", SCRIPT_ERROR_OTHER},
        {"", SCRIPT_ERROR_OTHER},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (script_error_of(str_of(cases[i].text)) != cases[i].error)
            fail_msg("mistaken: %s", cases[i].text);
    }
    assert_int_equal(script_error_of(STR_NONE), SCRIPT_ERROR_OTHER);
}

static void publishers_are_told_the_cause_where_they_can_act_on_it(void **state)
{
    assert_int_equal(script_error_status(SCRIPT_ERROR_LOADING), PUBLISH_LOADING);
    assert_int_equal(script_error_status(SCRIPT_ERROR_READONLY), PUBLISH_READONLY);
    assert_int_equal(script_error_status(SCRIPT_ERROR_OOM), PUBLISH_OUT_OF_MEMORY);
    assert_int_equal(script_error_status(SCRIPT_ERROR_NOREPLICAS), PUBLISH_NO_REPLICAS);
    assert_int_equal(script_error_status(SCRIPT_ERROR_MISCONF), PUBLISH_MISCONF);
    assert_int_equal(script_error_status(SCRIPT_ERROR_BUSY), PUBLISH_BUSY);
    assert_int_equal(script_error_status(SCRIPT_ERROR_ARGS), PUBLISH_FAILED);
    assert_int_equal(script_error_status(SCRIPT_ERROR_OTHER), PUBLISH_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_is_read_with_all_its_events),
        cmocka_unit_test(a_repeated_publish_brings_the_first_result_under_the_present_head),
        cmocka_unit_test(a_reused_key_brings_no_events),
        cmocka_unit_test(a_publish_reply_of_another_form_is_refused),
        cmocka_unit_test(a_canary_reply_is_read),
        cmocka_unit_test(a_canary_message_is_told_from_everything_else_on_its_channel),
        cmocka_unit_test(totals_are_read),
        cmocka_unit_test(errors_are_recognised_as_each_redis_writes_them),
        cmocka_unit_test(publishers_are_told_the_cause_where_they_can_act_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
