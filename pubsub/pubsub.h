/* All that speaks Redis, of one worker: publish, follow channels, hear events. It never learns what a connection is;
 * news travels up through the callbacks. Everything happens on the worker's thread. */
#ifndef PUBSUB_PUBSUB_H
#define PUBSUB_PUBSUB_H

#include "core/config.h"
#include "core/envelope.h"
#include "core/hub.h"
#include "core/page.h"
#include "core/publication.h"

struct st_h2o_context_t;
struct pubsub;

/* A connection as others may know it. */
struct identity {
    struct str id; /* RANDOM_ID_LEN characters (core/random_id.h) */
    struct str user;
    uint32_t gen;           /* how many sockets have had it, this one included; unused by a claim */
    const uint8_t *address; /* 16 bytes, all zero of a Unix socket */
    struct str user_agent;  /* valid UTF-8, or without bytes */
    uint64_t since_ms;      /* unix ms of this socket's beginning */
    uint16_t code;          /* of pubsub_unregister only: what it was closed with, */
    uint64_t duration_ms;   /* and how long it was open */
};
/* What became of a claim. */
struct identity_claimed {
    bool resumed;
    struct str id; /* the claimed one if it was resumed, else its own; valid during the call */
    uint32_t gen;
};

enum registered { REGISTERED_NEW, REGISTERED_HELD, REGISTERED_REFUSED };

/* What changes with every frame of a connection, and so is asked of the worker that holds it. */
enum presence_state { PRESENCE_AWAY, PRESENCE_CONNECTING, PRESENCE_CATCHING_UP, PRESENCE_LIVE };
/* away, connecting, catching_up, live */
const char *presence_state_name(enum presence_state s);
struct presence_now {
    enum presence_state state; /* PRESENCE_AWAY: it has ended, and can be resumed; the rest is unused then */
    uint64_t last_seen_ms;     /* unix ms of the last byte from the client */
    struct position position;
};

/* News for the edge. All are called from the loop, never from inside a pubsub_* call. */
struct pubsub_callbacks {
    /* An event for everybody (id is belfry's, or `.n` of a foreign one); text is what clients get, valid during the
     * call. */
    void (*on_broadcast)(void *ctx, struct position id, struct str text);
    /* An event for the followers of one channel. */
    void (*on_targeted)(void *ctx, struct hub_channel *channel, struct position id, struct str text);
    /* The mark has risen (or been reset): whoever waits for a position may look again at pubsub_mark(). */
    void (*on_mark)(void *ctx);
    /* All SUBSCRIBEs of the channel are confirmed. */
    void (*on_channel_ready)(void *ctx, struct hub_channel *channel);
    /* The subscriber connection is gone, an epoch ended or a forgery was found: every live connection has a gap after
     * its position (pubsub_mark() still tells the old mark during the call). Once it is back the tape is completed
     * (below), then all channels with members are subscribed again, and on_channel_ready comes for each. */
    void (*on_gap)(void *ctx);
    /* The new subscriber connection is not read yet: first the tape gets what it has missed. What lies past the end of
     * a lost history is cut off it. Returns the position after which it lacks broadcasts: its last frame's id, or where
     * it begins. */
    struct position (*on_history)(void *ctx, const struct history *history);
    /* It cannot be completed without a hole: the tape is emptied and begins after `lost`. The missed broadcasts follow
     * by on_broadcast, in order, and then on_mark with the mark at the head of that read. */
    void (*on_tape_restart)(void *ctx, struct position lost);

    /* This connection is known to those who publish, or known already (held, new); or Redis has refused to take it, and
     * will be asked again. `epoch` is that in which it was so; 0: Redis has no history yet. */
    void (*on_registered)(void *ctx, struct hub_channel *channel, enum registered how, uint64_t epoch);
    /* A newer socket has the identity: whoever is in this channel with a smaller gen has to be closed 4409. */
    void (*on_superseded)(void *ctx, struct hub_channel *channel, uint32_t gen);
    /* An operator ends the identity: whoever is in this channel with at most that gen has to be closed 4403. The reason
     * has at most DISCONNECT_REASON_MAX bytes. */
    void (*on_disconnect)(void *ctx, struct hub_channel *channel, uint32_t gen, struct str reason);
    /* Fills in how the connection of this channel is; false if it has ended. */
    bool (*on_question)(void *ctx, struct hub_channel *channel, struct presence_now *out);
    /* Redis may know of none of this worker's connections any more, or of newer sockets: all have to be registered
     * again, in as many turns as pubsub_register_room wants. */
    void (*on_register_all)(void *ctx);
    /* A claim is about to be sent (again). False: nobody waits for it any more, and nothing more is heard of it. */
    bool (*on_claim_due)(void *ctx, void *claim);
    /* The end of a claim. False: nobody waits for it any more, and the identity goes away at once. */
    bool (*on_claimed)(void *ctx, void *claim, const struct identity_claimed *r);
};

