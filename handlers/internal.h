/* What the parts of handlers/ share: one WebSocket connection, and the edge of one worker that holds them.
 *
 *      HANDSHAKING --> SUBSCRIBING --> CATCHING_UP --> LIVE
 *           |              ^   ^           |            |
 *           |              |   `-----------'------------'   gap, overtaken by the tape, list full
 *           `--------------'--------------------------------> CLOSING --> CLOSED (freed at the end of the turn)
 *
 * SUBSCRIBING also holds who has a gap, until his channels are confirmed again and what was on its way to him is
 * written; the phases of CATCHING_UP are those of enum catch_up_phase. conn_set_state (conn.c) is the one place where a
 * connection changes its state, conn_close the one way to end it. */
#ifndef HANDLERS_INTERNAL_H
#define HANDLERS_INTERNAL_H

#include "core/catch_up.h"
#include "core/frame.h"
#include "core/intern.h"
#include "core/message.h"
#include "core/tape.h"
#include "core/token.h"
#include "core/wheel.h"
#include "handlers/edge.h"
#include <stdatomic.h>

/* Bytes that one connection may write in one turn, so that a slow reader's backlog does not hold up the others. */
#define FLUSH_MAX 65536
/* Targeted events waiting for one connection; beyond it the connection has to catch up. */
#define OUTBOX_EVENTS_MAX (256 * 1024)
/* Answers waiting for a client that does not read: beyond it nothing is read from that client. */
#define OUTBOX_URGENT_MAX 65536
#define SUBSCRIBE_TIMEOUT_MS 10000
#define CLOSE_TIMEOUT_MS 2000
#define CLOSE_GOING_AWAY "this server is going away"
#define BACKOFF_BASE_MS 500
#define BACKOFF_MAX_MS 30000
/* Refused clients that are being told so over a completed handshake, in the whole process. */
#define LINGERING_MAX 64

enum conn_state { CONN_HANDSHAKING, CONN_SUBSCRIBING, CONN_CATCHING_UP, CONN_LIVE, CONN_CLOSING, CONN_CLOSED };

/* An encoded frame that is not on the tape. */
struct ws_frame {
    struct ws_frame *next;
    uint64_t place;     /* of an event: what of the tape goes before it, so that the two merge in order */
    struct position id; /* of an event; zero for other frames */
    uint32_t len;
    char bytes[];
};

/* Frames of one connection that wait; exists only while there are any. */
struct ws_outbox {
    struct ws_frame *current; /* partly written, or the rest of a tape frame: goes first */
    size_t current_off;
    struct ws_frame *urgent, *urgent_last; /* no events: go out at the next frame boundary */
    struct ws_frame *replay, *replay_last; /* CATCHING_UP: the events of this round's pages, ids increasing */
    struct ws_frame *events, *events_last; /* live targeted events, ids increasing; they wait until it is LIVE */
    size_t urgent_bytes, events_bytes;     /* with what each frame costs beside its bytes */
};

/* Ten of a kind within a minute are too many. */
#define STRIKES_CLOCK 0x0fffffff
struct strikes {
    uint32_t window_start_s : 28; /* monotonic; goes round after eight years */
    uint32_t n : 4;
};

/* What a catching-up connection waits for. */
enum catch_up_phase {
    PHASE_NONE,       /* its turn: nothing is asked yet */
    PHASE_HEAD,       /* a read of the head: it starts there, or goes on from there after a refusal */
    PHASE_HEAD_KNOWN, /* its turn to be told so */
    PHASE_BROADCASTS, /* the page of the broadcast log that is read for all who need it, then its turn */
    PHASE_PAGE,       /* the page of its own logs */
    PHASE_WRITING,    /* the socket: the frames of this round */
    PHASE_MARK,       /* the mark: it is live once that has reached its position */
};

/* A connection that is not live yet, or no longer. Lists and reads under way hold it too, so whoever gives up what was
 * asked (a gap, the end) takes a new one, and answers to the old find nobody. */
