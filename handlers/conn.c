/* One WebSocket connection: its states, its channels, its end. */
#include "handlers/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include <stddef.h>
#include <stdlib.h>

void conn_list_add(struct conn_list *l, struct ws_conn *c)
{
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->entries = mem_realloc(l->entries, l->cap * sizeof(*l->entries));
    }
    l->entries[l->n++] = c;
}

struct str conn_user(const struct ws_conn *c)
{
    const struct hub_channel *channel = c->follows[HUB_USER].channel;
    return channel != NULL ? hub_channel_id(channel) : STR_LIT("");
}

struct str conn_id(const struct ws_conn *c)
{
    const struct hub_channel *channel = c->follows[HUB_CONNECTION].channel;
    return channel != NULL ? hub_channel_id(channel) : STR_LIT("");
}

struct position conn_position(struct ws_conn *c)
{
    const struct edge *e = c->edge;
    if (c->state != CONN_LIVE || c->cursor != e->tape.head || conn_events_wait(c))
        return c->sent;
    struct position mark = pubsub_mark(e->pubsub);
    if (position_cmp(mark, c->sent) > 0)
        c->sent = mark; /* kept: once told, it is not to go back when the next event waits */
    return c->sent;
}

void conn_set_state(struct ws_conn *c, enum conn_state state)
{
    metric_sub(METRIC_CONNECTIONS_HANDSHAKING + c->state, 1);
    if (state != CONN_CLOSED)
        metric_add(METRIC_CONNECTIONS_HANDSHAKING + state, 1);
    c->state = (uint8_t)state;
}

struct ws_conn *conn_create(struct edge *e)
{
    struct ws_conn *c = mem_zalloc(sizeof(*c));
    c->edge = e;
    c->opened_ms = c->seen_ms = e->now_ms;
    c->index = (uint32_t)e->conns.n;
    frame_decoder_init(&c->decoder, (uint32_t)e->config->max_message_bytes);
    conn_list_add(&e->conns, c);
    metric_add(METRIC_CONNECTIONS_HANDSHAKING, 1);
    return c;
}

struct ws_conn *conn_of_member(struct hub_member *m)
{
    enum hub_kind kind = (enum hub_kind)m->channel->kind;
    return H2O_STRUCT_FROM_MEMBER(struct ws_conn, follows[kind], m);
}

void conn_follow_user(struct ws_conn *c, struct str user)
{
    struct edge *e = c->edge;
    struct hub_channel *channel = hub_get(&e->hub, HUB_USER, user);
    hub_join(channel, &c->follows[HUB_USER]);
    pubsub_follow(e->pubsub, channel);
    ++e->open;
}

/* `code`: what it is closed with. */
static void unfollow(struct ws_conn *c, uint16_t code)
{
    struct edge *e = c->edge;
    if (c->follows[HUB_USER].channel == NULL)
        return;
    conn_end_acks(c);
    conn_exit(c, code);
    for (int kind = HUB_USER; kind <= HUB_CONNECTION; ++kind) {
        struct hub_channel *channel = c->follows[kind].channel;
        if (channel == NULL)
            continue; /* closed before it had a name */
        hub_leave(&c->follows[kind]);
        if (channel->count == 0)
            pubsub_unfollow(e->pubsub, channel);
    }
    --e->open;
}

/* Gives back what counts against the limits. */
static void release_place(struct ws_conn *c)
{
    if (c->counted)
        atomic_fetch_sub_explicit(&c->edge->shared->connections, 1, memory_order_relaxed);
    if (c->lingering)
        atomic_fetch_sub_explicit(&c->edge->shared->lingering, 1, memory_order_relaxed);
    c->counted = c->lingering = false;
    conn_uncount_address(c);
}

static void log_closed(const struct ws_conn *c, uint16_t code, const char *reason)
{
    metric_add(metric_of_close_code(code), 1);
    enum log_level level = code >= 1002 && code != 1005 && code != 1012 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    if (log_enabled(level))
        log_event(level, "connection_closed", LOG_CONN(c), LOG_U("code", code), LOG_Z("reason", reason),
                  LOG_U("duration_ms", c->edge->now_ms - c->opened_ms), LOG_U("bytes_in", c->in),
                  LOG_U("bytes_out", c->out));
}

void conn_close(struct ws_conn *c, uint16_t code, const char *reason)
{
    if (c->state >= CONN_CLOSING)
        return;
    struct buf frame = {0};
    log_closed(c, code, reason);
    conn_leave_tape(c);
    outbox_drop_replay(c);
    outbox_drop_events(c, (struct position){UINT64_MAX, UINT64_MAX, 0});
    conn_end_catch_up(c);
    unfollow(c, code);
    conn_set_state(c, CONN_CLOSING);
    c->deadline_ms = c->edge->now_ms + CLOSE_TIMEOUT_MS;
    frame_append_close(&frame, code == 1005 ? 0 : code, str_of(reason));
    conn_say_frames(c, buf_str(&frame));
    buf_free(&frame);
    conn_schedule(c);
}

void conn_cut(struct ws_conn *c, const char *why)
{
    struct edge *e = c->edge;
    if (c->state == CONN_CLOSED)
        return;
    if (c->state != CONN_CLOSING)
        log_closed(c, 1006, why);
    conn_end_catch_up(c);
    unfollow(c, 1006);
    conn_set_state(c, CONN_CLOSED);
    release_place(c);
    wheel_clear(e->wheel, &c->timer);
    if (c->sock != NULL)
        h2o_socket_close(c->sock);
    c->sock = NULL;
    struct ws_conn *moved = e->conns.entries[--e->conns.n];
    e->conns.entries[c->index] = moved;
    moved->index = c->index;
    if (e->sweep_left != 0 && moved != c)
        conn_mark_dirty(moved); /* the sweep may have passed its new place already */
    conn_list_add(&e->closed, c);
}

void conn_free(struct ws_conn *c)
{
    outbox_free(c);
    intern_release(&c->edge->user_agents, c->agent);
    frame_decoder_dispose(&c->decoder);
    free(c);
}
