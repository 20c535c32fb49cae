/* Asks one URL of a server, blocking and with a deadline. */
#include "server/http_probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"

static int wait_for(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd p = {fd, events, 0};
    int rc;

    do {
        uint64_t now = clock_monotonic_ms();
        rc = poll(&p, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0)
        errno = ETIMEDOUT;
    return rc > 0 ? 0 : -1;
}

static int connect_to(const struct sockaddr *addr, socklen_t len, uint64_t deadline_ms)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), problem = 0;
    socklen_t size = sizeof(problem);

    if (fd < 0)
        return -1;
    if (connect(fd, addr, len) == 0)
        return fd;
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline_ms) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0) {
        if (problem == 0)
            return fd;
        errno = problem;
    }
    problem = errno;
    close(fd);
    errno = problem;
    return -1;
}

static int connect_unix(const char *path, uint64_t deadline_ms)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
    return connect_to((const struct sockaddr *)&addr, sizeof(addr), deadline_ms);
}

static int connect_host(const char *host, uint16_t port, uint64_t deadline_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char service[8];
    int fd = -1;

    snprintf(service, sizeof(service), "%u", port);
    errno = EHOSTUNREACH;
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_to(a->ai_addr, a->ai_addrlen, deadline_ms);
    int problem = errno;
    freeaddrinfo(found);
    errno = problem;
    return fd;
}

/* Where IPv6 is missing, a server on [::] listens on 0.0.0.0. */
static int connect_address(const struct listen_address *a, uint64_t deadline_ms)
{
    if (a->kind == LISTEN_UNIX)
        return connect_unix(a->path, deadline_ms);
    if (strcmp(a->host, "0.0.0.0") == 0)
        return connect_host("127.0.0.1", a->port, deadline_ms);
    if (strcmp(a->host, "::") != 0)
        return connect_host(a->host, a->port, deadline_ms);
    int fd = connect_host("::1", a->port, deadline_ms);
    return fd >= 0 ? fd : connect_host("127.0.0.1", a->port, deadline_ms);
}

static int send_all(int fd, struct str data, uint64_t deadline_ms)
{
    while (data.n > 0) {
        ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL);
        if (n < 0 && (errno != EAGAIN || wait_for(fd, POLLOUT, deadline_ms) != 0))
            return -1;
        data.p += n > 0 ? n : 0;
        data.n -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Reads until the first line is there; its beginning is all that is looked at. */
static int receive_status(int fd, uint64_t deadline_ms)
{
    char line[64] = "";
    size_t n = 0;

    while (n < sizeof(line) && memchr(line, '\n', n) == NULL) {
        if (wait_for(fd, POLLIN, deadline_ms) != 0)
            return -1;
        ssize_t got = recv(fd, line + n, sizeof(line) - n, 0);
        if (got <= 0) {
            errno = got == 0 ? ECONNRESET : errno;
            return -1;
        }
        n += (size_t)got;
    }
    errno = EPROTO;
    return http_probe_status((struct str){line, n});
}

int http_probe_status(struct str response)
{
    int status = 0;

    if (response.n < 13 || !str_starts_with(response, STR_LIT("HTTP/1.")) || response.p[8] != ' ')
        return -1;
    for (size_t i = 9; i < 12; ++i) {
        if (response.p[i] < '0' || response.p[i] > '9')
            return -1;
        status = status * 10 + (response.p[i] - '0');
    }
    return status >= 100 && (response.p[12] == ' ' || response.p[12] == '\r' || response.p[12] == '\n') ? status : -1;
}

/* A connection that has been sent the request; -1 with errno. */
static int request(const struct listen_address *address, const char *path, uint64_t deadline_ms)
{
    struct buf text = {0};
    int fd = connect_address(address, deadline_ms);

    buf_printf(&text, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (fd >= 0 && send_all(fd, buf_str(&text), deadline_ms) != 0) {
        int problem = errno;
        close(fd);
        errno = problem;
        fd = -1;
    }
    buf_free(&text);
    return fd;
}

int http_probe(const struct listen_address *address, const char *path, unsigned timeout_ms, struct buf *error)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    int fd = request(address, path, deadline_ms), status = fd >= 0 ? receive_status(fd, deadline_ms) : -1;

    if (status < 0)
        buf_printf(error, "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* --- whole answers --------------------------------------------------------------------------------------------------
 */

static int receive_all(int fd, size_t max, uint64_t deadline_ms, struct buf *out)
{
    for (;;) {
        if (wait_for(fd, POLLIN, deadline_ms) != 0)
            return -1;
        ssize_t n = recv(fd, buf_reserve(out, 16384), 16384, 0);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        out->n += n > 0 ? (size_t)n : 0;
        if (out->n > max) {
            errno = EMSGSIZE;
            return -1;
        }
    }
}

/* Takes an answer apart that is whole: one with a length and a body of that length. -1 with errno. */
static int take_body(struct str response, struct buf *body)
{
    const char *end = memmem(response.p, response.n, "\r\n\r\n", 4);
    int status = http_probe_status(response);
    uint64_t length;

    errno = EPROTO;
    if (end == NULL || status < 0)
        return -1;
    struct str head = {response.p, (size_t)(end - response.p)};
    struct str rest = {end + 4, response.n - head.n - 4};
    while (head.n != 0) {
        struct str line = str_split(&head, '\n'), name = str_split(&line, ':');
        line = str_split(&line, '\r');
        if (!str_ieq(name, STR_LIT("content-length")))
            continue;
        if (units_parse_count(str_trim(line), &length) != 0 || length != rest.n)
            return -1; /* cut off */
        buf_append(body, rest);
        return status;
    }
    return -1;
}

int http_get(const struct listen_address *address, const char *path, unsigned timeout_ms, size_t max, struct buf *body,
             struct buf *error)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct buf response = {0};
    int fd = request(address, path, deadline_ms), status = -1;

    if (fd >= 0 && receive_all(fd, max, deadline_ms, &response) == 0)
        status = take_body(buf_str(&response), body);
    if (status < 0)
        buf_printf(error, "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    buf_free(&response);
    return status;
}

bool probe_target(struct config *config, struct buf *error)
{
    struct config_environment env = {environ, false, 1};
    struct config_report report = {{0}, {0}};
    bool known = config_load(config, &env, &report) == 0 || !config_report_names(&report, "METRICS_LISTEN");
    const struct listen_address *address = &config->metrics_listen;

    if (!known)
        buf_lit(error, "that is no address; `belfry check` tells more");
    else if (address->kind == LISTEN_OFF)
        buf_lit(error, "there is nobody to ask");
    else if (address->kind == LISTEN_TCP && address->port == 0)
        buf_lit(error, "with port 0 the port is not known here");
    config_report_free(&report);
    return error->n == 0;
}

int probe_complain(const char *what, const struct listen_address *address, struct str why)
{
    struct buf where = {0};

    listen_address_format(&where, address);
    if (where.n != 0)
        fprintf(stderr, "belfry: %s: METRICS_LISTEN (%.*s): %.*s\n", what, (int)where.n, where.p, (int)why.n, why.p);
    else
        fprintf(stderr, "belfry: %s: METRICS_LISTEN: %.*s\n", what, (int)why.n, why.p);
    buf_free(&where);
    return 1;
}
