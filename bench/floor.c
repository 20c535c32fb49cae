/* The floor that belfry is measured against: a bare epoll + send loop with just enough WebSocket to hold clients, no
 * token, no history, no heartbeat.
 *
 *      floor PORT CONTROL_PORT [PAYLOAD_BYTES]
 *
 * Every datagram on 127.0.0.1:CONTROL_PORT makes it send one and the same text frame to all clients, by one send(2)
 * each. It says "ready" on stdout once it listens. */
#include "core/frame.h"
#include "core/http_request.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS 20000
#define EVENTS 512
#define PAYLOAD_DEFAULT 200

struct floor {
    int epoll, listener, control;
    struct buf frame;
    int clients[DESCRIPTORS]; /* dense */
    int at[DESCRIPTORS];      /* by descriptor: its place in `clients`, or -1 */
    int n;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct floor *f, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static int bind_to(int type, const char *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int one = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
        die("bind");
    return fd;
}

/* An event of the shape and length that belfry sends. */
static void make_frame(struct floor *f, size_t payload_bytes)
{
    struct buf json = {0};
    buf_lit(&json,
            "{\"type\":\"bench\",\"event_id\":\"1-1\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{\"pad\":\"");
    while (json.n + 3 < payload_bytes)
        buf_append_char(&json, 'x');
    buf_lit(&json, "\"}}");
    frame_append(&f->frame, FRAME_TEXT, buf_str(&json));
    buf_free(&json);
}

static void drop(struct floor *f, int fd)
{
    int last = f->clients[f->n - 1];
    if (f->at[fd] >= 0) {
        f->clients[f->at[fd]] = last;
        f->at[last] = f->at[fd];
        f->at[fd] = -1;
        --f->n;
    }
    close(fd);
}

static void on_accept(struct floor *f)
{
    int fd, one = 1;
    while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        f->at[fd] = -1;
        watch(f, fd);
    }
}

/* The bench's clients send their request in one piece. */
static void on_request(struct floor *f, int fd, const char *request)
{
    static const char name[] = "Sec-WebSocket-Key: ";
    const char *key = strstr(request, name);
    char accept[28], answer[256];
    if (key == NULL) {
        drop(f, fd);
        return;
    }
    handshake_accept(accept, (struct str){key + sizeof(name) - 1, 24});
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %.28s\r\n\r\n",
                     accept);
    if (send(fd, answer, (size_t)n, MSG_NOSIGNAL) != n) {
        drop(f, fd);
        return;
    }
    f->at[fd] = f->n;
    f->clients[f->n++] = fd;
}

static void on_client(struct floor *f, int fd)
{
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof(bytes) - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(f, fd);
    } else if (f->at[fd] < 0) {
        bytes[n] = '\0';
        on_request(f, fd, bytes);
    }
}

static void on_control(struct floor *f)
{
    char byte;
    while (recv(f->control, &byte, 1, 0) >= 0)
        for (int i = 0; i < f->n; ++i)
            if (send(f->clients[i], f->frame.p, f->frame.n, MSG_NOSIGNAL) != (ssize_t)f->frame.n)
                fprintf(stderr, "floor: a client takes no more\n");
}

static void run(struct floor *f)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(f->epoll, events, EVENTS, -1);
        for (int i = 0; i < n; ++i) {
            int fd = events[i].data.fd;
            if (fd == f->listener)
                on_accept(f);
            else if (fd == f->control)
                on_control(f);
            else
                on_client(f, fd);
        }
    }
}

int main(int argc, char **argv)
{
    static struct floor f;
    if (argc < 3) {
        fprintf(stderr, "usage: floor PORT CONTROL_PORT [PAYLOAD_BYTES]\n");
        return 2;
    }
    make_frame(&f, argc > 3 ? (size_t)atoi(argv[3]) : PAYLOAD_DEFAULT);
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    f.listener = bind_to(SOCK_STREAM, argv[1]);
    f.control = bind_to(SOCK_DGRAM, argv[2]);
    if (listen(f.listener, 4096) != 0)
        die("listen");
    watch(&f, f.listener);
    watch(&f, f.control);
    puts("ready");
    fflush(stdout);
    run(&f);
    return 0;
}
