/* server/status_view.c: what a page shows of two answers of /metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "core/metrics.h"
#include "server/status_view.h"

static struct metrics workers[8];
static double process[METRIC_PROCESS_COUNT];

static int fresh(void **state)
{
    memset(workers, 0, sizeof(workers));
    memset(process, 0, sizeof(process));
    metrics_mine = &workers[0];
    return 0;
}

static struct buf page(unsigned n)
{
    struct buf out = {0};

    metrics_render(&out, workers, n, process);
    return out;
}

static char *view(const struct buf *before, const struct buf *now)
{
    struct buf out = {0};

    status_view(&out, "here:1", &(struct status_sample){buf_str(before), 1000},
                &(struct status_sample){buf_str(now), 3000});
    buf_append_char(&out, '\0');
    return out.p;
}

static void assert_shows(const char *text, const char *expected)
{
    if (strstr(text, expected) == NULL)
        fail_msg("there is no \"%s\" in:\n%s", expected, text);
}

static void it_shows_what_is_by_worker(void **state)
{
    process[METRIC_PROCESS_READY] = 1;
    metric_set(METRIC_CONNECTIONS_LIVE, 4);
    metric_set(METRIC_REDIS_UP_NOW, 1);
    metric_set(METRIC_LOOP_LAG_NOW, 12);
    metric_set(METRIC_TAPE_BYTES_NOW, 1536);
    metric_set(METRIC_REDIS_MEMORY_NOW, 3 << 20);
    metric_set(METRIC_REDIS_POLICY_ALLKEYS_LRU, 1);
    metrics_mine = &workers[1];
    metric_set(METRIC_CONNECTIONS_LIVE, 5);
    metric_set(METRIC_LOOP_LAG_NOW, 3);
    struct buf now = page(2);
    char *text = view(&now, &now);
    assert_shows(text, "belfry " BELFRY_VERSION " at here:1: ready, up ");
    assert_shows(text, "2 workers\n");
    assert_shows(text, "                               all    worker 0    worker 1\n");
    assert_shows(text, "\n  live                           9           4           5\n");
    assert_shows(text, "\nloop lag                   0.012 s     0.012 s     0.003 s\n");
    assert_shows(text, "\nRedis connection              DOWN          up        DOWN\n");
    assert_shows(text, "\ntape                        1.5 KB      1.5 KB         0 B\n");
    assert_shows(text, "3.0 MB of memory, no limit, policy allkeys-lru: MAY LOSE EVENTS");
    free(text);
    buf_free(&now);
}

static void it_shows_rates_between_the_two(void **state)
{
    metric_add(METRIC_HANDSHAKES_ACCEPTED, 100);
    struct buf before = page(1);
    metric_add(METRIC_HANDSHAKES_ACCEPTED, 3);
    metric_add(METRIC_HANDSHAKES_TOKEN, 1);
    metric_add(METRIC_PUBLISHES_OK, 20);
    metric_add(METRIC_PUBLISHES_AWAY, 2);
    metric_add(METRIC_SENT_EVENT, 5000);
    metric_add(METRIC_SENT_WELCOME, 7);
    metric_add(METRIC_SENT_BYTES_TOTAL, 4096);
    for (int i = 0; i < 98; i++)
        metric_observe_us(METRIC_DELIVERY_SECONDS, 900);
    metric_observe_us(METRIC_DELIVERY_SECONDS, 30000);
    metric_observe_us(METRIC_DELIVERY_SECONDS, 20000000);
    struct buf now = page(1);
    char *text = view(&before, &now);
    assert_shows(text, "a second  (2.0 s)\n");
    assert_shows(text, "\nconnections opened             1.5\n  refused                      0.5\n");
    assert_shows(text, "\nevents published              10.0\n  not accepted                 1.0\n");
    assert_shows(text, "\ndeliveries                  2500.0\n");
    assert_shows(text, "\nsent                        2.0 KB\n");
    assert_shows(text, "\nevent to socket         half within 0.001 s, 99 % within 0.05 s\n");
    assert_shows(text, "\npublish to success               -\n");
    free(text);
    /* The server began anew: nothing can be said of what was counted more often before. */
    text = view(&now, &before);
    assert_shows(text, "\ndeliveries                       -\n");
    free(text);
    buf_free(&before);
    buf_free(&now);
}

static void of_many_workers_it_shows_the_whole_only(void **state)
{
    for (int i = 0; i < 8; i++) {
        metrics_mine = &workers[i];
        metric_set(METRIC_CONNECTIONS_LIVE, 10);
        metric_set(METRIC_REDIS_UP_NOW, 1);
    }
    process[METRIC_PROCESS_DRAINING] = 1;
    struct buf now = page(8);
    char *text = view(&now, &now);
    assert_shows(text, ": draining, up ");
    assert_shows(text, "\n  live                          80\n");
    assert_shows(text, "\nRedis connection                up\n");
    free(text);
    buf_free(&now);
}

static void what_is_not_there_shows_as_a_dash(void **state)
{
    struct buf nothing = {0};
    char *text = view(&nothing, &nothing);

    assert_shows(text, "\nconnections                      -\n");
    assert_shows(text, "\ndeliveries                       -\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_shows_what_is_by_worker, fresh),
        cmocka_unit_test_setup(it_shows_rates_between_the_two, fresh),
        cmocka_unit_test_setup(of_many_workers_it_shows_the_whole_only, fresh),
        cmocka_unit_test_setup(what_is_not_there_shows_as_a_dash, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
