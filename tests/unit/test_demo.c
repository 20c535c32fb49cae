/* The demo page: complete, in step with its policy, and a policy that no Host can bend. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include "handlers/demo.h"

/* What stands between two texts; fails the test if they are not there. */
static struct str between(struct str s, const char *from, const char *to)
{
    const char *start = memmem(s.p, s.n, from, strlen(from));
    assert_non_null(start);
    start += strlen(from);
    const char *end = memmem(start, s.p + s.n - start, to, strlen(to));
    assert_non_null(end);
    return (struct str){start, end - start};
}

static bool holds(struct str s, const char *text)
{
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void assert_policy_names(struct str policy, const char *directive, struct str text)
{
    unsigned char digest[32];
    char expected[128] = {0};
    int n = snprintf(expected, sizeof(expected), "%s 'sha256-", directive);
    EVP_Digest(text.p, text.n, digest, NULL, EVP_sha256(), NULL);
    EVP_EncodeBlock((unsigned char *)expected + n, digest, sizeof(digest));
    strcat(expected, "';");
    assert_true(holds(policy, expected));
}

static void demo_page_has_no_hole_left(void **state)
{
    struct buf page = {0};
    demo_page(&page, true);
    struct str text = buf_str(&page);
    assert_true(text.n > 10000);
    assert_false(holds(text, "{{"));
    assert_true(holds(text, "data-rest=\"on\""));
    assert_true(holds(text, "class Link"));
    buf_free(&page);
}

static void demo_page_without_rest_says_so(void **state)
{
    struct buf page = {0};
    demo_page(&page, false);
    assert_true(holds(buf_str(&page), "data-rest=\"off\""));
    buf_free(&page);
}

static void demo_policy_names_what_a_browser_will_hash(void **state)
{
    struct buf page = {0}, policy = {0};
    demo_page(&page, true);
    demo_policy(&policy, STR_LIT("localhost:8000"));
    assert_policy_names(buf_str(&policy), "style-src", between(buf_str(&page), "<style>", "</style"));
    assert_policy_names(buf_str(&policy), "script-src", between(buf_str(&page), "<script>", "</script"));
    buf_free(&page);
    buf_free(&policy);
}

static void demo_page_asks_nothing_of_other_hosts(void **state)
{
    struct buf page = {0};
    demo_page(&page, true);
    struct str text = buf_str(&page);
    assert_false(holds(text, " src="));
    assert_false(holds(text, "@import"));
    assert_false(holds(text, "https://"));
    assert_false(holds(text, " style=\""));
    assert_false(holds(text, " onclick="));
    buf_free(&page);
}

static void demo_policy_names_the_host(void **state)
{
    struct buf policy = {0};
    demo_policy(&policy, STR_LIT("push.example.org:8443"));
    assert_true(holds(buf_str(&policy), "connect-src 'self' ws://push.example.org:8443 wss://push.example.org:8443"));
    buf_free(&policy);
}

static void demo_policy_leaves_out_a_host_that_would_bend_it(void **state)
{
    const char *hosts[] = {"", "a; script-src *", "a b", "a,b", "*", "[::1]:8000", "a\r\nx: y", "'self'", "a/b"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct buf policy = {0};
        demo_policy(&policy, str_of(hosts[i]));
        assert_true(policy.n > strlen("connect-src 'self'"));
        assert_memory_equal(policy.p + policy.n - strlen("connect-src 'self'"), "connect-src 'self'",
                            strlen("connect-src 'self'"));
        buf_free(&policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demo_page_has_no_hole_left),
        cmocka_unit_test(demo_page_without_rest_says_so),
        cmocka_unit_test(demo_policy_names_what_a_browser_will_hash),
        cmocka_unit_test(demo_page_asks_nothing_of_other_hosts),
        cmocka_unit_test(demo_policy_names_the_host),
        cmocka_unit_test(demo_policy_leaves_out_a_host_that_would_bend_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
