/* Ends connections for good: a script orders it on the channels of the nodes that hold them, some hundred a step. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/presence_call.h"
#include "pubsub/script_reply.h"
#include <stdlib.h>

/* Of one user: others may connect as fast as these are ended. */
#define STEPS_MAX 1000

struct disconnection {
    struct ask ask;
    disconnect_cb cb;
    void *data;
    bool of_user, by_text;
    unsigned steps;
    uint64_t ordered;
    size_t id_len, reason_len;
    char bytes[]; /* the id, then the reason */
};

static void end(struct disconnection *d, bool known)
{
    d->cb(d->data, known, d->ordered);
    free(d);
}

static void send_step(struct ask *a)
{
    struct disconnection *d = (struct disconnection *)a;
    struct script_settings settings = pubsub_script_settings(a->p->config);
    struct script_call call = {0};
    script_disconnect_build(&call, &settings, d->of_user, (struct str){d->bytes, d->id_len},
                            (struct str){d->bytes + d->id_len, d->reason_len});
    if (d->by_text)
        script_call_by_text(&call);
    d->by_text = false;
    ask_command(a, call.argc, call.argv, call.argvlen);
    script_call_free(&call);
}

static void on_step(struct ask *a, redisReply *reply)
{
    struct disconnection *d = (struct disconnection *)a;
    struct script_disconnect_reply step;
    struct str text = redis_reply_str(reply);
    enum script_error error = redis_reply_is_error(reply) ? script_error_of(text) : SCRIPT_ERROR_OTHER;
    if (error == SCRIPT_ERROR_NOSCRIPT) {
        d->by_text = true;
        ask_again(a);
    } else if (script_disconnect_parse(reply, &step) != 0) {
        ask_log_refused(a, text);
        if (error == SCRIPT_ERROR_READONLY)
            pubsub_leave(a->p, "Redis has become a replica");
        end(d, false);
    } else {
        d->ordered += step.ordered;
        lifecycle_await(a->p);
        if (step.left == 0 || ++d->steps == STEPS_MAX)
            end(d, true);
        else
            ask_again(a);
    }
}

static void on_failure(struct ask *a)
{
    end((struct disconnection *)a, false);
}

/* Not sent twice: the second time nobody would be there any more, and the caller be told so. */
static const struct ask_callbacks callbacks = {send_step, on_step, on_failure, .once = true};

static void begin(struct pubsub *p, bool of_user, struct str id, struct str reason, disconnect_cb cb, void *data)
{
    if (reason.n == 0)
        reason = STR_LIT(DISCONNECT_REASON);
    struct disconnection *d = mem_zalloc(sizeof(*d) + id.n + reason.n);
    d->cb = cb;
    d->data = data;
    d->of_user = of_user;
    d->id_len = id.n;
    d->reason_len = reason.n;
    memcpy(d->bytes, id.p, id.n);
    memcpy(d->bytes + id.n, reason.p, reason.n);
    ask_begin(&d->ask, p, &callbacks);
}

void pubsub_disconnect(struct pubsub *p, struct str id, struct str reason, disconnect_cb cb, void *data)
{
    begin(p, false, id, reason, cb, data);
}

void pubsub_disconnect_user(struct pubsub *p, struct str user, struct str reason, disconnect_cb cb, void *data)
{
    begin(p, true, user, reason, cb, data);
}

bool disconnect_heard(struct pubsub *p, struct str payload)
{
    struct presence_order order;
    if (presence_order_parse(payload, &order) != 0)
        return false;
    struct hub_channel *c = hub_find(p->hub, HUB_CONNECTION, order.id);
    if (c != NULL)
        p->callbacks->on_disconnect(p->data, c, order.gen, order.reason);
    return true;
}
