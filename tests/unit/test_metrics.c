/* core/metrics.c: what is added comes out as Prometheus' text, summed over the workers; buckets and their borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/history.h"
#include "core/message.h"
#include "core/metrics.h"

static struct metrics workers[2];
static double process[METRIC_PROCESS_COUNT];

static int fresh(void **state)
{
    memset(workers, 0, sizeof(workers));
    memset(process, 0, sizeof(process));
    metrics_mine = &workers[0];
    return 0;
}

static char *rendered(void)
{
    struct buf out = {0};

    metrics_render(&out, workers, 2, process);
    buf_append_char(&out, '\0');
    return out.p;
}

static bool has_line(const char *line)
{
    char *text = rendered(), *at = strstr(text, line);
    bool found = at != NULL && (at == text || at[-1] == '\n');

    free(text);
    return found;
}

static void assert_line(const char *line)
{
    if (!has_line(line))
        fail_msg("there is no line %s", line);
}

static void counters_of_all_workers_add_up(void **state)
{
    metric_add(METRIC_CLOSES_4401, 2);
    metric_add(METRIC_ACCEPTED_TOTAL, 1);
    metrics_mine = &workers[1];
    metric_add(METRIC_CLOSES_4401, 3);
    assert_line("# HELP belfry_closes_total ");
    assert_line("# TYPE belfry_closes_total counter\n");
    assert_line("belfry_closes_total{code=\"4401\"} 5\n");
    assert_line("belfry_closes_total{code=\"1000\"} 0\n");
    assert_line("belfry_accepted_sockets_total 1\n");
}

static void gauges_of_a_worker_are_told_by_worker(void **state)
{
    metric_add(METRIC_CONNECTIONS_LIVE, 7);
    metric_sub(METRIC_CONNECTIONS_LIVE, 2);
    metrics_mine = &workers[1];
    metric_set(METRIC_CONNECTIONS_LIVE, 9);
    metric_set(METRIC_TAPE_BYTES_NOW, 4096);
    metric_set(METRIC_CANARY_AGE_NOW, 12034);
    assert_line("# TYPE belfry_connections gauge\n");
    assert_line("belfry_connections{worker=\"0\",state=\"live\"} 5\n");
    assert_line("belfry_connections{worker=\"1\",state=\"live\"} 9\n");
    assert_line("belfry_tape_bytes{worker=\"0\"} 0\n");
    assert_line("belfry_tape_bytes{worker=\"1\"} 4096\n");
    assert_line("belfry_canary_age_seconds{worker=\"1\"} 12.034\n");
}

static void other_gauges_add_up(void **state)
{
    metric_set(METRIC_REDIS_MEMORY_NOW, 123456789012);
    metric_set(METRIC_REDIS_POLICY_ALLKEYS_LRU, 1);
    assert_line("belfry_redis_memory_bytes 123456789012\n");
    assert_line("belfry_redis_eviction_policy{policy=\"allkeys-lru\"} 1\n");
    assert_line("belfry_redis_eviction_policy{policy=\"noeviction\"} 0\n");
}

static void what_is_known_of_the_process_is_told_and_what_is_not_is_left_out(void **state)
{
    process[METRIC_PROCESS_RSS] = 9007199254740992;
    process[METRIC_PROCESS_CPU] = 1.25;
    process[METRIC_PROCESS_MAX_FDS] = NAN;
    assert_line("belfry_build_info{version=\"" BELFRY_VERSION "\"} 1\n");
    assert_line("# TYPE process_cpu_seconds_total counter\n");
    assert_line("process_resident_memory_bytes 9007199254740992\n");
    assert_line("process_cpu_seconds_total 1.250\n");
    assert_line("belfry_draining 0\n");
    assert_false(has_line("# HELP process_max_fds "));
    assert_false(has_line("process_max_fds "));
}

/* Cells are found by adding an enum's value to the first one. */
static void labels_stand_in_the_order_of_their_enums(void **state)
{
    assert_int_equal(METRIC_RECEIVED_PONG + CLIENT_PONG, METRIC_RECEIVED_PONG);
    assert_int_equal(METRIC_RECEIVED_PONG + CLIENT_ACK, METRIC_RECEIVED_ACK);
    assert_int_equal(METRIC_RECEIVED_PONG + CLIENT_EVENT, METRIC_RECEIVED_EVENT);
    assert_int_equal(METRIC_RESYNCS_UNKNOWN + RESYNC_EXPIRED - RESYNC_UNKNOWN, METRIC_RESYNCS_EXPIRED);
    for (int code = 0; code <= ERROR_INTERNAL; code++) {
        char line[80];
        snprintf(line, sizeof(line), "belfry_errors_sent_total{code=\"%s\"} 1\n",
                 error_code_name((enum error_code)code));
        metric_add(METRIC_ERRORS_BAD_JSON + (enum metric)code, 1);
        assert_line(line);
    }
    for (int reason = RESYNC_UNKNOWN; reason <= RESYNC_EXPIRED; reason++) {
        char line[80];
        snprintf(line, sizeof(line), "belfry_resyncs_total{reason=\"%s\"} 1\n",
                 resync_reason_name((enum resync_reason)reason));
        metric_add(METRIC_RESYNCS_UNKNOWN + (enum metric)(reason - RESYNC_UNKNOWN), 1);
        assert_line(line);
    }
}

