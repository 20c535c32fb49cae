/* One h2o handler for everything that comes over HTTP: it looks at the raw head again, splits the raw path, and
 * dispatches by one table of routes (server/routes.c) to api/ and handlers/. Errors that h2o makes itself come out as
 * problems too, and each request leaves a line in the log. */
#ifndef SERVER_ROUTER_H
#define SERVER_ROUTER_H

#include <h2o.h>
#include "api/api.h"
#include "core/config.h"
#include "handlers/edge.h"
#include "server/metrics_page.h"
#include "server/readiness.h"
#include "server/routes.h"

/* What a request finds of the worker that it came to. */
struct worker_parts {
    struct api *api;
    struct edge *edge;
    const struct process_readiness *readiness;
    const struct metrics_page *metrics;
    unsigned index; /* of the worker */
};

/* At start, before h2o_context_init: makes `host` serve one listener. Where API_LISTEN is unset, SURFACE_PUBLIC is
 * served with all that SURFACE_API has. The config outlives the host; h2o_config_dispose frees what this made. Register
 * no path on the host. */
void router_register(h2o_hostconf_t *host, enum surface surface, const struct config *config);
/* For each worker, after h2o_context_init and before its first request. The parts outlive the context. */
void router_bind(h2o_context_t *ctx, struct worker_parts *parts);

#endif
