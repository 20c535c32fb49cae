/* pubsub/script_call.c: KEYS and ARGV exactly as publish_usage.lua and canary.lua list them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "pubsub/script_call.h"

#define NOW 1762639200123 /* 2025-11-08T22:00:00.123Z */
#define HEAD " {\"type\":\"note\",\"event_id\":\""
#define TAIL "\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{\"a\":1}}"

static const struct script_settings settings = {
    .prefix = {"ws:", 3}, .replay_events = 10000, .replay_user_events = 500, .replay_ttl_ms = 86400000};

static struct publication publication_to(struct audience audience)
{
    return (struct publication){
        .type = STR_LIT("note"), .data = STR_LIT("{\"a\":1}"), .audience = audience, .replay = true};
}

/* The whole call; `expected` begins after the SHA-1 and ends with NULL. */
static void assert_call(const struct script_call *c, const char *const *expected)
{
    assert_string_equal(c->argv[0], "EVALSHA");
    assert_int_equal(c->argvlen[0], 7);
    assert_true(str_eq((struct str){c->argv[1], c->argvlen[1]}, script_sha1(c->script)));
    for (int i = 2; i < c->argc; i++) {
        struct str argument = {c->argv[i], c->argvlen[i]};

        assert_non_null(expected[i - 2]);
        if (!str_eq(argument, str_of(expected[i - 2])))
            fail_msg("argument %d is %.*s, not %s", i, (int)argument.n, argument.p, expected[i - 2]);
    }
    assert_null(expected[c->argc - 2]);
}

static void a_broadcast_without_a_key_of_idempotency_takes_the_fixed_keys_only(void **state)
{
    struct publication e = publication_to((struct audience){.kind = AUDIENCE_BROADCAST});
    struct script_publish p = {.events = &e, .n = 1, .now_ms = NOW};
    struct script_call c;

    script_publish_build(&c, &settings, &p);
    assert_call(&c, (const char *const[]){"6",        "ws:head",   "ws:epochs", "ws:minutes", "ws:log:broadcast",
                                          "ws:conns", "ws:idem:-", "0",         "10000",      "500",
                                          "86400000", "",          "0",         "1",          HEAD,
                                          TAIL,       "1",         "1",         "broadcast",  "",
                                          NULL});
    script_call_free(&c);
    assert_null(c.argv);
}

static void users_and_connections_bring_their_keys_in_the_order_of_the_audiences(void **state)
{
    const struct str users[] = {STR_LIT("alice"), STR_LIT("b:\xc3\xb6 b")}, connection[] = {STR_LIT("c1")};
    struct publication e[3] = {
        publication_to((struct audience){.kind = AUDIENCE_USERS, .ids = users, .count = 2}),
        publication_to((struct audience){.kind = AUDIENCE_BROADCAST}),
        publication_to((struct audience){.kind = AUDIENCE_CONNECTION, .ids = connection, .count = 1}),
    };
    struct script_idem idem;
    struct script_settings tagged = {STR_LIT("{x}:"), 1, 2, 3, false, 0};
    struct script_publish p = {.events = e, .n = 3, .now_ms = NOW, .seen_epoch = UINT64_MAX, .idem = &idem};
    struct script_call c;

    script_idem_of_own(&idem, (const uint8_t[16]){0x01, 0xff, [15] = 0xa5});
    e[2].replay = false;
    script_publish_build(&c, &tagged, &p);
    assert_call(&c,
                (const char *const[]){"10", "{x}:head", "{x}:epochs", "{x}:minutes", "{x}:log:broadcast", "{x}:conns",
                                      "{x}:idem:01ff00000000000000000000000000a5", "{x}:log:user:alice",
                                      "{x}:log:user:b:\xc3\xb6 b", "{x}:log:conn:c1", "{x}:away:c1",
                                      /* ARGV */
                                      "18446744073709551615", "1", "2", "3", "00000000000000000000000000000000",
                                      "60000", "3", HEAD, TAIL, "1", "2", "user", "alice", "user", "b:\xc3\xb6 b", HEAD,
                                      TAIL, "1", "1", "broadcast", "", HEAD, TAIL, "0", "1", "connection", "c1", NULL});
    script_call_free(&c);
}

