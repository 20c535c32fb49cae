/* Metrics: the table as data, what a histogram's bucket is, and the text that Prometheus reads. */
#include "core/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static struct metrics nobodys;
_Thread_local struct metrics *metrics_mine = &nobodys;

struct value {
    enum metric cell;
    const char *text;
};

static const struct value values[] = {
#define CELL(id, value, text) {METRIC_##id##_##value, text},
#define FAMILY(id, kind, name, label, values, help) VALUES_##values(CELL, id)
    METRIC_FAMILIES(FAMILY)
#undef FAMILY
#undef CELL
};
_Static_assert(sizeof(values) / sizeof(values[0]) == METRIC_COUNT, "a value for each cell");

struct family {
    const char *name, *label, *help;
    enum metric_kind kind;
    size_t n; /* cells */
};

static const struct family families[] = {
#define CELL(id, value, text) +1
#define FAMILY(id, kind, name, label, values, help) {name, label, help, kind, 0 VALUES_##values(CELL, id)},
    METRIC_FAMILIES(FAMILY)
#undef FAMILY
#undef CELL
};

static const struct {
    const char *name, *help;
} histograms[] = {
#define HISTOGRAM(id, name, help) {name, help},
    METRIC_HISTOGRAMS(HISTOGRAM)
#undef HISTOGRAM
};

static const struct family process_families[] = {
#define PROCESS(id, kind, name, help) {name, NULL, help, kind, 1},
    METRIC_PROCESS(PROCESS)
#undef PROCESS
};

#define BUILD_INFO "belfry_build_info"
#define BUILD_INFO_HELP "Always 1; its label is the version"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- histograms -----------------------------------------------------------------------------------------------------
 */

static const struct {
    uint64_t us;
    const char *text;
} bounds[METRIC_BUCKETS] = {
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},      {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},      {1000000, "1"},
    {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"}, {UINT64_MAX, "+Inf"},
};

void metric_observe_us(enum metric_histogram h, uint64_t us)
{
    size_t i = 0;

    while (us > bounds[i].us)
        i++;
    metric_add_to(&metrics_mine->histograms[h].buckets[i], 1);
    metric_add_to(&metrics_mine->histograms[h].sum_us, us);
}

/* --- cells by text --------------------------------------------------------------------------------------------------
 */

enum metric metric_of_close_code(unsigned code)
{
    for (size_t i = METRIC_CLOSES_1000; i < METRIC_CLOSES_OTHER; i++)
        if (strtoul(values[i].text, NULL, 10) == code)
            return values[i].cell;
    return METRIC_CLOSES_OTHER;
}

enum metric metric_of_policy(struct str policy)
{
    for (size_t i = METRIC_REDIS_POLICY_NOEVICTION; i < METRIC_REDIS_POLICY_OTHER; i++)
        if (str_eq(policy, str_of(values[i].text)))
            return values[i].cell;
    return METRIC_REDIS_POLICY_OTHER;
}

/* --- text -----------------------------------------------------------------------------------------------------------
 */

static const char *type_name(enum metric_kind kind)
{
    return kind == METRIC_COUNTER ? "counter" : "gauge";
}

static bool is_told_by_worker(const struct family *f)
{
    return f->kind == METRIC_WORKER_GAUGE || f->kind == METRIC_WORKER_SECONDS;
}

static void render_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t cell_of(const struct metrics *worker, size_t cell)
{
    return atomic_load_explicit(&worker->cells[cell], memory_order_relaxed);
}

static void render_sum(struct buf *out, const struct family *f, size_t cell, const struct metrics *workers, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += cell_of(&workers[i], cell);
    if (f->label == NULL)
        buf_printf(out, "%s %" PRIu64 "\n", f->name, total);
    else
        buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", f->name, f->label, values[cell].text, total);
}

