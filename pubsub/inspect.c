/* How one connection is at this moment: its entry is read in Redis, then its worker is asked on the channel of its
 * node, and answers on that of the asker.
 *
 *      read the entry --here--> asked: waits for the answer --gone--> read again, at most TRIES_MAX times
 *            |                          |
 *            |                          `--answer: INSPECT_OK; none in time: INSPECT_SILENT
 *            `--away: INSPECT_OK; nothing: INSPECT_UNKNOWN */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/presence_call.h"
#include "pubsub/script_reply.h"
#include <stdlib.h>

/* A connection may move on to another worker while it is asked for. */
#define TRIES_MAX 3

struct inspection {
    struct ask ask;
    struct inspection *next; /* among those that wait for an answer */
    inspect_cb cb;
    void *data;
    struct arena arena;
    struct presence_entry entry;
    char nonce[RANDOM_ID_LEN];
    uint64_t due_ms; /* when the answer has to be here; 0: not asked yet */
    unsigned tries;
    size_t id_len;
    char id[];
};

static void end(struct inspection *i, enum inspect_status status, const struct presence_now *now)
{
    i->cb(i->data, status, now != NULL ? &i->entry : NULL, now);
    arena_free(&i->arena);
    free(i);
}

static struct str id_of(const struct inspection *i)
{
    return (struct str){i->id, i->id_len};
}

/* --- those that wait for an answer ----------------------------------------------------------------------------------
 */

static void answer_unlink(struct inspection **at)
{
    *at = (*at)->next;
}

static struct inspection **find_asked(struct pubsub *p, const struct presence_answer *a)
{
    struct inspection **at = &p->asked_first;
    while (*at != NULL && (!str_eq((struct str){(*at)->nonce, RANDOM_ID_LEN}, a->nonce) || !str_eq(id_of(*at), a->id)))
        at = &(*at)->next;
    return at;
}

static void publish(struct pubsub *p, struct str node, struct str text)
{
    struct buf channel = ask_key(p, "node:", node, "");
    redis_conn_command(p->commands.conn, NULL, NULL, 3, (const char *[]){"PUBLISH", channel.p, text.p},
                       (size_t[]){7, channel.n, text.n});
    buf_free(&channel);
}

static void ask_node(struct inspection *i)
{
    struct pubsub *p = i->ask.p;
    struct buf text = {0};
    if (i->due_ms == 0)
        i->due_ms = clock_monotonic_ms() + INSPECT_TIMEOUT_MS;
    random_id(i->nonce);
    presence_question_format(
        &text,
        &(struct presence_question){.nonce = {i->nonce, RANDOM_ID_LEN}, .node = str_of(p->node_id), .id = id_of(i)});
    publish(p, i->entry.node, buf_str(&text));
    buf_free(&text);
    i->next = p->asked_first;
    p->asked_first = i;
}

static void on_answer(struct pubsub *p, const struct presence_answer *a)
{
    struct inspection **at = find_asked(p, a), *i = *at;
    if (i == NULL)
        return; /* too late */
    answer_unlink(at);
    if (!a->gone)
        end(i, INSPECT_OK, &a->now);
    else if (++i->tries < TRIES_MAX)
        ask_again(&i->ask);
    else
        end(i, INSPECT_UNKNOWN, NULL);
}

void inspect_tick(struct pubsub *p, uint64_t now_ms)
{
    struct inspection **at = &p->asked_first, *i;
    while ((i = *at) != NULL) {
        if (now_ms < i->due_ms) {
            at = &i->next;
            continue;
        }
        answer_unlink(at);
        end(i, INSPECT_SILENT, NULL);
    }
}

void inspect_dispose(struct pubsub *p)
{
    inspect_tick(p, UINT64_MAX);
}

/* --- the entry ------------------------------------------------------------------------------------------------------
 */

static void send_read(struct ask *a)
{
    struct inspection *i = (struct inspection *)a;
    struct buf conns = ask_key(a->p, "conns", STR_NONE, ""), away = ask_key(a->p, "away:", id_of(i), "");
    struct redis_conn *conn = a->p->commands.conn;
    redis_conn_command(conn, NULL, NULL, 1, (const char *[]){"MULTI"}, (size_t[]){5});
    redis_conn_command(conn, NULL, NULL, 3, (const char *[]){"HGET", conns.p, i->id},
                       (size_t[]){4, conns.n, i->id_len});
    redis_conn_command(conn, NULL, NULL, 2, (const char *[]){"GET", away.p}, (size_t[]){3, away.n});
    ask_command(a, 1, (const char *[]){"EXEC"}, (size_t[]){4});
    buf_free(&conns);
    buf_free(&away);
}

static bool read_entry(struct inspection *i, const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING &&
           presence_entry_parse(&i->arena, id_of(i), (struct str){r->str, r->len}, &i->entry) == 0;
}

static void on_read(struct ask *a, redisReply *reply)
{
    struct inspection *i = (struct inspection *)a;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        ask_log_refused(a, redis_reply_str(reply));
        end(i, INSPECT_AWAY, NULL);
    } else if (read_entry(i, reply->element[0])) {
        ask_node(i);
    } else if (read_entry(i, reply->element[1])) {
        end(i, INSPECT_OK, &(struct presence_now){.state = PRESENCE_AWAY});
    } else {
        end(i, INSPECT_UNKNOWN, NULL);
    }
}

static void on_failure(struct ask *a)
{
    struct inspection *i = (struct inspection *)a;
    end(i, i->due_ms != 0 ? INSPECT_SILENT : INSPECT_AWAY, NULL);
}

static const struct ask_callbacks callbacks = {send_read, on_read, on_failure, .once = false};

void pubsub_inspect(struct pubsub *p, struct str id, inspect_cb cb, void *data)
{
    struct inspection *i = mem_zalloc(sizeof(*i) + id.n);
    i->cb = cb;
    i->data = data;
    i->id_len = id.n;
    memcpy(i->id, id.p, id.n);
    ask_begin(&i->ask, p, &callbacks);
}

/* --- on the node's channel ------------------------------------------------------------------------------------------
 */

static void on_question(struct pubsub *p, const struct presence_question *q)
{
    struct presence_answer answer = {.nonce = q->nonce, .id = q->id, .gone = true};
    struct hub_channel *c = hub_find(p->hub, HUB_CONNECTION, q->id);
    struct buf text = {0};
    if (!p->commands.up)
        return; /* the asker has given up by the time it could be answered */
    if (c != NULL)
        answer.gone = !p->callbacks->on_question(p->data, c, &answer.now);
    presence_answer_format(&text, &answer);
    publish(p, q->node, buf_str(&text));
    buf_free(&text);
}

bool inspect_heard(struct pubsub *p, struct str payload)
{
    struct presence_question question;
    struct presence_answer answer;
    if (presence_question_parse(payload, &question) == 0)
        on_question(p, &question);
    else if (presence_answer_parse(payload, &answer) == 0)
        on_answer(p, &answer);
    else
        return false;
    return true;
}
