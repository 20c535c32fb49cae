/* Publishing, one request always the same, answers counted by their status. */
#include "bench/publisher.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What belfry puts around the data: type, event_id, timestamp. */
#define ENVELOPE_BYTES 109

void publisher_init_control(struct publisher *p, uint16_t port)
{
    *p = (struct publisher){.fd = -1, .port = port};
}

static struct str make_request(struct str token, size_t payload_bytes)
{
    struct buf body = {0}, request = {0};
    buf_lit(&body, "{\"type\":\"bench\",\"audience\":\"broadcast\",\"data\":{\"pad\":\"");
    for (size_t n = ENVELOPE_BYTES; n < payload_bytes; ++n)
        buf_append_char(&body, 'x');
    buf_lit(&body, "\"}}");
    buf_printf(&request,
               "POST /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %.*s\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
               (int)token.n, token.p, body.n);
    buf_append(&request, buf_str(&body));
    buf_free(&body);
    return buf_str(&request);
}

void publisher_init_http(struct publisher *p, uint16_t port, struct str token, size_t payload_bytes)
{
    *p = (struct publisher){.fd = -1, .port = port, .request = make_request(token, payload_bytes)};
}

int publisher_open(struct publisher *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(p->port)};
    int one = 1, type = p->request.p != NULL ? SOCK_STREAM : SOCK_DGRAM;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->answer_n = 0;
    p->fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        return -1;
    return type == SOCK_STREAM ? setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) : 0;
}

void publisher_close(struct publisher *p)
{
    close(p->fd);
    p->fd = -1;
}

int publisher_send(struct publisher *p)
{
    struct str bytes = p->request.p != NULL ? p->request : STR_LIT("!");
    return send(p->fd, bytes.p, bytes.n, MSG_NOSIGNAL) == (ssize_t)bytes.n ? 0 : -1;
}

/* The length of the first whole answer, 0 if it is not there yet; -1 if it is none. */
static ssize_t whole_answer(const struct publisher *p, int *status)
{
    const char *end = memmem(p->answer, p->answer_n, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end + 4 - p->answer);
    char text[sizeof(p->answer) + 1];
    memcpy(text, p->answer, head);
    text[head] = '\0';
    const char *length = strcasestr(text, "\r\ncontent-length:");
    if (length == NULL || sscanf(text, "HTTP/1.1 %d", status) != 1)
        return -1;
    head += strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    return head <= p->answer_n ? (ssize_t)head : 0;
}

int publisher_read(struct publisher *p)
{
    int status = 0;
    ssize_t n = recv(p->fd, p->answer + p->answer_n, sizeof(p->answer) - p->answer_n, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return -1;
    p->answer_n += (size_t)n;
    while ((n = whole_answer(p, &status)) > 0) {
        ++*(status == 202 ? &p->accepted : &p->refused);
        p->answer_n -= (size_t)n;
        memmove(p->answer, p->answer + n, p->answer_n);
    }
    return (int)n;
}