struct ws_catch_up {
    struct ws_conn *conn; /* NULL: given up */
    uint32_t refs;        /* lists and reads that hold it */
    uint8_t phase;        /* enum catch_up_phase */
    uint8_t resync;       /* enum resync_reason: what it will be told once the head is known */
    bool queued;          /* is in edge->steps */
    struct catch_up core;
    uint64_t cursor, limit;            /* on the tape: what is still to be written of this round; equal: nothing */
    struct position oldest;            /* PHASE_HEAD_KNOWN: the floor */
    struct broadcast_page *broadcasts; /* this round's, shared; NULL */
};

struct catch_up_list {
    struct ws_catch_up **entries;
    size_t n, cap, first; /* first: those before it have been taken out */
};

struct ws_conn {
    h2o_socket_t *sock; /* NULL until the upgrade is complete and after the socket is closed */
    struct edge *edge;
    struct wheel_entry timer;
    struct hub_member follows[2]; /* by enum hub_kind: the user's channel, the connection's own */
    struct ws_outbox *outbox;
    struct ws_conn *dirty_next;
    union {
        uint64_t cursor;              /* on the tape, from LIVE on */
        struct ws_catch_up *catch_up; /* before; NULL of who is refused */
    };
    struct position
        sent; /* the last event frame written, or what it is known to have all up to: right to resume from */
    struct frame_decoder decoder;

    uint64_t opened_ms, next_ping_ms, expires_ms; /* monotonic */
    uint64_t deadline_ms;                         /* of the state it is in (welcome, closing handshake); 0: none */
    uint64_t partial_since_ms;                    /* an incomplete frame or message is waiting since; 0: none */
    uint64_t seen_ms;
    uint64_t leave_ms; /* when it is closed 1012 so that it connects elsewhere; 0: never */
    struct bucket rate;
    struct strikes bad, limited;
    uint32_t index;                /* in edge->conns */
    struct address_count *address; /* for MAX_CONNECTIONS_PER_ADDRESS; NULL if off */
    struct interned *agent;        /* the user agent, for others to see; NULL: none */
    uint8_t remote[16];            /* the client's address, likewise; zero of a Unix socket */
    uint32_t gen;                  /* how many sockets have had its id, itself included */
    uint32_t in, out;              /* bytes read and written, for the log; UINT32_MAX: that many or more */

    uint32_t refs;         /* answers of pubsub/ that are still to come */
    uint16_t notice_early; /* how long before expires_ms it is told, ms */
    uint16_t known_in;     /* of the epoch in which Redis last had its identity, the lowest bits; 0: never */
    uint8_t state;         /* enum conn_state */
    uint8_t scopes;        /* enum scope bits */
    bool resuming : 1;     /* brought a position, and has not been told caught_up or resync_required since */
    bool welcomed : 1;
    bool blocked : 1;      /* the socket takes no more; its callback will come */
    bool dirty : 1;        /* is in edge->dirty */
    bool reading_held : 1; /* nothing is read before the welcome, so that no answer comes before it */
    bool reading_paused : 1;
    bool peer_closed : 1; /* its close frame has come */
    bool lingering : 1;   /* refused: counts among the reserve's clients, not among the connections */
    bool counted : 1;     /* in shared->connections */
    bool expiry_told : 1;
    bool leave_told : 1;
    bool acked : 1;        /* has acknowledged something */
    bool cursor_named : 1; /* brought a cursor's name, which is in edge->cursor_names */
    bool belfry_v1 : 1;    /* the subprotocol was offered, and is selected */
    bool registered : 1;   /* its id is known to those who publish: before that there is no welcome */
    bool resumed : 1;      /* its id was another socket's before */
};

/* See measure.c. */
struct edge_measures {
    uint64_t events, bytes; /* written since the last measure_tell */
    uint64_t timestamp_ms;  /* unix, of the newest broadcast; 0: unknown */
    uint64_t fanout_since_ms;
    size_t fanout_left; /* connections that have yet to be visited in the fan-out that is measured; 0: none is */
};

struct conn_list {
    struct ws_conn **entries;
    size_t n, cap;
};