static void buckets_count_up_to_their_bound(void **state)
{
    metric_observe_us(METRIC_CONNECT_SECONDS, 0);
    metric_observe_us(METRIC_CONNECT_SECONDS, 1000);
    metric_observe_us(METRIC_CONNECT_SECONDS, 1001);
    metrics_mine = &workers[1];
    metric_observe_us(METRIC_CONNECT_SECONDS, 10000001);
    assert_line("# TYPE belfry_connect_seconds histogram\n");
    assert_line("belfry_connect_seconds_bucket{le=\"0.001\"} 2\n");
    assert_line("belfry_connect_seconds_bucket{le=\"0.0025\"} 3\n");
    assert_line("belfry_connect_seconds_bucket{le=\"10\"} 3\n");
    assert_line("belfry_connect_seconds_bucket{le=\"+Inf\"} 4\n");
    assert_line("belfry_connect_seconds_count 4\n");
    assert_line("belfry_connect_seconds_sum 10.002002\n");
}

static void close_codes_have_their_cells(void **state)
{
    assert_int_equal(metric_of_close_code(1000), METRIC_CLOSES_1000);
    assert_int_equal(metric_of_close_code(4429), METRIC_CLOSES_4429);
    assert_int_equal(metric_of_close_code(3000), METRIC_CLOSES_OTHER);
    assert_int_equal(metric_of_close_code(0), METRIC_CLOSES_OTHER);
}

static void policies_of_redis_have_their_cells(void **state)
{
    assert_int_equal(metric_of_policy(STR_LIT("noeviction")), METRIC_REDIS_POLICY_NOEVICTION);
    assert_int_equal(metric_of_policy(STR_LIT("volatile-ttl")), METRIC_REDIS_POLICY_VOLATILE_TTL);
    assert_int_equal(metric_of_policy(STR_LIT("noeviction2")), METRIC_REDIS_POLICY_OTHER);
    assert_int_equal(metric_of_policy(STR_LIT("")), METRIC_REDIS_POLICY_OTHER);
}

static void every_family_stands_in_the_document(void **state)
{
    struct buf table = {0};
    char *text = rendered(), *rest = text, *line;

    metrics_markdown(&table);
    buf_append_char(&table, '\0');
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strncmp(line, "# TYPE ", 7) != 0)
            continue;
        char *name = strsep(&line, " ");
        name = strsep(&line, " ");
        name = strsep(&line, " ");
        char quoted[128] = "| `";
        strncat(quoted, name, 100);
        strcat(quoted, "` |");
        assert_non_null(strstr(table.p, quoted));
    }
    free(text);
    buf_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counters_of_all_workers_add_up, fresh),
        cmocka_unit_test_setup(gauges_of_a_worker_are_told_by_worker, fresh),
        cmocka_unit_test_setup(other_gauges_add_up, fresh),
        cmocka_unit_test_setup(what_is_known_of_the_process_is_told_and_what_is_not_is_left_out, fresh),
        cmocka_unit_test_setup(labels_stand_in_the_order_of_their_enums, fresh),
        cmocka_unit_test_setup(buckets_count_up_to_their_bound, fresh),
        cmocka_unit_test_setup(close_codes_have_their_cells, fresh),
        cmocka_unit_test_setup(policies_of_redis_have_their_cells, fresh),
        cmocka_unit_test_setup(every_family_stands_in_the_document, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
