/* Lingering close. */
#include "server/linger.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/str.h"

#define LINGER_SECONDS_MAX 10

struct lingering {
    h2o_linklist_t link;
    h2o_timeout_entry_t timer;
    h2o_context_t *ctx;
    int fd;                /* of its own, since h2o closes the other */
    h2o_socket_t *watched; /* h2o's; NULL once that is closed */
    h2o_socket_t *sock;    /* of fd, from then on */
    unsigned seconds;
    bool heard; /* since the timer was set */
    void (*on_close)(void *data);
    void *on_close_data;
};

void linger_init(struct linger_list *list)
{
    h2o_linklist_init_anchor(&list->lingering);
}

static void finish(struct lingering *l)
{
    h2o_timeout_unlink(&l->timer);
    h2o_linklist_unlink(&l->link);
    h2o_socket_close(l->sock);
    if (l->on_close != NULL)
        l->on_close(l->on_close_data);
    free(l);
}

/* Its connection is still h2o's: leaves things as they were. */
static void disarm(struct lingering *l)
{
    l->watched->on_close.cb = l->on_close;
    l->watched->on_close.data = l->on_close_data;
    h2o_linklist_unlink(&l->link);
    close(l->fd);
    free(l);
}

void linger_dispose(struct linger_list *list)
{
    while (!h2o_linklist_is_empty(&list->lingering)) {
        struct lingering *l = H2O_STRUCT_FROM_MEMBER(struct lingering, link, list->lingering.next);
        if (l->watched != NULL)
            disarm(l);
        else
            finish(l);
    }
}

/* A bounded number of reads a turn: the rest waits for the next one. */
static void on_readable(h2o_socket_t *sock, const char *err)
{
    static __thread char junk[16384];
    struct lingering *l = sock->data;

    for (int i = 0; i < 16 && err == NULL; i++) {
        ssize_t n = read(l->fd, junk, sizeof(junk));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            err = "over";
        l->heard = true;
    }
    if (err != NULL)
        finish(l);
}

static void on_second(h2o_timeout_entry_t *entry)
{
    struct lingering *l = H2O_STRUCT_FROM_MEMBER(struct lingering, timer, entry);

    if (!l->heard || ++l->seconds == LINGER_SECONDS_MAX) {
        finish(l);
        return;
    }
    l->heard = false;
    h2o_timeout_link(l->ctx->loop, &l->ctx->one_sec_timeout, &l->timer);
}

static void on_closed_by_h2o(void *data)
{
    struct lingering *l = data;

    l->watched = NULL;
    shutdown(l->fd, SHUT_WR);
    l->sock = h2o_evloop_socket_create(l->ctx->loop, l->fd, H2O_SOCKET_FLAG_DONT_READ);
    l->sock->data = l;
    l->timer.cb = on_second;
    h2o_timeout_link(l->ctx->loop, &l->ctx->one_sec_timeout, &l->timer);
    h2o_socket_read_start(l->sock, on_readable);
}

void linger_after(struct linger_list *list, h2o_req_t *req)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct lingering *l;
    int fd;

    if (sock->on_close.cb == on_closed_by_h2o || (fd = fcntl(h2o_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0)) < 0)
        return;
    l = mem_zalloc(sizeof(*l));
    l->ctx = req->conn->ctx;
    l->fd = fd;
    l->watched = sock;
    l->on_close = sock->on_close.cb;
    l->on_close_data = sock->on_close.data;
    h2o_linklist_insert(&list->lingering, &l->link);
    sock->on_close.cb = on_closed_by_h2o;
    sock->on_close.data = l;
}
