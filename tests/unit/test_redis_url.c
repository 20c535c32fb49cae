/* core/redis_url.c: all forms of REDIS_URL, credentials in them, and what is shown of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/redis_url.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static void parse(const char *url, struct redis_target *t)
{
    const char *wrong = redis_url_parse(str_of(url), t);

    if (wrong != NULL)
        fail_msg("\"%s\": %s", url, wrong);
}

static void assert_shown(struct redis_target *t, const char *text)
{
    struct buf b = {0};

    redis_url_format_masked(&b, t);
    buf_append_char(&b, '\0');
    assert_string_equal(b.p, text);
    buf_free(&b);
    redis_target_dispose(t);
}

static void a_plain_url_has_host_port_and_database(void **state)
{
    struct redis_target t;

    parse("redis://localhost:6380/3", &t);
    assert_int_equal(t.kind, REDIS_TCP);
    assert_false(t.tls);
    assert_string_equal(t.host, "localhost");
    assert_int_equal(t.port, 6380);
    assert_int_equal(t.db, 3);
    assert_null(t.user);
    assert_null(t.password);
    assert_shown(&t, "redis://localhost:6380/3");
}

static void port_and_database_have_defaults(void **state)
{
    struct redis_target t;

    parse("redis://redis", &t);
    assert_shown(&t, "redis://redis:6379/0");
    parse("redis://[::1]/", &t);
    assert_string_equal(t.host, "::1");
    assert_shown(&t, "redis://[::1]:6379/0");
}

static void a_url_with_tls_says_so(void **state)
{
    struct redis_target t;

    parse("rediss://redis.example.org:6380/1", &t);
    assert_int_equal(t.kind, REDIS_TCP);
    assert_true(t.tls);
    assert_shown(&t, "rediss://redis.example.org:6380/1");
}

static void credentials_are_percent_decoded_and_masked(void **state)
{
    struct redis_target t;

    parse("redis://be%6cfry:p%40s%2fs%25@redis/0", &t);
    assert_string_equal(t.user, "belfry");
    assert_string_equal(t.password, "p@s/s%");
    assert_shown(&t, "redis://belfry:***@redis:6379/0");
    parse("redis://:secret@redis", &t);
    assert_null(t.user);
    assert_string_equal(t.password, "secret");
    assert_shown(&t, "redis://:***@redis:6379/0");
}

static void the_last_at_sign_ends_the_password(void **state)
{
    struct redis_target t;

    parse("redis://:p@ss:w?x@redis", &t);
    assert_string_equal(t.password, "p@ss:w?x");
    assert_string_equal(t.host, "redis");
    redis_target_dispose(&t);
}

static void a_unix_socket_may_have_a_database_and_credentials(void **state)
{
    struct redis_target t;

    parse("unix:///run/redis.sock", &t);
    assert_int_equal(t.kind, REDIS_UNIX);
    assert_string_equal(t.path, "/run/redis.sock");
    assert_int_equal(t.db, 0);
    assert_shown(&t, "unix:///run/redis.sock");
    parse("unix://u:p@/run/redis.sock?db=2", &t);
    assert_string_equal(t.user, "u");
    assert_string_equal(t.password, "p");
    assert_int_equal(t.db, 2);
    assert_shown(&t, "unix://u:***@/run/redis.sock?db=2");
}

static void sentinels_are_a_list_with_a_master(void **state)
{
    struct redis_target t;

    parse("redis+sentinel://u:p@h1:26379,[::1]:26380,h3/mymaster/0", &t);
    assert_int_equal(t.kind, REDIS_SENTINEL);
    assert_string_equal(t.sentinels, "h1:26379,[::1]:26380,h3");
    assert_string_equal(t.master, "mymaster");
    assert_string_equal(t.password, "p");
    assert_shown(&t, "redis+sentinel://u:***@h1:26379,[::1]:26380,h3/mymaster/0");
    parse("redis+sentinel://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p/m", &t);
    redis_target_dispose(&t);
    parse("redis+sentinel://h1/m", &t);
    assert_int_equal(t.db, 0);
    redis_target_dispose(&t);
}

static void embedded_is_a_word(void **state)
{
    struct redis_target t;

    parse("embedded", &t);
    assert_int_equal(t.kind, REDIS_EMBEDDED);
    assert_shown(&t, "embedded");
}

static void other_forms_are_refused_without_quoting_them(void **state)
{
    static const char *const bad[] = {"",
                                      "localhost:6379",
                                      "http://localhost",
                                      "REDIS://localhost",
                                      "Embedded",
                                      "redis://",
                                      "redis:///0",
                                      "redis://:6379",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:6379/x",
                                      "redis://h:6379/0/1",
                                      "redis://h/-1",
                                      "redis://h/2147483648",
                                      "redis://h/0?hunter2=1",
                                      "redis://h?db=1",
                                      "redis://::1:6379",
                                      "redis://hunter2@h",
                                      "redis://user:@h",
                                      "redis://u:hunter2%@h",
                                      "redis://u:hunter2%4@h",
                                      "redis://u:hunter2%zz@h",
                                      "redis://u:hunter2%00@h",
                                      "redis://u:hunter2/x@h",
                                      "redis://a,b",
                                      "unix://",
                                      "unix:///",
                                      "unix://run/redis.sock",
                                      "unix:///run/redis.sock?db=",
                                      "unix:///run/redis.sock?password=hunter2",
                                      "redis+sentinel://h1,h2",
                                      "redis+sentinel://h1,/m",
                                      "redis+sentinel://h1:0/m",
                                      "redis+sentinel://h1/m/x",
                                      "redis+sentinel://h1/m?db=1",
                                      "redis+sentinel://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q/m",
                                      "redis+sentinel://u:hunter2@h1",
                                      "rediss://h/0?insecure=hunter2",
                                      "rediss+sentinel://h1/m"};

    for (size_t i = 0; i < LEN(bad); ++i) {
        struct redis_target t;
        const char *wrong = redis_url_parse(str_of(bad[i]), &t);
        if (wrong == NULL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_null(strstr(wrong, "hunter2"));
        assert_null(t.password);
        assert_null(t.host);
    }
}

static void a_unix_path_longer_than_the_kernel_takes_is_refused(void **state)
{
    char url[7 + 109] = "unix:///";
    struct redis_target t;

    memset(url + 8, 'x', 107);
    assert_non_null(redis_url_parse((struct str){url, 7 + 108}, &t));
    assert_null(redis_url_parse((struct str){url, 7 + 107}, &t));
    redis_target_dispose(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_url_has_host_port_and_database),
        cmocka_unit_test(port_and_database_have_defaults),
        cmocka_unit_test(a_url_with_tls_says_so),
        cmocka_unit_test(credentials_are_percent_decoded_and_masked),
        cmocka_unit_test(the_last_at_sign_ends_the_password),
        cmocka_unit_test(a_unix_socket_may_have_a_database_and_credentials),
        cmocka_unit_test(sentinels_are_a_list_with_a_master),
        cmocka_unit_test(embedded_is_a_word),
        cmocka_unit_test(other_forms_are_refused_without_quoting_them),
        cmocka_unit_test(a_unix_path_longer_than_the_kernel_takes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
