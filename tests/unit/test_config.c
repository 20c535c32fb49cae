/* core/config.c: from environment variables to struct config, defaults, names, and every mistake at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/config_fixture.h"

static void defaults_are_those_of_the_contract(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, NULL);
    assert_string_equal(f.c.listen.host, "::");
    assert_int_equal(f.c.listen.port, 8000);
    assert_int_equal(f.c.api_listen.kind, LISTEN_UNSET);
    assert_int_equal(f.c.metrics_listen.port, 9464);
    assert_string_equal(f.c.base_path, "");
    assert_int_equal(f.c.redis.kind, REDIS_EMBEDDED);
    assert_string_equal(f.c.redis_url_masked, "embedded");
    assert_string_equal(f.c.redis_prefix, "ws:");
    assert_int_equal(f.c.redis_timeout_ms, 2000);
    assert_int_equal(f.c.algorithm, JWT_HS256);
    assert_int_equal(f.c.jwt_leeway_ms, 5000);
    assert_true(f.c.query_token);
    assert_null(f.c.token_cookie);
    assert_null(f.c.allowed_origins);
    assert_int_equal(f.c.trusted_proxies.n, 0);
    assert_false(f.c.proxy_protocol);
    dispose(&f);
}

static void default_numbers_are_those_of_the_contract(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, NULL);
    assert_int_equal(f.c.ping_interval_ms, 30000);
    assert_int_equal(f.c.pong_timeout_ms, 60000);
    assert_int_equal(f.c.replay_events, 10000);
    assert_int_equal(f.c.replay_user_events, 500);
    assert_int_equal(f.c.replay_ttl_ms, 86400000);
    assert_int_equal(f.c.idempotency_ttl_ms, 3600000);
    assert_int_equal(f.c.tape_bytes, 16777216);
    assert_int_equal(f.c.max_connections, 0);
    assert_int_equal(f.c.max_connections_per_user, 64);
    assert_int_equal(f.c.max_connections_per_address, 0);
    assert_int_equal(f.c.max_message_bytes, 65536);
    assert_int_equal(f.c.max_body_bytes, 1048576);
    assert_int_equal(f.c.client_rate.per_second, 20);
    assert_int_equal(f.c.client_rate.burst, 40);
    assert_int_equal(f.c.publish_rate.per_second, 0);
    assert_int_equal(f.c.drain_ms, 20000);
    assert_int_equal(f.c.max_connection_age_ms, 0);
    assert_int_equal(f.c.presence_grace_ms, 10000);
    assert_true(f.c.compression);
    assert_false(f.c.lifecycle);
    assert_int_equal(f.c.log_level, LOG_LEVEL_INFO);
    dispose(&f);
}

static void every_variable_is_read_into_its_field(void **state)
{
    struct fixture f;

    load_good(&f, "SECRET_KEY_FILE=/etc/keys", "LISTEN=127.0.0.1:9000", "API_LISTEN=unix:/run/api.sock",
              "METRICS_LISTEN=off", "BASE_PATH=/push/", "REDIS_URL=redis://u:p@redis:6380/2",
              "REDIS_PREFIX={app}:", "REDIS_TIMEOUT=500ms", "ALGORITHM=EdDSA", "API_KEYS_FILE=/etc/api",
              "JWT_ISSUER=me", "JWT_AUDIENCE=you", "JWT_LEEWAY=0", "QUERY_TOKEN=off", "TOKEN_COOKIE=__Host-token",
              "ALLOWED_ORIGINS=https://a.example, *.b.example:8443 ,null", "TRUSTED_PROXIES=10.0.0.0/8,unix",
              "PROXY_PROTOCOL=v1", NULL);
    assert_int_equal(f.c.api_listen.kind, LISTEN_UNIX);
    assert_string_equal(f.c.api_listen.path, "/run/api.sock");
    assert_int_equal(f.c.metrics_listen.kind, LISTEN_OFF);
    assert_string_equal(f.c.base_path, "/push");
    assert_string_equal(f.c.redis_url_masked, "redis://u:***@redis:6380/2");
    assert_string_equal(f.c.redis.password, "p");
    assert_string_equal(f.c.redis_prefix, "{app}:");
    assert_int_equal(f.c.redis_timeout_ms, 500);
    assert_null(f.c.secret_key);
    assert_string_equal(f.c.secret_key_file, "/etc/keys");
    assert_string_equal(f.c.api_keys_file, "/etc/api");
    assert_int_equal(f.c.algorithm, JWT_EDDSA);
    assert_string_equal(f.c.jwt_issuer, "me");
    assert_string_equal(f.c.jwt_audience, "you");
    assert_int_equal(f.c.jwt_leeway_ms, 0);
    assert_false(f.c.query_token);
    assert_string_equal(f.c.token_cookie, "__Host-token");
    assert_string_equal(f.c.allowed_origins[0], "https://a.example");
    assert_string_equal(f.c.allowed_origins[1], "*.b.example:8443");
    assert_string_equal(f.c.allowed_origins[2], "null");
    assert_null(f.c.allowed_origins[3]);
    assert_int_equal(f.c.trusted_proxies.n, 1);
    assert_true(f.c.trusted_proxies.trust_unix);
    assert_true(f.c.proxy_protocol);
    dispose(&f);
}

static void every_number_is_read_into_its_field(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, "WORKERS=7", "PING_INTERVAL=1", "PONG_TIMEOUT=1500ms", "REPLAY_EVENTS=11",
              "REPLAY_USER_EVENTS=12", "REPLAY_TTL=13m", "IDEMPOTENCY_TTL=14s", "TAPE_BYTES=1M", "MAX_CONNECTIONS=15",
              "MAX_CONNECTIONS_PER_USER=off", "MAX_CONNECTIONS_PER_ADDRESS=16", "MAX_MESSAGE_BYTES=1M",
              "MAX_BODY_BYTES=2M", "CLIENT_RATE=off", "PUBLISH_RATE=17/s", "COMPRESSION=off", "LOG_LEVEL=debug",
              "LOG_FORMAT=text", "DEMO=off", NULL);
    assert_int_equal(f.c.workers, 7);
    assert_int_equal(f.c.ping_interval_ms, 1000);
    assert_int_equal(f.c.pong_timeout_ms, 1500);
    assert_int_equal(f.c.replay_events, 11);
    assert_int_equal(f.c.replay_user_events, 12);
    assert_int_equal(f.c.replay_ttl_ms, 780000);
    assert_int_equal(f.c.idempotency_ttl_ms, 14000);
    assert_int_equal(f.c.tape_bytes, 1048576);
    assert_int_equal(f.c.max_connections, 15);
    assert_int_equal(f.c.max_connections_per_user, 0);
    assert_int_equal(f.c.max_connections_per_address, 16);
    assert_int_equal(f.c.max_message_bytes, 1048576);
    assert_int_equal(f.c.max_body_bytes, 2097152);
    assert_int_equal(f.c.client_rate.per_second, 0);
    assert_int_equal(f.c.publish_rate.burst, 17);
    assert_false(f.c.compression);
    assert_false(f.c.demo);
    assert_int_equal(f.c.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(f.c.log_format, LOG_FORMAT_TEXT);
    dispose(&f);
}

static void some_defaults_follow_the_surroundings(void **state)
{
    struct fixture f;

    surroundings = (struct config_environment){.stderr_is_tty = true, .cpus = 3};
    load_good(&f, SECRET, NULL);
    assert_int_equal(f.c.workers, 3);
    assert_int_equal(f.c.log_format, LOG_FORMAT_TEXT);
    assert_true(f.c.demo);
    dispose(&f);
    surroundings = (struct config_environment){.stderr_is_tty = false, .cpus = 64};
    load_good(&f, SECRET, "REDIS_URL=redis://redis", NULL);
    assert_int_equal(f.c.workers, 4);
    assert_int_equal(f.c.log_format, LOG_FORMAT_JSON);
    assert_false(f.c.demo);
    dispose(&f);
}

static void the_name_with_prefix_wins_and_an_empty_one_is_unset(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, "WORKERS=2", "BELFRY_WORKERS=3", "BELFRY_REPLAY_EVENTS=", "REPLAY_EVENTS=5",
              "REPLAY_TTL=", NULL);
    assert_int_equal(f.c.workers, 3);
    assert_int_equal(f.c.replay_events, 5);
    assert_int_equal(f.c.replay_ttl_ms, 86400000);
    dispose(&f);
}

static void spaces_around_a_value_do_not_count_but_a_secret_keeps_them(void **state)
{
    struct fixture f;

    load_good(&f, "SECRET_KEY= 0123456789abcdef0123456789abcdef\n", "WORKERS= 2 ", "LISTEN=\t:80", NULL);
    assert_string_equal(f.c.secret_key, " 0123456789abcdef0123456789abcdef\n");
    assert_int_equal(f.c.workers, 2);
    assert_int_equal(f.c.listen.port, 80);
    dispose(&f);
}

static void all_mistakes_are_named_at_once_as_they_were_written(void **state)
{
    struct fixture f;

    assert_int_equal(load(&f, "PING_INTERVAL=soon", "BELFRY_WORKERS=0", "ALGORITHM=none", "DEMO=maybe", NULL), -1);
    assert_errors(&f, "BELFRY_WORKERS: must be a whole number from 1 to 256",
                  "PING_INTERVAL: must be a whole number with ms, s, m or h (bare: seconds) from 100ms to 1h",
                  "ALGORITHM: must be HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA",
                  "DEMO: must be on or off", "SECRET_KEY: is required", NULL);
    assert_int_equal(count_lines(&f.report.errors), 5);
    assert_int_equal(f.c.ping_interval_ms, 30000);
    assert_true(config_report_names(&f.report, "WORKERS"));
    assert_true(config_report_names(&f.report, "SECRET_KEY"));
    assert_false(config_report_names(&f.report, "LISTEN"));
    assert_false(config_report_names(&f.report, "WORKER"));
    dispose(&f);
}

/* One bad value of each kind, and the words of the complaint that a reader needs. */
static const struct bad_case {
    const char *entry, *complaint;
} bad_cases[] = {
    {"LISTEN=8000", "LISTEN: has no port; it must be like 0.0.0.0:8000, [::]:8000 or unix:/path"},
    {"LISTEN=off", "LISTEN: has no port"},
    {"API_LISTEN=off", "API_LISTEN: has no port"},
    {"METRICS_LISTEN=none", "or unix:/path, or off"},
    {"METRICS_LISTEN=:8000", "METRICS_LISTEN: must differ from LISTEN"},
    {"BASE_PATH=push", "BASE_PATH: must begin with one slash"},
    {"BASE_PATH=/a//b", "BASE_PATH: must be like /push"},
    {"BASE_PATH=/a/..", "BASE_PATH: must be like /push"},
    {"BASE_PATH=/a%2fb", "BASE_PATH: must be like /push"},
    {"BASE_PATH=/a//", "BASE_PATH: must begin with one slash"},
    {"DEMO=true", "DEMO: must be on or off"},
    {"WORKERS=257", "WORKERS: must be a whole number from 1 to 256"},
    {"WORKERS=-1", "WORKERS: must be"},
    {"WORKERS=18446744073709551617", "WORKERS: must be"},
    {"REDIS_URL=localhost", "REDIS_URL: must be embedded, or begin with"},
    {"REDIS_CERT_FILE=/c", "REDIS_KEY_FILE: is required, since REDIS_CERT_FILE is set"},
    {"BELFRY_REDIS_KEY_FILE=/c", "REDIS_CERT_FILE: is required, since REDIS_KEY_FILE is set"},
    {"REDIS_CA_FILE=/ca.pem\n", "REDIS_CA_FILE: holds a control character"},
    {"REDIS_URL=redis://h/1", "REDIS_URL: names database 1, but REDIS_PREFIX is the default"},
    {"REDIS_PREFIX=a b", "REDIS_PREFIX: must be printable ASCII"},
    {"REDIS_PREFIX=ws*", "REDIS_PREFIX: must be printable ASCII"},
    {"REDIS_PREFIX=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "REDIS_PREFIX: is longer than 64 bytes"},
    {"REDIS_TIMEOUT=0", "REDIS_TIMEOUT: must be"},
    {"ALGORITHM=hs256", "ALGORITHM: must be HS256"},
    {"SECRET_KEY_FILE=/x", "SECRET_KEY: is set beside SECRET_KEY_FILE"},
    {"JWT_ISSUER=a\nb", "JWT_ISSUER: holds a control character"},
    {"JWT_AUDIENCE=\xff", "JWT_AUDIENCE: is not UTF-8"},
    {"JWT_LEEWAY=2h", "JWT_LEEWAY: must be"},
    {"API_KEYS_FILE=/x\n", "API_KEYS_FILE: holds a control character"},
    {"API_KEYS_FILE=  ", "API_KEYS_FILE: is nothing but spaces"},
    {"TOKEN_COOKIE=a=b", "TOKEN_COOKIE: is no name that a cookie can have"},
    {"ALLOWED_ORIGINS=https://a/", "ALLOWED_ORIGINS: has an item with a path"},
    {"ALLOWED_ORIGINS=a,,b", "ALLOWED_ORIGINS: has an empty item"},
    {"ALLOWED_ORIGINS=https://", "ALLOWED_ORIGINS: has an item that is no origin"},
    {"ALLOWED_ORIGINS=a b", "ALLOWED_ORIGINS: has an item that is no origin"},
    {"TRUSTED_PROXIES=10.0.0.0/8,proxy", "TRUSTED_PROXIES: must be a comma list"},
    {"PROXY_PROTOCOL=on", "PROXY_PROTOCOL: must be off or v1"},
    {"PROXY_PROTOCOL=v2", "PROXY_PROTOCOL: must be off or v1"},
    {"PONG_TIMEOUT=30", "PONG_TIMEOUT: is 30s, but must be longer than PING_INTERVAL (30s)"},
    {"BELFRY_PING_INTERVAL=60s", "PONG_TIMEOUT: is 1m, but must be longer than PING_INTERVAL (1m)"},
    {"REPLAY_EVENTS=0", "REPLAY_EVENTS: must be"},
    {"TAPE_BYTES=63K", "TAPE_BYTES: must be a whole number with K, M or G (bare: bytes) from 64K to 4G"},
    {"MAX_CONNECTIONS=many", "MAX_CONNECTIONS: must be a whole number from 1 to 100000000, or 0 for off"},
    {"MAX_MESSAGE_BYTES=1048577", "MAX_MESSAGE_BYTES: must be"},
    {"MAX_BODY_BYTES=32K", "MAX_MESSAGE_BYTES: is 64K, but may be at most MAX_BODY_BYTES (32K)"},
    {"CLIENT_RATE=20", "CLIENT_RATE: must be like \"20/s burst 40\""},
    {"PUBLISH_RATE=0/s", "PUBLISH_RATE: must be like"},
    {"DRAIN_SECONDS=601", "DRAIN_SECONDS: must be"},
    {"TLS_CERT_FILE=/c", "TLS_KEY_FILE: is required, since TLS_CERT_FILE is set"},
    {"TLS_KEY_FILE=/c", "TLS_CERT_FILE: is required, since TLS_KEY_FILE is set"},
    {"COMPRESSION=gzip", "COMPRESSION: must be on or off"},
    {"LOG_LEVEL=warning", "LOG_LEVEL: must be debug, info, warn or error"},
    {"LOG_FORMAT=xml", "LOG_FORMAT: must be text or json"},
    {"KUBERNETES_SERVICE_HOST=10.0.0.1", "REDIS_URL: is required inside Kubernetes"},
};

static void each_kind_of_bad_value_is_one_error_that_names_it(void **state)
{
    for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); ++i) {
        struct fixture f;
        if (load(&f, SECRET, bad_cases[i].entry, NULL) == 0)
            fail_msg("\"%s\" was accepted", bad_cases[i].entry);
        assert_errors(&f, bad_cases[i].complaint, NULL);
        assert_int_equal(count_lines(&f.report.errors), 1);
        dispose(&f);
    }
}

