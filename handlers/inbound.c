/* Reading: bytes become frames, frames become messages, pings are answered, closes are answered. */
#include "handlers/internal.h"
#include "core/metrics.h"
#include <errno.h>
#include <unistd.h>

/* Plain sockets are read into one buffer of the worker, so that no connection keeps one. */
#define SCRATCH_BYTES 65536

bool strikes_add(struct strikes *s, uint64_t now_ms)
{
    uint32_t now_s = (uint32_t)(now_ms / 1000) & STRIKES_CLOCK;
    if (s->n == 0 || ((now_s - s->window_start_s) & STRIKES_CLOCK) >= 60) {
        s->window_start_s = now_s & STRIKES_CLOCK;
        s->n = 0;
    }
    if (s->n < 10)
        ++s->n;
    return s->n >= 10;
}

static void close_rate_limited(struct ws_conn *c)
{
    conn_close(c, 4429, "retry_after_ms=10000 more messages than CLIENT_RATE allows");
}

/* Counts a frame against CLIENT_RATE. A message above it is told so, a ping is not answered. */
static bool within_rate(struct ws_conn *c, bool tell)
{
    struct edge *e = c->edge;
    if (bucket_take(&c->rate, e->config->client_rate, 1, e->now_ms, NULL))
        return true;
    metric_add(METRIC_RATE_LIMITED_CLIENT, 1);
    if (tell)
        conn_error(c, ERROR_RATE_LIMITED, STR_LIT("more messages than CLIENT_RATE allows"), STR_NONE, STR_NONE);
    if (strikes_add(&c->limited, e->now_ms))
        close_rate_limited(c);
    return false;
}

static void on_ping(struct ws_conn *c, struct str payload)
{
    struct buf frame = {0};
    if (!within_rate(c, false))
        return;
    frame_append(&frame, FRAME_PONG, payload);
    conn_say_frames(c, buf_str(&frame));
    buf_free(&frame);
}

static void on_close(struct ws_conn *c, const struct frame_event *event)
{
    c->peer_closed = true;
    conn_close(c, event->close_code, event->close_code == 1005 ? "" : "closed by the client");
    conn_mark_dirty(c); /* what was ours to say goes out, then the socket is closed */
}

static void on_frame(struct ws_conn *c, const struct frame_event *event)
{
    if (c->state == CONN_CLOSING) {
        if (event->kind == FRAME_EVENT_CLOSE || event->kind == FRAME_EVENT_ERROR) {
            c->peer_closed = true;
            conn_mark_dirty(c);
        }
        return;
    }
    switch (event->kind) {
    case FRAME_EVENT_MESSAGE:
        if (within_rate(c, true))
            conn_on_message(c, event->payload);
        break;
    case FRAME_EVENT_PING:
        on_ping(c, event->payload);
        break;
    case FRAME_EVENT_CLOSE:
        on_close(c, event);
        break;
    case FRAME_EVENT_ERROR:
        conn_close(c, event->close_code, event->reason);
        break;
    case FRAME_EVENT_PONG:
    case FRAME_EVENT_NONE:
        break;
    }
}

static void note_partial(struct ws_conn *c)
{
    bool partial = frame_decoder_partial(&c->decoder);
    if (!partial) {
        c->partial_since_ms = 0;
    } else if (c->partial_since_ms == 0) {
        c->partial_since_ms = c->edge->now_ms;
        conn_schedule(c);
    }
}

void conn_feed(struct ws_conn *c, uint8_t *p, size_t n)
{
    c->seen_ms = c->edge->now_ms;
    conn_count_bytes(&c->in, n);
    metric_add(METRIC_RECEIVED_BYTES_TOTAL, n);
    while (c->state != CONN_CLOSED) {
        struct frame_event event = frame_decode(&c->decoder, &p, &n);
        if (event.kind == FRAME_EVENT_NONE)
            break;
        on_frame(c, &event);
    }
    if (c->state == CONN_CLOSED)
        return;
    note_partial(c);
    if (c->outbox != NULL && c->outbox->urgent_bytes > OUTBOX_URGENT_MAX && c->state < CONN_CLOSING) {
        c->reading_paused = true; /* it asks and does not read the answers */
        h2o_socket_read_stop(c->sock);
    }
}

static void read_plain(struct ws_conn *c)
{
    ssize_t n;
    do
        n = read(h2o_socket_get_fd(c->sock), c->edge->scratch, SCRATCH_BYTES);
    while (n == -1 && errno == EINTR);
    if (n > 0)
        conn_feed(c, c->edge->scratch, (size_t)n);
    else if (n == 0)
        conn_cut(c, "the client left without a close frame");
    else if (errno != EAGAIN)
        conn_cut(c, "reading failed");
}

static void read_tls(struct ws_conn *c)
{
    h2o_buffer_t *input = c->sock->input;
    size_t n = input->size;
    if (n == 0)
        return;
    conn_feed(c, (uint8_t *)input->bytes, n);
    if (c->state != CONN_CLOSED)
        h2o_buffer_consume(&c->sock->input, n);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct ws_conn *c = sock->data;
    if (err != NULL)
        conn_cut(c, "the client left without a close frame");
    else if (sock->ssl != NULL)
        read_tls(c);
    else
        read_plain(c);
}

void conn_start_reading(struct ws_conn *c)
{
    if (c->sock->ssl == NULL)
        h2o_socket_dont_read(c->sock, 1);
    h2o_socket_read_start(c->sock, on_readable);
}

void conn_release_reading(struct ws_conn *c)
{
    h2o_buffer_t **input = &c->sock->input;
    size_t n = (*input)->size;
    c->reading_held = false;
    if (n != 0) {
        conn_feed(c, (uint8_t *)(*input)->bytes, n);
        if (c->state == CONN_CLOSED)
            return;
        h2o_buffer_consume(input, n);
    }
    if (!c->reading_paused)
        conn_start_reading(c);
}
