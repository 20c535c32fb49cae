/* REST of one worker: its object, and the requests that are calls. */
#include "api/api.h"
#include <stdlib.h>
#include "api/internal.h"

#define CALL_KEY "belfry.call"

struct api *api_create(const struct config *config, struct credentials_view *credentials, struct limiter *limiter,
                       const struct api_shared *shared)
{
    struct api *api = mem_zalloc(sizeof(*api));

    api->config = config;
    api->credentials = credentials;
    api->limiter = limiter;
    api->shared = shared;
    api->rules = token_rules_of(config);
    return api;
}

void api_attach(struct api *api, struct pubsub *pubsub)
{
    api->pubsub = pubsub;
}

void api_destroy(struct api *api)
{
    free(api);
}

/* The pool is cleared: whoever still waits for an answer has to find that nobody wants it any more. */
static void on_dispose(void *p)
{
    struct api_call *call = p;

    if (call->waiter != NULL)
        *call->waiter = NULL;
}

struct api_call *api_call_begin(struct api *api, h2o_req_t *req, struct str path, struct str param)
{
    struct api_call *call = h2o_mem_alloc_shared(&req->pool, sizeof(*call), on_dispose);

    *call = (struct api_call){.api = api, .req = req, .path = path, .param = param};
    h2o_req_getenv(req, H2O_STRLIT(CALL_KEY), 1)->base = (char *)call;
    return call;
}

struct api_call *api_call_find(h2o_req_t *req)
{
    h2o_iovec_t *slot = h2o_req_getenv(req, H2O_STRLIT(CALL_KEY), 0);

    return slot == NULL ? NULL : (struct api_call *)slot->base;
}