struct edge {
    h2o_context_t *ctx;
    const struct config *config;
    struct edge_shared *shared;
    struct credentials_view *credentials;
    struct pubsub *pubsub;
    struct limiter *limiter; /* PUBLISH_RATE, shared with REST */
    struct hub hub;
    struct tape tape;
    struct wheel *wheel;
    struct table addresses, user_agents;
    struct table cursor_names; /* of those who brought one */

    struct conn_list conns;      /* all of them, dense: the sweep walks it */
    size_t open;                 /* those that count as connections (not refused ones) */
    size_t sweep_at, sweep_left; /* live connections still to be flushed after the last broadcast */
    uint64_t lag_floor;          /* no connection that is behind on the tape has a smaller cursor */
    struct ws_conn *dirty;       /* have something to write of their own */
    struct conn_list closed;
    struct catch_up_list steps; /* those whose turn it is, in the order in which it came */
    struct catch_up_list want_head, asked_head, want_mark, want_broadcasts;
    struct position mark_awaited;    /* the least position of those who wait for the mark */
    struct position broadcasts_upto; /* bound of the last shared page */
    bool head_in_flight, broadcasts_in_flight;
    bool timers_due;      /* more fell due than one turn fires */
    size_t register_left; /* connections below this place are still to be registered again */
    uint32_t gap_generation, broadcasts_generation;
    uint64_t leave_by_ms; /* the end of the drain's slots; 0: not draining */
    bool ending;          /* the drain is over: nobody is let in */
    uint64_t now_ms;      /* of this turn */
    uint8_t *scratch;     /* where plain sockets are read into */
    struct log_limit origin_log;
    struct edge_measures measures;
};

/* measure.c */
/* An event that is not on the tape begins to be written. */
void measure_event(struct ws_conn *c, const struct ws_frame *f);
/* A broadcast has come onto the tape. */
void measure_broadcast(struct edge *e, struct str text);
/* A slice of the fan-out has visited so many; `last` of them had something to write (NULL: nobody had). */
void measure_slice(struct edge *e, size_t visited, const struct ws_conn *last);
/* Hands over what was added up. */
void measure_tell(struct edge *e);

/* conn.c */
struct ws_conn *conn_create(struct edge *e);
void conn_set_state(struct ws_conn *c, enum conn_state state);
/* Follows its user's channel; its own is followed once it has a name (conn_enter). */
void conn_follow_user(struct ws_conn *c, struct str user);
struct ws_conn *conn_of_member(struct hub_member *m);
/* The one way to close: a close frame with code and reason, then the handshake's end or CLOSE_TIMEOUT_MS. */
void conn_close(struct ws_conn *c, uint16_t code, const char *reason);
/* The socket is gone or has to go without a word. */
void conn_cut(struct ws_conn *c, const char *why);
void conn_free(struct ws_conn *c);
struct str conn_user(const struct ws_conn *c);
struct str conn_id(const struct ws_conn *c);
/* Of a log line: who it is about, as far as that is known yet, or still. */
#define LOG_CONN(c) LOG_S("connection_id", str_or_none(conn_id(c))), LOG_S("user", str_or_none(conn_user(c)))
static inline struct str str_or_none(struct str s)
{
    return s.n != 0 ? s : STR_NONE;
}
/* What every frame that is no event carries as its event_id. */
struct position conn_position(struct ws_conn *c);
void conn_list_add(struct conn_list *l, struct ws_conn *c);
static inline void conn_count_bytes(uint32_t *counter, size_t n)
{
    *counter = n < UINT32_MAX - *counter ? *counter + (uint32_t)n : UINT32_MAX;
}
static inline bool conn_is_catching_up(const struct ws_conn *c)
{
    return c->state < CONN_LIVE && c->catch_up != NULL;
}
/* True while it takes frames from the tape, so that the tape may overtake it. */
static inline bool conn_on_tape(const struct ws_conn *c)
{
    return c->state == CONN_LIVE || (c->state == CONN_CATCHING_UP && c->catch_up->cursor != c->catch_up->limit);
}
/* Where it stands there, and up to where it may read. */
static inline uint64_t conn_cursor(const struct ws_conn *c)
{
    return c->state == CONN_CATCHING_UP ? c->catch_up->cursor : c->cursor;
}
static inline uint64_t conn_limit(const struct ws_conn *c)
{
    return c->state == CONN_CATCHING_UP ? c->catch_up->limit : c->edge->tape.head;
}

