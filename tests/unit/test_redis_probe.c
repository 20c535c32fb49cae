/* server/redis_probe.c: what an INFO reply tells about a Redis that belfry should not use as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "server/redis_probe.h"

#define FIT                                                                                                            \
    "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory_policy:noeviction\r\nloading:0\r\naof_enabled:1\r\n"    \
    "role:master\r\ncluster_enabled:0\r\n"

static void assert_info(const char *info, const char *text)
{
    struct buf out = {0};

    redis_probe_info(str_of(info), &out);
    if (text == NULL ? out.n != 0 : out.n == 0 || memmem(out.p, out.n, text, strlen(text)) == NULL)
        fail_msg("%s: %.*s", info, (int)out.n, out.p);
    buf_free(&out);
}

static void a_fit_redis_is_no_warning(void **state)
{
    assert_info(FIT, NULL);
    assert_info("redis_version:6.2.0\r\n", NULL);
    assert_info("redis_version:255.255.255\r\n", NULL);
    assert_info("redis_version:unstable\r\n", NULL);
    assert_info("", NULL);
}

static void what_belfry_cannot_use_is_a_warning(void **state)
{
    assert_info("redis_version:6.0.16\r\n", "Redis 6.0.16 is older than 6.2");
    assert_info("redis_version:5.9.1\n", "older than 6.2");
    assert_info(FIT "x:y\r\n", NULL);
    assert_info("cluster_enabled:1\r\n", "one order needs one node");
    assert_info("role:slave\r\n", "replica");
    assert_info("loading:1\r\n", "loading");
    assert_info("maxmemory_policy:allkeys-lru\r\n", "maxmemory-policy is allkeys-lru, which may silently evict");
    assert_info("maxmemory_policy:volatile-ttl\r\n", "set maxmemory-policy noeviction on Redis\n");
    assert_info("aof_enabled:0\r\n", "appendonly is off: when Redis restarts");
    assert_info("aof_enabled:0\r\nmaxmemory_policy:allkeys-lfu", "all of them where it makes none");
}

static struct buf probe(struct config *c)
{
    struct buf out = {0};

    c->redis_timeout_ms = 200;
    redis_probe(c, &out);
    buf_append_char(&out, '\0');
    return out;
}

static void an_unreachable_redis_is_a_warning_with_the_reason(void **state)
{
    struct config c = {.redis = {.kind = REDIS_UNIX, .path = (char *)"/nonexistent/redis.sock"}};
    struct buf out = probe(&c);

    assert_non_null(strstr(out.p, "REDIS_URL: Redis cannot be used: cannot connect to /nonexistent/redis.sock: No "
                                  "such file or directory"));
    buf_free(&out);
}

static void the_embedded_redis_needs_its_program(void **state)
{
    struct config c = {.redis = {.kind = REDIS_EMBEDDED}};
    const char *path = getenv("PATH");
    char *kept = str_dup(str_of(path));

    assert_int_equal(setenv("PATH", "/nonexistent::/dev", 1), 0);
    struct buf out = probe(&c);
    assert_non_null(strstr(out.p, "redis-server, which is not in PATH"));
    buf_free(&out);
    assert_int_equal(setenv("PATH", kept, 1), 0);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fit_redis_is_no_warning),
        cmocka_unit_test(what_belfry_cannot_use_is_a_warning),
        cmocka_unit_test(an_unreachable_redis_is_a_warning_with_the_reason),
        cmocka_unit_test(the_embedded_redis_needs_its_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
