/* One worker's way to Redis: its connections and what holds them together. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/redis_advice.h"
#include <stdio.h>
#include <stdlib.h>

static void on_info(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct buf unwise = {0};
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        p->advised = true;
        redis_advice(redis_reply_str(reply), &unwise);
    }
    for (struct str rest = buf_str(&unwise); rest.n != 0;)
        log_event(LOG_LEVEL_WARN, "redis_unwise", LOG_S("advice", str_split(&rest, '\n')));
    buf_free(&unwise);
}

/* Once for the process, so by its first worker; the embedded Redis is as it should be. */
static void ask_for_advice(struct pubsub *p)
{
    if (p->worker == 0 && !p->advised && p->config->redis.kind != REDIS_EMBEDDED)
        redis_conn_command(p->commands.conn, on_info, p, 1, (const char *[]){"INFO"}, (size_t[]){4});
}

static void on_commands_up(void *data)
{
    struct pubsub *p = data;
    p->commands_down_since_ms = 0;
    metric_add(METRIC_REDIS_CONNECTS_COMMANDS, 1);
    canary_link_up(p);
    identity_link_up(p);
    if (p->publishes == &p->commands)
        publisher_link_up(p);
    ask_for_advice(p);
    log_event(LOG_LEVEL_INFO, "redis_connected", LOG_U("worker", p->worker), LOG_Z("run_id", p->commands.info.run_id));
    pubsub_compare_runs(p, &p->commands);
}

static void on_commands_down(void *data, const char *reason, bool was_up, bool unfit)
{
    struct pubsub *p = data;
    if (unfit)
        p->fatal = reason;
    if (p->commands_down_since_ms == 0)
        p->commands_down_since_ms = clock_monotonic_ms();
    canary_link_down(p);
    if (p->publishes == &p->commands)
        publisher_link_down(p);
    identity_link_down(p);
    if (was_up || p->commands.failures == 1)
        log_event(LOG_LEVEL_WARN, "redis_lost", LOG_U("worker", p->worker), LOG_Z("reason", reason));
}

static void on_commands_message(void *data, redisReply *reply)
{
    (void)data;
    (void)reply; /* every command's reply has somebody waiting */
}

static const struct link_callbacks commands_link_callbacks = {on_commands_up, on_commands_down, on_commands_message};

/* The links of a worker, NULL after the last. */
static struct link *link_at(struct pubsub *p, size_t i)
{
    struct link *all[] = {&p->commands, &p->subscriber, p->publishes != &p->commands ? p->publishes : NULL, NULL};
    return all[i];
}

void pubsub_compare_runs(struct pubsub *p, struct link *just_up)
{
    struct link *l;
    for (size_t i = 0; (l = link_at(p, i)) != NULL; ++i)
        if (l->up && strcmp(just_up->info.run_id, l->info.run_id) != 0)
            link_restart(l, "another connection reached another Redis");
}

void pubsub_leave(struct pubsub *p, const char *reason)
{
    struct link *l;
    for (size_t i = 0; (l = link_at(p, i)) != NULL; ++i)
        link_restart(l, reason);
}

void pubsub_note_epoch(struct pubsub *p, uint64_t epoch)
{
    if (epoch > p->seen_epoch)
        p->seen_epoch = epoch;
}

struct script_settings pubsub_script_settings(const struct config *config)
{
    return (struct script_settings){
        .prefix = str_of(config->redis_prefix),
        .replay_events = config->replay_events,
        .replay_user_events = config->replay_user_events,
        .replay_ttl_ms = config->replay_ttl_ms,
        .lifecycle = config->lifecycle,
        .presence_grace_ms = config->presence_grace_ms,
    };
}

struct pubsub *pubsub_create(h2o_context_t *ctx, const struct config *config, struct hub *hub,
                             const struct pubsub_callbacks *callbacks, void *data, unsigned worker)
{
    struct pubsub *p = mem_zalloc(sizeof(*p));
    char name[64];
    p->ctx = ctx;
    p->config = config;
    p->hub = hub;
    p->callbacks = callbacks;
    p->data = data;
    p->worker = worker;
    p->started_ms = clock_unix_ms();
    p->commands_down_since_ms = p->publisher.down_since_ms = clock_monotonic_ms();
    p->publishes = config->redis_wait_replicas != 0 ? &p->wait.link : &p->commands;
    cursors_start(p);
    random_id(p->node_id); /* the byte behind it is zero already */
    snprintf(name, sizeof(name), "belfry-%s-subscriber", p->node_id);
    link_init(&p->subscriber, ctx, config, name, &subscriber_link_callbacks, p);
    snprintf(name, sizeof(name), "belfry-%s-commands", p->node_id);
    link_init(&p->commands, ctx, config, name, &commands_link_callbacks, p);
    if (p->publishes != &p->commands)
        wait_init(p);
    return p;
}

