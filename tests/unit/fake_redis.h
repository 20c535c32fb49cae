/* A Redis for unit tests, in the place of pubsub/redis_conn.c: what was sent is executed, and what it answers heard,
 * one command and one message at a time, as a test says. It knows the reads of the logs, the canary and SUBSCRIBE. */
#ifndef TESTS_FAKE_REDIS_H
#define TESTS_FAKE_REDIS_H

#include <stdio.h>
#include <stdlib.h>

#include "pubsub/internal.h"

#define FAKE_QUEUE 4096
#define FAKE_LOG 100000

struct fake_command {
    redis_reply_cb cb;
    void *data;
    int argc;
    char *argv[24];
    bool pushed;
};

struct redis_conn {
    const struct redis_conn_callbacks *callbacks;
    void *data;
    bool ready, paused, closed, busy, multi;
    struct fake_command commands[FAKE_QUEUE]; /* sent, not executed */
    size_t sent, executed;
    struct buf transaction; /* replies of a MULTI */
    size_t transaction_n;
    char *heard[FAKE_QUEUE]; /* messages that were not handed out */
    size_t told, handed_out;
    bool broadcast, node;
};

struct fake_entry {
    struct position id, prev;
    bool logged; /* still in the log */
    bool alive;  /* no failover has lost it */
};

static struct {
    struct redis_conn *conns[2]; /* commands, subscriber; NULL while there is none */
    struct history history;
    bool replid_changed, head_deleted;
    uint64_t greatest_epoch; /* as unix time makes it: above those too that were lost */
    struct history_end ends[1000];
    struct fake_entry log[FAKE_LOG];
    size_t n;
    char run_id[41];
    const char *refuse; /* an error that EXEC answers */
    size_t reads, canaries;
    struct buf last_range; /* the arguments of the last XRANGE or XREVRANGE */
} fake;

static void fake_reset(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.history = (struct history){.head = {100, 0, 0}, .ends = fake.ends};
    fake.greatest_epoch = 100;
    strcpy(fake.run_id, "one");
}

/* --- what pubsub/ calls ---------------------------------------------------------------------------------------------
 */

struct redis_conn *redis_conn_open(h2o_context_t *ctx, const struct redis_target *target, struct sentinels *sentinels,
                                   uint64_t timeout_ms, const char *client_name,
                                   const struct redis_conn_callbacks *callbacks, void *data, uint64_t now_ms)
{
    struct redis_conn *c = mem_zalloc(sizeof(*c));
    (void)ctx, (void)target, (void)timeout_ms, (void)now_ms;
    c->callbacks = callbacks;
    c->data = data;
    fake.conns[strstr(client_name, "subscriber") != NULL] = c;
    return c;
}

static void fake_command_free(struct fake_command *f)
{
    for (int i = 0; i < f->argc; i++)
        free(f->argv[i]);
}

static void fake_free(struct redis_conn *c)
{
    buf_free(&c->transaction);
    free(c);
}

void redis_conn_close(struct redis_conn *c)
{
    c->closed = true;
    for (size_t i = 0; i < 2; i++)
        if (fake.conns[i] == c)
            fake.conns[i] = NULL;
    while (c->executed != c->sent) {
        struct fake_command *f = &c->commands[c->executed++ % FAKE_QUEUE];
        if (!f->pushed && f->cb != NULL)
            f->cb(f->data, NULL);
        fake_command_free(f);
    }
    while (c->handed_out != c->told)
        free(c->heard[c->handed_out++ % FAKE_QUEUE]);
    if (!c->busy)
        fake_free(c);
}

static void fake_send(struct redis_conn *c, struct fake_command f, int argc, const char **argv, const size_t *lens)
{
    f.argc = argc;
    for (int i = 0; i < argc; i++)
        f.argv[i] = str_dup((struct str){argv[i], lens[i]});
    if (c->sent - c->executed == FAKE_QUEUE)
        abort();
    c->commands[c->sent++ % FAKE_QUEUE] = f;
}