/* `worker` is its number in the process, for logs and the name of its Redis clients; `data` goes to the callbacks. The
 * config and the hub outlive the pubsub. Connects at once; nothing is called back from within. */
struct pubsub *pubsub_create(struct st_h2o_context_t *ctx, const struct config *config, struct hub *hub,
                             const struct pubsub_callbacks *callbacks, void *data, unsigned worker);
/* The first step of the end, once pubsub_settled or for want of time: gives up the node's lease, so that the cluster's
 * counts forget it at once, answers every
 * pending publish (503 draining, or 504 if it was sent) and closes the connections. Publishes that still come are
 * answered 503 by pubsub_turn. No news from here on. */
void pubsub_close(struct pubsub *p);
/* After pubsub_close. */
void pubsub_destroy(struct pubsub *p);
/* At least every 100 ms: timers and lingering channels. */
void pubsub_tick(struct pubsub *p, uint64_t now_ms);
/* At the end of each loop turn: sends the canary or head read that somebody asked for in this turn. */
void pubsub_turn(struct pubsub *p);

/* Starts or keeps the subscription of a channel that has members (hub_join first). True if it is confirmed already. */
bool pubsub_follow(struct pubsub *p, struct hub_channel *channel);
bool pubsub_channel_ready(const struct pubsub *p, const struct hub_channel *channel);
/* The channel has lost its last member: it lingers 60 s, is then unsubscribed and dropped from the hub. */
void pubsub_unfollow(struct pubsub *p, struct hub_channel *channel);

/* The head of the order, read after this call, and the oldest position kept: cb once, in a later turn, as soon as Redis
 * answers; the calls of one turn share one read. There is no cancel, so `data` has to outlive the pubsub or the answer.
 */
void pubsub_read_head(struct pubsub *p, void (*cb)(void *data, struct position head, struct position oldest),
                      void *data);

struct position pubsub_mark(const struct pubsub *p);

/* A log that can be read back; id is unused for the broadcast log. */
enum event_log { EVENT_LOG_BROADCAST, EVENT_LOG_USER, EVENT_LOG_CONNECTION };
struct event_log_ref {
    enum event_log kind;
    struct str id;
};

struct page_request {
    struct position after;
    const struct event_log_ref *logs; /* copied; 1 to PAGE_LOGS_MAX */
    size_t n;
    unsigned count;      /* entries per log, at most PAGE_ENTRIES_MAX */
    uint64_t timeout_ms; /* 0: it waits for Redis as long as it takes */
};
/* page is valid during the call; NULL: the time is over, or the pubsub ends. */
typedef void (*page_cb)(void *data, const struct page *page);
/* Reads the logs in one atomic step, after this call; cb once, in a later turn. At most PAGES_IN_FLIGHT_MAX are asked
 * of Redis at a time, the others wait in line; what a broken connection leaves unanswered is asked again. A canary
 * follows the pages of a turn, so that the mark reaches their heads soon. No page is asked before the first canary of
 * its connection was answered, and none is handed out of another epoch than the mark's: that is a gap first. */
#define PAGES_IN_FLIGHT_MAX 64
void pubsub_read_page(struct pubsub *p, const struct page_request *r, page_cb cb, void *data);

/* A client has acknowledged all events up to `at`, which it has been sent. Cursors are told apart by user and name (at
 * most CURSOR_NAME_MAX bytes); each is stored at most every 5 s, in a batch with others, and only forwards. Costs no
 * command of its own. While Redis is away it is kept. */
