/* The table of routes: which path and method is served where, by whom, and with which scope. */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

#include "core/str.h"
#include "core/token.h"

/* The listeners. */
enum surface {
    SURFACE_PUBLIC = 1 << 0,  /* LISTEN */
    SURFACE_API = 1 << 1,     /* API_LISTEN */
    SURFACE_METRICS = 1 << 2, /* METRICS_LISTEN */
};

struct api_call;
struct routed;

struct route {
    const char *method; /* NULL: the handler judges it itself. HEAD goes where GET goes */
    const char *pattern;
    unsigned surfaces;
    enum scope scope;                /* 0: public */
    void (*call)(struct api_call *); /* a call of api/, after authorization */
    void (*serve)(struct routed *);  /* or something else, of server/router.c */
};

struct route_result {
    const struct route *route; /* NULL: nothing of that path, or not with that method */
    struct str param;
    struct buf
        allow; /* where `route` is NULL, for the caller to free: the methods of that path (405), or nothing (404) */
};

/* The route among those of `surfaces` for a path of n decoded segments. */
struct route_result route_find(unsigned surfaces, bool demo, struct str method, const struct str *segments, size_t n);

/* The handlers that server/router.c brings. */
void serve_ws(struct routed *r);
void serve_demo(struct routed *r);
void serve_livez(struct routed *r);
void serve_readyz(struct routed *r);
void serve_metrics(struct routed *r);

#endif
