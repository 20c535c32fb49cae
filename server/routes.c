/* The table of routes, and the look-up in it. */
#include "server/routes.h"
#include "api/api.h"
#include "core/route.h"

#define BOTH (SURFACE_PUBLIC | SURFACE_API)

static const struct route routes[] = {
    {NULL, "/ws", SURFACE_PUBLIC, 0, NULL, serve_ws},
    {"GET", "/", SURFACE_PUBLIC, 0, NULL, serve_demo},
    {"GET", "/ws/health", BOTH, 0, api_health, NULL},
    {"GET", "/openapi.yaml", BOTH, 0, api_openapi, NULL},
    {"GET", "/asyncapi.yaml", BOTH, 0, api_asyncapi, NULL},

    {"POST", "/tasks/{task_id}/broadcast-update", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_task, NULL},
    {"POST", "/agents/{agent_id}/broadcast-activity", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_agent, NULL},
    {"POST", "/users/{user_id}/send-notification", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_notification, NULL},
    {"POST", "/calendar/events/create", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_calendar, NULL},
    {"POST", "/events", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_event, NULL},
    {"POST", "/events/batch", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_publish_batch, NULL},

    {"GET", "/events", SURFACE_API, SCOPE_EVENTS_READ, api_list_events, NULL},
    {"GET", "/events/position", SURFACE_API, SCOPE_EVENTS_READ, api_position, NULL},
    {"GET", "/users/{user_id}/cursor", SURFACE_API, SCOPE_EVENTS_READ, api_cursor, NULL},
    {"DELETE", "/users/{user_id}/events", SURFACE_API, SCOPE_EVENTS_PUBLISH, api_erase, NULL},
    {"GET", "/connections", SURFACE_API, SCOPE_CONNECTIONS_READ, api_list_connections, NULL},
    {"GET", "/connections/{connection_id}", SURFACE_API, SCOPE_CONNECTIONS_READ, api_connection, NULL},
    {"DELETE", "/connections/{connection_id}", SURFACE_API, SCOPE_CONNECTIONS_WRITE, api_disconnect, NULL},
    {"GET", "/users/{user_id}/connections", SURFACE_API, SCOPE_CONNECTIONS_READ, api_list_user_connections, NULL},
    {"DELETE", "/users/{user_id}/connections", SURFACE_API, SCOPE_CONNECTIONS_WRITE, api_disconnect_user, NULL},

    {"GET", "/livez", SURFACE_METRICS, 0, NULL, serve_livez},
    {"GET", "/readyz", SURFACE_METRICS, 0, NULL, serve_readyz},
    {"GET", "/metrics", SURFACE_METRICS, 0, NULL, serve_metrics},
};

static bool method_fits(const struct route *route, struct str method)
{
    struct str own = str_of(route->method);

    return own.p == NULL || str_eq(own, method) || (str_eq(own, STR_LIT("GET")) && str_eq(method, STR_LIT("HEAD")));
}

static void add_allowed(struct buf *allow, const char *method)
{
    if (allow->n != 0)
        buf_lit(allow, ", ");
    buf_append(allow, str_of(method));
    if (strcmp(method, "GET") == 0)
        buf_lit(allow, ", HEAD");
}

struct route_result route_find(unsigned surfaces, bool demo, struct str method, const struct str *segments, size_t n)
{
    struct route_result result = {0};

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        if ((route->surfaces & surfaces) == 0 || (route->serve == serve_demo && !demo))
            continue;
        if (!route_match(route->pattern, segments, n, &result.param))
            continue;
        if (method_fits(route, method)) {
            result.route = route;
            buf_free(&result.allow);
            return result;
        }
        add_allowed(&result.allow, route->method);
    }
    return result;
}
