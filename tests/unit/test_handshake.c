/* The opening handshake (RFC 6455 4.2): one good request, and each way to spoil it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/http_request.h"

static const struct handshake good = {
    .method = STR_LIT("GET"),
    .upgrade = STR_LIT("websocket"),
    .connection = STR_LIT("Upgrade"),
    .key = STR_LIT("dGhlIHNhbXBsZSBub25jZQ=="),
    .version = STR_LIT("13"),
    .http11 = true,
};

static void assert_check(struct handshake h, int status, const char *part_of_reason)
{
    const char *reason = "untouched";

    assert_int_equal(handshake_check(&h, &reason), status);
    if (part_of_reason == NULL)
        assert_null(reason);
    else if (reason == NULL || strstr(reason, part_of_reason) == NULL)
        fail_msg("%s is not in %s", part_of_reason, reason != NULL ? reason : "no reason");
}

/* The good one but for one member. */
#define SPOILT(member, value, status, reason)                                                                          \
    do {                                                                                                               \
        struct handshake h = good;                                                                                     \
        h.member = (value);                                                                                            \
        assert_check(h, (status), (reason));                                                                           \
    } while (0)

static void a_good_handshake_is_taken_in_all_its_spellings(void **state)
{
    assert_check(good, 101, NULL);
    SPOILT(upgrade, STR_LIT("WebSocket"), 101, NULL);
    SPOILT(upgrade, STR_LIT("h2c, websocket"), 101, NULL);
    SPOILT(connection, STR_LIT("keep-alive, upgrade"), 101, NULL);
    SPOILT(connection, STR_LIT("UPGRADE,keep-alive"), 101, NULL);
    SPOILT(key, STR_LIT(" x3JJHMbDL1EzLkh9GBhXDw== "), 101, NULL);
    SPOILT(key, STR_LIT("++++////++++////++++//=="), 101, NULL);
}

static void another_method_is_not_allowed(void **state)
{
    SPOILT(method, STR_LIT("POST"), 405, "GET");
    SPOILT(method, STR_LIT("HEAD"), 405, "GET");
    SPOILT(method, STR_LIT("get"), 405, "GET");
}

static void what_is_no_upgrade_is_told_to_upgrade(void **state)
{
    assert_check((struct handshake){.method = STR_LIT("GET"), .http11 = true}, 426, "no Upgrade");
    assert_check((struct handshake){.method = STR_LIT("GET")}, 426, "no Upgrade");
    SPOILT(upgrade, STR_NONE, 426, "no Upgrade");
    SPOILT(upgrade, STR_LIT(""), 426, "no Upgrade");
    SPOILT(upgrade, STR_LIT("h2c"), 426, "no Upgrade");
    SPOILT(upgrade, STR_LIT("websockets"), 426, "no Upgrade");
    SPOILT(upgrade, STR_LIT("websocket/13"), 426, "no Upgrade");
}

static void another_version_is_told_the_right_one(void **state)
{
    SPOILT(version, STR_LIT("8"), 426, "is not 13");
    SPOILT(version, STR_LIT("14"), 426, "is not 13");
    SPOILT(version, STR_LIT("013"), 426, "is not 13");
    SPOILT(version, STR_LIT("13, 8"), 426, "is not 13");
    SPOILT(version, STR_LIT(""), 426, "is not 13");
}

static void a_malformed_handshake_names_what_is_missing(void **state)
{
    SPOILT(http11, false, 400, "HTTP/1.1");
    SPOILT(connection, STR_NONE, 400, "Connection");
    SPOILT(connection, STR_LIT("keep-alive"), 400, "Connection");
    SPOILT(connection, STR_LIT("upgrades"), 400, "Connection");
    SPOILT(version, STR_NONE, 400, "Version is missing");
    SPOILT(key, STR_NONE, 400, "Key is missing");
}

static void a_key_is_sixteen_bytes_in_base64(void **state)
{
    SPOILT(key, STR_LIT(""), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZQ="), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZQ"), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZXg="), 400, "base64"); /* 17 bytes */
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZXh5"), 400, "base64"); /* 18 bytes */
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25j!Q=="), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25j-Q=="), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZ==="), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZQ=A"), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZQA="), 400, "base64");
    SPOILT(key, STR_LIT("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="), 400, "base64");
}

static void the_accept_value_is_that_of_the_rfc(void **state)
{
    char dst[28];

    handshake_accept(dst, STR_LIT("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_memory_equal(dst, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28);
    handshake_accept(dst, STR_LIT("x3JJHMbDL1EzLkh9GBhXDw== "));
    assert_memory_equal(dst, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=", 28);
}

static void assert_offer(struct str protocols, bool belfry_v1, struct str bearer)
{
    struct handshake_offer o = handshake_offers(protocols);

    assert_int_equal(o.belfry_v1, belfry_v1);
    assert_int_equal(o.bearer.p == NULL, bearer.p == NULL);
    assert_true(str_eq(o.bearer, bearer));
}

static void subprotocol_offers_bring_version_and_token(void **state)
{
    assert_offer(STR_NONE, false, STR_NONE);
    assert_offer(STR_LIT(""), false, STR_NONE);
    assert_offer(STR_LIT("belfry.v1"), true, STR_NONE);
    assert_offer(STR_LIT("belfry.v1, bearer.a.b.c"), true, STR_LIT("a.b.c"));
    assert_offer(STR_LIT("bearer.a.b.c,belfry.v1"), true, STR_LIT("a.b.c"));
    assert_offer(STR_LIT("chat, bearer.x, bearer.y"), false, STR_LIT("x"));
    assert_offer(STR_LIT("bearer."), false, STR_LIT(""));
    assert_offer(STR_LIT("Belfry.v1, Bearer.x, belfry.v2, bearer"), false, STR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_handshake_is_taken_in_all_its_spellings),
        cmocka_unit_test(another_method_is_not_allowed),
        cmocka_unit_test(what_is_no_upgrade_is_told_to_upgrade),
        cmocka_unit_test(another_version_is_told_the_right_one),
        cmocka_unit_test(a_malformed_handshake_names_what_is_missing),
        cmocka_unit_test(a_key_is_sixteen_bytes_in_base64),
        cmocka_unit_test(the_accept_value_is_that_of_the_rfc),
        cmocka_unit_test(subprotocol_offers_bring_version_and_token),
    };

    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
