/* A client of the bench: as little work per frame as possible, since it runs beside the server on the same cores. */
#include "bench/client.h"
#include "core/frame.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOURCE_ADDRESSES 16
/* How much of a payload tells its type: {"type":"b */
#define TYPE_AT 9

int client_connect(struct client *c, unsigned index, uint16_t port, uint64_t now_us)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    c->started_us = now_us;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index % SOURCE_ADDRESSES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0)
        return -1;
    return connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS ? 0 : -1;
}

static void lose(struct client *c, client_news_fn *news, void *data)
{
    if (c->state == CLIENT_LOST)
        return;
    news(c, CLIENT_GONE, data);
    c->state = CLIENT_LOST;
    close(c->fd);
}

void client_send_request(struct client *c, struct str token, struct str position, client_news_fn *news, void *data)
{
    char request[4096], offer[3072] = "", query[128] = "";
    if (token.p != NULL)
        snprintf(offer, sizeof(offer), "Sec-WebSocket-Protocol: belfry.v1, bearer.%.*s\r\n", (int)token.n, token.p);
    if (position.p != NULL)
        snprintf(query, sizeof(query), "?last_event_id=%.*s", (int)position.n, position.p);
    int n = snprintf(request, sizeof(request),
                     "GET /ws%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                     query, offer);
    c->has_welcome = token.p != NULL;
    c->state = CLIENT_HANDSHAKE;
    if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        lose(c, news, data);
}

static void open_up(struct client *c, client_news_fn *news, void *data)
{
    c->state = CLIENT_OPEN;
    news(c, CLIENT_OPENED, data);
}

/* Takes from the answer to the upgrade; returns how much. */
static size_t feed_answer(struct client *c, const uint8_t *p, size_t n, client_news_fn *news, void *data)
{
    static const char end[] = "\r\n\r\n", wanted[] = "HTTP/1.1 101";
    size_t i = 0;
    while (i < n && c->line_end < 4) {
        if (c->head_n < sizeof(wanted) - 1)
            c->head[c->head_n++] = p[i];
        c->line_end = p[i] == end[c->line_end] ? c->line_end + 1 : p[i] == '\r';
        ++i;
    }
    if (c->line_end < 4)
        return i;
    if (memcmp(c->head, wanted, sizeof(wanted) - 1) != 0) {
        lose(c, news, data);
        return n;
    }
    c->head_n = 0;
    c->state = CLIENT_JOINING;
    if (!c->has_welcome)
        open_up(c, news, data);
    return i;
}

static uint64_t payload_length(const uint8_t *head)
{
    uint64_t n = 0;
    if ((head[1] & 127) < 126)
        return head[1] & 127;
    for (int i = 0; i < ((head[1] & 127) == 126 ? 2 : 8); ++i)
        n = n << 8 | head[2 + i];
    return n;
}

static size_t header_length(const uint8_t *head)
{
    return (head[1] & 127) < 126 ? 2 : (head[1] & 127) == 126 ? 4 : 10;
}

/* How many bytes of a frame have to be there to know its kind; asked again with each byte more. */
static size_t head_wanted(const struct client *c)
{
    if (c->head_n < 2)
        return 2;
    size_t header = header_length(c->head);
    if (c->head_n < header)
        return header;
    uint64_t payload = payload_length(c->head);
    return header + (payload < TYPE_AT + 1 ? (size_t)payload : TYPE_AT + 1);
}

static void on_frame(struct client *c, client_news_fn *news, void *data)
{
    static const uint8_t pong[6] = {0x80 | FRAME_PONG, 0x80, 1, 2, 3, 4};
    int opcode = c->head[0] & 15;
    char type = (char)c->head[header_length(c->head) + TYPE_AT];
    c->head_n = 0;
    if (opcode == FRAME_CLOSE) {
        lose(c, news, data);
    } else if (opcode == FRAME_PING) {
        if (send(c->fd, pong, sizeof(pong), MSG_NOSIGNAL) != sizeof(pong))
            lose(c, news, data);
    } else if (type == 'w' && c->state == CLIENT_JOINING) {
        open_up(c, news, data);
    } else if (type == 'b') {
        ++c->events;
        news(c, CLIENT_EVENT, data);
    } else if (type == 'c' || type == 'r') {
        news(c, type == 'c' ? CLIENT_CAUGHT_UP : CLIENT_RESYNC, data);
    }
}

static size_t feed_frame(struct client *c, const uint8_t *p, size_t n, client_news_fn *news, void *data)
{
    if (c->skip == 0) {
        size_t i = 0;
        while (i < n && c->head_n < head_wanted(c))
            c->head[c->head_n++] = p[i++];
        if (c->head_n < head_wanted(c))
            return i;
        c->skip = header_length(c->head) + payload_length(c->head) - c->head_n;
        if (c->skip == 0)
            on_frame(c, news, data);
        return i;
    }
    size_t taken = n < c->skip ? n : (size_t)c->skip;
    c->skip -= taken;
    if (c->skip == 0)
        on_frame(c, news, data);
    return taken;
}

void client_read(struct client *c, client_news_fn *news, void *data)
{
    uint8_t bytes[16384], *p = bytes;
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(c, news, data);
        return;
    }
    for (size_t left = (size_t)n; left != 0 && c->state != CLIENT_LOST;) {
        size_t used =
            c->state == CLIENT_HANDSHAKE ? feed_answer(c, p, left, news, data) : feed_frame(c, p, left, news, data);
        p += used;
        left -= used;
    }
}
