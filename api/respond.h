/* Answers over HTTP: JSON, problems and embedded documents, with the header fields that every answer of REST carries
 * (Content-Type, Cache-Control: no-store, X-Content-Type-Options: nosniff). A HEAD request gets the header only. */
#ifndef API_RESPOND_H
#define API_RESPOND_H

#include <h2o.h>
#include "core/problem.h"

static inline struct str str_of_iovec(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

/* Each is the one answer to its request. The body is copied. */
void respond(h2o_req_t *req, int status, const char *content_type, struct str body);
void respond_json(h2o_req_t *req, int status, const struct buf *body);
void respond_problem(h2o_req_t *req, const struct problem *p);
/* For a body that lives as long as the process. */
void respond_embedded(h2o_req_t *req, const char *content_type, struct str body);

/* Adds a field to the answer that is still to come; `name` in lower case and static, the value is copied. */
void respond_field(h2o_req_t *req, const char *name, struct str value);
/* Retry-After in seconds, rounded up, at least 1. */
void respond_retry_after(h2o_req_t *req, uint64_t ms);

/* The value of a request's field. 0 absent, 1 found, 2 if there is more than one such field (the first is in *value).
 */
int request_field(const h2o_req_t *req, const char *name, struct str *value);

#endif
