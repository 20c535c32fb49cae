/* The bytes of a connection to Redis: replies that wait, reading, writing. */
#include "core/clock.h"
#include "core/metrics.h"
#include "pubsub/redis_conn_parts.h"
#include <stdio.h>
#include <stdlib.h>

/* hiredis moves what is unread at each feed: small feeds keep that linear. */
#define FEED_BYTES 16384
/* One reply may not take more than this while it is incomplete. */
#define UNPARSED_MAX (64 * 1024 * 1024)

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

struct pending_reply redis_conn_pop(struct redis_conn *c)
{
    struct pending_reply p = c->pending[c->pending_first];
    c->pending_first = (c->pending_first + 1) % c->pending_cap;
    --c->pending_count;
    return p;
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
    struct pending_reply p = redis_conn_pop(c);
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

/* Goes on with the handshake, or feeds what is decrypted already. False as above, or if TLS has failed. */
static bool feed_decrypted(struct redis_conn *c)
{
    char plain[FEED_BYTES];
    int got = 0;
    if (c->state == CONN_TLS && (!redis_conn_proceed(c) || c->state == CONN_TLS))
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
        redis_conn_lost(c, redis_tls_failure(c->tls), false);
        return;
    }
    snprintf(c->failure_text, sizeof(c->failure_text), "Redis sent what is not its protocol: %s", c->reader->errstr);
    redis_conn_lost(c, c->failure_text, false);
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
        redis_conn_free(c);
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
    redis_conn_lost(c, told ? redis_tls_failure(c->tls) : "Redis closed the connection", false);
}

void redis_conn_on_read(h2o_socket_t *sock, const char *err)
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
    h2o_socket_read_start(c->sock, redis_conn_on_read);
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
        redis_conn_lost(c, "writing to Redis failed", false);
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

void redis_conn_append(struct redis_conn *c, int argc, const char **argv, const size_t *lens)
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
    redis_conn_append(c, argc, argv, lens);
    pending_push(c, cb, data);
}

void redis_conn_push(struct redis_conn *c, int argc, const char **argv, const size_t *lens)
{
    c->subscriber = true;
    redis_conn_append(c, argc, argv, lens);
}
