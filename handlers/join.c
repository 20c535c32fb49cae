/* What a connection is told at the passages of its catch-up: welcome, caught_up, resync_required; and the read of the
 * head that a fresh client starts at, shared by all who ask for it in a loop turn. */
#include "handlers/internal.h"
#include "core/cidr.h"
#include "core/clock.h"
#include "core/metrics.h"

static void log_opened(const struct ws_conn *c)
{
    static const uint8_t unknown[16];
    char text[46];
    struct str address = {text, cidr_format(c->remote, text)};
    if (memcmp(c->remote, unknown, sizeof(unknown)) == 0)
        address = STR_NONE;
    log_event(LOG_LEVEL_DEBUG, "connection_opened", LOG_CONN(c), LOG_S("address", address),
              LOG_B("resumed", c->resumed), LOG_B("recovering", c->resuming),
              LOG_U("duration_ms", c->edge->now_ms - c->opened_ms));
}

void conn_say_welcome(struct ws_conn *c)
{
    const struct config *config = c->edge->config;
    struct buf json = {0};
    struct message_welcome m = {
        .connection_id = conn_id(c),
        .user_id = conn_user(c),
        .position = c->sent,
        .resumed = c->resumed,
        .recovering = c->resuming,
        .ping_interval_ms = config->ping_interval_ms,
        .backoff_base_ms = BACKOFF_BASE_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
    };
    message_welcome(&json, &m, clock_unix_ms());
    conn_say(c, &json);
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_opened(c);
    metric_add(METRIC_SENT_WELCOME, 1);
    metric_observe_us(METRIC_CONNECT_SECONDS, (clock_monotonic_ms() - c->opened_ms) * 1000);
    c->welcomed = true;
    c->deadline_ms = 0;
    if (c->edge->leave_by_ms != 0)
        conn_tell_leave(c);
    conn_schedule(c);
}

void conn_refuse(struct ws_conn *c, enum resync_reason reason, struct position head, struct position oldest)
{
    struct buf json = {0};
    message_resync_required(&json, head, clock_unix_ms(), resync_reason_name(reason), oldest);
    conn_say(c, &json);
    metric_add(METRIC_SENT_RESYNC_REQUIRED, 1);
    metric_add(METRIC_RESYNCS_UNKNOWN + reason - RESYNC_UNKNOWN, 1);
    c->resuming = false;
    c->sent = head;
    c->catch_up->resync = RESYNC_NONE;
    conn_drop_broadcasts(c);
    catch_up_skip(&c->catch_up->core, head);
    outbox_drop_events(c, head);
    conn_settle(c);
}

/* The end of the replay, told before the first live frame, of what a resuming client was promised by its welcome. */
static void say_caught_up(struct ws_conn *c, struct position at, uint64_t replayed)
{
    struct buf json = {0};
    message_caught_up(&json, at, clock_unix_ms(), replayed);
    conn_say(c, &json);
    metric_add(METRIC_SENT_CAUGHT_UP, 1);
    c->resuming = false;
}

void conn_go_live(struct ws_conn *c)
{
    struct edge *e = c->edge;
    struct position at = c->catch_up->core.at;
    uint64_t replayed = c->catch_up->core.replayed;
    metric_add(METRIC_REPLAYED_TOTAL, replayed);
    conn_end_catch_up(c);
    conn_set_state(c, CONN_LIVE);
    c->cursor = tape_seek(&e->tape, at);
    if (c->cursor < e->lag_floor)
        e->lag_floor = c->cursor;
    if (c->resuming)
        say_caught_up(c, at, replayed);
    conn_mark_dirty(c);
}

/* --- the head -------------------------------------------------------------------------------------------------------
 */

void conn_want_head(struct ws_conn *c)
{
    c->catch_up->phase = PHASE_HEAD;
    catch_up_ask(&c->catch_up->core);
    catch_up_list_add(&c->edge->want_head, c->catch_up);
}

void conn_join_at_head(struct ws_conn *c)
{
    struct ws_catch_up *u = c->catch_up;
    struct position head = u->core.at;
    if (u->resync != RESYNC_NONE) {
        conn_refuse(c, (enum resync_reason)u->resync, head, u->oldest);
        return;
    }
    c->sent = head;
    if (!c->welcomed)
        conn_say_welcome(c);
    outbox_drop_events(c, head);
    conn_settle(c);
}

static void on_head(void *data, struct position head, struct position oldest)
{
    struct edge *e = data;
    struct catch_up_list asked = e->asked_head;
    e->asked_head = (struct catch_up_list){0};
    e->head_in_flight = false;
    for (size_t i = 0; i < asked.n; ++i) {
        struct ws_catch_up *u = asked.entries[i];
        if (u->conn == NULL)
            continue;
        u->phase = PHASE_HEAD_KNOWN;
        u->oldest = oldest;
        catch_up_skip(&u->core, head);
        conn_wake(u->conn);
    }
    catch_up_list_free(&asked);
}

void edge_ask_head(struct edge *e)
{
    if (e->head_in_flight || e->want_head.n == 0)
        return;
    e->asked_head = e->want_head;
    e->want_head = (struct catch_up_list){0};
    e->head_in_flight = true;
    pubsub_read_head(e->pubsub, on_head, e);
}
