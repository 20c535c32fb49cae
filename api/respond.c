/* Answers over HTTP. */
#include "api/respond.h"
#include <stdio.h>

static bool is_head(const h2o_req_t *req)
{
    return h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
}

void respond_field(h2o_req_t *req, const char *name, struct str value)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, value.n != 0 ? value.p : "", value.n);

    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base, copy.len);
}

void respond_retry_after(h2o_req_t *req, uint64_t ms)
{
    char text[24];
    uint64_t seconds = (ms + 999) / 1000;
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)(seconds != 0 ? seconds : 1));

    respond_field(req, "retry-after", (struct str){text, (size_t)n});
}

/* The body has to live until the request ends. */
static void send_body(h2o_req_t *req, int status, const char *content_type, struct str body)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t piece = {(char *)body.p, body.n};

    req->res.status = status;
    req->res.reason = problem_reason(status);
    req->res.content_length = body.n;
    respond_field(req, "content-type", str_of(content_type));
    respond_field(req, "cache-control", STR_LIT("no-store"));
    respond_field(req, "x-content-type-options", STR_LIT("nosniff"));
    h2o_start_response(req, &generator);
    h2o_send(req, &piece, is_head(req) ? 0 : 1, H2O_SEND_STATE_FINAL);
}

void respond(h2o_req_t *req, int status, const char *content_type, struct str body)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, body.n != 0 ? body.p : "", body.n);

    send_body(req, status, content_type, (struct str){copy.base, copy.len});
}

void respond_json(h2o_req_t *req, int status, const struct buf *body)
{
    respond(req, status, "application/json", buf_str(body));
}

void respond_problem(h2o_req_t *req, const struct problem *p)
{
    struct buf body = {0};

    problem_json(&body, p);
    respond(req, p->status, PROBLEM_CONTENT_TYPE, buf_str(&body));
    buf_free(&body);
}

void respond_embedded(h2o_req_t *req, const char *content_type, struct str body)
{
    send_body(req, 200, content_type, body);
}

int request_field(const h2o_req_t *req, const char *name, struct str *value)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);

    if (at < 0)
        return 0;
    *value = str_of_iovec(req->headers.entries[at].value);
    return h2o_find_header_by_str(&req->headers, name, strlen(name), at) < 0 ? 1 : 2;
}
