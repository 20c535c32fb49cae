/* One deadline per connection: the nearest of all that can become due, checked again when it fires. */
#include "handlers/internal.h"
#include "core/clock.h"
#include "core/metrics.h"
#include <openssl/rand.h>

/* A client is told this long before its token expires, or at half of what is left of a short one. */
#define EXPIRY_NOTICE_MS 60000
_Static_assert(EXPIRY_NOTICE_MS <= UINT16_MAX, "notice_early holds it");
#define LEAVE_NOTICE_MS 5000

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
    return c->expiry_told ? 0 : c->expires_ms - c->notice_early;
}

/* --- leaving --------------------------------------------------------------------------------------------------------
 */

void conn_tell_leave(struct ws_conn *c)
{
    struct buf json = {0};
    uint64_t now = c->edge->now_ms;
    if (!c->welcomed || c->leave_told)
        return;
    c->leave_told = true;
    message_reconnect(&json, conn_position(c), clock_unix_ms(), c->leave_ms > now ? c->leave_ms - now : 0);
    conn_say(c, &json);
    metric_add(METRIC_SENT_RECONNECT, 1);
}

void conn_leave(struct ws_conn *c, uint64_t at_ms)
{
    c->leave_ms = at_ms;
    c->leave_told = false;
    conn_tell_leave(c);
    conn_schedule(c);
}

/* A number in [0, n), so that clients that came together do not leave together. */
static uint64_t random_below(uint64_t n)
{
    uint64_t random = 0;
    RAND_bytes((unsigned char *)&random, sizeof(random));
    return n == 0 ? 0 : random % n;
}

void conn_plan_leave(struct ws_conn *c)
{
    const struct edge *e = c->edge;
    uint64_t age = e->config->max_connection_age_ms, now = e->now_ms;
    if (e->leave_by_ms != 0)
        c->leave_ms = now + (e->leave_by_ms > now ? random_below(e->leave_by_ms - now) : 0);
    else if (age != 0)
        c->leave_ms = now + age * 4 / 5 + random_below(age * 2 / 5);
}

/* Who has become too old is told this long before. */
static uint64_t leave_notice(const struct ws_conn *c)
{
    uint64_t early = c->edge->config->max_connection_age_ms / 10;
    if (c->leave_ms == 0 || c->leave_told || c->edge->leave_by_ms != 0)
        return 0;
    return c->leave_ms - (early < LEAVE_NOTICE_MS ? early : LEAVE_NOTICE_MS);
}

/* --- the nearest deadline -------------------------------------------------------------------------------------------
 */

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
        due = sooner(due, c->leave_ms);
        due = sooner(due, leave_notice(c));
    }
    wheel_set(c->edge->wheel, &c->timer, due);
}

void conn_set_expiry(struct ws_conn *c, uint64_t exp_s)
{
    uint64_t now_unix = clock_unix_ms(), now = c->edge->now_ms;
    uint64_t at = exp_s > UINT64_MAX / 2000 ? UINT64_MAX / 2 : exp_s * 1000 + c->edge->config->jwt_leeway_ms;
    uint64_t left = at > now_unix ? at - now_unix : 0;
    c->expires_ms = now + left;
    c->notice_early = (uint16_t)(left / 2 < EXPIRY_NOTICE_MS ? left / 2 : EXPIRY_NOTICE_MS);
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
    metric_add(METRIC_SENT_PING, 1);
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
        metric_add(METRIC_HEARTBEATS_TOTAL, 1);
        conn_close(c, 4408, "no sign of life within PONG_TIMEOUT");
    } else if (partial_deadline(c) != 0 && now >= partial_deadline(c)) {
        conn_close(c, 4408, "a message was not completed within PONG_TIMEOUT");
    } else if (now >= c->expires_ms) {
        conn_close(c, 4401, "token expired");
    } else if (c->deadline_ms != 0 && now >= c->deadline_ms) {
        on_welcome_missed(c);
    } else if (c->leave_ms != 0 && now >= c->leave_ms) {
        conn_close(c, 1012, c->edge->leave_by_ms != 0 ? CLOSE_GOING_AWAY : "MAX_CONNECTION_AGE is reached");
    } else {
        if (leave_notice(c) != 0 && now >= leave_notice(c))
            conn_tell_leave(c);
        if (expiry_notice(c) != 0 && now >= expiry_notice(c) && c->welcomed) {
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
