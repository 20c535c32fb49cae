/* The one h2o handler: raw head, raw path, dispatch. */
#include "server/router.h"
#include "api/respond.h"
#include "core/http_request.h"
#include "core/publication.h"
#include "handlers/demo.h"
#include "server/access_log.h"
#include "server/problem_filter.h"
#include "server/raw_head.h"

struct router_handler {
    h2o_handler_t super;
    const struct config *config;
    unsigned surfaces;
};

/* A request that has found its route. */
struct routed {
    h2o_req_t *req;
    const struct config *config;
    struct worker_parts *parts;
};

static struct str path_of(const h2o_req_t *req)
{
    struct str rest = str_of_iovec(req->input.path);

    return str_split(&rest, '?');
}

void serve_ws(struct routed *r)
{
    struct edge_refusal refusal;

    if (edge_upgrade(r->parts->edge, r->req, &refusal) == 0)
        return;
    if (refusal.status == 426) {
        respond_field(r->req, "sec-websocket-version", STR_LIT("13"));
        respond_field(r->req, "upgrade", STR_LIT("websocket"));
        respond_field(r->req, "connection", STR_LIT("upgrade")); /* RFC 9110 7.8 */
    }
    if (refusal.status == 405)
        respond_field(r->req, "allow", STR_LIT("GET"));
    respond_problem(r->req, &(struct problem){
                                .status = refusal.status,
                                .slug = refusal.type,
                                .title = refusal.title,
                                .detail = str_of(refusal.detail),
                            });
}

void serve_demo(struct routed *r)
{
    if (demo_handle(r->req, r->config) != 0)
        respond_problem(r->req, &(struct problem){.status = 404});
}

void serve_livez(struct routed *r)
{
    struct buf body = {0};
    bool alive = liveness_report(r->parts->readiness, r->parts->index, &body);

    respond_json(r->req, alive ? 200 : 503, &body);
    buf_free(&body);
}

void serve_readyz(struct routed *r)
{
    struct buf body = {0};
    bool ready = readiness_report(r->parts->readiness, &body);

    respond_json(r->req, ready ? 200 : 503, &body);
    buf_free(&body);
}

void serve_metrics(struct routed *r)
{
    struct buf body = {0};

    metrics_page_write(r->parts->metrics, &body);
    respond(r->req, 200, METRICS_CONTENT_TYPE, buf_str(&body));
    buf_free(&body);
}

static void refuse_method(h2o_req_t *req, const struct buf *allow)
{
    respond_field(req, "allow", buf_str(allow));
    respond_problem(req, &(struct problem){.status = 405});
}

/* Ids come from callers: they meet their limit here, before any handler. */
static bool param_valid(h2o_req_t *req, struct str param)
{
    if (param.p == NULL || id_valid(param, USER_ID_MAX))
        return true;
    respond_problem(req,
                    &(struct problem){
                        .status = 400,
                        .slug = "bad-path",
                        .detail = STR_LIT("an id in the path has 1 to 256 bytes of UTF-8 without control characters"),
                    });
    return false;
}

/* The decoded path as one text, in the request's pool; it is never longer than the raw one. */
static struct str join_segments(h2o_req_t *req, const struct str *segments, size_t n)
{
    char *text = h2o_mem_alloc_pool(&req->pool, req->input.path.len + PATH_SEGMENTS_MAX + 1);
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        text[at++] = '/';
        memcpy(text + at, segments[i].p, segments[i].n);
        at += segments[i].n;
    }
    return (struct str){text, at};
}

static void dispatch(const struct router_handler *self, h2o_req_t *req, const struct str *segments, size_t n)
{
    struct worker_parts *parts = h2o_context_get_handler_context(req->conn->ctx, (h2o_handler_t *)&self->super);
    struct str method = str_of_iovec(req->input.method);
    struct route_result found = route_find(self->surfaces, self->config->demo, method, segments, n);

    if (found.route == NULL && found.allow.n == 0) {
        respond_problem(req, &(struct problem){.status = 404});
    } else if (found.route == NULL) {
        refuse_method(req, &found.allow);
    } else if (found.route->serve != NULL) {
        found.route->serve(&(struct routed){req, self->config, parts});
    } else if (param_valid(req, found.param)) {
        struct api_call *call = api_call_begin(parts->api, req, join_segments(req, segments, n), found.param);
        if (found.route->scope == 0 || api_authorize(call, found.route->scope))
            found.route->call(call);
    }
    buf_free(&found.allow);
}

/* What h2o has accepted too generously; true if the request has been refused. */
static bool refuse_head(h2o_req_t *req)
{
    h2o_buffer_t *input = req->conn->callbacks->get_socket(req->conn)->input;
    struct str head = raw_head((struct str){input->bytes, input->size});
    const char *problem = head.n == 0 ? "the head cannot be read" : http_head_problem(head);

    if (problem == NULL) {
        /* h2o's decoder of chunks is generous, so nothing may follow on the connection that could hide in it. */
        if (raw_head_is_chunked(head))
            req->http1_is_persistent = 0;
        return false;
    }
    req->http1_is_persistent = 0;
    respond_problem(req, &(struct problem){.status = 400, .slug = "bad-request-head", .detail = str_of(problem)});
    return true;
}

static int on_request(h2o_handler_t *super, h2o_req_t *req)
{
    struct router_handler *self = (struct router_handler *)super;
    struct str segments[PATH_SEGMENTS_MAX], path;
    const char *base = self->surfaces == SURFACE_METRICS ? "" : self->config->base_path;
    int n;

    if (refuse_head(req))
        return 0;
    path = raw_target_path(path_of(req));
    n = path_split(path, str_of(base), h2o_mem_alloc_pool(&req->pool, path.n + 1), segments);
    if (n == -2) {
        respond_problem(req,
                        &(struct problem){
                            .status = 400,
                            .slug = "bad-path",
                            .detail = STR_LIT("the path has a bad escape, a control character, or a segment . or .."),
                        });
    } else if (n < 0) {
        respond_problem(req, &(struct problem){.status = 404});
    } else {
        dispatch(self, req, segments, (size_t)n);
    }
    return 0;
}

/* Everything hangs on the host's fallback path: h2o chooses among others by the normalized path, which belfry never
 * trusts, and it is where h2o's own errors end up as well. */
void router_register(h2o_hostconf_t *host, enum surface surface, const struct config *config)
{
    h2o_pathconf_t *everything = &host->fallback_path;
    struct router_handler *self = (void *)h2o_create_handler(everything, sizeof(*self));

    self->super.on_req = on_request;
    self->config = config;
    self->surfaces = surface;
    if (surface == SURFACE_PUBLIC && config->api_listen.kind == LISTEN_UNSET)
        self->surfaces |= SURFACE_API;
    everything->error_log.emit_request_errors = 0;
    problem_filter_register(everything);
    access_log_register(everything, surface == SURFACE_METRICS ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}

void router_bind(h2o_context_t *ctx, struct worker_parts *parts)
{
    for (h2o_hostconf_t **host = ctx->globalconf->hosts; *host != NULL; host++) {
        h2o_pathconf_t *everything = &(*host)->fallback_path;
        for (size_t i = 0; i < everything->handlers.size; i++) {
            if (everything->handlers.entries[i]->on_req == on_request)
                h2o_context_set_handler_context(ctx, everything->handlers.entries[i], parts);
        }
    }
}
