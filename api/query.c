/* What the calls that read have in common: parameters of the query, and Redis that does not answer. */
#include "api/internal.h"
#include "api/respond.h"
#include "core/http_request.h"

void query_refuse(struct api_call *call, const char *name, const char *detail)
{
    struct buf field = {0};

    buf_append_char(&field, '/');
    buf_append(&field, str_of(name));
    respond_problem(call->req, &(struct problem){
                                   .status = 400,
                                   .slug = "bad-query",
                                   .title = "A parameter of the query is not valid",
                                   .detail = str_of(detail),
                                   .field = buf_str(&field),
                               });
    buf_free(&field);
}

bool query_param(struct api_call *call, const char *name, struct str *out)
{
    struct str query = str_of_iovec(call->req->input.path);
    char *storage = h2o_mem_alloc_pool(&call->req->pool, query.n + 1);

    *out = STR_NONE;
    str_split(&query, '?');
    if (query.p == NULL || query_get(query, name, storage, out) >= 0)
        return true;
    query_refuse(call, name, "a bad escape, a control character, or no UTF-8");
    return false;
}

void respond_unread(h2o_req_t *req)
{
    respond_retry_after(req, 2000);
    respond_problem(req, &(struct problem){
                             .status = 503,
                             .slug = "redis-away",
                             .title = "Redis is away",
                             .detail = STR_LIT("Redis cannot be reached, or did not answer in time"),
                         });
}
