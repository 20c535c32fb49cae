/* /metrics: looks up what is known of the process, and renders it with the workers' sets. */
#include "server/metrics_page.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log_writer.h"

static void note_memory(double *values)
{
    unsigned long pages, resident;
    double page = (double)sysconf(_SC_PAGESIZE);
    FILE *statm = fopen("/proc/self/statm", "re");

    values[METRIC_PROCESS_VIRTUAL] = values[METRIC_PROCESS_RSS] = NAN;
    if (statm == NULL)
        return;
    if (fscanf(statm, "%lu %lu", &pages, &resident) == 2) {
        values[METRIC_PROCESS_VIRTUAL] = (double)pages * page;
        values[METRIC_PROCESS_RSS] = (double)resident * page;
    }
    fclose(statm);
}

static void note_allocator(double *values)
{
    struct mallinfo2 info = mallinfo2();

    values[METRIC_PROCESS_ALLOCATED] = (double)(info.uordblks + info.hblkhd);
    values[METRIC_PROCESS_ALLOCATOR_FREE] = (double)info.fordblks;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void note_kernel(double *values)
{
    struct rusage usage;
    struct rlimit limit;

    values[METRIC_PROCESS_CPU] = values[METRIC_PROCESS_MAX_FDS] = NAN;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        values[METRIC_PROCESS_CPU] = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        values[METRIC_PROCESS_MAX_FDS] = (double)limit.rlim_cur;
}

static bool is_ready(const struct process_readiness *r)
{
    struct buf report = {0};
    bool ready = readiness_report(r, &report);

    buf_free(&report);
    return ready;
}

void metrics_page_write(const struct metrics_page *page, struct buf *out)
{
    double values[METRIC_PROCESS_COUNT] = {0};

    note_memory(values);
    note_allocator(values);
    note_kernel(values);
    values[METRIC_PROCESS_START_TIME] = page->started_s;
    values[METRIC_PROCESS_DESCRIPTORS] = (double)atomic_load(&page->edge->descriptors);
    values[METRIC_PROCESS_DESCRIPTORS_MAX] = (double)page->edge->descriptor_limit;
    values[METRIC_PROCESS_READY] = is_ready(page->readiness);
    values[METRIC_PROCESS_DRAINING] = atomic_load(&page->readiness->draining);
    values[METRIC_PROCESS_LOG_DROPPED] = (double)log_writer_dropped();
    metrics_render(out, page->workers, page->n, values);
}
