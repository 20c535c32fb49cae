/* core/metrics_text.c: reads what metrics_render writes, and stumbles over nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "core/metrics.h"
#include "core/metrics_text.h"

static void what_is_rendered_is_read_back(void **state)
{
    static struct metrics workers[2];
    double process[METRIC_PROCESS_COUNT] = {[METRIC_PROCESS_CPU] = 1.5};
    struct buf page = {0};

    metrics_mine = &workers[1];
    metric_add(METRIC_CONNECTIONS_LIVE, 7);
    metric_add(METRIC_CLOSES_4401, 2);
    metric_set(METRIC_CANARY_AGE_NOW, 2500);
    metric_observe_us(METRIC_DELIVERY_SECONDS, 3000);
    metrics_render(&page, workers, 2, process);
    struct str text = buf_str(&page);
    assert_true(metrics_text_sum(text, "belfry_connections", NULL, NULL) == 7);
    assert_true(metrics_text_sum(text, "belfry_connections", "state", "live") == 7);
    assert_true(metrics_text_sum(text, "belfry_connections", "state", "closing") == 0);
    assert_true(metrics_text_cell(text, "belfry_connections", "state", "live", "worker", "0") == 0);
    assert_true(metrics_text_cell(text, "belfry_connections", "state", "live", "worker", "1") == 7);
    assert_true(metrics_text_sum(text, "belfry_closes_total", NULL, NULL) == 2);
    assert_true(metrics_text_max(text, "belfry_canary_age_seconds") == 2.5);
    assert_true(metrics_text_sum(text, "process_cpu_seconds_total", NULL, NULL) == 1.5);
    assert_true(metrics_text_sum(text, "belfry_delivery_seconds_bucket", "le", "0.0025") == 0);
    assert_true(metrics_text_sum(text, "belfry_delivery_seconds_bucket", "le", "+Inf") == 1);
    assert_true(isnan(metrics_text_sum(text, "belfry_connection", NULL, NULL)));
    assert_true(isnan(metrics_text_sum(text, "belfry_connections", "state", "liv")));
    assert_true(isnan(metrics_text_max(text, "nothing")));
    buf_free(&page);
}

static void labels_are_found_by_name(void **state)
{
    struct str text = STR_LIT("a{one=\"1\",two=\"\",three=\"x y\"} -2.5e3\n");
    struct metric_sample s;

    assert_true(metric_sample_next(&text, &s));
    assert_true(str_eq(s.name, STR_LIT("a")) && s.value == -2500);
    assert_true(str_eq(metric_sample_label(&s, STR_LIT("one")), STR_LIT("1")));
    assert_true(str_eq(metric_sample_label(&s, STR_LIT("two")), STR_LIT("")));
    assert_true(str_eq(metric_sample_label(&s, STR_LIT("three")), STR_LIT("x y")));
    assert_null(metric_sample_label(&s, STR_LIT("tw")).p);
    assert_false(metric_sample_next(&text, &s));
}

/* Each text is cut to its size in memory of its own, so that a sanitizer sees who reads on. */
static void what_is_no_sample_is_passed_over(void **state)
{
    static const char *const texts[] = {
        "",     "\n",    "#",      "# HELP a b\n", "a",      "a ",         " 1",          "a b",   "a{",    "a{}",
        "a{} ", "a}{ 1", "a{x} y", "a{x=\"} ",     "a{x=\"", "a{x=\"1\"}", "a{x=\"1\"}1", "a 1 2", "{} {}", "a{b}c} ",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t n = strlen(texts[i]);
        char *copy = mem_alloc(n == 0 ? 1 : n);
        memcpy(copy, texts[i], n);
        struct str text = {copy, n};
        struct metric_sample s;
        assert_false(metric_sample_next(&text, &s));
        free(copy);
    }
}

static void labels_that_are_none_are_not_found(void **state)
{
    static const char *const labels[] = {"", "x", "x=", "x=1", "x=\"", "=", "\"", "x=\"1\"y", ",", "x=\"1\","};
    struct metric_sample s = {0};

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        s.labels = str_of(labels[i]);
        assert_null(metric_sample_label(&s, STR_LIT("y")).p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_rendered_is_read_back),
        cmocka_unit_test(labels_are_found_by_name),
        cmocka_unit_test(what_is_no_sample_is_passed_over),
        cmocka_unit_test(labels_that_are_none_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
