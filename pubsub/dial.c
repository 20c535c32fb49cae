/* Opens a stream to a host and port, or to a unix socket.
 *
 *      RESOLVING --> CONNECTING (address by address) --> called back
 *          \              \
 *           `--------------`--> FAILED: called back by the next tick */
#include "pubsub/dial.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/str.h"
#include "pubsub/lookup.h"

enum dial_state { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_FAILED };

struct dial {
    h2o_loop_t *loop;
    dial_cb cb;
    void *data;
    enum dial_state state;
    uint64_t until_ms;
    struct lookup *lookup;        /* holds the addresses, too */
    const struct addrinfo *next;  /* the address to be tried next */
    const struct addrinfo *first; /* to which the walk through the ring of addresses comes back; NULL: nothing left */
    struct addrinfo *list;
    h2o_socket_t *sock;
    char reason[200];
    char target[]; /* for complaints: host:port, or a path */
};

void dial_drop(struct dial *d)
{
    if (d->lookup != NULL)
        lookup_drop(d->lookup);
    if (d->sock != NULL)
        h2o_socket_close(d->sock);
    free(d);
}

static void end(struct dial *d, h2o_socket_t *sock)
{
    d->sock = NULL;
    d->cb(d->data, sock, sock != NULL ? NULL : d->reason);
    dial_drop(d);
}

static void complain(struct dial *d, const char *why)
{
    snprintf(d->reason, sizeof(d->reason), "cannot connect to %.120s: %s", d->target, why);
}

static void fail_later(struct dial *d, const char *why)
{
    complain(d, why);
    d->state = DIAL_FAILED;
}

/* --- connecting -----------------------------------------------------------------------------------------------------
 */

static void try_next(struct dial *d);

/* h2o_socket_connect would keep the error to itself; a socket of our own can be asked. */
static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct dial *d = sock->data;
    int error = 0;
    socklen_t n = sizeof(error);
    if (getsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    if (error == 0 && err == NULL) {
        end(d, sock);
        return;
    }
    complain(d, error != 0 ? strerror(error) : err);
    h2o_socket_close(sock);
    d->sock = NULL;
    try_next(d);
    if (d->state == DIAL_FAILED)
        end(d, NULL);
}

static bool begin_connect(struct dial *d, const struct sockaddr *sa, socklen_t len)
{
    int on = 1, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1 || (connect(fd, sa, len) != 0 && errno != EINPROGRESS)) {
        complain(d, strerror(errno));
        if (fd != -1)
            close(fd);
        return false;
    }
    if (sa->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    d->sock = h2o_evloop_socket_create(d->loop, fd, 0);
    d->sock->data = d;
    h2o_socket_notify_write(d->sock, on_writable);
    return true;
}

/* FAILED, with the last address' reason, once none is left. */
static void try_next(struct dial *d)
{
    d->state = DIAL_CONNECTING;
    while (d->next != NULL) {
        const struct addrinfo *a = d->next;
        d->next = a->ai_next != NULL ? a->ai_next : d->list;
        if (d->next == d->first)
            d->next = NULL;
        if (begin_connect(d, a->ai_addr, a->ai_addrlen))
            return;
    }
    d->state = DIAL_FAILED;
}

/* Begins anywhere: where one address swallows everything, the time is over before the next one, but another attempt
 * begins elsewhere. */
static void walk(struct dial *d, struct addrinfo *list)
{
    unsigned n = 0;
    uint8_t random = 0;
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next)
        ++n;
    (void)RAND_bytes(&random, 1);
    d->list = list;
    d->next = list;
    for (unsigned skip = random % n; skip != 0; --skip)
        d->next = d->next->ai_next;
    d->first = d->next;
    try_next(d);
}

/* --- names ----------------------------------------------------------------------------------------------------------
 */

static void tick_resolving(struct dial *d)
{
    struct addrinfo *found;
    const char *why;
    switch (lookup_poll(d->lookup, &found, &why)) {
    case LOOKUP_PENDING:
        break;
    case LOOKUP_FAILED:
        snprintf(d->reason, sizeof(d->reason), "the host name of %.100s cannot be resolved: %s", d->target, why);
        d->state = DIAL_FAILED;
        break;
    case LOOKUP_FOUND:
        walk(d, found);
        break;
    }
}

void dial_tick(struct dial *d, uint64_t now_ms)
{
    if (d->state == DIAL_RESOLVING)
        tick_resolving(d);
    if (d->state == DIAL_FAILED) {
        end(d, NULL);
    } else if (now_ms > d->until_ms) {
        complain(d, d->state == DIAL_RESOLVING ? "its name was not resolved within REDIS_TIMEOUT"
                                               : "no answer within REDIS_TIMEOUT");
        end(d, NULL);
    }
}

/* --- beginning ------------------------------------------------------------------------------------------------------
 */

static struct dial *create(h2o_loop_t *loop, const char *target, uint64_t until_ms, dial_cb cb, void *data)
{
    struct dial *d = mem_zalloc(sizeof(*d) + strlen(target) + 1);
    d->loop = loop;
    d->cb = cb;
    d->data = data;
    d->until_ms = until_ms;
    strcpy(d->target, target);
    return d;
}

static bool begin_with_number(struct dial *d, const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return false;
    if (begin_connect(d, found->ai_addr, found->ai_addrlen))
        d->state = DIAL_CONNECTING;
    else
        d->state = DIAL_FAILED;
    freeaddrinfo(found);
    return true;
}

struct dial *dial_host(h2o_loop_t *loop, const char *host, uint16_t port, uint64_t timeout_ms, uint64_t now_ms,
                       dial_cb cb, void *data)
{
    struct buf target = {0};
    buf_printf(&target, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    buf_append_char(&target, '\0');
    struct dial *d = create(loop, target.p, now_ms + timeout_ms, cb, data);
    buf_free(&target);
    if (begin_with_number(d, host, port))
        return d;
    d->lookup = lookup_start(host, port);
    if (d->lookup == NULL)
        fail_later(d, "too many look-ups of host names are under way");
    return d;
}

struct dial *dial_path(h2o_loop_t *loop, const char *path, uint64_t timeout_ms, uint64_t now_ms, dial_cb cb, void *data)
{
    struct dial *d = create(loop, path, now_ms + timeout_ms, cb, data);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sun.sun_path)) {
        fail_later(d, "the socket's path is too long");
        return d;
    }
    strcpy(sun.sun_path, path);
    d->state = begin_connect(d, (struct sockaddr *)&sun, sizeof(sun)) ? DIAL_CONNECTING : DIAL_FAILED;
    return d;
}
