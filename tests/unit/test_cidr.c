/* Address ranges, addresses as proxies write them, and the client behind trusted proxies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "core/cidr.h"

static void assert_address(const uint8_t addr[16], const char *expected)
{
    char text[46];

    assert_int_equal(cidr_format(addr, text), strlen(expected));
    assert_string_equal(text, expected);
}

static void assert_parsed(const char *text, const char *expected)
{
    uint8_t addr[16];
    int rc = cidr_parse_address(str_of(text), addr);

    if (rc != (expected != NULL ? 0 : -1))
        fail_msg("%s gave %d", text, rc);
    if (expected != NULL)
        assert_address(addr, expected);
}

static void addresses_are_read_with_and_without_a_port(void **state)
{
    assert_parsed("1.2.3.4", "1.2.3.4");
    assert_parsed("1.2.3.4:5", "1.2.3.4");
    assert_parsed("1.2.3.4:65535", "1.2.3.4");
    assert_parsed("::1", "::1");
    assert_parsed("[::1]", "::1");
    assert_parsed("[::1]:80", "::1");
    assert_parsed("2001:DB8:0:0::1", "2001:db8::1");
    assert_parsed("::ffff:1.2.3.4", "1.2.3.4");
    assert_parsed("[::ffff:1.2.3.4]:9", "1.2.3.4");
    assert_parsed("64:ff9b::1.2.3.4", "64:ff9b::102:304");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "unknown",
                                      "_hidden",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.1.1.1",
                                      "01.2.3.4",
                                      "1.2.3.4:",
                                      "1.2.3.4:x",
                                      "1.2.3.4:-1",
                                      "1.2.3.4:65536",
                                      "1.2.3.4:080",
                                      "[1.2.3.4]",
                                      "[::1",
                                      "::1]",
                                      "[::1]x",
                                      "[::1]x80",
                                      "[::1]:",
                                      "[::1]:x",
                                      "[]",
                                      ":::",
                                      "fe80::1%eth0",
                                      " 1.2.3.4",
                                      "1.2.3.4, 5.6.7.8",
                                      "1:2",
                                      "1.2.3.4/8",
                                      "0x1.2.3.4",
                                      ":80",
                                      "1::2::3",
                                      "2001:db8::12345",
                                      "[",
                                      "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_parsed(bad[i], NULL);
    uint8_t addr[16];
    assert_int_equal(cidr_parse_address(STR_NONE, addr), -1);
    assert_int_equal(cidr_parse_address(STR_LIT("1111:2222:3333:4444:5555:6666:123.123.123.1234"), addr),
                     -1); /* 46 bytes */
    assert_int_equal(cidr_parse_address(STR_LIT("1.2.3.4\0x"), addr), -1);
}

static void peers_become_sixteen_bytes(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    uint8_t addr[16];

    assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr), 1);
    assert_true(cidr_from_sockaddr(addr, (struct sockaddr *)&v4));
    assert_address(addr, "192.0.2.7");
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr), 1);
    assert_true(cidr_from_sockaddr(addr, (struct sockaddr *)&v6));
    assert_address(addr, "192.0.2.7");
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr), 1);
    assert_true(cidr_from_sockaddr(addr, (struct sockaddr *)&v6));
    assert_address(addr, "2001:db8::7");
    assert_false(cidr_from_sockaddr(addr, (struct sockaddr *)&un));
    assert_address(addr, "::");
}

static struct cidr_list list_of(const char *text)
{
    struct cidr_list l;
    struct str bad;

    assert_int_equal(cidr_list_parse(&l, str_of(text), &bad), 0);
    return l;
}

static void assert_has(const char *list, const char *address, bool expected)
{
    struct cidr_list l = list_of(list);
    uint8_t addr[16];

    assert_int_equal(cidr_parse_address(str_of(address), addr), 0);
    if (cidr_list_has(&l, addr) != expected)
        fail_msg("%s in %s", address, list);
    cidr_list_free(&l);
}