/* Who has not told Redis of all ends stays among the nodes, so that another one reaps what is left. */
static void give_up_lease(struct pubsub *p)
{
    struct buf lease = {0}, nodes = {0};
    if (!p->commands.up)
        return;
    buf_printf(&lease, "%snode:%s", p->config->redis_prefix, p->node_id);
    buf_printf(&nodes, "%snodes", p->config->redis_prefix);
    const char *del[] = {"DEL", lease.p}, *zrem[] = {"ZREM", nodes.p, p->node_id};
    redis_conn_command(p->commands.conn, NULL, NULL, 2, del, (size_t[]){3, lease.n});
    if (pubsub_settled(p))
        redis_conn_command(p->commands.conn, NULL, NULL, 3, zrem, (size_t[]){4, nodes.n, RANDOM_ID_LEN});
    redis_conn_flush(p->commands.conn);
    buf_free(&lease);
    buf_free(&nodes);
}

void pubsub_close(struct pubsub *p)
{
    give_up_lease(p);
    struct link *l;
    for (size_t i = 0; (l = link_at(p, i)) != NULL; ++i)
        link_dispose(l);
    p->closed = true;
    publisher_dispose(p);
    totals_dispose(p);
    pages_dispose(p);
    gap_dispose(p);
    cursors_turn(p, clock_monotonic_ms());
    ask_dispose(p);
    inspect_dispose(p);
    identity_dispose(p);
    subscriber_dispose(p);
}

void pubsub_destroy(struct pubsub *p)
{
    publisher_dispose(p);
    pages_dispose(p);
    ask_dispose(p);      /* what was asked since */
    identity_dispose(p); /* and said */
    canary_dispose(p);
    cursors_end(p);
    free(p);
}

void pubsub_tick(struct pubsub *p, uint64_t now_ms)
{
    struct link *l;
    for (size_t i = 0; (l = link_at(p, i)) != NULL; ++i)
        link_tick(l, now_ms);
    if (p->publishes != &p->commands)
        wait_tick(p, now_ms);
    canary_tick(p, now_ms);
    redis_memory_tick(p, now_ms);
    gap_tick(p, now_ms);
    pages_tick(p, now_ms);
    subscriber_tick(p, now_ms);
    cursors_store_due(p, now_ms);
    inspect_tick(p, now_ms);
}

void pubsub_turn(struct pubsub *p)
{
    uint64_t now_ms = clock_monotonic_ms();
    identity_turn(p, now_ms); /* first: what is read after it knows of its connections */
    reaper_turn(p);
    publisher_turn(p, now_ms);
    gap_turn(p, now_ms);
    pages_turn(p);
    canary_turn(p); /* after the pages, so that the mark reaches their heads soon */
    subscriber_turn(p);
    cursors_turn(p, now_ms);
    ask_turn(p, now_ms);
    lifecycle_turn(p, now_ms);
    struct link *l;
    for (size_t i = 0; (l = link_at(p, i)) != NULL; ++i)
        if (l->conn != NULL)
            redis_conn_flush(l->conn);
}

struct position pubsub_mark(const struct pubsub *p)
{
    return p->mark.at;
}

void pubsub_set_counts(struct pubsub *p, uint64_t local, uint64_t dead)
{
    p->canary.local = local;
    p->canary.dead = dead;
}

void pubsub_note_metrics(const struct pubsub *p)
{
    metric_set(METRIC_PUBLISHES_PENDING_NOW, p->publisher.count);
    metric_set(METRIC_PAGES_PENDING_NOW, p->pages.waiting.n + p->pages.flight.n + p->pages.later.n);
}

struct pubsub_state pubsub_state(const struct pubsub *p, uint64_t now_ms)
{
    struct pubsub_state s = {
        .commands_connected = p->commands.up && p->publishes->up,
        .subscriber_connected = gap_closed(p),
        .canary_age_ms = p->canary.heard_ms == 0 ? UINT64_MAX : now_ms - p->canary.heard_ms,
        .fatal = p->fatal,
    };
    s.ready = s.subscriber_connected && p->canary.heard;
    s.away = !p->commands.up && p->commands.failures != 0;
    return s;
}