void redis_conn_command(struct redis_conn *c, redis_reply_cb cb, void *data, int argc, const char **argv,
                        const size_t *lens)
{
    fake_send(c, (struct fake_command){.cb = cb, .data = data}, argc, argv, lens);
}

void redis_conn_push(struct redis_conn *c, int argc, const char **argv, const size_t *lens)
{
    fake_send(c, (struct fake_command){.pushed = true}, argc, argv, lens);
}

void redis_conn_flush(struct redis_conn *c)
{
    (void)c;
}

void redis_conn_pause(struct redis_conn *c)
{
    c->paused = true;
}

void redis_conn_resume(struct redis_conn *c)
{
    c->paused = false;
}

void redis_conn_tick(struct redis_conn *c, uint64_t now_ms)
{
    (void)c, (void)now_ms;
}

struct str redis_reply_str(const redisReply *r)
{
    if (r != NULL && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS || r->type == REDIS_REPLY_ERROR))
        return (struct str){r->str, (size_t)r->len};
    return STR_LIT("another reply");
}

/* --- what Redis does ------------------------------------------------------------------------------------------------
 */

static redisReply *fake_reply_of(struct str wire)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    if (redisReaderFeed(reader, wire.p, wire.n) != REDIS_OK || redisReaderGetReply(reader, &reply) != REDIS_OK ||
        reply == NULL)
        abort();
    redisReaderFree(reader);
    return reply;
}

static void fake_bulk(struct buf *out, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_printf(out, "$%d\r\n%s\r\n", n, text);
}

#define FAKE_ID "%llu-%llu"
#define FAKE_PARTS(p) (unsigned long long)(p).epoch, (unsigned long long)(p).seq

static void fake_tell(const char *channel, const char *kind, const char *payload)
{
    struct redis_conn *c = fake.conns[1];
    struct buf wire = {0};
    buf_lit(&wire, "*3\r\n");
    fake_bulk(&wire, "%s", kind);
    fake_bulk(&wire, "%s", channel);
    fake_bulk(&wire, "%s", payload);
    if (c->told - c->handed_out == FAKE_QUEUE)
        abort();
    c->heard[c->told++ % FAKE_QUEUE] = str_dup(buf_str(&wire));
    buf_free(&wire);
}

/* As the scripts do where they must. */
static void fake_open_epoch(void)
{
    struct history *h = &fake.history;
    if (!fake.replid_changed && !fake.head_deleted)
        return;
    if (fake.head_deleted) {
        h->head.seq++;
        h->floor = h->head.seq;
        h->last = (struct position){0};
        for (size_t i = 0; i < fake.n; i++)
            if (fake.log[i].logged)
                h->last = fake.log[i].id;
    } else {
        fake.ends[h->n++] = (struct history_end){h->head.epoch, h->head.seq};
    }
    h->head.epoch = ++fake.greatest_epoch;
    fake.replid_changed = fake.head_deleted = false;
}

static void fake_payload(char *out, size_t n, struct position id)
{
    snprintf(out, n,
             " {\"type\":\"a.b\",\"event_id\":\"" FAKE_ID "\",\"timestamp\":\"2025-11-08T22:00:00.123Z\",\"data\":{}}",
             FAKE_PARTS(id));
}

/* A broadcast, kept or not. */
static struct position fake_broadcast(bool kept)
{
    struct history *h = &fake.history;
    char payload[200];
    fake_open_epoch();
    h->head.seq++;
    if (kept) {
        fake.log[fake.n++] = (struct fake_entry){h->head, h->last, true, true};
        h->last = h->head;
    }
    fake_payload(payload, sizeof(payload), h->head);
    if (fake.conns[1] != NULL && fake.conns[1]->broadcast)
        fake_tell("ws:broadcast", "message", payload);
    return h->head;
}

