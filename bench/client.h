/* One WebSocket client of the bench: handshake, frames told apart by their type, pings answered. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "core/str.h"

enum client_state { CLIENT_CONNECTING, CLIENT_HANDSHAKE, CLIENT_JOINING, CLIENT_OPEN, CLIENT_LOST };

struct client {
    int fd;
    uint8_t state;       /* enum client_state */
    uint8_t has_welcome; /* the server greets with a message: open only then */
    uint8_t head_n;
    uint8_t head[20];    /* the answer's status line; then a frame's header and the begin of its payload */
    uint32_t line_end;   /* how much of the empty line at the answer's end has come */
    uint64_t skip;       /* bytes of the frame at hand still to come */
    uint32_t events;     /* broadcast events received */
    uint64_t started_us; /* of the connection */
};

/* CLIENT_CAUGHT_UP: the replay is over; CLIENT_RESYNC: there was none. */
enum client_news { CLIENT_NOTHING, CLIENT_OPENED, CLIENT_EVENT, CLIENT_CAUGHT_UP, CLIENT_RESYNC, CLIENT_GONE };
/* Told once for each piece of news, with the client in its new state; of one that is gone, in its last. */
typedef void client_news_fn(struct client *c, enum client_news news, void *data);

/* Starts to connect the index-th client, from one of several addresses 127.0.0.x so that ports last. 0, or -1 with
 * errno. */
int client_connect(struct client *c, unsigned index, uint16_t port, uint64_t now_us);
/* The socket is writable: sends the handshake; `token` may be STR_NONE, and `position`, to resume from, too. */
void client_send_request(struct client *c, struct str token, struct str position, client_news_fn *news, void *data);
/* The socket is readable. */
void client_read(struct client *c, client_news_fn *news, void *data);

#endif
