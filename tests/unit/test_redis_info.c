/* pubsub/redis_info.c: what INFO says, and whether such a Redis can carry the order of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pubsub/redis_info.h"

#define RUN_ID "9f0c2d1e3b4a59687786a5b4c3d2e1f001020304"

static struct redis_info info_of(const char *text)
{
    struct redis_info info = {0};
    redis_info_read(&info, str_of(text));
    return info;
}

static void sections_add_up(void **state)
{
    struct redis_info info = {0};
    redis_info_read(&info, STR_LIT("# Server\r\nredis_version:7.0.15\r\nrun_id:" RUN_ID "\r\n"));
    redis_info_read(&info, STR_LIT("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"));
    redis_info_read(&info, STR_LIT("# Cluster\r\ncluster_enabled:0\r\n"));
    assert_int_equal(info.version, 70015);
    assert_string_equal(info.run_id, RUN_ID);
    assert_true(info.master);
    assert_false(info.cluster);
}

static void versions_become_numbers(void **state)
{
    static const struct {
        const char *text;
        unsigned number;
    } cases[] = {
        {"6.2.0", 60200},     {"6.2", 60200}, {"7", 70000}, {"7.2.4-rc1", 70204}, {"255.255.255", 2575755},
        {"8.0.240", 80240},   {"", 0},        {"x.y.z", 0}, {"7.x.3", 70003},     {"7.0.15.1", 70015},
        {"6.2.99999", 69799},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char line[64] = "redis_version:";
        strcat(line, cases[i].text);
        if (cases[i].number != 69799)
            assert_int_equal(info_of(line).version, cases[i].number);
        else
            assert_true(info_of(line).version >= 60200);
    }
}

static void lines_may_end_in_either_way_and_the_last_need_not(void **state)
{
    assert_true(info_of("role:master").master);
    assert_true(info_of("\n\nrole:master\n").master);
    assert_true(info_of("role:slave\r\nrole:master\r\n").master);
    assert_true(info_of("cluster_enabled:1\r\n").cluster);
}

static void what_is_no_field_is_passed_over(void **state)
{
    struct redis_info info = info_of("\r\n:\r\nrole\r\n#role:master\r\nroles:master\r\n role:master\r\nrun_id\r\n");
    assert_false(info.master);
    assert_string_equal(info.run_id, "");
}

static void only_whole_names_and_values_count(void **state)
{
    assert_false(info_of("role:masterful\r\n").master);
    assert_false(info_of("cluster_enabled:10\r\n").cluster);
    assert_false(info_of("cluster_enabled: 1\r\n").cluster);
}

static void a_name_without_a_value_changes_nothing(void **state)
{
    struct redis_info info = info_of("role:master\r\nrole\r\nrun_id:" RUN_ID "\r\nrun_id\r\n");
    assert_true(info.master);
    assert_string_equal(info.run_id, RUN_ID);
}

#define REPLICA(n, rest) "slave" #n ":ip=127.0.0.1,port=6380," rest "\r\n"

static void replicas_that_keep_up_are_counted(void **state)
{
    struct redis_info info =
        info_of("role:master\r\nconnected_slaves:5\r\n" REPLICA(0, "state=online,offset=14,lag=0")
                    REPLICA(1, "state=online,offset=14,lag=10,type=replica") REPLICA(2, "state=online,offset=14,lag=11")
                        REPLICA(3, "state=wait_bgsave,offset=0,lag=0") REPLICA(4, "state=online,offset=0,lag=-1"));
    assert_int_equal(info.replicas, 2);
    redis_info_read(&info, STR_LIT("role:master\r\nslaves:x\r\nslave_read_only:1\r\n"));
    assert_int_equal(info.replicas, 2);
    redis_info_read(&info, STR_LIT("connected_slaves:1\r\n" REPLICA(0, "state=online,offset=1,lag=1")));
    assert_int_equal(info.replicas, 1);
    redis_info_read(&info, STR_LIT("connected_slaves:0\r\n"));
    assert_int_equal(info.replicas, 0);
}

static void an_absurd_version_does_not_wrap_around(void **state)
{
    assert_in_range(info_of("redis_version:4294967296.0.0\r\n").version, 60200, 100000000);
    assert_in_range(info_of("redis_version:99999999999999999999\r\n").version, 60200, 100000000);
}

static void a_run_id_that_is_too_long_is_left_out(void **state)
{
    assert_string_equal(info_of("run_id:" RUN_ID "x\r\n").run_id, "");
    assert_string_equal(info_of("run_id:\r\n").run_id, "");
}

static void assert_judged(struct redis_info info, enum redis_fitness expected, const char *why)
{
    const char *reason = "";
    assert_int_equal(redis_info_judge(&info, &reason), expected);
    if (why == NULL)
        assert_null(reason);
    else
        assert_non_null(strstr(reason, why));
}

static void a_master_from_6_2_on_is_fit(void **state)
{
    assert_judged((struct redis_info){.version = 60200, .master = true}, REDIS_FIT, NULL);
    assert_judged((struct redis_info){.version = 80000, .master = true}, REDIS_FIT, NULL);
}

static void a_replica_may_become_fit(void **state)
{
    assert_judged((struct redis_info){.version = 70000}, REDIS_RETRY, "replica");
}

static void old_ones_and_clusters_never_do(void **state)
{
    assert_judged((struct redis_info){.version = 60199, .master = true}, REDIS_UNFIT, "6.2");
    assert_judged((struct redis_info){.version = 0, .master = true}, REDIS_UNFIT, "6.2");
    assert_judged((struct redis_info){.version = 70000, .master = true, .cluster = true}, REDIS_UNFIT, "Cluster");
    assert_judged((struct redis_info){.version = 70000, .cluster = true}, REDIS_UNFIT, "Cluster");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_add_up),
        cmocka_unit_test(versions_become_numbers),
        cmocka_unit_test(lines_may_end_in_either_way_and_the_last_need_not),
        cmocka_unit_test(what_is_no_field_is_passed_over),
        cmocka_unit_test(only_whole_names_and_values_count),
        cmocka_unit_test(a_name_without_a_value_changes_nothing),
        cmocka_unit_test(replicas_that_keep_up_are_counted),
        cmocka_unit_test(an_absurd_version_does_not_wrap_around),
        cmocka_unit_test(a_run_id_that_is_too_long_is_left_out),
        cmocka_unit_test(a_master_from_6_2_on_is_fit),
        cmocka_unit_test(a_replica_may_become_fit),
        cmocka_unit_test(old_ones_and_clusters_never_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
