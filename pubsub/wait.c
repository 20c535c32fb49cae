/* REDIS_WAIT_REPLICAS: publishes go over a link of their own, since WAIT blocks its connection. What a turn publishes
 * is one round: its scripts, then one WAIT; the next round is sent when that has answered. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/script_reply.h"
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>

/* How often Redis is asked how many replicas it has. */
#define ASK_MS 1000

static void on_up(void *data)
{
    struct pubsub *p = data;
    metric_add(METRIC_REDIS_CONNECTS_PUBLISHES, 1);
    log_event(LOG_LEVEL_INFO, "redis_publishes_connected", LOG_U("worker", p->worker),
              LOG_Z("run_id", p->wait.link.info.run_id));
    publisher_link_up(p);
    pubsub_compare_runs(p, &p->wait.link);
}

static void on_down(void *data, const char *reason, bool was_up, bool unfit)
{
    struct pubsub *p = data;
    if (unfit)
        p->fatal = reason;
    publisher_link_down(p);
    if (was_up)
        log_event(LOG_LEVEL_WARN, "redis_publishes_lost", LOG_U("worker", p->worker), LOG_Z("reason", reason));
}

static void on_message(void *data, redisReply *reply)
{
    (void)data;
    (void)reply; /* every command's reply has somebody waiting */
}

void wait_init(struct pubsub *p)
{
    static const struct link_callbacks callbacks = {on_up, on_down, on_message};
    char name[64];
    snprintf(name, sizeof(name), "belfry-%s-publishes", p->node_id);
    link_init(&p->wait.link, p->ctx, p->config, name, &callbacks, p);
}

/* --- a round --------------------------------------------------------------------------------------------------------
 */

static void log_failure(struct pubsub *p, struct str what)
{
    uint64_t suppressed;
    if (log_limit_pass(&p->wait.log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_WARN, "wait_for_replicas_failed", LOG_U("worker", p->worker), LOG_S("reason", what),
                  LOG_U("suppressed", suppressed));
}

static void on_count(struct pubsub *p, uint64_t count)
{
    char text[80];
    if (count >= p->config->redis_wait_replicas) {
        publisher_waited(p, PUBLISH_OK);
        return;
    }
    snprintf(text, sizeof(text), "%" PRIu64 " of %u replicas hold the events in time", count,
             p->config->redis_wait_replicas);
    log_failure(p, str_of(text));
    publisher_waited(p, PUBLISH_REPLICAS_BEHIND);
}

/* Redis may have become a replica: a new connection tells. An ACL without +wait is not cured by one. */
static void on_error(struct pubsub *p, struct str text)
{
    log_failure(p, text);
    publisher_waited(p, PUBLISH_OUTCOME_UNKNOWN);
    if (script_error_of(text) != SCRIPT_ERROR_NOPERM)
        link_restart(&p->wait.link, "WAIT failed");
}

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    p->wait.in_flight = false;
    if (reply == NULL)
        publisher_waited(p, PUBLISH_AWAY);
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0)
        on_count(p, (uint64_t)reply->integer);
    else
        on_error(p, redis_reply_str(reply));
}

/* Since Redis 7.2 WAIT asks for the connection's last *write* only: a repeated publish writes nothing, so on another
 * connection than the first one's it would be content with anything. A PUBLISH nobody hears is replicated, and so
 * counts as a write, but takes no memory and is refused in no state that lets the script pass. */
static void send_mark(struct pubsub *p)
{
    struct buf channel = {0};
    buf_printf(&channel, "%snode:%s:wait", p->config->redis_prefix, p->node_id);
    redis_conn_command(p->wait.link.conn, NULL, NULL, 3, (const char *[]){"PUBLISH", channel.p, ""},
                       (size_t[]){7, channel.n, 0});
    buf_free(&channel);
}

void wait_send(struct pubsub *p)
{
    char count[12], timeout[24];
    int count_len = snprintf(count, sizeof(count), "%u", p->config->redis_wait_replicas);
    /* An event may wait for the round before its own: both together, with their round trips, in 2 x REDIS_TIMEOUT. */
    int timeout_len = snprintf(timeout, sizeof(timeout), "%" PRIu64, p->config->redis_timeout_ms * 3 / 4);
    send_mark(p);
    p->wait.in_flight = true;
    redis_conn_command(p->wait.link.conn, on_reply, p, 3, (const char *[]){"WAIT", count, timeout},
                       (size_t[]){4, (size_t)count_len, (size_t)timeout_len});
}

bool wait_in_flight(const struct pubsub *p)
{
    return p->wait.in_flight;
}

/* --- how many replicas there are ------------------------------------------------------------------------------------
 */

static void on_info(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct redis_info *info = &p->wait.link.info;
    p->wait.asking = false;
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        return;
    redis_info_read(info, redis_reply_str(reply));
    if (!info->master)
        pubsub_leave(p, "Redis has become a replica");
}

void wait_tick(struct pubsub *p, uint64_t now_ms)
{
    if (p->wait.asking || now_ms < p->wait.ask_at_ms || !p->commands.up || !p->wait.link.up)
        return;
    p->wait.asking = true;
    p->wait.ask_at_ms = now_ms + ASK_MS;
    redis_conn_command(p->commands.conn, on_info, p, 2, (const char *[]){"INFO", "replication"}, (size_t[]){4, 11});
}

bool wait_is_hopeless(const struct pubsub *p)
{
    return p->publishes != &p->commands && p->wait.link.up &&
           p->wait.link.info.replicas < p->config->redis_wait_replicas;
}
