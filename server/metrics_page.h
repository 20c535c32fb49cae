/* What /metrics answers: the workers' sets, and what has to be looked up of the process at that moment. */
#ifndef SERVER_METRICS_PAGE_H
#define SERVER_METRICS_PAGE_H

#include "core/metrics.h"
#include "handlers/edge.h"
#include "server/readiness.h"

struct metrics_page {
    struct metrics *workers; /* each written by its own worker only */
    size_t n;
    const struct edge_shared *edge;
    const struct process_readiness *readiness;
    double started_s; /* unix */
};

/* From any thread. Appends Prometheus' text format 0.0.4. */
void metrics_page_write(const struct metrics_page *page, struct buf *out);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
