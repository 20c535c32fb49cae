/* Who is let in: limits of the process, of a user, of an address. */
#include "handlers/internal.h"
#include "core/metrics.h"
#include <stdlib.h>

struct address_count {
    struct table_link link;
    uint8_t address[16];
    uint32_t n;
};

/* The one place where these refusals are counted. */
static const char *refused(enum metric why, const char *reason)
{
    metric_add(why, 1);
    return reason;
}

const char *edge_full(const struct edge *e, uint16_t *code)
{
    const struct edge_shared *s = e->shared;
    *code = 1013;
    if (e->ending) {
        *code = 1012;
        return refused(METRIC_HANDSHAKES_DRAINING, CLOSE_GOING_AWAY);
    }
    if (e->config->max_connections != 0 &&
        atomic_load_explicit(&s->connections, memory_order_relaxed) >= e->config->max_connections)
        return refused(METRIC_HANDSHAKES_PROCESS_FULL, "retry_after_ms=5000 MAX_CONNECTIONS is reached");
    if (atomic_load_explicit(&s->descriptors, memory_order_relaxed) >= s->descriptor_limit)
        return refused(METRIC_HANDSHAKES_PROCESS_FULL, "retry_after_ms=5000 no descriptors are left");
    if (pubsub_state(e->pubsub, e->now_ms).away)
        return refused(METRIC_HANDSHAKES_REDIS_AWAY, "retry_after_ms=2000 Redis is away");
    return NULL;
}

const char *edge_limit_user(const struct edge *e, struct str user, uint16_t *code)
{
    const struct hub_channel *channel = hub_find(&e->hub, HUB_USER, user);
    *code = 4429;
    if (e->config->max_connections_per_user == 0 || channel == NULL ||
        channel->count < e->config->max_connections_per_user)
        return NULL;
    return refused(METRIC_HANDSHAKES_USER_LIMIT, "retry_after_ms=10000 MAX_CONNECTIONS_PER_USER is reached");
}

static bool is_address(const struct table_link *l, const void *key)
{
    return memcmp(((const struct address_count *)l)->address, key, 16) == 0;
}

bool conn_count_address(struct ws_conn *c, const uint8_t address[16])
{
    struct edge *e = c->edge;
    uint64_t max = e->config->max_connections_per_address;
    if (max == 0)
        return true;
    uint32_t hash = table_hash(address, 16);
    struct address_count *a = (struct address_count *)table_find(&e->addresses, hash, is_address, address);
    if (a == NULL) {
        a = mem_zalloc(sizeof(*a));
        memcpy(a->address, address, 16);
        table_add(&e->addresses, &a->link, hash);
    }
    if (a->n >= max)
        return false;
    ++a->n;
    c->address = a;
    return true;
}

void conn_uncount_address(struct ws_conn *c)
{
    struct address_count *a = c->address;
    c->address = NULL;
    if (a == NULL || --a->n != 0)
        return;
    table_remove(&c->edge->addresses, &a->link);
    free(a);
}
