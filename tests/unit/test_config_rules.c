/* core/config_rules.c and core/config_advice.c: unknown names, near misses, and what is legal but unwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/config_fixture.h"

static void assert_warning(const char *entry, const char *text)
{
    struct fixture f;

    load_good(&f, SECRET, entry, NULL);
    if (!has_text(&f.report.warnings, text))
        fail_msg("%s: \"%s\" is not in: %.*s", entry, text, (int)f.report.warnings.n, f.report.warnings.p);
    assert_int_equal(count_lines(&f.report.warnings), 1);
    dispose(&f);
}

static void assert_no_warning(const char *entry)
{
    struct fixture f;

    load_good(&f, SECRET, entry, NULL);
    if (f.report.warnings.n != 0)
        fail_msg("%s: %.*s", entry, (int)f.report.warnings.n, f.report.warnings.p);
    dispose(&f);
}

static void an_unknown_name_with_prefix_is_a_warning(void **state)
{
    assert_warning("BELFRY_COLOUR=red", "BELFRY_COLOUR: is not a variable of belfry, and has no effect\n");
    assert_no_warning("BELFRY_COLOUR=");
    assert_no_warning("COLOUR=red");
    assert_no_warning("BELFRY_WORKERS=1");
}

static void a_near_miss_names_what_was_meant(void **state)
{
    assert_warning("BELFRY_WORKER=2", "did you mean BELFRY_WORKERS?");
    assert_warning("BELFRY_REDIS_ULR=x", "did you mean BELFRY_REDIS_URL?");
    assert_warning("BELFRY_PING_INTERVALL=2", "did you mean BELFRY_PING_INTERVAL?");
    assert_warning("BELFRY_ALLOWED_ORIGIN=x", "did you mean BELFRY_ALLOWED_ORIGINS?");
    assert_warning("BELFRY_MAX_CONNECTION_PER_ADRESS=1", "did you mean BELFRY_MAX_CONNECTIONS_PER_ADDRESS?");
    assert_warning("BELFRY_DEOM=on", "did you mean BELFRY_DEMO?");
    assert_warning("BELFRY_TOAD=x", "no effect\n");
}

static void what_kubernetes_injects_for_a_service_is_no_warning(void **state)
{
    static const char *const injected[] = {"BELFRY_SERVICE_HOST=10.0.0.7",
                                           "BELFRY_SERVICE_PORT=8000",
                                           "BELFRY_SERVICE_PORT_HTTP=8000",
                                           "BELFRY_PORT=tcp://10.0.0.7:8000",
                                           "BELFRY_PORT_8000_TCP=tcp://10.0.0.7:8000",
                                           "BELFRY_PORT_8000_TCP_PROTO=tcp",
                                           "BELFRY_PORT_8000_TCP_PORT=8000",
                                           "BELFRY_PORT_8000_TCP_ADDR=10.0.0.7",
                                           "BELFRY_PORT_53_UDP_ADDR=10.0.0.7",
                                           "BELFRY_API_SERVICE_HOST=10.0.0.8",
                                           "BELFRY_METRICS_PORT=tcp://10.0.0.8:9464"};

    for (size_t i = 0; i < sizeof(injected) / sizeof(injected[0]); ++i)
        assert_no_warning(injected[i]);
}

static void what_only_looks_like_an_injected_name_is_a_warning(void **state)
{
    assert_warning("BELFRY_PORT=8000", "BELFRY_PORT: is not a variable");
    assert_warning("BELFRY_PORT_X_TCP=1", "BELFRY_PORT_X_TCP: is not a variable");
    assert_warning("BELFRY_PORT_80=1", "BELFRY_PORT_80: is not a variable");
    assert_warning("BELFRY_PORT__TCP=1", "BELFRY_PORT__TCP: is not a variable");
}

static void a_strange_name_is_quoted_without_its_control_bytes(void **state)
{
    assert_warning("BELFRY_\x1b[31m\n=1", "BELFRY_?[31m?: is not a variable");
    assert_warning("BELFRY_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
                   "aaa…: is not a variable");
}

static void cross_checks_are_silent_about_what_failed_already(void **state)
{
    struct fixture f;

    assert_int_equal(load(&f, SECRET, "PING_INTERVAL=90s", "PONG_TIMEOUT=x", "MAX_BODY_BYTES=x", "MAX_MESSAGE_BYTES=1M",
                          "REDIS_PREFIX=[", "REDIS_URL=redis://h/1", NULL),
                     -1);
    assert_int_equal(count_lines(&f.report.errors), 3);
    dispose(&f);
}

static void assert_advice(const char *a, const char *b, const char *text, bool expected)
{
    struct fixture f;
    struct buf advice = {0};

    load_good(&f, SECRET, a, b, NULL);
    config_advice(&f.c, &f.env, &advice);
    if (has_text(&advice, text) != expected)
        fail_msg("%s %s: \"%s\" in: %.*s", a, b, text, (int)advice.n, advice.p);
    buf_free(&advice);
    dispose(&f);
}

static void unwise_settings_are_advised_against(void **state)
{
    static const struct {
        const char *unwise, *beside, *text, *wise;
    } cases[] = {
        {"QUERY_TOKEN=on", NULL, "QUERY_TOKEN: ", "QUERY_TOKEN=off"},
        {"ALLOWED_ORIGINS=*", NULL, "pages of any site", "ALLOWED_ORIGINS=*.example.org"},
        {"ALLOWED_ORIGINS=*", "TOKEN_COOKIE=t", "connect as that user", "ALLOWED_ORIGINS=a.example"},
        {"ALLOWED_ORIGINS=a,null", NULL, "has null", "ALLOWED_ORIGINS=a"},
        {"DEMO=on", "REDIS_URL=redis://h", "DEMO: ", "DEMO=off"},
        {"LISTEN=0.0.0.0:80", "PROXY_PROTOCOL=v1", "PROXY_PROTOCOL: ", "LISTEN=10.0.0.1:80"},
        {"TRUSTED_PROXIES=0.0.0.0/0", NULL, "TRUSTED_PROXIES: ", "TRUSTED_PROXIES=10.0.0.0/8"},
        {"TRUSTED_PROXIES=::/0", NULL, "TRUSTED_PROXIES: ", "TRUSTED_PROXIES=::1"},
        {"PING_INTERVAL=60s", "PONG_TIMEOUT=2m", "PING_INTERVAL: ", "PING_INTERVAL=59s"},
        {"REDIS_URL=embedded", NULL, "REDIS_URL: ", "REDIS_URL=redis://h"},
        {"TAPE_BYTES=64K", NULL, "TAPE_BYTES: ", "TAPE_BYTES=256K"},
        {"BELFRY_SECRET_KEY=0123456789abcdef0123456789abcdef\n", NULL, "ends with a line break", "WORKERS=1"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        assert_advice(cases[i].unwise, cases[i].beside, cases[i].text, true);
        assert_advice(cases[i].wise, cases[i].beside, cases[i].text, false);
    }
}

static void a_quota_is_rounded_up_to_whole_cpus(void **state)
{
    assert_int_equal(config_cpus_of_quota(STR_LIT("max 100000\n")), 0);
    assert_int_equal(config_cpus_of_quota(STR_LIT("50000 100000\n")), 1);
    assert_int_equal(config_cpus_of_quota(STR_LIT("200000 100000\n")), 2);
    assert_int_equal(config_cpus_of_quota(STR_LIT("200001 100000")), 3);
    assert_int_equal(config_cpus_of_quota(STR_LIT("0 100000\n")), 1);
    assert_int_equal(config_cpus_of_quota(STR_LIT("1 0\n")), 0);
    assert_int_equal(config_cpus_of_quota(STR_LIT("1")), 0);
    assert_int_equal(config_cpus_of_quota(STR_NONE), 0);
    assert_true(config_cpus() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_name_with_prefix_is_a_warning),
        cmocka_unit_test(a_near_miss_names_what_was_meant),
        cmocka_unit_test(what_kubernetes_injects_for_a_service_is_no_warning),
        cmocka_unit_test(what_only_looks_like_an_injected_name_is_a_warning),
        cmocka_unit_test(a_strange_name_is_quoted_without_its_control_bytes),
        cmocka_unit_test(cross_checks_are_silent_about_what_failed_already),
        cmocka_unit_test(unwise_settings_are_advised_against),
        cmocka_unit_test(a_quota_is_rounded_up_to_whole_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
