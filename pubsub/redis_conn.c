/* One connection to Redis over an h2o socket. */
#include "pubsub/redis_conn.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/dial.h"
#include "pubsub/redis_tls.h"
#include <stdio.h>
#include <stdlib.h>

/* hiredis moves what is unread at each feed: small feeds keep that linear. */
#define FEED_BYTES 16384
/* One reply may not take more than this while it is incomplete. */
#define UNPARSED_MAX (64 * 1024 * 1024)
/* Longer than the canary's period: a healthy connection is never asked PING. */
#define IDLE_MS 15000

enum conn_state { CONN_ASKING, CONN_DIALLING, CONN_TLS, CONN_GREETING, CONN_READY };

struct pending_reply {
    redis_reply_cb cb; /* NULL: nobody looks at it */
    void *data;
    uint64_t sent_ms;
};

struct redis_conn {
    h2o_context_t *ctx;
    const struct redis_target *target;
    struct sentinels *sentinels; /* NULL: the target itself says where */
    uint64_t timeout_ms;
    const struct redis_conn_callbacks *callbacks;
    void *data;
    char client_name[64];

    enum conn_state state;
    uint64_t state_since_ms, heard_ms;
    bool subscriber; /* has pushed something: PING is answered through on_message */
    bool ping_out;   /* a subscriber's PING waits for its pong */
    bool in_callback, closed;
    bool paused;
    struct sentinel_query *query; /* CONN_ASKING */
    struct dial *dial;            /* CONN_DIALLING */
    h2o_socket_t *sock;
    struct redis_tls *tls; /* NULL: none */
    redisReader *reader;
    struct buf out, writing;
    bool write_active;
    struct pending_reply *pending; /* ring */
    size_t pending_cap, pending_first, pending_count;
    struct redis_info info;
    unsigned greetings_due;
    char failure_text[400];
};

/* Without the arguments that Redis repeats of a command that it does not know (rename-command), such as a password. */
static struct str error_text(const redisReply *r)
{
    static const char arguments[] = ", with args beginning with";
    const char *cut = memmem(r->str, (size_t)r->len, arguments, sizeof(arguments) - 1);
    return (struct str){r->str, cut != NULL ? (size_t)(cut - r->str) : (size_t)r->len};
}

struct str redis_reply_str(const redisReply *r)
{
    if (r == NULL)
        return STR_LIT("no reply");
    if (r->type == REDIS_REPLY_ERROR)
        return error_text(r);
    if (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS)
        return (struct str){r->str, (size_t)r->len};
    return STR_LIT("a reply of another type");
}

/* --- pending replies ------------------------------------------------------------------------------------------------
 */

static void pending_push(struct redis_conn *c, redis_reply_cb cb, void *data)
{
    if (c->pending_count == c->pending_cap) {
        size_t cap = c->pending_cap == 0 ? 16 : c->pending_cap * 2;
        struct pending_reply *ring = mem_alloc(cap * sizeof(*ring));
        for (size_t i = 0; i < c->pending_count; ++i)
            ring[i] = c->pending[(c->pending_first + i) % c->pending_cap];
        free(c->pending);
        c->pending = ring;
        c->pending_cap = cap;
        c->pending_first = 0;
    }
    c->pending[(c->pending_first + c->pending_count++) % c->pending_cap] =
        (struct pending_reply){cb, data, clock_monotonic_ms()};
}

