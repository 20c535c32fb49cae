/* server/http_probe.c: status lines, and answers of a server that is scripted, silent or absent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/http_probe.h"

static void a_status_line_is_read_strictly(void **state)
{
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.1 200 OK\r\n")), 200);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.0 503\r\n")), 503);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.1 20")), -1);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.1 2000 OK\r\n")), -1);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.1 2x0 OK\r\n")), -1);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/1.1 099 OK\r\n")), -1);
    assert_int_equal(http_probe_status(STR_LIT("HTTP/2 200 OK\r\nxxx")), -1);
    assert_int_equal(http_probe_status(STR_LIT("SSH-2.0-OpenSSH_9.2p1\r\n")), -1);
    assert_int_equal(http_probe_status(STR_NONE), -1);
}

struct server {
    int fd;
    const char *pieces[4]; /* sent one after the other; NULL ends */
    char request[256];
    size_t n;
};

static void *serve_one(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->fd, NULL, NULL);
    ssize_t n = fd < 0 ? -1 : recv(fd, s->request, sizeof(s->request) - 1, 0);

    s->n = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; n > 0 && s->pieces[i] != NULL; ++i)
        if (send(fd, s->pieces[i], strlen(s->pieces[i]), MSG_NOSIGNAL) < 0)
            break;
    if (fd >= 0)
        close(fd);
    return NULL;
}

static int listen_tcp(int family, uint16_t *port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = family == AF_INET6 ? sizeof(any6) : sizeof(any4);
    struct sockaddr *addr = family == AF_INET6 ? (struct sockaddr *)&any6 : (struct sockaddr *)&any4;
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, addr, len) != 0 || listen(fd, 1) != 0 || getsockname(fd, addr, &len) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = ntohs(family == AF_INET6 ? any6.sin6_port : any4.sin_port);
    return fd;
}

static int probe_served(struct server *s, const struct listen_address *address)
{
    pthread_t thread;
    struct buf error = {0};

    assert_int_equal(pthread_create(&thread, NULL, serve_one, s), 0);
    int status = http_probe(address, "/livez", 5000, &error);
    pthread_join(thread, NULL);
    buf_free(&error);
    close(s->fd);
    return status;
}

static void an_any_address_is_asked_on_loopback(void **state)
{
    static const struct {
        int family;
        const char *host;
    } cases[] = {{AF_INET, "0.0.0.0"}, {AF_INET, "::"}, {AF_INET, "127.0.0.1"}, {AF_INET6, "::"}, {AF_INET6, "::1"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        struct listen_address address = {.kind = LISTEN_TCP, .host = (char *)cases[i].host};
        struct server s = {.pieces = {"HTTP/1.1 2", "00 OK\r\nContent-Length: 0\r\n\r\n"}};
        s.fd = listen_tcp(cases[i].family, &address.port);
        if (s.fd < 0 && cases[i].family == AF_INET6)
            continue; /* a machine without IPv6 */
        assert_int_equal(probe_served(&s, &address), 200);
        assert_non_null(strstr(s.request, "GET /livez HTTP/1.1\r\nHost: "));
    }
}

static void a_unix_socket_is_asked_too(void **state)
{
    char folder[] = "/tmp/belfry-test-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct server s = {.pieces = {"HTTP/1.1 503 Service Unavailable\r\n\r\n"}};

    assert_non_null(mkdtemp(folder));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", folder);
    s.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s.fd, 1), 0);
    assert_int_equal(probe_served(&s, &(struct listen_address){.kind = LISTEN_UNIX, .path = addr.sun_path}), 503);
    unlink(addr.sun_path);
    rmdir(folder);
}

static void a_server_that_speaks_something_else_is_an_error(void **state)
{
    static const char *const answers[] = {"SSH-2.0-OpenSSH_9.2p1\r\n", NULL};

    for (size_t i = 0; i < 2; ++i) {
        struct listen_address address = {.kind = LISTEN_TCP, .host = (char *)"127.0.0.1"};
        struct server s = {.pieces = {answers[i]}};
        s.fd = listen_tcp(AF_INET, &address.port);
        assert_true(s.fd >= 0);
        assert_int_equal(probe_served(&s, &address), -1);
    }
}

static void a_server_that_never_answers_meets_the_deadline(void **state)
{
    struct listen_address address = {.kind = LISTEN_TCP, .host = (char *)"127.0.0.1"};
    struct buf error = {0};
    int fd = listen_tcp(AF_INET, &address.port);

    assert_int_equal(http_probe(&address, "/livez", 1, &error), -1);
    buf_append_char(&error, '\0');
    assert_string_equal(error.p, "Connection timed out");
    buf_free(&error);
    close(fd);
}

static void a_server_that_is_not_there_is_an_error(void **state)
{
    struct listen_address address = {.kind = LISTEN_TCP, .host = (char *)"127.0.0.1"};
    struct buf error = {0};
    int fd = listen_tcp(AF_INET, &address.port);

    close(fd);
    assert_int_equal(http_probe(&address, "/livez", 1000, &error), -1);
    buf_append_char(&error, '\0');
    assert_string_equal(error.p, "Connection refused");
    buf_free(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_line_is_read_strictly),
        cmocka_unit_test(an_any_address_is_asked_on_loopback),
        cmocka_unit_test(a_unix_socket_is_asked_too),
        cmocka_unit_test(a_server_that_speaks_something_else_is_an_error),
        cmocka_unit_test(a_server_that_never_answers_meets_the_deadline),
        cmocka_unit_test(a_server_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