void pubsub_ack(struct pubsub *p, struct str user, struct str name, struct position at);
/* A connection that has acknowledged is gone: what is not stored yet of that cursor is stored soon. */
void pubsub_acks_end(struct pubsub *p, struct str user, struct str name);
/* True once nothing waits to be stored at once, or if it cannot be stored now. */
bool pubsub_acks_stored(const struct pubsub *p);

/* known false: Redis has not answered within about REDIS_TIMEOUT, or refuses. `at` is 0-0 where nothing was ever
 * acknowledged. */
typedef void (*cursor_cb)(void *data, bool known, struct position at);
/* cb once, in a later turn or from pubsub_close; what this worker has yet to store counts. user and name are copied. */
void pubsub_read_cursor(struct pubsub *p, struct str user, struct str name, cursor_cb cb, void *data);

/* What happened to a publish. */
enum publish_status {
    PUBLISH_OK,
    PUBLISH_KEY_REUSED, /* another body under this Idempotency-Key: 422 */
    PUBLISH_AWAY,       /* 503 each, with a cause of its own: no connection, and nothing was sent */
    PUBLISH_LOADING,
    PUBLISH_READONLY,
    PUBLISH_OUT_OF_MEMORY,
    PUBLISH_NO_REPLICAS,
    PUBLISH_MISCONF, /* Redis cannot persist and refuses writes */
    PUBLISH_BUSY,
    PUBLISH_DRAINING,
    PUBLISH_QUEUE_FULL,      /* too many publishes wait already */
    PUBLISH_OUTCOME_UNKNOWN, /* 504: sent, no reply within REDIS_TIMEOUT */
    PUBLISH_REPLICAS_BEHIND, /* 504: the master holds it, REDIS_WAIT_REPLICAS replicas do not yet */
    PUBLISH_FAILED,          /* 500: an error reply that is none of these; logged */
};

struct publish_result {
    struct position id;
    uint64_t receivers; /* workers that the event reached */
    bool unknown;       /* it was for a connection that does not exist: neither published nor kept, id is 0-0 */
};

struct publish_request {
    const struct publication *events; /* copied: need not outlive the call */
    size_t n;                         /* 1 to BATCH_MAX */
    struct str idempotency_scope;     /* subject and path; with key STR_NONE unused */
    struct str idempotency_key;       /* the caller's, STR_NONE: belfry makes its own, kept 60 s */
    struct str body;                  /* what the key stands for: another body under it is PUBLISH_KEY_REUSED */
    struct str traceparent;           /* STR_NONE if none */
};

/* `results` has the request's n entries if status is PUBLISH_OK, else NULL. */
typedef void (*publish_cb)(void *data, enum publish_status status, const struct publish_result *results, size_t n);
/* cb comes exactly once, in a later turn or from pubsub_destroy, within 2 x REDIS_TIMEOUT; never from inside this call.
 */
void pubsub_publish(struct pubsub *p, const struct publish_request *request, publish_cb cb, void *data);

/* Erases a user's log: as a publish of one event, in line with the others, whose id is that of the erasure. Who has not
 * had all that was in it is told RESYNC_EXPIRED; what is kept elsewhere stays. */
void pubsub_erase(struct pubsub *p, struct str user, publish_cb cb, void *data);

/* The type, title and HTTP status of a problem for a status: one table for REST and WebSocket. */
struct publish_problem {
    int status;
    const char *type, *title, *detail; /* type is a URN-like path fragment, e.g. "redis-read-only" */
};
struct publish_problem publish_problem(enum publish_status s);

struct pubsub_state {
    bool commands_connected, subscriber_connected;
    bool ready;             /* ws:broadcast confirmed and a canary came back */
    bool away;              /* Redis cannot be reached: REST answers 503 itself, new sockets get 1013 */
    uint64_t canary_age_ms; /* since the last canary came back */
    const char *fatal; /* Redis Cluster, refused INFO, newer schema: the process exits 2 with this text; else NULL */
};
struct pubsub_state pubsub_state(const struct pubsub *p, uint64_t now_ms);
/* Sets the gauges of this worker that are not kept as things happen. */
void pubsub_note_metrics(const struct pubsub *p);

/* The counts that this node's lease carries; told before each renewal. */
void pubsub_set_counts(struct pubsub *p, uint64_t local, uint64_t dead);
/* The cluster's sum over all leases, at most 15 s old; cb once, later, or at once from a cache of 5 s. stale: Redis is
 * away and these are the last known. */
