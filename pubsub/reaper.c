/* A node whose lease has ended is cleaned up after by the worker whose canary was pointed at it: its connections go
 * away, some hundred a step. Whatever breaks that off, the next canary after REAP_RESERVED_MS points at it again. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/script_reply.h"
#include <stdio.h>

/* Well below a lease: within it the node cannot have come back, registered itself again and died again. */
#define STEP_MAX_MS 20000

void reaper_begin(struct pubsub *p, const char node[RANDOM_ID_LEN])
{
    struct reap_state *r = &p->identity.reap;
    if (r->node[0] != '\0' || memcmp(node, p->node_id, RANDOM_ID_LEN) == 0)
        return;
    *r = (struct reap_state){.due = true, .cursor = "0"};
    memcpy(r->node, node, RANDOM_ID_LEN);
}

static void end(struct pubsub *p)
{
    struct reap_state *r = &p->identity.reap;
    log_event(LOG_LEVEL_INFO, "node_reaped", LOG_U("worker", p->worker), LOG_Z("node", r->node),
              LOG_U("connections", r->moved));
    *r = (struct reap_state){0};
    canary_want(p); /* it tells of the next one */
}

static void go_on(struct pubsub *p, const struct script_reap_reply *reply)
{
    struct reap_state *r = &p->identity.reap;
    r->moved += reply->moved;
    lifecycle_await(p);
    snprintf(r->cursor, sizeof(r->cursor), "%.*s", (int)reply->cursor.n, reply->cursor.p);
    if (strcmp(r->cursor, "0") == 0) {
        end(p);
        return;
    }
    if (clock_monotonic_ms() > r->asked_ms + STEP_MAX_MS)
        strcpy(r->cursor, "0");
    r->due = true;
}

static void on_reply(void *data, redisReply *reply)
{
    struct pubsub *p = data;
    struct reap_state *r = &p->identity.reap;
    struct script_reap_reply step;
    r->in_flight = false;
    if (reply == NULL)
        return; /* reaper_link_down has given it up */
    if (redis_reply_is_error(reply) && script_error_of(redis_reply_str(reply)) == SCRIPT_ERROR_NOSCRIPT) {
        r->by_text = r->due = true;
    } else if (script_reap_parse(reply, &step) != 0) {
        log_event(LOG_LEVEL_ERROR, "reap_failed", LOG_U("worker", p->worker), LOG_S("reply", redis_reply_str(reply)));
        r->node[0] = '\0';
    } else {
        go_on(p, &step);
    }
}

void reaper_turn(struct pubsub *p)
{
    struct reap_state *r = &p->identity.reap;
    struct script_settings settings = pubsub_script_settings(p->config);
    struct script_call call = {0};
    if (r->node[0] == '\0' || !r->due || r->in_flight || !p->commands.up)
        return;
    script_reap_build(&call, &settings, &(struct script_reap){.node = str_of(r->node), .cursor = str_of(r->cursor)});
    if (r->by_text)
        script_call_by_text(&call);
    r->by_text = r->due = false;
    r->in_flight = true;
    r->asked_ms = clock_monotonic_ms();
    redis_conn_command(p->commands.conn, on_reply, p, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}

void reaper_link_down(struct pubsub *p)
{
    p->identity.reap.node[0] = '\0';
}