/* identity.c */
/* What others may see of the client; the user agent may be any bytes. */
void conn_note_client(struct ws_conn *c, const uint8_t address[16], struct str user_agent);
/* Takes the identity `claimed` over if it can, else a new one; then its own channel is followed. Absent and malformed
 * claims are none. */
void conn_enter(struct ws_conn *c, struct str claimed);
/* It has this name from now on, as the gen-th socket. */
void conn_follow_own(struct ws_conn *c, struct str id, uint32_t gen);
/* Its identity goes away, if it has one by now. */
void conn_exit(struct ws_conn *c, uint16_t code);
/* Says again which connections there are, as far as Redis keeps up. */
void edge_register(struct edge *e);
bool edge_on_claim_due(void *edge, void *claim);
bool edge_on_claimed(void *edge, void *claim, const struct identity_claimed *r);
void edge_on_registered(void *edge, struct hub_channel *channel, enum registered how, uint64_t epoch);
void edge_on_superseded(void *edge, struct hub_channel *channel, uint32_t gen);
void edge_on_disconnect(void *edge, struct hub_channel *channel, uint32_t gen, struct str reason);
bool edge_on_question(void *edge, struct hub_channel *channel, struct presence_now *out);
void edge_on_register_all(void *edge);

/* outbox.c */
/* Takes over `json`'s text as one text frame that goes out at the next frame boundary; json is emptied. */
void conn_say(struct ws_conn *c, struct buf *json);
/* Already encoded frames, likewise. */
void conn_say_frames(struct ws_conn *c, struct str frames);
/* A targeted event. False if the list is full: the connection has to catch up. */
bool conn_queue_event(struct ws_conn *c, struct position id, struct str text);
/* An event of this round's pages; `place`: what lies on the tape before it goes out first. */
void conn_queue_replay(struct ws_conn *c, struct position id, struct str text, uint64_t place);
/* Of the live events that wait, those up to there. */
void outbox_drop_events(struct ws_conn *c, struct position up_to);
/* Returns how many events of the pages had not begun to go out. */
size_t outbox_drop_replay(struct ws_conn *c);
/* Leaves the tape, if it is there: what is left of a frame that is partly written is copied aside. */
void conn_leave_tape(struct ws_conn *c);
/* There is something that may go out now. */
bool conn_has_output(const struct ws_conn *c);
/* Live events wait. */
bool conn_events_wait(const struct ws_conn *c);
/* All events of this round have gone out, or their last one has begun to. */
bool conn_replay_written(const struct ws_conn *c);
#define PLAN_MAX 32
struct write_plan {
    struct iovec iov[PLAN_MAX];
    int n;
    size_t bytes;
};
/* The next bytes to write, in order, at most FLUSH_MAX. */
void conn_plan(const struct ws_conn *c, struct write_plan *plan);
/* `n` of them have been written. */
void conn_written(struct ws_conn *c, size_t n);
void outbox_free(struct ws_conn *c);

/* flush.c */
void conn_mark_dirty(struct ws_conn *c);
void conn_flush(struct ws_conn *c);
void edge_flush(struct edge *e);

/* catch_up.c: from the confirmed subscription to live, round by round */
/* `at`: the position it brought; NULL: it starts at the head. Once for each connection, as soon as its position is
 * known; until then it waits in SUBSCRIBING. Where that comes late, conn_wake follows. */
void conn_begin_catch_up(struct ws_conn *c, const struct position *at);
/* It brought something that is no position, and will be told so. */
void conn_begin_unknown(struct ws_conn *c);
/* A live connection, or one that catches up already, has missed something after its position: it goes back to
 * SUBSCRIBING. */