struct pubsub_totals {
    uint64_t total, dead;
    bool stale;
};
void pubsub_totals(struct pubsub *p, void (*cb)(void *data, struct pubsub_totals totals), void *data);

/* Identities: which connections there are, in the whole cluster. What is said in a turn goes out at its end, before the
 * turn's read of the head, in batches; what a broken connection leaves open is said again. Everything is copied. */
/* Makes a connection known; then on_registered, or on_superseded with a gen above its own. */
void pubsub_register(struct pubsub *p, const struct identity *i);
/* Whether Redis keeps up with more registrations: of those that on_register_all asks for. */
bool pubsub_register_room(const struct pubsub *p);
/* Takes over the identity `claimed`, if it is there or away and of the same user; else registers i->id. `claim` goes to
 * the callbacks; it outlives the pubsub or its last callback. */
void pubsub_claim(struct pubsub *p, struct str claimed, const struct identity *i, void *claim);
/* The connection has ended: for some minutes its identity can be resumed. Only id, user, gen, code
 * and duration are looked at. */
void pubsub_unregister(struct pubsub *p, const struct identity *i);
/* False while Redis has yet to hear of a connection's end, and can be reached. */
bool pubsub_settled(const struct pubsub *p);

/* Presence: who is connected, in the whole cluster. Of all these cb comes once, in a later turn or from pubsub_close,
 * and what is given is copied. */
struct presence_entry {
    struct str id, user, node;
    struct str address, user_agent; /* STR_NONE where there is none */
    uint64_t since_ms;              /* unix ms */
};

#define PRESENCE_LIMIT_MAX 1000
struct presence_query {
    struct str user, node; /* STR_NONE: anybody's, any */
    struct str cursor;     /* of the page before; STR_NONE to begin */
    size_t limit;          /* 1 to PRESENCE_LIMIT_MAX */
};
struct presence_page {
    const struct presence_entry *entries;
    size_t n;          /* rarely above the limit; where a node is asked for, or connections end, also far below it */
    struct str cursor; /* of the next page; STR_NONE: this was the last */
};
/* page is valid during the call; NULL: Redis did not answer within about REDIS_TIMEOUT, or refuses. */
typedef void (*presence_page_cb)(void *data, const struct presence_page *page);
/* A page of the connections. False, and no cb, if the cursor is not one of such a query. A connection that is there for
 * the whole of a walk comes in it, and only once unless others come and go meanwhile. */
bool pubsub_list_connections(struct pubsub *p, const struct presence_query *query, presence_page_cb cb,
                             void *data) MUST_CHECK;

enum inspect_status {
    INSPECT_OK,
    INSPECT_UNKNOWN, /* there is no such connection, nor is it away */
    INSPECT_SILENT,  /* its worker did not answer within INSPECT_TIMEOUT_MS */
    INSPECT_AWAY,    /* Redis did not answer within about REDIS_TIMEOUT, or refuses */
};
#define INSPECT_TIMEOUT_MS 1000
/* entry and now are NULL unless the status is INSPECT_OK, and valid during the call. */
typedef void (*inspect_cb)(void *data, enum inspect_status status, const struct presence_entry *entry,
                           const struct presence_now *now);
void pubsub_inspect(struct pubsub *p, struct str id, inspect_cb cb, void *data);

#define DISCONNECT_REASON_MAX 100
/* known false: Redis did not answer within about REDIS_TIMEOUT, or refuses; some may have been ordered. */
typedef void (*disconnect_cb)(void *data, bool known, uint64_t ordered);
/* Orders a connection, or all of a user's, to be closed 4403, and ends their identities: they cannot be resumed. The
 * reason is valid UTF-8 without control characters, at most DISCONNECT_REASON_MAX bytes; STR_NONE: one of belfry's own.
 * `ordered` 0: no such connection, or none of that user. */
void pubsub_disconnect(struct pubsub *p, struct str id, struct str reason, disconnect_cb cb, void *data);
void pubsub_disconnect_user(struct pubsub *p, struct str user, struct str reason, disconnect_cb cb, void *data);

/* The publishing script with its arguments explained, for `belfry script`. */
struct str pubsub_script_text(void);

#endif
