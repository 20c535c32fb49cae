/* Makes problems of the errors that h2o answers by itself. */
#include "server/problem_filter.h"
#include <stdlib.h>
#include "api/respond.h"
#include "server/linger.h"

struct replacement {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

/* h2o's errors come in one piece; its text is dropped. */
static void send_replacement(h2o_ostream_t *super, h2o_req_t *req, h2o_iovec_t *bufs, size_t n, h2o_send_state_t state)
{
    struct replacement *self = (struct replacement *)super;

    (void)bufs;
    h2o_ostream_send_next(super, req, &self->body, n == 0 ? 0 : 1, state);
}

static struct problem problem_of(int status)
{
    switch (status) {
    case 413:
        return (struct problem){
            .status = 413, .slug = "body-too-large", .detail = STR_LIT("the body is larger than MAX_BODY_BYTES")};
    case 417:
        return (struct problem){.status = 417,
                                .detail = STR_LIT("the only expectation that can be met is 100-continue")};
    case 400:
        return (struct problem){.status = 400,
                                .slug = "bad-request-body",
                                .detail = STR_LIT("Content-Length, Transfer-Encoding or a chunk cannot be read")};
    default:
        return (struct problem){.status = status};
    }
}

static bool is_plain_error(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header(&req->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);

    return req->res.status >= 400 && at >= 0 &&
           str_starts_with(str_of_iovec(req->res.headers.entries[at].value), STR_LIT("text/plain"));
}

static void replace_body(h2o_req_t *req, struct replacement *replacement)
{
    struct problem problem = problem_of(req->res.status);
    struct buf body = {0};

    problem_json(&body, &problem);
    replacement->super.do_send = send_replacement;
    replacement->body = h2o_strdup(&req->pool, body.p, body.n);
    buf_free(&body);
    req->res.reason = problem_reason(req->res.status);
    req->res.content_length = replacement->body.len;
    h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, H2O_STRLIT(PROBLEM_CONTENT_TYPE), 1);
    respond_field(req, "cache-control", STR_LIT("no-store"));
    respond_field(req, "x-content-type-options", STR_LIT("nosniff"));
}

static void on_setup_ostream(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    if (is_plain_error(req)) {
        struct replacement *replacement = (void *)h2o_add_ostream(req, sizeof(*replacement), slot);
        replace_body(req, replacement);
        slot = &replacement->super.next;
    }
    if (!req->http1_is_persistent)
        linger_after(h2o_context_get_filter_context(req->conn->ctx, self), req);
    h2o_setup_next_ostream(req, slot);
}

static void on_context_init(h2o_filter_t *self, h2o_context_t *ctx)
{
    struct linger_list *list = mem_alloc(sizeof(*list));

    linger_init(list);
    h2o_context_set_filter_context(ctx, self, list);
}

static void on_context_dispose(h2o_filter_t *self, h2o_context_t *ctx)
{
    struct linger_list *list = h2o_context_get_filter_context(ctx, self);

    linger_dispose(list);
    free(list);
}

void problem_filter_register(h2o_pathconf_t *path)
{
    h2o_filter_t *self = h2o_create_filter(path, sizeof(*self));

    self->on_context_init = on_context_init;
    self->on_context_dispose = on_context_dispose;
    self->on_setup_ostream = on_setup_ostream;
}