static void a_full_batch_grows_without_moving_what_was_built(void **state)
{
    static struct publication e[BATCH_MAX];
    struct script_publish p = {.events = e, .n = BATCH_MAX, .now_ms = NOW};
    struct script_call c;

    for (size_t i = 0; i < BATCH_MAX; i++)
        e[i] = publication_to((struct audience){.kind = AUDIENCE_BROADCAST});
    script_publish_build(&c, &settings, &p);
    assert_int_equal(c.argc, 3 + 6 + 7 + BATCH_MAX * 6);
    for (int i = 16; i < c.argc; i += 6) {
        assert_memory_equal(c.argv[i], HEAD, strlen(HEAD));
        assert_int_equal(c.argvlen[i], strlen(HEAD));
        assert_memory_equal(c.argv[i + 1], TAIL, strlen(TAIL));
        assert_int_equal(c.argvlen[i + 5], 0);
    }
    script_call_free(&c);
}

static void a_call_by_text_differs_in_its_first_two_arguments_only(void **state)
{
    struct publication e = publication_to((struct audience){.kind = AUDIENCE_BROADCAST});
    struct script_publish p = {.events = &e, .n = 1, .now_ms = NOW};
    struct script_call c;

    script_publish_build(&c, &settings, &p);
    script_call_by_text(&c);
    assert_string_equal(c.argv[0], "EVAL");
    assert_int_equal(c.argvlen[0], 4);
    assert_true(str_eq((struct str){c.argv[1], c.argvlen[1]}, script_text(SCRIPT_PUBLISH)));
    assert_memory_equal(c.argv[2], "6", c.argvlen[2]);
    script_call_free(&c);
}

static void a_canary_carries_settings_and_lease(void **state)
{
    struct script_canary canary = {.seen_epoch = 7,
                                   .node = STR_LIT("n1"),
                                   .nonce = STR_LIT("x9"),
                                   .lease_ms = SCRIPT_LEASE_MS,
                                   .local = 12,
                                   .dead = 3,
                                   .since_ms = NOW};
    struct script_call c;

    script_canary_build(&c, &settings, &canary);
    assert_call(&c, (const char *const[]){"6",        "ws:head",    "ws:epochs", "ws:minutes", "ws:log:broadcast",
                                          "ws:nodes", "ws:node:n1", "7",         "10000",      "500",
                                          "86400000", "n1",         "x9",        "30000",      "local",
                                          "12",       "dead",       "3",         "since",      "1762639200123",
                                          NULL});
    assert_int_equal(c.script, SCRIPT_CANARY);
    script_call_free(&c);
    struct script_settings telling = settings;
    telling.lifecycle = true;
    script_canary_build(&c, &telling, &canary);
    assert_call(&c, (const char *const[]){"7",
                                          "ws:head",
                                          "ws:epochs",
                                          "ws:minutes",
                                          "ws:log:broadcast",
                                          "ws:nodes",
                                          "ws:node:n1",
                                          "ws:lifecycle:due",
                                          "7",
                                          "10000",
                                          "500",
                                          "86400000",
                                          "n1",
                                          "x9",
                                          "30000",
                                          "local",
                                          "12",
                                          "dead",
                                          "3",
                                          "since",
                                          "1762639200123",
                                          NULL});
    script_call_free(&c);
}

static void totals_are_asked_by_prefix(void **state)
{
    struct script_call c;

    script_totals_build(&c, &settings);
    assert_call(&c, (const char *const[]){"1", "ws:nodes", "ws:node:", NULL});
    script_call_free(&c);
}

