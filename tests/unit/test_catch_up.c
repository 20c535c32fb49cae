/* core/catch_up.c, and with it the rounds of handlers/catch_up.c: random histories against a plain model. A Redis of a
 * few lists answers pages late and has its events on a subscriber connection that lags, breaks and comes back; it trims
 * its logs and fails over without its last events. Clients read a few bytes at a time, leave, and come back with the
 * position that they read last. Of each: every event of its own once, in order, or it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "handlers/internal.h"

#define EVENTS_MAX 3000
#define CLIENTS 4
#define CHANNELS (1 + 2 + CLIENTS) /* for everybody, two users, the connections */
#define LINE_MAX_ITEMS 8192
#define ENDS_MAX 64

/* --- the model: all events, and what Redis has of them ---------------------------------------------------------------
 */

struct event {
    struct position id;
    unsigned channel, also; /* also: another channel that carries it too; 0: none */
    size_t pad;
    bool lost; /* in a failover */
};

struct heard {
    enum { HEARD_EVENT, HEARD_CANARY, HEARD_CONFIRMED } kind;
    struct event event;
    struct position head;
};

struct asked {
    struct page_request request;
    struct event_log_ref logs[PAGE_LOGS_MAX];
    char ids[PAGE_LOGS_MAX][16];
    page_cb cb;
    void *data;
    bool executed;
    struct page page;
};

struct client {
    struct ws_conn *conn;
    bool started; /* has a position at all */
    struct position at;
    struct position wanted; /* all its events after it are still to come; up to it they have, or were given up */
    uint64_t events;        /* on this connection */
    bool caught_up, recovering, told;
    struct buf bytes;
};

static struct redis {
    struct event events[EVENTS_MAX];
    size_t n;
    struct position head, trimmed[CHANNELS];
    uint64_t floor;
    struct history_end ends[ENDS_MAX];
    size_t n_ends;
    struct heard line[LINE_MAX_ITEMS];
    size_t line_first, line_n;
    bool up, subscribed[CHANNELS], confirmed[CHANNELS];
    struct position mark;
    struct asked *pages[1024];
    size_t n_pages;
    void (*head_cb)(void *, struct position, struct position);
    void *head_data;
    bool head_executed;
    struct position head_read;
} redis;

static struct edge *edge;
static struct client clients[CLIENTS];
static uint32_t random_state;
static size_t resyncs, caught_ups, resumes;

