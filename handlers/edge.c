/* The edge of one worker: its life, and its loop turn. */
#include "handlers/internal.h"
#include "core/clock.h"
#include <stdlib.h>

#define SCRATCH_BYTES 65536
#define WHEEL_TICK_MS 50
/* Timers fired in one turn: each may write a ping. */
#define TIMERS_PER_TURN 2000

struct edge *edge_create(h2o_context_t *ctx, const struct config *config, struct edge_shared *shared,
                         struct credentials_view *credentials, struct limiter *limiter)
{
    struct edge *e = mem_zalloc(sizeof(*e));
    e->ctx = ctx;
    e->config = config;
    e->shared = shared;
    e->credentials = credentials;
    e->limiter = limiter;
    e->now_ms = clock_monotonic_ms();
    e->scratch = mem_alloc(SCRATCH_BYTES);
    e->wheel = mem_alloc(sizeof(*e->wheel));
    wheel_init(e->wheel, WHEEL_TICK_MS, e->now_ms);
    hub_init(&e->hub);
    table_init(&e->addresses);
    table_init(&e->cursor_names);
    table_init(&e->user_agents);
    tape_init(&e->tape, config->tape_bytes);
    return e;
}

struct hub *edge_hub(struct edge *e)
{
    return &e->hub;
}

void edge_attach(struct edge *e, struct pubsub *p)
{
    e->pubsub = p;
}

/* Never free under one's own feet: closed connections go at the end of the turn, once no answer is due to them. */
static void reap(struct edge *e)
{
    size_t kept = 0;
    if (e->dirty != NULL)
        return; /* one of them may still be in that list */
    for (size_t i = 0; i < e->closed.n; ++i) {
        struct ws_conn *c = e->closed.entries[i];
        if (c->refs != 0)
            e->closed.entries[kept++] = c;
        else
            conn_free(c);
    }
    e->closed.n = kept;
}

void edge_turn(struct edge *e, uint64_t now_ms)
{
    e->now_ms = now_ms;
    e->timers_due = wheel_run(e->wheel, now_ms, TIMERS_PER_TURN, conn_timer, e);
    edge_steps(e);
    edge_register(e);
    edge_ask_head(e);
    edge_ask_broadcasts(e);
    edge_flush(e);
    reap(e);
}

bool edge_busy(const struct edge *e)
{
    return (e->register_left != 0 && pubsub_register_room(e->pubsub)) || e->timers_due || e->dirty != NULL ||
           e->sweep_left != 0 || e->steps.n != 0;
}

void edge_drain(struct edge *e, uint64_t now_ms, uint64_t spread_ms)
{
    e->now_ms = now_ms;
    e->leave_by_ms = now_ms + spread_ms;
    for (size_t i = 0; i < e->conns.n; ++i)
        conn_leave(e->conns.entries[i], now_ms + spread_ms * (i + 1) / e->conns.n);
}

void edge_end(struct edge *e, uint64_t now_ms)
{
    e->now_ms = now_ms;
    e->ending = true;
    for (size_t i = 0; i < e->conns.n; ++i)
        conn_close(e->conns.entries[i], 1012, CLOSE_GOING_AWAY);
}

void edge_cut(struct edge *e)
{
    while (e->conns.n != 0)
        conn_cut(e->conns.entries[0], "this server has gone away");
}

bool edge_empty(const struct edge *e)
{
    return e->conns.n == 0;
}

void edge_destroy(struct edge *e)
{
    edge_cut(e); /* who was refused since */
    for (size_t i = 0; i < e->closed.n; ++i)
        conn_free(e->closed.entries[i]);
    free(e->conns.entries);
    free(e->closed.entries);
    edge_free_catch_up(e);
    tape_dispose(&e->tape);
    hub_dispose(&e->hub);
    table_dispose(&e->addresses);
    table_dispose(&e->cursor_names);
    table_dispose(&e->user_agents);
    free(e->wheel);
    free(e->scratch);
    free(e);
}

struct edge_counts edge_counts(const struct edge *e, uint64_t now_ms)
{
    struct edge_counts counts = {.local = e->open};
    uint64_t silent_ms = e->config->ping_interval_ms + 5000;
    for (size_t i = 0; i < e->conns.n; ++i) {
        const struct ws_conn *c = e->conns.entries[i];
        if (c->state < CONN_CLOSING && now_ms > c->seen_ms + silent_ms)
            ++counts.dead;
        counts.slow += c->blocked && c->state < CONN_CLOSING;
    }
    return counts;
}