static void an_erasure_names_the_log_behind_the_fixed_keys(void **state)
{
    struct script_call c;

    script_erase_build(&c, &settings, 7, STR_LIT("a b"));
    assert_call(&c, (const char *const[]){"5", "ws:head", "ws:epochs", "ws:minutes", "ws:log:broadcast",
                                          "ws:log:user:a b", "7", "10000", "500", "86400000", NULL});
    assert_int_equal(c.script, SCRIPT_ERASE);
    script_call_free(&c);
}

static void cursors_bring_their_users_as_keys_and_live_an_hour_longer_than_events(void **state)
{
    const struct script_cursor cursors[] = {
        {STR_LIT("alice"), STR_LIT("default"), {7, 41, 0}},
        {STR_LIT("b:\xc3\xb6"), STR_LIT("my phone"), {UINT64_MAX, 0, 3}},
    };
    struct script_call c;

    script_cursors_build(&c, &settings, cursors, 2);
    assert_call(&c, (const char *const[]){"3", "ws:head", "ws:cursor:alice", "ws:cursor:b:\xc3\xb6", "90000000",
                                          "default", "7-41", "my phone", "18446744073709551615-0", NULL});
    script_call_free(&c);
}

static void assert_names(const char *scope, const char *key, const char *body, const char *name,
                         const char *fingerprint)
{
    struct script_idem i;

    script_idem_of_caller(&i, str_of(scope), str_of(key), str_of(body), 3600000);
    assert_int_equal(i.name_len, SCRIPT_IDEM_KEY_LEN);
    assert_memory_equal(i.name, name, SCRIPT_IDEM_KEY_LEN);
    assert_memory_equal(i.fingerprint, fingerprint, SCRIPT_FINGERPRINT_LEN);
    assert_true(i.ttl_ms == 3600000);
}

/* From: printf '5 alice3 k-1' | sha256sum; printf '2 {}' | sha256sum. All belfrys on one Redis have to agree on them.
 */
static void a_callers_key_is_named_by_scope_and_key_and_compared_by_body(void **state)
{
    assert_names("alice", "k-1", "{}", "eee5e8f1b058a6d83592d2282bd25a321679ff0ce7b4b6dbf13d356071c42f50",
                 "9bf1d685b6364cb9073f840a1c466b91");
}

static void keys_that_only_read_alike_are_different_ones(void **state)
{
    struct script_idem a, b;

    script_idem_of_caller(&a, STR_LIT("ab"), STR_LIT("c"), STR_LIT("x"), 1);
    script_idem_of_caller(&b, STR_LIT("a"), STR_LIT("bc"), STR_LIT("y"), 1);
    assert_memory_not_equal(a.name, b.name, SCRIPT_IDEM_KEY_LEN);
    assert_memory_not_equal(a.fingerprint, b.fingerprint, SCRIPT_FINGERPRINT_LEN);
    script_idem_of_caller(&b, STR_LIT("ab"), STR_LIT("c"), STR_LIT("x"), 1);
    assert_memory_equal(a.name, b.name, SCRIPT_IDEM_KEY_LEN);
    assert_memory_equal(a.fingerprint, b.fingerprint, SCRIPT_FINGERPRINT_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broadcast_without_a_key_of_idempotency_takes_the_fixed_keys_only),
        cmocka_unit_test(users_and_connections_bring_their_keys_in_the_order_of_the_audiences),
        cmocka_unit_test(a_full_batch_grows_without_moving_what_was_built),
        cmocka_unit_test(a_call_by_text_differs_in_its_first_two_arguments_only),
        cmocka_unit_test(a_canary_carries_settings_and_lease),
        cmocka_unit_test(totals_are_asked_by_prefix),
        cmocka_unit_test(an_erasure_names_the_log_behind_the_fixed_keys),
        cmocka_unit_test(cursors_bring_their_users_as_keys_and_live_an_hour_longer_than_events),
        cmocka_unit_test(a_callers_key_is_named_by_scope_and_key_and_compared_by_body),
        cmocka_unit_test(keys_that_only_read_alike_are_different_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
