/* One deadline per connection: the nearest of all that can become due, checked again when it fires. */
#include "handlers/internal.h"
#include "core/clock.h"

/* A client is told this long before its token expires, or at half of what is left of a short one. */
#define EXPIRY_NOTICE_MS 60000

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b != 0 && b < a ? b : a;
}

static uint64_t silence_deadline(const struct ws_conn *c)
{
    return c->seen_ms + c->edge->config->pong_timeout_ms;
}

static uint64_t partial_deadline(const struct ws_conn *c)
{
    return c->partial_since_ms == 0 ? 0 : c->partial_since_ms + c->edge->config->pong_timeout_ms;
}

static uint64_t expiry_notice(const struct ws_conn *c)
{
    return c->expiry_told ? 0 : c->notice_ms;
}

void conn_schedule(struct ws_conn *c)
{
    uint64_t due = UINT64_MAX;
    if (c->state == CONN_CLOSED)
        return;
    due = sooner(due, c->deadline_ms);
    if (c->state != CONN_CLOSING) {
        due = sooner(due, c->next_ping_ms);
        due = sooner(due, silence_deadline(c));
        due = sooner(due, partial_deadline(c));
        due = sooner(due, c->expires_ms);
        due = sooner(due, expiry_notice(c));
    }
    wheel_set(c->edge->wheel, &c->timer, due);
}

void conn_set_expiry(struct ws_conn *c, uint64_t exp_s)
{
    uint64_t now_unix = clock_unix_ms(), now = c->edge->now_ms;
    uint64_t at = exp_s > UINT64_MAX / 2000 ? UINT64_MAX / 2 : exp_s * 1000 + c->edge->config->jwt_leeway_ms;
    uint64_t left = at > now_unix ? at - now_unix : 0;
    c->expires_ms = now + left;
    c->notice_ms = c->expires_ms - (left / 2 < EXPIRY_NOTICE_MS ? left / 2 : EXPIRY_NOTICE_MS);
    c->expiry_told = false;
    conn_schedule(c);
}

/* A ping frame, which keeps plain clients alive, and a ping message, by which a browser notices a dead server, in one
 * write. */
static void ping(struct ws_conn *c)
{
    struct buf frames = {0}, json = {0};
    if (c->outbox != NULL && c->outbox->urgent != NULL)
        return; /* it has not even read what is before this ping */
    frame_append(&frames, FRAME_PING, STR_LIT(""));
    message_ping(&json, conn_position(c), clock_unix_ms());
    frame_append(&frames, FRAME_TEXT, buf_str(&json));
    conn_say_frames(c, buf_str(&frames));
    buf_free(&frames);
    buf_free(&json);
}

static void on_welcome_missed(struct ws_conn *c)
{
    conn_close(c, 1013, "retry_after_ms=2000 the subscriptions were not confirmed in time");
}

void conn_timer(struct wheel_entry *entry, void *edge)
{
    struct ws_conn *c = H2O_STRUCT_FROM_MEMBER(struct ws_conn, timer, entry);
    uint64_t now = ((struct edge *)edge)->now_ms;
    if (c->state == CONN_CLOSING) {
        if (now >= c->deadline_ms)
            conn_cut(c, "the client did not answer the close frame");
    } else if (now >= silence_deadline(c)) {
        conn_close(c, 4408, "no sign of life within PONG_TIMEOUT");
    } else if (partial_deadline(c) != 0 && now >= partial_deadline(c)) {
        conn_close(c, 4408, "a message was not completed within PONG_TIMEOUT");
    } else if (now >= c->expires_ms) {
        conn_close(c, 4401, "token expired");
    } else if (c->deadline_ms != 0 && now >= c->deadline_ms) {
        on_welcome_missed(c);
    } else {
        if (expiry_notice(c) != 0 && now >= c->notice_ms && c->welcomed) {
            c->expiry_told = true;
            conn_error(c, ERROR_TOKEN_EXPIRING, STR_LIT("the token expires soon: send auth with a new one"), STR_NONE,
                       STR_NONE);
        }
        if (now >= c->next_ping_ms) {
            c->next_ping_ms = now + c->edge->config->ping_interval_ms;
            if (c->welcomed)
                ping(c);
        }
    }
    conn_schedule(c);
}
