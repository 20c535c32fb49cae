/* Binds listening sockets. */
#include "server/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
/* h2o reads all that a socket has in one callback: this bounds it. Inherited by what is accepted. */
#define RECEIVE_BYTES 65536

union address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

static int fail(struct buf *error, const char *what, const char *address)
{
    buf_printf(error, "cannot %s %s: %s", what, address, strerror(errno));
    return -1;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value)); /* what cannot be set shows when binding */
}

/* --- TCP ------------------------------------------------------------------------------------------------------------
 */

static int bind_tcp(const union address *a, socklen_t len, bool reuse_port)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuse_port)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (a->sa.sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
    if (bind(fd, &a->sa, len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void print_tcp(char dst[128], const union address *a)
{
    char host[INET6_ADDRSTRLEN];
    if (a->sa.sa_family == AF_INET6)
        snprintf(dst, 128, "[%s]:%u", inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host)),
                 ntohs(a->in6.sin6_port));
    else
        snprintf(dst, 128, "%s:%u", inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host)), ntohs(a->in.sin_port));
}

static int resolve(const struct listen_address *where, union address *out, socklen_t *len, struct buf *error)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    snprintf(port, sizeof(port), "%u", where->port);
    int rc = getaddrinfo(where->host, port, &hints, &found);
    if (rc != 0) {
        buf_printf(error, "cannot resolve %s: %s", where->host, gai_strerror(rc));
        return -1;
    }
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static bool lacks_ipv6(const union address *a)
{
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) &&
           (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
}

/* The first worker's socket. It is bound without SO_REUSEPORT, with which a second server of the same user would join
 * silently, and port 0 could be one that another belfry has. */
static int bind_first(union address *a, socklen_t *len)
{
    int fd = bind_tcp(a, *len, false);
    if (fd == -1 && lacks_ipv6(a)) {
        in_port_t port = a->in6.sin6_port;
        a->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_ANY)};
        *len = sizeof(a->in);
        fd = bind_tcp(a, *len, false);
    }
    if (fd != -1) {
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1); /* so that the other workers' may join */
        getsockname(fd, &a->sa, len);                /* port 0 has become a real one */
    }
    return fd;
}

static int open_tcp(struct listener *l, const struct listen_address *where, struct buf *error)
{
    union address a = {0};
    socklen_t len;
    if (resolve(where, &a, &len, error) != 0)
        return -1;
    for (unsigned i = 0; i < l->n; ++i) {
        l->fds[i] = i == 0 ? bind_first(&a, &len) : bind_tcp(&a, len, true);
        print_tcp(l->address, &a);
        if (l->fds[i] == -1 || listen(l->fds[i], BACKLOG) != 0)
            return fail(error, "listen on", l->address);
    }
    return 0;
}

/* --- unix -----------------------------------------------------------------------------------------------------------
 */

/* True if a server answers on the path. */
static bool is_alive(const union address *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive = fd != -1 && (connect(fd, &a->sa, sizeof(a->un)) == 0 || errno == EAGAIN);
    if (fd != -1)
        close(fd);
    return alive;
}

static bool remove_stale(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) == 0;
}

static int bind_unix(const union address *a)
{
    mode_t mask = umask(0117); /* mode 0660 from the first moment */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = fd == -1 ? -1 : bind(fd, &a->sa, sizeof(a->un));
    int saved = errno;
    umask(mask);
    if (rc != 0 && fd != -1) {
        close(fd);
        fd = -1;
    }
    errno = saved;
    return fd;
}

static int open_unix(struct listener *l, const struct listen_address *where, struct buf *error)
{
    union address a = {.un = {.sun_family = AF_UNIX}};
    snprintf(l->address, sizeof(l->address), "unix:%s", where->path);
    if (strlen(where->path) >= sizeof(a.un.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(error, "listen on", l->address);
    }
    strcpy(a.un.sun_path, where->path);
    int fd = bind_unix(&a);
    if (fd == -1 && errno == EADDRINUSE && !is_alive(&a) && remove_stale(where->path))
        fd = bind_unix(&a);
    if (fd == -1 || listen(fd, BACKLOG) != 0) {
        fail(error, "listen on", l->address);
        if (fd != -1)
            close(fd);
        return -1;
    }
    l->unix_path = str_dup(str_of(where->path));
    l->fds[0] = fd;
    for (unsigned i = 1; i < l->n; ++i)
        if ((l->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
            return fail(error, "listen on", l->address);
    return 0;
}

/* --------------------------------------------------------------------------------------------------------------------
 */

int listener_open(struct listener *l, const struct listen_address *where, unsigned workers, struct buf *error)
{
    *l = (struct listener){.fds = mem_alloc(workers * sizeof(int)), .n = workers};
    for (unsigned i = 0; i < workers; ++i)
        l->fds[i] = -1;
    int rc = where->kind == LISTEN_UNIX ? open_unix(l, where, error) : open_tcp(l, where, error);
    if (rc != 0)
        listener_dispose(l);
    return rc;
}

void listener_dispose(struct listener *l)
{
    for (unsigned i = 0; l->fds != NULL && i < l->n; ++i)
        if (l->fds[i] != -1)
            close(l->fds[i]);
    if (l->unix_path != NULL)
        unlink(l->unix_path);
    free(l->unix_path);
    free(l->fds);
    *l = (struct listener){0};
}