void conn_catch_up(struct ws_conn *c);
/* Catches up, and is told `expired`: of its own log, which is gone, nobody can tell what was in it. */
void conn_lost_log(struct ws_conn *c);
/* Its catch-up is over, or given up. */
void conn_end_catch_up(struct ws_conn *c);
/* All up to the end of this round is written, unless the outbox says otherwise: on to the next, or live. */
void conn_settle(struct ws_conn *c);
/* It has its turn. */
void conn_step(struct ws_conn *c);
void edge_gap(struct edge *e);
void edge_mark_risen(struct edge *e);

/* catch_up_list.c */
void catch_up_list_add(struct catch_up_list *l, struct ws_catch_up *u);
void catch_up_release(struct ws_catch_up *u);
void catch_up_list_free(struct catch_up_list *l);
/* Something that it may have waited for has happened: it gets its turn. */
void conn_wake(struct ws_conn *c);
/* The turns of those who have one, for a slice of time. */
void edge_steps(struct edge *e);
void edge_free_catch_up(struct edge *e);

/* join.c: what a connection is told at the passages */
void conn_say_welcome(struct ws_conn *c);
/* It goes on from `head`; what it has missed before is gone. */
void conn_refuse(struct ws_conn *c, enum resync_reason reason, struct position head, struct position oldest);
void conn_go_live(struct ws_conn *c);
void conn_want_head(struct ws_conn *c);
/* The head is known: of a fresh client its first position. */
void conn_join_at_head(struct ws_conn *c);
void edge_ask_head(struct edge *e);

/* broadcast_pages.c: pages of the broadcast log, each read once for all who need it */
struct broadcast_page {
    uint32_t refs;
    bool full;
    struct position bound;
    size_t n;
    struct page_entry entries[]; /* their texts lie behind them */
};
void conn_want_broadcasts(struct ws_conn *c);
void edge_ask_broadcasts(struct edge *e);
/* It has no more use for its page. */
void conn_drop_broadcasts(struct ws_conn *c);

/* inbound.c */
void conn_start_reading(struct ws_conn *c);
/* Once it is welcomed, or refused: reads what came right behind the request, then the socket. */
void conn_release_reading(struct ws_conn *c);
void conn_feed(struct ws_conn *c, uint8_t *p, size_t n);

/* client_messages.c */
void conn_on_message(struct ws_conn *c, struct str text);
void conn_error(struct ws_conn *c, enum error_code code, struct str text, struct str ref, struct str field);
/* Counts one; true at the tenth within a minute. */
bool strikes_add(struct strikes *s, uint64_t now_ms);

/* acks.c */
/* `name` is valid. Before anything else of cursors. */
void conn_name_cursor(struct ws_conn *c, struct str name);
/* The name it brought, or the one of those who bring none. */
struct str conn_cursor_name(const struct ws_conn *c);
/* Begins its catch-up from the cursor once that has been read; as a fresh client where nothing was acknowledged. */
void conn_begin_at_cursor(struct ws_conn *c);
void conn_ack(struct ws_conn *c, const struct client_message *m);
/* It closes: what it has acknowledged is stored soon. Before it leaves its channels. */
void conn_end_acks(struct ws_conn *c);

/* timers.c */
void conn_schedule(struct ws_conn *c);
void conn_timer(struct wheel_entry *entry, void *edge);
void conn_set_expiry(struct ws_conn *c, uint64_t exp_s);
/* Will be closed at that time, and is told so now (or with its welcome). */
void conn_leave(struct ws_conn *c, uint64_t at_ms);
/* When MAX_CONNECTION_AGE, or the drain under way, makes a connection that opens now leave. */
void conn_plan_leave(struct ws_conn *c);
void conn_tell_leave(struct ws_conn *c);

/* admission.c */
/* NULL, or why this client is not let in now, and counted as such: *code is 1012, 1013 or 4429. */
const char *edge_full(const struct edge *e, uint16_t *code);
const char *edge_limit_user(const struct edge *e, struct str user, uint16_t *code);
/* Counts the address; false if it has too many. */
bool conn_count_address(struct ws_conn *c, const uint8_t address[16]);
void conn_uncount_address(struct ws_conn *c);

#endif
