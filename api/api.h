/* REST of one worker: answers the calls of openapi.yaml that server/router.c dispatches. It never learns of WebSockets
 * but by counts, and waits for pubsub/ without blocking. Everything happens on the worker's thread. */
#ifndef API_API_H
#define API_API_H

#include <h2o.h>
#include "core/config.h"
#include "core/credentials.h"
#include "core/limiter.h"
#include "core/token.h"
#include "pubsub/pubsub.h"

struct api;
struct api_call;

/* What all workers of the process share. */
struct api_shared {
    const _Atomic uint64_t *connections; /* WebSockets of the process, for /ws/health */
};

/* All pointers outlive the api. The limiter is the worker's, shared with the edge: PUBLISH_RATE counts both. */
struct api *api_create(const struct config *config, struct credentials_view *credentials, struct limiter *limiter,
                       const struct api_shared *shared);
/* Before the first request. */
void api_attach(struct api *api, struct pubsub *pubsub);
/* After pubsub_destroy, which has answered what waited, and after the last request. */
void api_destroy(struct api *api);

/* Who calls, once that is known. */
struct api_caller {
    char subject[4 + TOKEN_SUB_MAX]; /* "sub:<user id>" of a token, "key:<name>" of an API key */
    size_t subject_len;
    unsigned scopes;
};

/* One request of one route; lives in the request's pool and dies with it. */
struct api_call {
    struct api *api;
    h2o_req_t *req;
    struct str path;  /* decoded, below BASE_PATH, without query: what an Idempotency-Key is scoped by */
    struct str param; /* the id in the path, decoded and valid; STR_NONE if the route has none */
    struct api_caller caller;
    char event_id[POSITION_MAX]; /* of what was published, for the log */
    size_t event_id_len;
    struct api_call **waiter; /* set to NULL when the request goes away before its answer came; NULL if nothing waits */
};

/* The call of a request, or NULL if it never became one. For the access log. */
struct api_call *api_call_find(h2o_req_t *req);
/* path and param have to live as long as the request. */
struct api_call *api_call_begin(struct api *api, h2o_req_t *req, struct str path, struct str param);

/* True if the request brings credentials with `scope` (RFC 6750; call->caller is set); else it has been answered 401 or
 * 403. */
bool api_authorize(struct api_call *call, enum scope scope) MUST_CHECK;

/* The handlers of the routes: each answers its request, now or later. */
void api_publish_task(struct api_call *call);
void api_publish_agent(struct api_call *call);
void api_publish_notification(struct api_call *call);
void api_publish_calendar(struct api_call *call);
void api_publish_event(struct api_call *call);
void api_publish_batch(struct api_call *call);
void api_erase(struct api_call *call);
void api_position(struct api_call *call);
void api_list_events(struct api_call *call);
void api_cursor(struct api_call *call);
void api_list_connections(struct api_call *call);
void api_list_user_connections(struct api_call *call);
void api_connection(struct api_call *call);
void api_disconnect(struct api_call *call);
void api_disconnect_user(struct api_call *call);
void api_health(struct api_call *call);
void api_openapi(struct api_call *call);
void api_asyncapi(struct api_call *call);

#endif
