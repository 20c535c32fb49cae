/* What the files of api/ know of each other. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"

struct api {
    const struct config *config;
    struct credentials_view *credentials;
    struct limiter *limiter;
    const struct api_shared *shared;
    struct pubsub *pubsub;
    struct token_rules rules;
};
/* publish.c: the answer to what Redis has not taken, or not for certain. */
void api_respond_unpublished(h2o_req_t *req, enum publish_status status);

/* query.c */
/* A parameter of the query, decoded; STR_NONE if it is absent. False if it cannot be decoded, and the request has been
 * refused. */
bool query_param(struct api_call *call, const char *name, struct str *out) MUST_CHECK;
/* 400: `detail` is what is wrong with the parameter `name`. */
void query_refuse(struct api_call *call, const char *name, const char *detail);
/* 503: Redis did not answer a question. */
void respond_unread(h2o_req_t *req);

#endif