static void a_password_or_secret_never_stands_in_a_complaint(void **state)
{
    struct fixture f;

    assert_int_equal(load(&f, "SECRET_KEY=hunter2", "SECRET_KEY_FILE=/x", "REDIS_URL=redis://u:hunter2/@h/1", NULL),
                     -1);
    assert_int_equal(count_lines(&f.report.errors), 2);
    assert_null(memmem(f.report.errors.p, f.report.errors.n, "hunter2", 7));
    dispose(&f);
}

static void an_api_address_equal_to_listen_is_the_same_surface(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, "LISTEN=[::]:81", "API_LISTEN=:81", NULL);
    assert_int_equal(f.c.api_listen.kind, LISTEN_UNSET);
    dispose(&f);
}

static void a_database_is_fine_with_a_prefix_of_its_own(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, "REDIS_URL=redis://h/1", "REDIS_PREFIX=app1:", NULL);
    assert_int_equal(f.c.redis.db, 1);
    dispose(&f);
}

static void embedded_by_name_is_allowed_inside_kubernetes(void **state)
{
    struct fixture f;

    load_good(&f, SECRET, "KUBERNETES_SERVICE_HOST=10.0.0.1", "REDIS_URL=embedded", NULL);
    dispose(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(default_numbers_are_those_of_the_contract),
        cmocka_unit_test(every_variable_is_read_into_its_field),
        cmocka_unit_test(every_number_is_read_into_its_field),
        cmocka_unit_test(some_defaults_follow_the_surroundings),
        cmocka_unit_test(the_name_with_prefix_wins_and_an_empty_one_is_unset),
        cmocka_unit_test(spaces_around_a_value_do_not_count_but_a_secret_keeps_them),
        cmocka_unit_test(all_mistakes_are_named_at_once_as_they_were_written),
        cmocka_unit_test(each_kind_of_bad_value_is_one_error_that_names_it),
        cmocka_unit_test(a_password_or_secret_never_stands_in_a_complaint),
        cmocka_unit_test(an_api_address_equal_to_listen_is_the_same_surface),
        cmocka_unit_test(a_database_is_fine_with_a_prefix_of_its_own),
        cmocka_unit_test(embedded_by_name_is_allowed_inside_kubernetes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