static struct pending_reply pending_pop(struct redis_conn *c)
{
    struct pending_reply p = c->pending[c->pending_first];
    c->pending_first = (c->pending_first + 1) % c->pending_cap;
    --c->pending_count;
    return p;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static void conn_free(struct redis_conn *c)
{
    redisReaderFree(c->reader);
    if (c->tls != NULL)
        redis_tls_close(c->tls);
    buf_free(&c->out);
    buf_free(&c->writing);
    free(c->pending);
    free(c);
}

static void conn_dispose(struct redis_conn *c)
{
    c->closed = true;
    if (c->query != NULL)
        sentinel_drop(c->query);
    if (c->dial != NULL)
        dial_drop(c->dial);
    c->query = NULL;
    c->dial = NULL;
    if (c->sock != NULL)
        h2o_socket_close(c->sock);
    c->sock = NULL;
    while (c->pending_count != 0) {
        struct pending_reply p = pending_pop(c);
        if (p.cb != NULL)
            p.cb(p.data, NULL);
    }
    if (!c->in_callback)
        conn_free(c);
}

void redis_conn_close(struct redis_conn *c)
{
    if (!c->closed)
        conn_dispose(c);
}

/* The connection is lost: tells its owner first, so that those who wait for replies find it gone already. */
static void conn_lost(struct redis_conn *c, const char *reason, bool unfit)
{
    if (c->closed)
        return;
    bool nested = c->in_callback;
    c->in_callback = true;
    c->closed = true;
    if (c->sentinels != NULL && c->state != CONN_READY && c->state != CONN_ASKING)
        sentinels_distrust(c->sentinels); /* it may be behind the times; the next one shall be asked */
    c->callbacks->on_closed(c->data, reason, unfit);
    c->in_callback = nested;
    conn_dispose(c);
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static void dispatch(struct redis_conn *c, redisReply *reply)
{
    if (c->pending_count == 0) {
        c->ping_out = false;
        if (c->subscriber)
            c->callbacks->on_message(c->data, reply);
        return;
    }
    struct pending_reply p = pending_pop(c);
    metric_observe_us(METRIC_REDIS_SECONDS, (c->heard_ms > p.sent_ms ? c->heard_ms - p.sent_ms : 0) * 1000);
    if (p.cb != NULL)
        p.cb(p.data, reply);
}

/* Hands out the replies that are complete. False when the connection has to go. */
static bool hand_out(struct redis_conn *c)
{
    while (!c->closed && !c->paused) {
        void *reply = NULL;
        if (redisReaderGetReply(c->reader, &reply) != REDIS_OK)
            return false;
        if (reply == NULL)
            return c->reader->len - c->reader->pos <= UNPARSED_MAX;
        dispatch(c, reply);
        freeReplyObject(reply);
    }
    return true;
}

static bool feed(struct redis_conn *c, const char *p, size_t n)
{
    return redisReaderFeed(c->reader, p, n) == REDIS_OK && hand_out(c);
}

static bool proceed_handshake(struct redis_conn *c);

/* Goes on with the handshake, or feeds what is decrypted already. False as above, or if TLS has failed. */
static bool feed_decrypted(struct redis_conn *c)
{
    char plain[FEED_BYTES];
    int got = 0;
    if (c->state == CONN_TLS && (!proceed_handshake(c) || c->state == CONN_TLS))
        return redis_tls_failure(c->tls)[0] == '\0';
    while (!c->closed && !c->paused && (got = redis_tls_read(c->tls, plain, sizeof(plain))) > 0)
        if (!feed(c, plain, (size_t)got))
            return false;
    return got >= 0;
}

static bool feed_slice(struct redis_conn *c, const char *p, size_t n)
{
    if (c->tls == NULL)
        return feed(c, p, n);
    redis_tls_input(c->tls, (struct str){p, n});
    return feed_decrypted(c);
}

static void lose_for_input(struct redis_conn *c)
{
    if (c->tls != NULL && redis_tls_failure(c->tls)[0] != '\0') {
        conn_lost(c, redis_tls_failure(c->tls), false);
        return;
    }
    snprintf(c->failure_text, sizeof(c->failure_text), "Redis sent what is not its protocol: %s", c->reader->errstr);
    conn_lost(c, c->failure_text, false);
}

/* The replies that a pause has left in the reader and in TLS, then the socket's input, in slices. The connection may be
 * gone afterwards. */
static void take_input(struct redis_conn *c)
{
    size_t fed = 0;
    c->in_callback = true;
    bool good = hand_out(c) && (c->tls == NULL || feed_decrypted(c));
    while (good && !c->closed && !c->paused && fed < c->sock->input->size) {
        size_t left = c->sock->input->size - fed, n = left < FEED_BYTES ? left : FEED_BYTES;
        good = feed_slice(c, c->sock->input->bytes + fed, n);
        fed += n;
    }
    c->in_callback = false;
    if (c->closed) {
        conn_free(c);
        return;
    }
    h2o_buffer_consume(&c->sock->input, fed);
    if (!good)
        lose_for_input(c);
    else if (c->tls != NULL)
        redis_conn_flush(c); /* the handshake's messages, and what TLS answers by itself */
}

/* What came before the end may say why: an alert, where Redis wants a certificate. */
static void on_read_error(struct redis_conn *c)
{
    char unread[256];
    if (c->tls != NULL) {
        redis_tls_input(c->tls, (struct str){c->sock->input->bytes, c->sock->input->size});
        while (redis_tls_read(c->tls, unread, sizeof(unread)) > 0)
            ;
    }
    bool told = c->tls != NULL && redis_tls_failure(c->tls)[0] != '\0';
    conn_lost(c, told ? redis_tls_failure(c->tls) : "Redis closed the connection", false);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct redis_conn *c = sock->data;
    if (err != NULL) {
        on_read_error(c);
        return;
    }
    c->heard_ms = clock_monotonic_ms();
    take_input(c);
}

void redis_conn_pause(struct redis_conn *c)
{
    c->paused = true;
    h2o_socket_read_stop(c->sock);
}

void redis_conn_resume(struct redis_conn *c)
{
    if (c->closed || !c->paused)
        return;
    c->paused = false;
    c->heard_ms = clock_monotonic_ms();
    h2o_socket_read_start(c->sock, on_read);
    if (!c->in_callback)
        take_input(c);
}

/* --- writing --------------------------------------------------------------------------------------------------------
 */

static void on_written(h2o_socket_t *sock, const char *err)
{
    struct redis_conn *c = sock->data;
    c->write_active = false;
    c->writing.n = 0;
    if (err != NULL)
        conn_lost(c, "writing to Redis failed", false);
    else
        redis_conn_flush(c);
}

/* Moves what is to be sent into c->writing. */
static bool fill_writing(struct redis_conn *c)
{
    bool may_speak = c->state == CONN_GREETING || c->state == CONN_READY;
    if (c->tls != NULL && (!may_speak || c->out.n == 0)) {
        redis_tls_output(c->tls, &c->writing);
    } else if (c->tls != NULL) {
        if (redis_tls_write(c->tls, buf_str(&c->out), &c->writing) != 0)
            return false;
        c->out.n = 0;
    } else if (may_speak) {
        struct buf swap = c->writing;
        c->writing = c->out;
        c->out = swap;
    }
    return c->writing.n != 0;
}

void redis_conn_flush(struct redis_conn *c)
{
    if (c->closed || c->write_active || c->sock == NULL || !fill_writing(c))
        return; /* where TLS has failed, reading tells */
    c->write_active = true;
    h2o_iovec_t iov = {c->writing.p, c->writing.n};
    h2o_socket_write(c->sock, &iov, 1, on_written);
}

static void append_command(struct redis_conn *c, int argc, const char **argv, const size_t *lens)
{
    char *text;
    metric_add(METRIC_REDIS_COMMANDS_TOTAL, 1);
    int n = redisFormatCommandArgv(&text, argc, argv, lens);
    if (n < 0)
        abort(); /* only when memory is out */
    buf_append(&c->out, (struct str){text, (size_t)n});
    redisFreeCommand(text);
}

void redis_conn_command(struct redis_conn *c, redis_reply_cb cb, void *data, int argc, const char **argv,
                        const size_t *lens)
{
    append_command(c, argc, argv, lens);
    pending_push(c, cb, data);
}

void redis_conn_push(struct redis_conn *c, int argc, const char **argv, const size_t *lens)
{
    c->subscriber = true;
    append_command(c, argc, argv, lens);
}

/* --- greeting -------------------------------------------------------------------------------------------------------
 */

static void greeting_done(struct redis_conn *c)
{
    const char *reason;
    enum redis_fitness fit = redis_info_judge(&c->info, &reason);
    if (fit != REDIS_FIT) {
        conn_lost(c, reason, fit == REDIS_UNFIT);
        return;
    }
    c->state = CONN_READY;
    c->callbacks->on_ready(c->data, &c->info);
}

static void fail_greeting(struct redis_conn *c, const char *what, const redisReply *reply)
{
    struct str s = redis_reply_str(reply);
    snprintf(c->failure_text, sizeof(c->failure_text), "%s: %.*s", what, (int)(s.n > 120 ? 120 : s.n), s.p);
    bool unfit = strcmp(what, "INFO") == 0 && s.n >= 6 && memcmp(s.p, "NOPERM", 6) == 0;
    conn_lost(c, unfit ? "this user may not run INFO: add the ACL rule +info" : c->failure_text, unfit);
}

static void on_must_be_ok(void *data, redisReply *reply)
{
    struct redis_conn *c = data;
    if (reply != NULL && !c->closed && redis_reply_is_error(reply))
        fail_greeting(c, "AUTH or SELECT", reply);
}

static void on_info(void *data, redisReply *reply)
{
    struct redis_conn *c = data;
    if (reply == NULL || c->closed)
        return;
    if (reply->type != REDIS_REPLY_STRING) {
        fail_greeting(c, "INFO", reply);
        return;
    }
    redis_info_read(&c->info, redis_reply_str(reply));
    if (--c->greetings_due == 0)
        greeting_done(c);
}

static void greet_command(struct redis_conn *c, redis_reply_cb cb, int argc, const char **argv)
{
    size_t lens[3];
    for (int i = 0; i < argc; ++i)
        lens[i] = strlen(argv[i]);
    redis_conn_command(c, cb, c, argc, argv, lens);
}

static void greet(struct redis_conn *c)
{
    static const char *const sections[] = {"server", "replication", "cluster"};
    const struct redis_target *t = c->target;
    if (t->user != NULL)
        greet_command(c, on_must_be_ok, 3, (const char *[]){"AUTH", t->user, t->password != NULL ? t->password : ""});
    else if (t->password != NULL)
        greet_command(c, on_must_be_ok, 2, (const char *[]){"AUTH", t->password});
    if (t->db != 0) {
        char db[12];
        snprintf(db, sizeof(db), "%u", t->db);
        greet_command(c, on_must_be_ok, 2, (const char *[]){"SELECT", db});
    }
    greet_command(c, NULL, 3, (const char *[]){"CLIENT", "SETNAME", c->client_name});
    c->greetings_due = 3;
    for (size_t i = 0; i < 3; ++i)
        greet_command(c, on_info, 2, (const char *[]){"INFO", sections[i]});
    redis_conn_flush(c);
}

/* --- connecting -----------------------------------------------------------------------------------------------------
 */

static void set_state(struct redis_conn *c, enum conn_state state)
{
    c->state = state;
    c->state_since_ms = clock_monotonic_ms();
}

static void begin_greeting(struct redis_conn *c)
{
    set_state(c, CONN_GREETING);
    greet(c);
}

static bool proceed_handshake(struct redis_conn *c)
{
    enum redis_tls_step step = redis_tls_handshake(c->tls);
    if (step == REDIS_TLS_DONE)
        begin_greeting(c);
    return step != REDIS_TLS_FAILED;
}

static void on_dialled(void *data, h2o_socket_t *sock, const char *reason)
{
    struct redis_conn *c = data;
    c->dial = NULL;
    if (sock == NULL) {
        conn_lost(c, reason, false);
        return;
    }
    c->sock = sock;
    sock->data = c;
    c->heard_ms = clock_monotonic_ms();
    h2o_socket_read_start(sock, on_read);
    if (!c->target->tls) {
        begin_greeting(c);
        return;
    }
    set_state(c, CONN_TLS);
    c->tls = redis_tls_open(c->target->tls_context, c->target->host);
    (void)proceed_handshake(c); /* the first message, which cannot fail */
    redis_conn_flush(c);
}

static void dial(struct redis_conn *c, const char *host, uint16_t port)
{
    set_state(c, CONN_DIALLING);
    c->dial = dial_host(c->ctx->loop, host, port, c->timeout_ms, c->state_since_ms, on_dialled, c);
}

static void on_sentinel(void *data, const char *host, uint16_t port, const char *reason)
{
    struct redis_conn *c = data;
    c->query = NULL;
    if (host == NULL)
        conn_lost(c, reason, false);
    else
        dial(c, host, port);
}

static void start(struct redis_conn *c, uint64_t now_ms)
{
    const struct redis_target *t = c->target;
    if (t->kind == REDIS_SENTINEL) {
        set_state(c, CONN_ASKING);
        c->query = sentinel_ask(c->ctx->loop, c->sentinels, c->timeout_ms, now_ms, on_sentinel, c);
    } else if (t->kind == REDIS_TCP) {
        dial(c, t->host, t->port);
    } else {
        set_state(c, CONN_DIALLING);
        c->dial = dial_path(c->ctx->loop, t->path, c->timeout_ms, now_ms, on_dialled, c);
    }
}

struct redis_conn *redis_conn_open(h2o_context_t *ctx, const struct redis_target *target, struct sentinels *sentinels,
                                   uint64_t timeout_ms, const char *client_name,
                                   const struct redis_conn_callbacks *callbacks, void *data, uint64_t now_ms)
{
    struct redis_conn *c = mem_zalloc(sizeof(*c));
    c->ctx = ctx;
    c->target = target;
    c->sentinels = sentinels;
    c->timeout_ms = timeout_ms;
    c->callbacks = callbacks;
    c->data = data;
    c->heard_ms = now_ms;
    snprintf(c->client_name, sizeof(c->client_name), "%s", client_name);
    c->reader = redisReaderCreate();
    if (c->reader == NULL)
        abort();
    start(c, now_ms);
    return c;
}

/* --- timers ---------------------------------------------------------------------------------------------------------
 */

static void ask_for_life(struct redis_conn *c)
{
    const char *argv[] = {"PING"};
    const size_t lens[] = {4};
    if (c->subscriber) {
        append_command(c, 1, argv, lens); /* answered by the array "pong", or any other message */
        c->ping_out = true;
    } else {
        redis_conn_command(c, NULL, NULL, 1, argv, lens);
    }
    redis_conn_flush(c);
}

void redis_conn_tick(struct redis_conn *c, uint64_t now_ms)
{
    if (c->state == CONN_ASKING) {
        sentinel_tick(c->query, now_ms);
    } else if (c->state == CONN_DIALLING) {
        dial_tick(c->dial, now_ms);
    } else if (c->state != CONN_READY) {
        if (now_ms > c->state_since_ms + c->timeout_ms)
            conn_lost(c,
                      c->state == CONN_TLS ? "no TLS handshake within REDIS_TIMEOUT: does this port speak TLS?"
                                           : "Redis does not answer within REDIS_TIMEOUT",
                      false);
    } else if (c->pending_count != 0) {
        if (now_ms > c->pending[c->pending_first].sent_ms + c->timeout_ms)
            conn_lost(c, "no reply within REDIS_TIMEOUT", false);
    } else if (c->paused) {
        return; /* it cannot hear a sign of life */
    } else if (c->ping_out && now_ms > c->heard_ms + IDLE_MS + c->timeout_ms) {
        conn_lost(c, "no sign of life within REDIS_TIMEOUT", false);
    } else if (!c->ping_out && now_ms > c->heard_ms + IDLE_MS) {
        ask_for_life(c);
    }
}