static void ranges_hold_what_shares_their_prefix(void **state)
{
    assert_has("10.0.0.0/8", "10.255.255.255", true);
    assert_has("10.0.0.0/8", "11.0.0.0", false);
    assert_has("10.1.2.3/8", "10.9.9.9", true);
    assert_has("172.16.0.0/12", "172.31.255.255", true);
    assert_has("172.16.0.0/12", "172.32.0.0", false);
    assert_has("192.0.2.1", "192.0.2.1", true);
    assert_has("192.0.2.1", "192.0.2.0", false);
    assert_has("192.0.2.0/31", "192.0.2.1", true);
    assert_has("192.0.2.0/31", "192.0.2.2", false);
    assert_has("0.0.0.0/0", "203.0.113.9", true);
    assert_has("0.0.0.0/0", "2001:db8::1", false);
    assert_has("fd00::/8", "fd12:3456::1", true);
    assert_has("fd00::/8", "fe80::1", false);
    assert_has("2001:db8::/33", "2001:db8:7fff::1", true);
    assert_has("2001:db8::/33", "2001:db8:8000::1", false);
    assert_has("::1", "::1", true);
    assert_has("::1/128", "::2", false);
    assert_has("::/0", "2001:db8::1", true);
    assert_has("::ffff:10.0.0.0/104", "10.1.1.1", true);
    assert_has(" 10.0.0.0/8 ,unix,\t::1 ", "::1", true);
    assert_has("", "10.0.0.1", false);
}

static void a_list_tells_whether_unix_peers_are_trusted(void **state)
{
    struct cidr_list l = list_of("unix");

    assert_true(l.trust_unix);
    assert_int_equal(l.n, 0);
    l = list_of("10.0.0.0/8");
    assert_false(l.trust_unix);
    cidr_list_free(&l);
    assert_int_equal(l.n, 0);
}

static void a_bad_item_is_named(void **state)
{
    static const char *const bad[] = {
        "10.0.0.0/33",  "10.0.0.0/-1",  "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/8/8", "::/129",
        "10.0.0/8",     "proxy.local",  "Unix",      "10.0.0.0 /8", "[::1]",        "1.2.3.4:5",
        "10.0.0.0/256", "10.0.0.0/264", "/8",        "10.0.0.0/+8", "10.0.0.0/8x",  "10.0.0.0/99999999999999999999"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf text = {0};
        struct cidr_list l;
        struct str at;

        buf_printf(&text, "10.0.0.0/8, %s ,unix", bad[i]);
        if (cidr_list_parse(&l, buf_str(&text), &at) != -1)
            fail_msg("%s was taken", bad[i]);
        assert_true(str_eq(at, str_of(bad[i])));
        assert_int_equal(l.n, 0);
        buf_free(&text);
    }
}

static void an_empty_item_is_bad(void **state)
{
    struct cidr_list l;
    struct str at;

    assert_int_equal(cidr_list_parse(&l, STR_LIT("10.0.0.0/8,,unix"), &at), -1);
    assert_int_equal(at.n, 0);
    assert_int_equal(cidr_list_parse(&l, STR_LIT("10.0.0.0/8,"), &at), -1);
    assert_int_equal(cidr_list_parse(&l, STR_LIT("  "), &at), 0);
}

/* peer NULL: a unix socket. */
static void assert_client(const char *trusted, const char *peer, const char *forwarded, const char *real_ip,
                          const char *expected)
{
    struct cidr_list l = list_of(trusted);
    uint8_t from[16], out[16];

    memset(from, 0xaa, sizeof(from)); /* of a unix peer nothing is known: not looked at */

    if (peer != NULL)
        assert_int_equal(cidr_parse_address(str_of(peer), from), 0);
    client_address(&l, peer == NULL, from, str_of(forwarded), str_of(real_ip), out);
    assert_address(out, expected);
    cidr_list_free(&l);
}