/* A failover: what came after `seq` is lost, the beginning of an epoch too. */
static void fake_lose_after(uint64_t seq)
{
    struct history *h = &fake.history;
    h->last = (struct position){0};
    for (size_t i = 0; i < fake.n; i++) {
        if (fake.log[i].id.seq > seq)
            fake.log[i].logged = fake.log[i].alive = false;
        else if (fake.log[i].alive)
            h->last = fake.log[i].id;
    }
    h->head.seq = seq;
    while (h->n != 0 && fake.ends[h->n - 1].seq > seq)
        h->head.epoch = fake.ends[--h->n].epoch;
    fake.replid_changed = true;
}

static void fake_canary(struct redis_conn *c, const struct fake_command *f, struct buf *out)
{
    char message[100];
    (void)c;
    fake_open_epoch();
    fake.canaries++;
    buf_printf(out, "*6\r\n:%llu\r\n:%llu\r\n:%llu\r\n$3\r\n0-0\r\n:1\r\n$0\r\n\r\n", FAKE_PARTS(fake.history.head),
               (unsigned long long)fake.history.floor);
    snprintf(message, sizeof(message), "canary " FAKE_ID " %s", FAKE_PARTS(fake.history.head), f->argv[14]);
    if (fake.conns[1] != NULL && fake.conns[1]->node)
        fake_tell(f->argv[8], "message", message);
}

static bool fake_bound(const char *text, struct position *out)
{
    unsigned long long epoch, seq;
    if (sscanf(text, "(%llu-%llu", &epoch, &seq) != 2)
        return false;
    *out = (struct position){epoch, seq, 0};
    return true;
}

static void fake_range(const struct fake_command *f, struct buf *out)
{
    bool back = strcmp(f->argv[0], "XREVRANGE") == 0;
    struct position low = {0}, high = {UINT64_MAX, UINT64_MAX, 0};
    struct buf entries = {0};
    unsigned count = (unsigned)atoi(f->argv[5]), n = 0;
    fake_bound(f->argv[back ? 3 : 2], &low);
    fake_bound(f->argv[back ? 2 : 3], &high);
    if (strcmp(f->argv[1], "ws:log:broadcast") != 0)
        count = 0;
    for (size_t i = 0; i < fake.n && n < count; i++) {
        const struct fake_entry *e = &fake.log[back ? fake.n - 1 - i : i];
        char payload[200];
        if (!e->logged || position_cmp(e->id, low) <= 0 || position_cmp(e->id, high) >= 0)
            continue;
        n++;
        fake_payload(payload, sizeof(payload), e->id);
        buf_lit(&entries, "*2\r\n");
        fake_bulk(&entries, FAKE_ID, FAKE_PARTS(e->id));
        buf_lit(&entries, "*4\r\n$7\r\npayload\r\n");
        fake_bulk(&entries, "%s", payload);
        buf_lit(&entries, "$4\r\nprev\r\n");
        fake_bulk(&entries, FAKE_ID, FAKE_PARTS(e->prev));
    }
    buf_printf(out, "*%u\r\n", n);
    buf_append(out, buf_str(&entries));
    buf_free(&entries);
    fake.last_range.n = 0;
    for (int i = 0; i < f->argc; i++)
        buf_printf(&fake.last_range, "%s%s", i != 0 ? " " : "", f->argv[i]);
    buf_append_char(&fake.last_range, 0);
}

