/* What makes a server broadcast: a datagram to the floor's control port, or a POST over a kept connection to belfry. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include "core/str.h"

struct publisher {
    int fd; /* -1: not connected */
    uint16_t port;
    struct str request; /* of belfry; STR_NONE for the floor: one byte is sent */
    char answer[8192];  /* what has come and is not yet a whole answer */
    size_t answer_n;
    uint64_t accepted, refused;
};

/* To the floor. */
void publisher_init_control(struct publisher *p, uint16_t port);
/* To belfry: `token` has the scope events:publish; every event's frame carries about payload_bytes. */
void publisher_init_http(struct publisher *p, uint16_t port, struct str token, size_t payload_bytes);
/* 0, or -1 with errno. */
int publisher_open(struct publisher *p);
void publisher_close(struct publisher *p);
/* -1: the connection takes no more, or is gone. */
int publisher_send(struct publisher *p);
/* The socket is readable: counts answers. -1: it is gone. */
int publisher_read(struct publisher *p);

#endif