static void an_untrusted_peer_speaks_for_itself_only(void **state)
{
    assert_client("", "203.0.113.9", "1.1.1.1", "2.2.2.2", "203.0.113.9");
    assert_client("10.0.0.0/8", "203.0.113.9", "1.1.1.1", "2.2.2.2", "203.0.113.9");
    assert_client("10.0.0.0/8", NULL, "1.1.1.1", "2.2.2.2", "::");
    assert_client("unix", "203.0.113.9", "1.1.1.1", "2.2.2.2", "203.0.113.9");
    assert_client("10.0.0.0/8", "203.0.113.9", NULL, "2.2.2.2", "203.0.113.9");
    assert_client("10.0.0.0/8", NULL, NULL, "2.2.2.2", "::");
    assert_client("::/0", NULL, "1.1.1.1", "2.2.2.2", "::");
}

static void the_last_untrusted_hop_is_the_client(void **state)
{
    assert_client("10.0.0.0/8", "10.0.0.1", "1.1.1.1", NULL, "1.1.1.1");
    assert_client("10.0.0.0/8", "10.0.0.1", "9.9.9.9, 1.1.1.1", NULL, "1.1.1.1");
    assert_client("10.0.0.0/8", "10.0.0.1", "9.9.9.9,1.1.1.1 , 10.0.0.2,10.0.0.3", "2.2.2.2", "1.1.1.1");
    assert_client("10.0.0.0/8", "10.0.0.1", "[2001:db8::1]:443", NULL, "2001:db8::1");
    assert_client("10.0.0.0/8", "10.0.0.1", "1.1.1.1:5000, 10.0.0.2:80", NULL, "1.1.1.1");
    assert_client("unix", NULL, "9.9.9.9, 1.1.1.1", NULL, "1.1.1.1");
    assert_client("unix,10.0.0.0/8", NULL, "1.1.1.1, 10.0.0.3", NULL, "1.1.1.1");
}

static void with_trusted_hops_only_the_first_is_the_client(void **state)
{
    assert_client("10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", "2.2.2.2", "10.0.0.3");
}

static void empty_hops_count_for_nothing(void **state)
{
    assert_client("10.0.0.0/8", "10.0.0.1", ", 1.1.1.1,, 10.0.0.2, ", NULL, "1.1.1.1");
}

static void a_hop_that_is_no_address_ends_the_search(void **state)
{
    assert_client("10.0.0.0/8", "10.0.0.1", "1.1.1.1, unknown", "2.2.2.2", "10.0.0.1");
    assert_client("10.0.0.0/8", "10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "2.2.2.2", "10.0.0.2");
    assert_client("10.0.0.0/8", "10.0.0.1", "junk, 1.1.1.1", "2.2.2.2", "1.1.1.1");
    assert_client("unix", NULL, "1.1.1.1, unknown", NULL, "::");
}

static void without_forwarded_for_the_real_ip_counts(void **state)
{
    assert_client("10.0.0.0/8", "10.0.0.1", NULL, " 2.2.2.2 ", "2.2.2.2");
    assert_client("10.0.0.0/8", "10.0.0.1", "  ", "2.2.2.2", "2.2.2.2");
    assert_client("unix", NULL, NULL, "2.2.2.2", "2.2.2.2");
    assert_client("10.0.0.0/8", "10.0.0.1", NULL, "junk", "10.0.0.1");
    assert_client("10.0.0.0/8", "10.0.0.1", NULL, "1.1.1.1, 2.2.2.2", "10.0.0.1");
    assert_client("10.0.0.0/8", "10.0.0.1", NULL, NULL, "10.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_with_and_without_a_port),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(peers_become_sixteen_bytes),
        cmocka_unit_test(ranges_hold_what_shares_their_prefix),
        cmocka_unit_test(a_list_tells_whether_unix_peers_are_trusted),
        cmocka_unit_test(a_bad_item_is_named),
        cmocka_unit_test(an_empty_item_is_bad),
        cmocka_unit_test(an_untrusted_peer_speaks_for_itself_only),
        cmocka_unit_test(the_last_untrusted_hop_is_the_client),
        cmocka_unit_test(with_trusted_hops_only_the_first_is_the_client),
        cmocka_unit_test(empty_hops_count_for_nothing),
        cmocka_unit_test(a_hop_that_is_no_address_ends_the_search),
        cmocka_unit_test(without_forwarded_for_the_real_ip_counts),
    };

    return cmocka_run_group_tests_name("cidr", tests, NULL, NULL);
}