static void render_by_worker(struct buf *out, const struct family *f, size_t cell, const struct metrics *workers,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = cell_of(&workers[i], cell);
        buf_printf(out, "%s{worker=\"%zu\"", f->name, i);
        if (f->label != NULL)
            buf_printf(out, ",%s=\"%s\"", f->label, values[cell].text);
        if (f->kind == METRIC_WORKER_SECONDS)
            buf_printf(out, "} %" PRIu64 ".%03u\n", value / 1000, (unsigned)(value % 1000));
        else
            buf_printf(out, "} %" PRIu64 "\n", value);
    }
}

static void render_family(struct buf *out, const struct family *f, size_t first, const struct metrics *workers,
                          size_t n)
{
    render_head(out, f->name, type_name(f->kind), f->help);
    for (size_t cell = first; cell < first + f->n; cell++) {
        if (is_told_by_worker(f))
            render_by_worker(out, f, cell, workers, n);
        else
            render_sum(out, f, cell, workers, n);
    }
}

static void render_histogram(struct buf *out, size_t h, const struct metrics *workers, size_t n)
{
    uint64_t count = 0, sum_us = 0;

    render_head(out, histograms[h].name, "histogram", histograms[h].help);
    for (size_t b = 0; b < METRIC_BUCKETS; b++) {
        for (size_t i = 0; i < n; i++)
            count += atomic_load_explicit(&workers[i].histograms[h].buckets[b], memory_order_relaxed);
        buf_printf(out, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", histograms[h].name, bounds[b].text, count);
    }
    for (size_t i = 0; i < n; i++)
        sum_us += atomic_load_explicit(&workers[i].histograms[h].sum_us, memory_order_relaxed);
    buf_printf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", histograms[h].name, (double)sum_us / 1e6, histograms[h].name,
               count);
}

static void render_process(struct buf *out, const struct family *f, double value)
{
    if (isnan(value))
        return;
    render_head(out, f->name, type_name(f->kind), f->help);
    buf_printf(out, value == floor(value) ? "%s %.0f\n" : "%s %.3f\n", f->name, value);
}

void metrics_render(struct buf *out, const struct metrics *workers, size_t n,
                    const double process[METRIC_PROCESS_COUNT])
{
    size_t cell = 0;

    render_head(out, BUILD_INFO, "gauge", BUILD_INFO_HELP);
    buf_lit(out, BUILD_INFO "{version=\"" BELFRY_VERSION "\"} 1\n");
    for (size_t i = 0; i < COUNT(process_families); i++)
        render_process(out, &process_families[i], process[i]);
    for (size_t i = 0; i < COUNT(families); cell += families[i++].n)
        render_family(out, &families[i], cell, workers, n);
    for (size_t h = 0; h < COUNT(histograms); h++)
        render_histogram(out, h, workers, n);
}

/* --- the document ---------------------------------------------------------------------------------------------------
 */

static void markdown_labels(struct buf *out, const struct family *f, size_t first)
{
    if (is_told_by_worker(f))
        buf_lit(out, "`worker`");
    if (f->label == NULL)
        return;
    buf_printf(out, "%s`%s`: ", is_told_by_worker(f) ? "; " : "", f->label);
    for (size_t i = 0; i < f->n; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : ", ", values[first + i].text);
}

static void markdown_family(struct buf *out, const struct family *f, size_t first)
{
    buf_printf(out, "| `%s` | %s | ", f->name, type_name(f->kind));
    markdown_labels(out, f, first);
    buf_printf(out, " | %s |\n", f->help);
}

void metrics_markdown(struct buf *out)
{
    size_t cell = 0;

    buf_lit(out, "| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(families); cell += families[i++].n)
        markdown_family(out, &families[i], cell);
    for (size_t h = 0; h < COUNT(histograms); h++)
        buf_printf(out, "| `%s` | histogram |  | %s |\n", histograms[h].name, histograms[h].help);
    for (size_t i = 0; i < COUNT(process_families); i++)
        markdown_family(out, &process_families[i], 0);
    buf_lit(out, "| `" BUILD_INFO "` | gauge | `version` | " BUILD_INFO_HELP " |\n");
}
