/* The hub: which connections of this worker follow which channel. It knows channels, not users: a connection follows a
 * small set of them (its user's, its own), so that topics need nothing new here. O(1) to add, remove and find. */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include "core/table.h"

enum hub_kind { HUB_USER, HUB_CONNECTION };

/* A connection's place in one channel; lives inside the connection. */
struct hub_member {
    struct hub_member *next, *prev;
    struct hub_channel *channel;
};

/* A channel lives while it has members or until its owner (pubsub/) lets it go. */
struct hub_channel {
    struct table_link link;
    struct hub_member *members;
    uint32_t count; /* of members */
    uint8_t kind;   /* enum hub_kind */
    uint8_t state;  /* the subscription's, owned by pubsub/subscriber.c */
    uint16_t id_len;
    uint16_t replies_due;          /* SUBSCRIBE replies still to come; owned by pubsub/ */
    uint32_t generation;           /* of the subscriber connection that it was subscribed on; owned by pubsub/ */
    uint64_t carried_seq;          /* seq of the last own event that came on it; owned by pubsub/ */
    struct channel_linger *linger; /* while nobody follows it and it is still subscribed; owned by pubsub/ */
    char id[];                     /* user id or connection id, not NUL-terminated */
};

struct hub {
    struct table channels;
};

void hub_init(struct hub *h);
void hub_dispose(struct hub *h); /* frees all channels; no member may be left */

struct hub_channel *hub_find(const struct hub *h, enum hub_kind kind, struct str id);
/* Finds or makes it. id.n ≤ 65535. */
struct hub_channel *hub_get(struct hub *h, enum hub_kind kind, struct str id);
static inline struct str hub_channel_id(const struct hub_channel *c)
{
    return (struct str){c->id, c->id_len};
}

/* `m` must not be in a channel. */
void hub_join(struct hub_channel *c, struct hub_member *m);
void hub_leave(struct hub_member *m);
/* Frees a channel without members. */
void hub_drop(struct hub *h, struct hub_channel *c);
/* fn may drop the channel it is given and no other, and makes none. */
void hub_each(struct hub *h, void (*fn)(struct hub_channel *, void *), void *data);

#endif