static uint32_t next_random(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static unsigned channel_of(int kind, struct str id)
{
    return kind == HUB_USER ? 1 + (unsigned)(id.p[1] - '0') : 3 + (unsigned)(id.p[1] - '0');
}

static bool follows(unsigned client, unsigned channel)
{
    return channel == 0 || channel == 1 + client % 2 || channel == 3 + client;
}

static bool is_for(const struct event *e, unsigned client)
{
    return follows(client, e->channel) || (e->also != 0 && follows(client, e->also));
}

static bool is_on(const struct event *e, unsigned channel)
{
    return !e->lost && (e->channel == channel || (e->also != 0 && e->also == channel));
}

static struct str text_of(const struct event *e)
{
    static char text[40000];
    int n = snprintf(text, sizeof(text), "{\"type\":\"e\",\"event_id\":\"%llu-%llu\",\"pad\":\"%0*d\"}",
                     (unsigned long long)e->id.epoch, (unsigned long long)e->id.seq, (int)e->pad, 0);
    return (struct str){text, (size_t)n};
}

/* --- pubsub/, as the edge sees it -----------------------------------------------------------------------------------
 */

static void line_put(struct heard h)
{
    assert_true(redis.line_n < LINE_MAX_ITEMS);
    redis.line[(redis.line_first + redis.line_n++) % LINE_MAX_ITEMS] = h;
}

static void canary(void)
{
    if (redis.up)
        line_put((struct heard){.kind = HEARD_CANARY, .head = redis.head});
}

struct position pubsub_mark(const struct pubsub *p)
{
    return redis.mark;
}

static void subscribe(unsigned channel)
{
    if (!redis.up || redis.subscribed[channel])
        return;
    redis.subscribed[channel] = true;
    line_put((struct heard){.kind = HEARD_CONFIRMED, .event = {.channel = channel}});
}

void pubsub_register(struct pubsub *p, const struct identity *i)
{
    (void)p, (void)i;
}

bool pubsub_register_room(const struct pubsub *p)
{
    (void)p;
    return false;
}

void pubsub_claim(struct pubsub *p, struct str claimed, const struct identity *i, void *claim)
{
    (void)p, (void)claimed, (void)i, (void)claim;
}

void pubsub_unregister(struct pubsub *p, const struct identity *i)
{
    (void)p, (void)i;
}

bool pubsub_channel_ready(const struct pubsub *p, const struct hub_channel *c)
{
    return redis.up && redis.confirmed[channel_of(c->kind, hub_channel_id(c))];
}

bool pubsub_follow(struct pubsub *p, struct hub_channel *c)
{
    subscribe(channel_of(c->kind, hub_channel_id(c)));
    return pubsub_channel_ready(p, c);
}

void pubsub_unfollow(struct pubsub *p, struct hub_channel *c)
{
}

void pubsub_publish(struct pubsub *p, const struct publish_request *request, publish_cb cb, void *data)
{
    fail();
}

/* Nobody acknowledges anything here. */
void pubsub_ack(struct pubsub *p, struct str user, struct str name, struct position at)
{
    fail();
}

void pubsub_acks_end(struct pubsub *p, struct str user, struct str name)
{
    fail();
}

void pubsub_read_cursor(struct pubsub *p, struct str user, struct str name, cursor_cb cb, void *data)
{
    fail();
}

struct pubsub_state pubsub_state(const struct pubsub *p, uint64_t now_ms)
{
    return (struct pubsub_state){0};
}

void pubsub_read_head(struct pubsub *p, void (*cb)(void *, struct position, struct position), void *data)
{
    assert_null(redis.head_cb);
    redis.head_cb = cb;
    redis.head_data = data;
    redis.head_executed = false;
}

void pubsub_read_page(struct pubsub *p, const struct page_request *r, page_cb cb, void *data)
{
    struct asked *a = mem_zalloc(sizeof(*a));
    a->request = *r;
    a->cb = cb;
    a->data = data;
    for (size_t i = 0; i < r->n; ++i) {
        a->logs[i] = r->logs[i];
        memcpy(a->ids[i], r->logs[i].id.n != 0 ? r->logs[i].id.p : "", r->logs[i].id.n);
        a->logs[i].id.p = a->ids[i];
    }
    assert_true(redis.n_pages < 1024);
    redis.pages[redis.n_pages++] = a;
}

/* --- what Redis does ------------------------------------------------------------------------------------------------
 */

static void carry(struct event e, unsigned channel)
{
    e.channel = channel;
    if (redis.up && (channel == 0 || redis.subscribed[channel]))
        line_put((struct heard){.kind = HEARD_EVENT, .event = e});
}

static void publish(unsigned channel, size_t pad)
{
    if (redis.n == EVENTS_MAX)
        return;
    struct event *e = &redis.events[redis.n++];
    ++redis.head.seq;
    *e = (struct event){.id = redis.head, .channel = channel, .pad = pad};
    if (next_random(4) == 0)
        e->also = 1 + next_random(CHANNELS - 1);
    if (e->also == channel)
        e->also = 0;
    carry(*e, channel);
    if (e->also != 0)
        carry(*e, e->also);
}

static void publish_some(void)
{
    uint32_t burst = next_random(50), n = burst == 0  ? 20 + next_random(12)
                                          : burst < 5 ? next_random(80)
                                                      : next_random(4);
    unsigned channel = 1 + next_random(CHANNELS - 1);
    for (; n != 0; --n) {
        size_t pad = next_random(13) == 0 ? 6000 : next_random(1500);
        if (burst == 0)
            publish(channel, 12000); /* more than one list holds */
        else if (next_random(200) == 0)
            publish(0, 35000); /* more than the tape takes */
        else
            publish(next_random(3) == 0 ? next_random(CHANNELS) : next_random(3), pad);
    }
}

static void forget_page(struct asked *a)
{
    for (size_t i = 0; i < a->page.n; ++i) {
        for (size_t k = 0; k < a->page.logs[i].n; ++k)
            free((char *)a->page.logs[i].entries[k].text.p);
        free(a->page.logs[i].entries);
    }
    a->page.n = 0;
    a->executed = false;
}

static void read_log(struct page_log *log, unsigned channel, const struct page_request *r)
{
    *log = (struct page_log){.empty = true, .first_prev = redis.trimmed[channel]};
    log->entries = mem_alloc(PAGE_ENTRIES_MAX * sizeof(*log->entries));
    for (size_t i = 0; i < redis.n; ++i) {
        const struct event *e = &redis.events[i];
        if (!is_on(e, channel) || position_cmp(e->id, redis.trimmed[channel]) <= 0)
            continue;
        log->empty = false;
        if (position_cmp(e->id, r->after) <= 0)
            continue;
        if (log->n == r->count) {
            log->full = true;
            return;
        }
        struct str text = text_of(e);
        char *copy = mem_alloc(text.n);
        memcpy(copy, text.p, text.n);
        log->entries[log->n++] = (struct page_entry){e->id, {copy, text.n}};
    }
}

static void execute_page(struct asked *a)
{
    if (a->executed)
        return;
    a->executed = true;
    a->page = (struct page){.after = a->request.after, .n = a->request.n};
    a->page.history = (struct history){redis.head, redis.floor, {0, 0, 0}, redis.ends, redis.n_ends};
    for (size_t i = 0; i < a->request.n; ++i) {
        const struct event_log_ref *l = &a->logs[i];
        unsigned channel = l->kind == EVENT_LOG_BROADCAST
                               ? 0
                               : channel_of(l->kind == EVENT_LOG_USER ? HUB_USER : HUB_CONNECTION, l->id);
        read_log(&a->page.logs[i], channel, &a->request);
    }
    canary();
}

static void answer_page(size_t i)
{
    struct asked *a = redis.pages[i];
    if (!a->executed || a->page.history.head.epoch != redis.mark.epoch)
        return;
    redis.pages[i] = redis.pages[--redis.n_pages];
    a->cb(a->data, &a->page);
    forget_page(a);
    free(a);
}

static void answer_head(void)
{
    void (*cb)(void *, struct position, struct position) = redis.head_cb;
    if (cb == NULL || !redis.head_executed || redis.head_read.epoch != redis.mark.epoch)
        return;
    redis.head_cb = NULL;
    cb(redis.head_data, redis.head_read, (struct position){redis.head.epoch, redis.floor, 0});
}

static void execute_head(void)
{
    redis.head_executed = true;
    redis.head_read = redis.head;
    canary();
}

static void trim(void)
{
    unsigned channel = next_random(CHANNELS);
    size_t keep = next_random(60), n = 0;
    for (size_t i = redis.n; i-- != 0;) {
        const struct event *e = &redis.events[i];
        if (!is_on(e, channel) || ++n <= keep)
            continue;
        if (position_cmp(e->id, redis.trimmed[channel]) > 0)
            redis.trimmed[channel] = e->id;
        return;
    }
}

static void lose_subscriber(void)
{
    if (!redis.up)
        return;
    redis.up = false;
    redis.line_n = 0;
    memset(redis.subscribed, 0, sizeof(redis.subscribed));
    memset(redis.confirmed, 0, sizeof(redis.confirmed));
    edge_pubsub_callbacks.on_gap(edge);
}

/* The last events are lost with the master; what nobody had asked of it is asked of the new one. */
static void fail_over(void)
{
    if (redis.n_ends == ENDS_MAX)
        return;
    lose_subscriber();
    for (uint32_t lose = next_random(20); lose != 0 && redis.n != 0; --lose) {
        struct event *e = &redis.events[redis.n - lose < redis.n ? redis.n - lose : 0];
        if (e->id.epoch == redis.head.epoch && position_cmp(e->id, redis.trimmed[e->channel]) > 0 && !e->lost) {
            for (struct event *k = e; k != &redis.events[redis.n]; ++k)
                k->lost = true;
            redis.head.seq = e->id.seq - 1;
            break;
        }
    }
    for (unsigned i = 0; i < CHANNELS; ++i)
        if (position_cmp(redis.trimmed[i], redis.head) > 0)
            redis.trimmed[i] = redis.head;
    redis.ends[redis.n_ends++] = (struct history_end){redis.head.epoch, redis.head.seq};
    ++redis.head.epoch;
    redis.head_executed = false;
    for (size_t i = 0; i < redis.n_pages; ++i)
        forget_page(redis.pages[i]);
}

/* The new connection is read once the tape has what it lacks. */
static void come_back(void)
{
    if (redis.up)
        return;
    struct history history = {redis.head, redis.floor, {0, 0, 0}, redis.ends, redis.n_ends};
    struct position from = edge_pubsub_callbacks.on_history(edge, &history);
    if (position_cmp(from, redis.trimmed[0]) < 0) {
        from = redis.trimmed[0];
        edge_pubsub_callbacks.on_tape_restart(edge, from);
    }
    for (size_t i = 0; i < redis.n; ++i)
        if (redis.events[i].channel == 0 && !redis.events[i].lost && position_cmp(redis.events[i].id, from) > 0)
            edge_pubsub_callbacks.on_broadcast(edge, redis.events[i].id, text_of(&redis.events[i]));
    redis.up = true;
    redis.mark = redis.head;
    edge_pubsub_callbacks.on_mark(edge);
}

static void raise_mark(struct position p)
{
    if (position_cmp(p, redis.mark) > 0)
        redis.mark = p;
    edge_pubsub_callbacks.on_mark(edge);
}

static void hear_event(const struct event *e)
{
    struct position before = e->id;
    --before.seq;
    raise_mark(before);
    if (e->channel == 0) {
        edge_pubsub_callbacks.on_broadcast(edge, e->id, text_of(e));
        raise_mark(e->id);
        return;
    }
    for (unsigned i = 0; i < CLIENTS; ++i) {
        struct ws_conn *c = clients[i].conn;
        int kind = e->channel < 3 ? HUB_USER : HUB_CONNECTION;
        if (c == NULL || !follows(i, e->channel))
            continue;
        edge_pubsub_callbacks.on_targeted(edge, c->follows[kind].channel, e->id, text_of(e));
        break; /* to all members of the channel at once */
    }
}

static void hear(void)
{
    if (redis.line_n == 0)
        return;
    struct heard h = redis.line[redis.line_first];
    redis.line_first = (redis.line_first + 1) % LINE_MAX_ITEMS;
    --redis.line_n;
    if (h.kind == HEARD_EVENT) {
        hear_event(&h.event);
    } else if (h.kind == HEARD_CANARY) {
        raise_mark(h.head);
    } else {
        redis.confirmed[h.event.channel] = true;
        for (unsigned i = 0; i < CLIENTS; ++i)
            if (clients[i].conn != NULL && follows(i, h.event.channel))
                edge_pubsub_callbacks.on_channel_ready(
                    edge, clients[i].conn->follows[h.event.channel < 3 ? HUB_USER : HUB_CONNECTION].channel);
    }
}

/* --- clients --------------------------------------------------------------------------------------------------------
 */

/* Is there anything of its own above `from` and up to `to` that Redis has not lost? */
static const struct event *missing(unsigned i, struct position from, struct position to)
{
    for (size_t k = 0; k < redis.n; ++k) {
        const struct event *e = &redis.events[k];
        if (!e->lost && is_for(e, i) && position_cmp(e->id, from) > 0 && position_cmp(e->id, to) <= 0)
            return e;
    }
    return NULL;
}

static enum resync_reason judge(unsigned i, struct position at)
{
    struct history h = {redis.head, redis.floor, {0, 0, 0}, redis.ends, redis.n_ends};
    if (history_judge(&h, at) != RESYNC_NONE)
        return history_judge(&h, at);
    for (unsigned channel = 0; channel < CHANNELS; ++channel)
        if (follows(i, channel) && position_cmp(redis.trimmed[channel], at) > 0)
            return RESYNC_EXPIRED;
    return RESYNC_NONE;
}

static void get_event(unsigned i, struct position id)
{
    struct client *c = &clients[i];
    struct position before = id;
    --before.seq;
    if (position_cmp(id, c->at) <= 0)
        fail_msg("client %u got %llu again", i, (unsigned long long)id.seq);
    if (id.epoch != c->at.epoch)
        for (size_t k = 0; k < redis.n_ends; ++k)
            if (redis.ends[k].epoch == c->at.epoch && c->at.seq > redis.ends[k].seq)
                fail_msg("client %u was not told of a lost end", i);
    if (missing(i, c->wanted, before) != NULL)
        fail_msg("client %u has not got %llu before %llu", i, (unsigned long long)missing(i, c->wanted, before)->id.seq,
                 (unsigned long long)id.seq);
    bool known = false;
    for (size_t k = 0; k < redis.n; ++k)
        known |= is_for(&redis.events[k], i) && position_cmp(redis.events[k].id, id) == 0;
    assert_true(known);
    ++c->events;
    c->wanted = id;
}

static void get_message(unsigned i, const char *type, struct position at, struct str text)
{
    struct client *c = &clients[i];
    bool resync = strcmp(type, "resync_required") == 0;
    const char *replayed;
    if (strcmp(type, "welcome") == 0) {
        c->recovering = memmem(text.p, text.n, "\"recovering\":true", 17) != NULL;
        if (!c->started)
            c->wanted = at;
        else
            assert_int_equal(position_cmp(at, c->at), 0);
    } else if (resync) {
        ++resyncs;
        assert_int_not_equal(judge(i, c->at), RESYNC_NONE);
        c->wanted = at;
        c->told = true;
    } else if (strcmp(type, "caught_up") == 0) {
        ++caught_ups;
        assert_true(c->recovering && !c->told && !c->caught_up);
        c->caught_up = true;
        assert_non_null(replayed = memmem(text.p, text.n, "\"replayed\":", 11));
        assert_int_equal(strtoull(replayed + 11, NULL, 10), c->events);
    }
    if (c->started && !resync && position_cmp(at, c->at) < 0)
        fail_msg("client %u: %s goes back from %llu-%llu to %llu-%llu", i, type, (unsigned long long)c->at.epoch,
                 (unsigned long long)c->at.seq, (unsigned long long)at.epoch, (unsigned long long)at.seq);
    if (c->started && missing(i, c->wanted, at) != NULL)
        fail_msg("client %u: %s promises %llu, and %llu is missing", i, type, (unsigned long long)at.seq,
                 (unsigned long long)missing(i, c->wanted, at)->id.seq);
    if (position_cmp(at, c->wanted) > 0)
        c->wanted = at;
}

static void get_text(unsigned i, struct str text)
{
    unsigned long long epoch, seq;
    char type[32], start[128];
    int n = text.n < sizeof(start) ? (int)text.n : (int)sizeof(start) - 1;
    snprintf(start, sizeof(start), "%.*s", n, text.p); /* scanning looks for the end */
    assert_int_equal(sscanf(start, "{\"type\":\"%31[a-z_]\",\"event_id\":\"%llu-%llu\"", type, &epoch, &seq), 3);
    struct position at = {epoch, seq, 0};
    if (strcmp(type, "e") == 0)
        get_event(i, at);
    else
        get_message(i, type, at, text);
    clients[i].at = at;
    clients[i].started = true;
}

static void read_frames(unsigned i)
{
    struct buf *b = &clients[i].bytes;
    size_t at = 0;
    while (b->n - at >= 4) {
        const unsigned char *p = (const unsigned char *)b->p + at;
        size_t header = 2, n = p[1] & 0x7f;
        if (n == 126) {
            header = 4;
            n = (size_t)p[2] << 8 | p[3];
        }
        if (b->n - at < header + n)
            break;
        assert_int_equal(p[0], 0x80 | FRAME_TEXT);
        get_text(i, (struct str){b->p + at + header, n});
        at += header + n;
    }
    memmove(b->p, b->p + at, b->n - at);
    b->n -= at;
}

/* As flush.c does, and no more of it than the socket takes. */
static void write_some(unsigned i, bool all)
{
    struct ws_conn *c = clients[i].conn;
    struct write_plan plan;
    if (c == NULL)
        return;
    conn_plan(c, &plan);
    size_t n = all ? plan.bytes : next_random((uint32_t)plan.bytes + 1), left = n;
    for (int k = 0; left != 0; ++k) {
        size_t part = plan.iov[k].iov_len < left ? plan.iov[k].iov_len : left;
        buf_append(&clients[i].bytes, (struct str){plan.iov[k].iov_base, part});
        left -= part;
    }
    conn_written(c, n);
    if (n != 0)
        read_frames(i);
    if (!conn_has_output(c))
        conn_wake(c);
}

static void ping(unsigned i)
{
    struct buf json = {0};
    if (clients[i].conn == NULL || !clients[i].conn->welcomed)
        return;
    message_ping(&json, conn_position(clients[i].conn), 0);
    conn_say(clients[i].conn, &json);
}

static void leave(unsigned i)
{
    struct client *c = &clients[i];
    if (c->conn == NULL)
        return;
    c->conn->sock = NULL;
    conn_cut(c->conn, "it left");
    c->conn = NULL;
    c->bytes.n = 0;
}

static void come(unsigned i)
{
    static h2o_socket_t sock;
    struct client *c = &clients[i];
    char user[] = {'u', (char)('0' + i % 2)}, id[] = {'c', (char)('0' + i)};
    if (c->conn != NULL)
        return;
    if (c->started && next_random(10) == 0) /* it has made it up */
        c->at = c->wanted = (struct position){c->at.epoch, c->at.seq + 5000, 0};
    c->events = 0;
    c->caught_up = c->told = false;
    resumes += c->started;
    c->conn = conn_create(edge);
    c->conn->sock = &sock;
    c->conn->blocked = true; /* this test writes itself */
    conn_follow_user(c->conn, (struct str){user, 2});
    conn_follow_own(c->conn, (struct str){id, 2}, 1);
    c->conn->registered = true;
    conn_begin_catch_up(c->conn, c->started ? &c->at : NULL);
    conn_set_state(c->conn, CONN_SUBSCRIBING);
    conn_wake(c->conn);
}

/* --- runs -----------------------------------------------------------------------------------------------------------
 */

static void hear_some(uint32_t n)
{
    while (n-- != 0)
        hear();
}

static void redis_step(void)
{
    switch (next_random(40)) {
    case 0:
        trim();
        break;
    case 1:
        if (next_random(4) == 0)
            lose_subscriber();
        break;
    case 2:
        if (next_random(12) == 0)
            fail_over();
        break;
    case 3:
    case 4:
        come_back();
        break;
    default:
        if (redis.up)
            subscribe(1 + next_random(CHANNELS - 1));
        if (redis.n_pages != 0 && next_random(2) == 0)
            execute_page(redis.pages[next_random((uint32_t)redis.n_pages)]);
        if (redis.n_pages != 0 && next_random(4) == 0)
            answer_page(next_random((uint32_t)redis.n_pages));
        if (redis.head_cb != NULL && !redis.head_executed)
            execute_head();
        else
            answer_head();
    }
}

static void step(uint64_t now)
{
    unsigned i = next_random(CLIENTS);
    switch (next_random(12)) {
    case 0:
        publish_some();
        break;
    case 1:
    case 2:
        hear_some(next_random(8));
        break;
    case 3:
    case 4:
    case 5:
        redis_step();
        break;
    case 6:
        ping(i);
        break;
    case 7:
        if (next_random(12) == 0)
            leave(i);
        come(i);
        break;
    case 8:
        edge_turn(edge, now);
        break;
    default:
        write_some(i, next_random(3) == 0);
    }
}

/* Nothing else happens, and all that is under way comes to its end. */
static void settle(uint64_t now)
{
    for (int round = 0; round < 1500; ++round) {
        come_back();
        for (unsigned i = 0; i < CLIENTS; ++i)
            come(i);
        for (unsigned i = 1; i < CHANNELS; ++i)
            subscribe(i);
        for (size_t k = redis.n_pages; k-- != 0;) {
            execute_page(redis.pages[k]);
            answer_page(k);
        }
        if (redis.head_cb != NULL)
            execute_head();
        answer_head();
        hear_some(100);
        edge_turn(edge, now);
        for (unsigned i = 0; i < CLIENTS; ++i)
            write_some(i, true);
    }
    for (unsigned i = 0; i < CLIENTS; ++i) {
        ping(i);
        write_some(i, true);
        assert_int_equal(clients[i].conn->state, CONN_LIVE);
        assert_null(missing(i, clients[i].wanted, redis.head));
        assert_true(position_cmp(clients[i].at, redis.mark) >= 0);
        assert_true(!clients[i].recovering || clients[i].caught_up || clients[i].told);
    }
}

static void run(uint32_t seed, int steps)
{
    static struct config config;
    static struct edge_shared shared;
    memset(&redis, 0, sizeof(redis));
    memset(clients, 0, sizeof(clients));
    config = (struct config){.tape_bytes = 65536, .pong_timeout_ms = 1000000000, .max_message_bytes = 65536};
    edge = edge_create(NULL, &config, &shared, NULL, NULL);
    random_state = seed;
    redis.head = redis.mark = (struct position){7, 0, 0};
    redis.up = true;
    for (int i = 0; i < steps; ++i)
        step(1000 + (uint64_t)i / 100);
    settle(1000 + (uint64_t)steps);
    for (unsigned i = 0; i < CLIENTS; ++i) {
        leave(i);
        buf_free(&clients[i].bytes);
    }
    edge_turn(edge, 1000);
    while (redis.n_pages != 0) {
        struct asked *a = redis.pages[--redis.n_pages];
        a->cb(a->data, NULL);
        forget_page(a);
        free(a);
    }
    edge_destroy(edge);
}

static void every_event_comes_once_in_order_or_the_client_is_told(void **state)
{
    for (uint32_t seed = 1; seed <= 50; ++seed) {
        run(seed, 6000);
    }
    assert_true(resyncs > 50 && caught_ups > 100 && resumes > 200);
}

/* --- single situations ----------------------------------------------------------------------------------------------
 */

static struct position seq(uint64_t n)
{
    return (struct position){7, n, 0};
}

struct taken {
    uint64_t seqs[16];
    size_t n;
};

static void take(void *data, const struct page_entry *e)
{
    struct taken *t = data;
    t->seqs[t->n++] = e->id.seq;
}

static void logs_are_merged_by_id_up_to_the_least_bound(void **state)
{
    const struct page_entry a[] = {{{7, 4, 0}, STR_LIT("a")}, {{7, 6, 0}, STR_LIT("a")}, {{7, 9, 0}, STR_LIT("a")}};
    const struct page_entry b[] = {{{7, 3, 0}, STR_LIT("b")}, {{7, 5, 0}, STR_NONE}, {{7, 6, 0}, STR_LIT("b")}};
    struct catch_up_source sources[] = {{a, 3, seq(9), false}, {b, 3, seq(8), false}};
    struct catch_up c;
    struct taken t = {0};
    catch_up_start(&c, seq(3));
    catch_up_merge(&c, sources, 2, take, &t);
    assert_int_equal(t.n, 2); /* 3 is not above, 5 has no text, 9 is above L */
    assert_true(t.seqs[0] == 4 && t.seqs[1] == 6);
    assert_int_equal(c.goal.seq, 8);
    catch_up_written(&c);
    assert_int_equal(catch_up_next(&c, true, seq(20)), CATCH_UP_ASK);
}

static void a_round_takes_so_many_bytes_but_one_event_at_least(void **state)
{
    static char text[CATCH_UP_BYTES_MAX];
    struct str large = {text, sizeof(text)}, half = {text, sizeof(text) / 2};
    const struct page_entry e[] = {{{7, 1, 0}, large}, {{7, 2, 0}, half}, {{7, 3, 0}, half}};
    struct catch_up c;
    struct taken t = {0};
    catch_up_start(&c, seq(0));
    for (uint64_t n = 1; n <= 3; ++n) {
        struct catch_up_source source = {e, 3, seq(5), false};
        catch_up_merge(&c, &source, 1, take, &t);
        assert_int_equal(t.n, n);
        assert_int_equal(c.goal.seq, n < 3 ? n : 5);
        catch_up_written(&c);
        assert_int_equal(catch_up_next(&c, true, seq(5)), n < 3 ? CATCH_UP_ASK : CATCH_UP_LIVE);
        assert_true(c.count < PAGE_ENTRIES_MAX);
    }
}

static void it_is_not_live_below_an_event_that_was_dropped(void **state)
{
    struct catch_up c;
    struct catch_up_source source = {NULL, 0, seq(5), false};
    struct taken t = {0};
    catch_up_start(&c, seq(5));
    catch_up_ask(&c);
    assert_true(catch_up_hears(&c, seq(6)));
    catch_up_overflowed(&c, seq(7));
    catch_up_merge(&c, &source, 1, take, &t);
    catch_up_written(&c);
    assert_int_equal(catch_up_next(&c, true, seq(9)), CATCH_UP_ASK);
    catch_up_ask(&c);
    source.bound = seq(7);
    catch_up_merge(&c, &source, 1, take, &t);
    catch_up_written(&c);
    assert_int_equal(catch_up_next(&c, true, seq(9)), CATCH_UP_LIVE);
    assert_false(catch_up_hears(&c, seq(7)));
}

static void it_waits_for_the_mark_and_not_for_another_page(void **state)
{
    const struct page_entry e[] = {{{7, 8, 0}, STR_LIT("a")}};
    struct catch_up_source sources[] = {{NULL, 0, seq(5), false}, {e, 1, seq(8), false}};
    struct catch_up c;
    struct taken t = {0};
    catch_up_start(&c, (struct position){7, 5, 3}); /* of a foreign event, whose number means nothing elsewhere */
    catch_up_merge(&c, sources, 2, take, &t);
    catch_up_written(&c);
    assert_int_equal(catch_up_next(&c, true, seq(5)), CATCH_UP_WAIT_MARK);
    assert_int_equal(catch_up_next(&c, true, seq(6)), CATCH_UP_ASK);
    catch_up_skip(&c, seq(8));
    assert_int_equal(catch_up_next(&c, true, seq(7)), CATCH_UP_WAIT_MARK);
    assert_int_equal(catch_up_next(&c, true, seq(8)), CATCH_UP_LIVE);
    assert_int_equal(catch_up_next(&c, false, seq(8)), CATCH_UP_ASK);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_are_merged_by_id_up_to_the_least_bound),
        cmocka_unit_test(a_round_takes_so_many_bytes_but_one_event_at_least),
        cmocka_unit_test(it_is_not_live_below_an_event_that_was_dropped),
        cmocka_unit_test(it_waits_for_the_mark_and_not_for_another_page),
        cmocka_unit_test(every_event_comes_once_in_order_or_the_client_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
