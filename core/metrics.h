/* Counters, gauges and histograms. Each worker has its own set, which only it writes and anybody may read: adding costs
 * a load and a store. The sum of all sets is what Prometheus gets. */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>

#include "core/metrics_table.h"
#include "core/str.h"

enum metric {
#define METRIC_CELL(id, value, text) METRIC_##id##_##value,
#define METRIC_FAMILY(id, kind, name, label, values, help) VALUES_##values(METRIC_CELL, id)
    METRIC_FAMILIES(METRIC_FAMILY)
#undef METRIC_FAMILY
#undef METRIC_CELL
        METRIC_COUNT
};

enum metric_histogram {
#define METRIC_HISTOGRAM(id, name, help) METRIC_##id##_SECONDS,
    METRIC_HISTOGRAMS(METRIC_HISTOGRAM)
#undef METRIC_HISTOGRAM
        METRIC_HISTOGRAM_COUNT
};

enum metric_process {
#define METRIC_VALUE(id, kind, name, help) METRIC_PROCESS_##id,
    METRIC_PROCESS(METRIC_VALUE)
#undef METRIC_VALUE
        METRIC_PROCESS_COUNT
};

/* How a family's cells are told: counters and gauges as the sum over the workers; the others for each worker, those of
 * METRIC_WORKER_SECONDS hold milliseconds. */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_WORKER_GAUGE, METRIC_WORKER_SECONDS };

/* Upper bounds: 1 ms to 10 s, and +Inf. */
#define METRIC_BUCKETS 14

struct metrics {
    _Atomic uint64_t cells[METRIC_COUNT];
    struct {
        _Atomic uint64_t buckets[METRIC_BUCKETS]; /* each counts what is at most its bound and above the one before */
        _Atomic uint64_t sum_us;
    } histograms[METRIC_HISTOGRAM_COUNT];
};

/* The set of the thread that asks; that of a thread which has none is shared by all such, and read by nobody. */
extern _Thread_local struct metrics *metrics_mine;

static inline void metric_add_to(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void metric_add(enum metric m, uint64_t n)
{
    metric_add_to(&metrics_mine->cells[m], n);
}

static inline void metric_sub(enum metric m, uint64_t n)
{
    metric_add_to(&metrics_mine->cells[m], -n);
}

static inline void metric_set(enum metric m, uint64_t value)
{
    atomic_store_explicit(&metrics_mine->cells[m], value, memory_order_relaxed);
}

void metric_observe_us(enum metric_histogram h, uint64_t us);

/* The cell of a close code, and of Redis' maxmemory-policy. */
enum metric metric_of_close_code(unsigned code);
enum metric metric_of_policy(struct str policy);

/* Appends Prometheus' text format (0.0.4) of the n workers' sets and of what is known of the process; a value of the
 * process that is NAN is left out. */
void metrics_render(struct buf *out, const struct metrics *workers, size_t n,
                    const double process[METRIC_PROCESS_COUNT]);

/* The table for docs/metrics.md: | name | type | labels | meaning |. */
void metrics_markdown(struct buf *out);

#endif