static void fake_execute(struct redis_conn *c, const struct fake_command *f, struct buf *out)
{
    const struct history *h = &fake.history;
    if (strcmp(f->argv[0], "HMGET") == 0 && fake.head_deleted) {
        buf_lit(out, "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
    } else if (strcmp(f->argv[0], "HMGET") == 0) {
        buf_lit(out, "*4\r\n");
        fake_bulk(out, "%llu", (unsigned long long)h->head.epoch);
        fake_bulk(out, "%llu", (unsigned long long)h->head.seq);
        fake_bulk(out, "%llu", (unsigned long long)h->floor);
        fake_bulk(out, FAKE_ID, FAKE_PARTS(h->last));
    } else if (strcmp(f->argv[0], "HGETALL") == 0) {
        buf_printf(out, "*%zu\r\n", 2 * h->n);
        for (size_t i = 0; i < h->n; i++) {
            fake_bulk(out, "%llu", (unsigned long long)h->ends[i].epoch);
            fake_bulk(out, "%llu", (unsigned long long)h->ends[i].seq);
        }
    } else if (f->argv[0][0] == 'X') {
        fake_range(f, out);
    } else if (strncmp(f->argv[0], "EVAL", 4) == 0) {
        fake_canary(c, f, out);
    } else {
        buf_lit(out, "+OK\r\n");
    }
}

static void fake_subscribe(struct redis_conn *c, const char *channel)
{
    c->broadcast = c->broadcast || strcmp(channel, "ws:broadcast") == 0;
    c->node = c->node || strncmp(channel, "ws:node:", 8) == 0;
    fake_tell(channel, "subscribe", "1");
}

static void fake_run(struct redis_conn *c, struct fake_command *f, struct buf *wire)
{
    if (strcmp(f->argv[0], "SUBSCRIBE") == 0) {
        fake_subscribe(c, f->argv[1]);
    } else if (strcmp(f->argv[0], "MULTI") == 0) {
        c->multi = true;
        c->transaction.n = c->transaction_n = 0;
        buf_lit(wire, "+OK\r\n");
    } else if (strcmp(f->argv[0], "EXEC") == 0) {
        c->multi = false;
        fake.reads++;
        if (fake.refuse != NULL)
            buf_printf(wire, "-%s\r\n", fake.refuse);
        else
            buf_printf(wire, "*%zu\r\n", c->transaction_n);
        if (fake.refuse == NULL)
            buf_append(wire, buf_str(&c->transaction));
    } else if (c->multi) {
        buf_lit(wire, "+QUEUED\r\n");
    } else {
        fake_execute(c, f, wire);
    }
}

/* MULTI ... EXEC is one step, as all of it happens at one moment. False if nothing was sent. */
static bool fake_step(struct redis_conn *c)
{
    if (c == NULL || !c->ready || c->executed == c->sent)
        return false;
    c->busy = true;
    do {
        struct fake_command f = c->commands[c->executed++ % FAKE_QUEUE];
        struct buf wire = {0};
        fake_run(c, &f, &wire);
        if (c->multi && strcmp(f.argv[0], "MULTI") != 0) {
            fake_execute(c, &f, &c->transaction);
            c->transaction_n++;
        }
        if (!f.pushed && f.cb != NULL) {
            redisReply *reply = fake_reply_of(buf_str(&wire));
            f.cb(f.data, reply);
            freeReplyObject(reply);
        }
        buf_free(&wire);
        fake_command_free(&f);
    } while (!c->closed && c->multi && c->executed != c->sent);
    c->busy = false;
    if (c->closed)
        fake_free(c);
    return true;
}

/* Hands one message out. False if there is none, or the connection is paused. */
static bool fake_hear(void)
{
    struct redis_conn *c = fake.conns[1];
    if (c == NULL || c->paused || c->handed_out == c->told)
        return false;
    char *text = c->heard[c->handed_out++ % FAKE_QUEUE];
    redisReply *reply = fake_reply_of(str_of(text));
    c->busy = true;
    c->callbacks->on_message(c->data, reply);
    c->busy = false;
    if (c->closed)
        fake_free(c);
    freeReplyObject(reply);
    free(text);
    return true;
}

/* The link connects, if it is not connected. */
static bool fake_connect(struct link *l)
{
    if (l->conn == NULL)
        link_tick(l, UINT64_MAX);
    if (l->conn == NULL || l->conn->ready)
        return false;
    struct redis_info info = {.version = 70015, .master = true};
    strcpy(info.run_id, fake.run_id);
    l->conn->ready = true;
    l->conn->callbacks->on_ready(l->conn->data, &info);
    return true;
}

#endif
