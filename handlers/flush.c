/* Writing: one system call from a connection's cursor to the head, and fan-out in slices over all live connections. */
#include "handlers/internal.h"
#include "core/clock.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* How long one turn's slice of a fan-out may take before reads, pings and publishes get their turn. */
#define SLICE_MS 2
#define SLICE_CHECK 64

void conn_mark_dirty(struct ws_conn *c)
{
    if (c->dirty || c->state == CONN_CLOSED)
        return;
    c->dirty = true;
    c->dirty_next = c->edge->dirty;
    c->edge->dirty = c;
}

/* What the connection's state makes of an empty outbox. */
static void drained(struct ws_conn *c)
{
    if (c->reading_paused) {
        c->reading_paused = false;
        conn_start_reading(c);
    }
    if (c->state < CONN_LIVE)
        conn_wake(c);
    else if (c->state == CONN_CLOSING && c->peer_closed)
        conn_cut(c, "closed");
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct ws_conn *c = sock->data;
    c->blocked = false;
    if (err != NULL)
        conn_cut(c, "writing failed");
    else
        conn_flush(c);
}

static void wait_writable(struct ws_conn *c)
{
    struct edge *e = c->edge;
    c->blocked = true;
    if (conn_on_tape(c) && conn_cursor(c) < e->lag_floor)
        e->lag_floor = conn_cursor(c);
    h2o_socket_notify_write(c->sock, on_writable);
}

/* A broadcast is one piece, and send(2) has a shorter way through the kernel than writev(2). */
static ssize_t write_plan_to(int fd, const struct write_plan *plan)
{
    ssize_t n;
    do
        n = plan->n == 1 ? send(fd, plan->iov[0].iov_base, plan->iov[0].iov_len, MSG_NOSIGNAL)
                         : writev(fd, plan->iov, plan->n);
    while (n == -1 && errno == EINTR);
    return n;
}

static void write_plain(struct ws_conn *c, struct write_plan *plan)
{
    ssize_t n = write_plan_to(h2o_socket_get_fd(c->sock), plan);
    if (n == -1 && errno != EAGAIN) {
        conn_cut(c, "writing failed");
        return;
    }
    if (n > 0)
        conn_written(c, (size_t)n);
    if (n < (ssize_t)plan->bytes)
        wait_writable(c);
    else if (conn_has_output(c))
        conn_mark_dirty(c);
    else
        drained(c);
}

/* h2o encrypts what it is given before it returns, so nothing points into the tape afterwards. */
static void write_tls(struct ws_conn *c, struct write_plan *plan)
{
    h2o_iovec_t bufs[PLAN_MAX];
    for (int i = 0; i < plan->n; ++i)
        bufs[i] = h2o_iovec_init(plan->iov[i].iov_base, plan->iov[i].iov_len);
    c->blocked = true;
    h2o_socket_write(c->sock, bufs, (size_t)plan->n, on_writable);
    conn_written(c, plan->bytes);
}

void conn_flush(struct ws_conn *c)
{
    struct write_plan plan;
    if (c->blocked || c->sock == NULL)
        return;
    conn_plan(c, &plan);
    if (plan.bytes == 0)
        drained(c);
    else if (c->sock->ssl != NULL)
        write_tls(c, &plan);
    else
        write_plain(c, &plan);
}

static void flush_dirty(struct edge *e)
{
    struct ws_conn *c = e->dirty;
    e->dirty = NULL;
    while (c != NULL) {
        struct ws_conn *next = c->dirty_next;
        c->dirty = false;
        if (c->reading_held && c->sock != NULL && (c->welcomed || c->state == CONN_CLOSING))
            conn_release_reading(c);
        if (c->state != CONN_CLOSED)
            conn_flush(c);
        c = next;
    }
}

/* One slice of the fan-out: each live connection is visited once after the last broadcast, from where the last slice
 * ended. */
static void sweep_slice(struct edge *e)
{
    uint64_t until_ms = clock_monotonic_ms() + SLICE_MS;
    struct ws_conn *last = NULL;
    size_t visited = 0;
    if (e->conns.n == 0)
        e->sweep_left = 0; /* all have gone */
    while (e->sweep_left != 0 && e->conns.n != 0) {
        if (e->sweep_at >= e->conns.n)
            e->sweep_at = 0;
        struct ws_conn *c = e->conns.entries[e->sweep_at++];
        --e->sweep_left;
        if (c->state == CONN_LIVE && !c->blocked && c->cursor != e->tape.head)
            conn_flush(last = c);
        if (++visited % SLICE_CHECK == 0 && clock_monotonic_ms() >= until_ms)
            break;
    }
    measure_slice(e, visited, last);
}

void edge_flush(struct edge *e)
{
    flush_dirty(e);
    sweep_slice(e);
    measure_tell(e);
}
