/* The hub: a table of channels, each with the list of its members. */
#include "core/hub.h"

#include <assert.h>
#include <stdlib.h>

struct channel_key {
    enum hub_kind kind;
    struct str id;
};

static struct hub_channel *channel_of(struct table_link *l)
{
    return (struct hub_channel *)((char *)l - offsetof(struct hub_channel, link));
}

static bool channel_matches(const struct table_link *l, const void *data)
{
    const struct hub_channel *c = (const struct hub_channel *)((const char *)l - offsetof(struct hub_channel, link));
    const struct channel_key *key = data;

    return c->kind == key->kind && str_eq(hub_channel_id(c), key->id);
}

static uint32_t channel_hash(enum hub_kind kind, struct str id)
{
    return table_hash(id.p, id.n) + (uint32_t)kind;
}

void hub_init(struct hub *h)
{
    table_init(&h->channels);
}

static void free_channel(struct hub_channel *c, void *data)
{
    hub_drop(data, c);
}

void hub_dispose(struct hub *h)
{
    hub_each(h, free_channel, h);
    table_dispose(&h->channels);
}

struct hub_channel *hub_find(const struct hub *h, enum hub_kind kind, struct str id)
{
    const struct channel_key key = {kind, id};
    struct table_link *l = table_find(&h->channels, channel_hash(kind, id), channel_matches, &key);

    return l == NULL ? NULL : channel_of(l);
}

struct hub_channel *hub_get(struct hub *h, enum hub_kind kind, struct str id)
{
    struct hub_channel *c = hub_find(h, kind, id);

    if (c != NULL)
        return c;
    assert(id.n <= UINT16_MAX);
    c = mem_zalloc(sizeof(*c) + id.n);
    c->kind = (uint8_t)kind;
    c->id_len = (uint16_t)id.n;
    if (id.n > 0)
        memcpy(c->id, id.p, id.n);
    table_add(&h->channels, &c->link, channel_hash(kind, id));
    return c;
}

void hub_join(struct hub_channel *c, struct hub_member *m)
{
    m->channel = c;
    m->prev = NULL;
    m->next = c->members;
    if (m->next != NULL)
        m->next->prev = m;
    c->members = m;
    c->count++;
}

void hub_leave(struct hub_member *m)
{
    if (m->prev != NULL)
        m->prev->next = m->next;
    else
        m->channel->members = m->next;
    if (m->next != NULL)
        m->next->prev = m->prev;
    m->channel->count--;
    *m = (struct hub_member){0};
}

void hub_drop(struct hub *h, struct hub_channel *c)
{
    assert(c->count == 0);
    table_remove(&h->channels, &c->link);
    free(c);
}

struct each_channel {
    void (*fn)(struct hub_channel *, void *);
    void *data;
};

static void visit_channel(struct table_link *l, void *data)
{
    const struct each_channel *each = data;

    each->fn(channel_of(l), each->data);
}

void hub_each(struct hub *h, void (*fn)(struct hub_channel *, void *), void *data)
{
    struct each_channel each = {fn, data};

    table_each(&h->channels, visit_channel, &each);
}
