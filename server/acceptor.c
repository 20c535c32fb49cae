/* Accepting: from a worker's listeners to h2o. */
#include "server/acceptor.h"
#include "core/clock.h"
#include "core/metrics.h"
#include <errno.h>
#include <stdlib.h>

#define ACCEPTS_PER_TURN 64
/* Without a free descriptor, how long the listeners rest. */
#define REST_MS 100
/* Longer than a handshake may take (h2o's handshake_timeout, 10 s). */
#define RETIRED_MS 30000

static void on_socket_closed(void *data)
{
    struct process *p = data;
    atomic_fetch_sub_explicit(&p->edge.descriptors, 1, memory_order_relaxed);
}

/* False when there is nothing more to accept. */
static bool accept_one(struct acceptor *a)
{
    struct process *p = a->all->process;
    h2o_socket_t *sock = h2o_evloop_socket_accept(a->sock);
    if (sock == NULL) {
        if (errno == EMFILE || errno == ENFILE)
            a->all->rest_until_ms = clock_monotonic_ms() + REST_MS;
        return false;
    }
    atomic_fetch_add_explicit(&p->edge.descriptors, 1, memory_order_relaxed);
    metric_add(METRIC_ACCEPTED_TOTAL, 1);
    sock->on_close.cb = on_socket_closed;
    sock->on_close.data = p;
    h2o_accept(&a->ctx, sock);
    return true;
}

static void rest(struct acceptors *all)
{
    for (int i = 0; i < SURFACES; ++i)
        if (all->each[i].sock != NULL)
            h2o_socket_read_stop(all->each[i].sock);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct acceptor *a = listener->data;
    if (err != NULL)
        return;
    for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(a); ++i)
        ;
    if (a->all->rest_until_ms != 0)
        rest(a->all);
}

/* --- TLS contexts that were replaced --------------------------------------------------------------------------------
 */

static void retire(struct acceptors *all, SSL_CTX *tls, uint64_t now_ms)
{
    struct retired_tls *r = mem_alloc(sizeof(*r));
    *r = (struct retired_tls){all->retired, tls, now_ms + RETIRED_MS};
    all->retired = r;
}

static void free_retired(struct acceptors *all, uint64_t now_ms)
{
    struct retired_tls **at = &all->retired;
    while (*at != NULL) {
        struct retired_tls *r = *at;
        if (now_ms < r->until_ms) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        SSL_CTX_free(r->tls);
        free(r);
    }
}

/* --------------------------------------------------------------------------------------------------------------------
 */

void acceptors_tick(struct acceptors *all, uint64_t now_ms)
{
    free_retired(all, now_ms);
    if (all->rest_until_ms == 0 || now_ms < all->rest_until_ms)
        return;
    all->rest_until_ms = 0;
    for (int i = 0; i < SURFACES; ++i)
        if (all->each[i].sock != NULL)
            h2o_socket_read_start(all->each[i].sock, on_accept);
}

static bool has_tls(const struct process *p, int surface)
{
    return p->tls != NULL && surface < 2 && p->listeners[surface]->unix_path == NULL;
}

static void open_surface(struct acceptors *all, int surface, h2o_context_t *ctx, unsigned worker)
{
    struct process *p = all->process;
    struct acceptor *a = &all->each[surface];
    a->all = all;
    a->hosts[0] = p->hosts[surface];
    a->ctx = (h2o_accept_ctx_t){.ctx = ctx, .hosts = a->hosts};
    a->ctx.expect_proxy_line = surface == 0 && p->config->proxy_protocol;
    if (has_tls(p, surface)) {
        SSL_CTX_up_ref(p->tls);
        a->ctx.ssl_ctx = p->tls;
    }
    a->sock = h2o_evloop_socket_create(ctx->loop, p->listeners[surface]->fds[worker], H2O_SOCKET_FLAG_DONT_READ);
    p->listeners[surface]->fds[worker] = -1;
    a->sock->data = a;
    h2o_socket_read_start(a->sock, on_accept);
}

void acceptors_open(struct acceptors *all, struct process *p, h2o_context_t *ctx, unsigned worker)
{
    all->process = p;
    for (int i = 0; i < SURFACES; ++i)
        if (p->listeners[i] != NULL)
            open_surface(all, i, ctx, worker);
}

void acceptors_set_tls(struct acceptors *all, SSL_CTX *tls)
{
    for (int i = 0; i < SURFACES; ++i) {
        struct acceptor *a = &all->each[i];
        if (a->ctx.ssl_ctx == NULL)
            continue;
        retire(all, a->ctx.ssl_ctx, clock_monotonic_ms());
        SSL_CTX_up_ref(tls);
        a->ctx.ssl_ctx = tls;
    }
    SSL_CTX_free(tls);
}

void acceptors_close(struct acceptors *all)
{
    for (int i = 0; i < SURFACES; ++i) {
        struct acceptor *a = &all->each[i];
        if (a->sock == NULL)
            continue;
        while (accept_one(a))
            ;
        h2o_socket_close(a->sock);
        a->sock = NULL;
    }
}

void acceptors_dispose(struct acceptors *all)
{
    free_retired(all, UINT64_MAX);
    for (int i = 0; i < SURFACES; ++i)
        SSL_CTX_free(all->each[i].ctx.ssl_ctx);
}
