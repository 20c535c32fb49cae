/* What is asked of Redis on behalf of a caller who waits: one step after the other, all within one limit of time.
 *
 *      waits --send--> under way --reply--> on_reply: another step (ask_again), or the end
 *        ^                |
 *        `----------------'   the link is lost: sent again, or on_failure where that may do what was done already */
#include "pubsub/internal.h"
#include "core/clock.h"

static void line_add(struct ask *a)
{
    struct ask_line *line = &a->p->asks;
    a->next = NULL;
    *(line->last != NULL ? &line->last->next : &line->first) = a;
    line->last = a;
}

void ask_begin(struct ask *a, struct pubsub *p, const struct ask_callbacks *callbacks)
{
    *a =
        (struct ask){.p = p, .callbacks = callbacks, .deadline_ms = clock_monotonic_ms() + p->config->redis_timeout_ms};
    line_add(a);
}

void ask_again(struct ask *a)
{
    line_add(a);
}

static void on_reply(void *data, redisReply *reply)
{
    struct ask *a = data;
    if (reply != NULL)
        a->callbacks->on_reply(a, reply);
    else if (a->callbacks->once)
        a->callbacks->on_failure(a);
    else
        line_add(a);
}

void ask_command(struct ask *a, int argc, const char **argv, const size_t *lens)
{
    redis_conn_command(a->p->commands.conn, on_reply, a, argc, argv, lens);
}

/* Who is asked for in a callback waits for the next turn. */
void ask_turn(struct pubsub *p, uint64_t now_ms)
{
    struct ask_line line = p->asks;
    struct ask *next;
    p->asks = (struct ask_line){0};
    for (struct ask *a = line.first; a != NULL; a = next) {
        next = a->next;
        if (p->closed || now_ms >= a->deadline_ms)
            a->callbacks->on_failure(a);
        else if (p->commands.up)
            a->callbacks->send(a);
        else
            line_add(a);
    }
}

void ask_dispose(struct pubsub *p)
{
    while (p->asks.first != NULL)
        ask_turn(p, UINT64_MAX);
}

void ask_log_refused(struct ask *a, struct str reply)
{
    uint64_t suppressed;
    if (log_limit_pass(&a->p->ask_log, clock_monotonic_ms(), &suppressed))
        log_event(LOG_LEVEL_ERROR, "presence_failed", LOG_U("worker", a->p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
}

struct buf ask_key(const struct pubsub *p, const char *kind, struct str id, const char *end)
{
    struct buf key = {0};
    buf_append(&key, str_of(p->config->redis_prefix));
    buf_append(&key, str_of(kind));
    buf_append(&key, id);
    buf_append(&key, str_of(end));
    return key;
}
