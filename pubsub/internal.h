/* What the parts of pubsub/ share of one worker. Nobody outside pubsub/ includes this. */
#ifndef PUBSUB_INTERNAL_H
#define PUBSUB_INTERNAL_H

#include "core/cursors.h"
#include "core/mark.h"
#include "core/random_id.h"
#include "pubsub/ask.h"
#include "pubsub/identity_call.h"
#include "pubsub/link.h"
#include "pubsub/pubsub.h"
#include "pubsub/script_call.h"

/* A node's lease: renewed every third of its life. */
#define CANARY_PERIOD_MS 10000
/* A canary that does not come back for this long proves that the subscription delivers nothing. */
#define CANARY_LOST_MS 15000

/* Those who wait for a read of the head. */
struct head_waiter {
    void (*cb)(void *data, struct position head, struct position oldest);
    void *data;
};
struct head_waiters {
    struct head_waiter *entries;
    size_t n, cap;
};

struct canary_state {
    struct head_waiters waiting, asked; /* asked: those whom the canary in flight will answer */
    bool wanted, in_flight;
    bool answered; /* one was, on the present command connection: the epoch is open and the floor is fresh */
    bool by_text;  /* Redis did not know the script */
    uint64_t nonce_sent, nonce_heard;
    uint64_t next_ms;     /* when the lease is due */
    uint64_t heard_ms;    /* when one last came back; 0: never */
    bool heard;           /* one has come back on the present subscriber connection */
    uint64_t local, dead; /* the lease's counts */
    struct log_limit log;
};

enum channel_state { CHANNEL_NONE, CHANNEL_SUBSCRIBING, CHANNEL_SUBSCRIBED };

/* A channel that nobody follows and that will be unsubscribed; beside the channel, since most have followers. */
struct channel_linger {
    struct hub_channel *channel;
    uint64_t until_ms;
    struct channel_linger *next, *prev;
};

struct subscriber_state {
    uint32_t generation; /* of the connection; channels of an older one have to be subscribed again */
    uint64_t up_since_ms;
    uint64_t broadcast_carried;
    struct hub_channel **due; /* still to be subscribed on a new connection; none of them is dropped meanwhile */
    size_t due_n, due_cap;
    struct channel_linger *linger_first, *linger_last; /* in the order of until_ms */
    uint64_t dropped;                                  /* junk from foreign publishers */
    struct log_limit log, refused_log;
};

struct publish_entry;

struct publisher_state {
    struct publish_entry *first, *last; /* all that are not answered, in the order of arrival */
    struct publish_entry *unsent;       /* none before it waits to be sent */
    uint64_t arrivals;
    size_t count, bytes; /* of all that are not answered */
    bool loading;        /* Redis did not know the script: it is being loaded, and nothing sent meanwhile */
    uint64_t down_since_ms, expire_at_ms;
    struct log_limit log;
};

struct wait_state {
    struct link link; /* for publishes alone, since WAIT blocks its connection */
    bool in_flight;   /* a WAIT */
    bool asking;      /* an INFO */
    uint64_t ask_at_ms;
    struct log_limit log;
};

struct totals_waiter {
    void (*cb)(void *data, struct pubsub_totals totals);
    void *data;
};
struct totals_state {
    struct pubsub_totals last;
    uint64_t read_ms; /* 0: never */
    bool in_flight;
    bool by_text; /* Redis did not know the script */
    struct totals_waiter *waiters;
    size_t n, cap;
};

struct page_asked;
struct page_line {
    struct page_asked *first, *last;
    size_t n;
};
struct pages_state {
    struct page_line waiting; /* to be sent */
    struct page_line flight;  /* in the order in which they were sent */
    struct page_line later;   /* refused, or of another epoch */
    size_t timed;             /* those with a deadline */
    struct log_limit log;
};

struct gap_entry;
/* See gap.c. */
enum gap_phase { GAP_DOWN, GAP_SUBSCRIBING, GAP_WAITING, GAP_READING, GAP_CLOSED };
struct gap_state {
    enum gap_phase phase;
    bool first;                  /* the page asked for is the first */
    unsigned asked;              /* its entries, at most */
    unsigned outstanding, stale; /* replies still to come, and how many of them are of no use */
    uint64_t progress_ms, not_before_ms;
    struct position head;     /* of the first page */
    struct position end;      /* after which the tape lacks broadcasts */
    struct position expected; /* id of the next entry, backwards */
    struct position oldest;   /* of those that were seen */
    struct gap_entry *entries;
    size_t n, cap;
    struct buf texts;
    struct log_limit log;
};

/* Cursors in one call of the script. */
#define CURSORS_BATCH_MAX SCRIPT_CURSORS_MAX

struct cursor_read;

struct cursors_state {
    struct cursors acked;                         /* not stored yet */
    struct cursor *sent[CURSORS_BATCH_MAX];       /* in the call that is under way */
    size_t sent_n;                                /* 0: none is */
    bool by_text;                                 /* Redis did not know the script */
    struct cursor_read *reads_first, *reads_last; /* those that wait to be sent */
    struct log_limit log;
};

/* Entries that wait to be sent. */
struct identity_queue {
    struct identity_entry *first, *last;
    size_t n;
};

/* The dead node that this worker cleans up after. */
struct reap_state {
    char node[RANDOM_ID_LEN + 1]; /* empty: none */
    char cursor[REAP_CURSOR_LEN + 1];
    bool due, in_flight, by_text;
    uint64_t asked_ms, moved;
};

/* When users are to be told offline. */
struct lifecycle_state {
    uint64_t due_ms; /* when to look; 0: not until something happens */
    bool in_flight, by_text;
    struct log_limit log;
};

struct inspection;

struct identity_state {
    struct identity_queue joins, leaves; /* registrations and claims; leaves */
    unsigned in_flight;                  /* calls */
    size_t leaves_in_flight;             /* entries */
    uint64_t not_before_ms;              /* after an error reply */
    bool again;                          /* by then all have to be registered again */
    struct reap_state reap;
    struct log_limit log;
};

struct pubsub {
    h2o_context_t *ctx;
    const struct config *config;
    struct hub *hub;
    const struct pubsub_callbacks *callbacks;
    void *data;
    unsigned worker;
    char node_id[RANDOM_ID_LEN + 1];
    uint64_t started_ms; /* unix, for the lease */

    struct link commands, subscriber;
    struct link *publishes; /* the way of publishes: commands; or wait.link, where REDIS_WAIT_REPLICAS is set */
    uint64_t commands_down_since_ms; /* 0: up */
    struct mark mark;
    uint64_t seen_epoch;    /* greatest epoch that Redis has answered with */
    bool closed;            /* by pubsub_close */
    uint64_t memory_ask_ms; /* when Redis is asked about its memory */
    bool advised;           /* what is unwise in Redis' configuration has been logged */
    const char *fatal;
    char fatal_text[201];

    struct canary_state canary;
    struct subscriber_state sub;
    struct publisher_state publisher;
    struct wait_state wait;
    struct totals_state totals;
    struct gap_state gap;
    struct pages_state pages;
    uint64_t
        log_mean[EVENT_LOG_CONNECTION + 1]; /* bytes of an entry's payload, of late, by enum event_log; 0: unknown */
    struct cursors_state cursors;
    struct identity_state identity;
    struct ask_line asks;           /* that wait to be sent */
    struct inspection *asked_first; /* that wait for a worker's answer */
    struct log_limit ask_log;
    struct lifecycle_state lifecycle;
};

/* subscriber.c */
extern const struct link_callbacks subscriber_link_callbacks;
void subscriber_tick(struct pubsub *p, uint64_t now_ms);
/* Subscribes some of the channels that are due. */
void subscriber_turn(struct pubsub *p);
/* The connection is about to be read: all channels with members are due. */
void subscriber_gap_closed(struct pubsub *p);
void subscriber_dispose(struct pubsub *p);
/* Counts `n` payloads that no client will see. */
void subscriber_drop(struct pubsub *p, const char *why, size_t n);

/* canary.c: the first command on every new command connection, the lease's renewal and the read of the head in one. */
void canary_link_up(struct pubsub *p);
void canary_link_down(struct pubsub *p);
void canary_want(struct pubsub *p);
void canary_turn(struct pubsub *p);
void canary_tick(struct pubsub *p, uint64_t now_ms);
/* A message on the node channel. */
void canary_heard(struct pubsub *p, struct str payload);
void canary_dispose(struct pubsub *p);

/* publisher.c */
void publisher_link_up(struct pubsub *p);
void publisher_link_down(struct pubsub *p);
/* What became of the events that wait for replicas; PUBLISH_AWAY: the connection is lost, they are sent again. */
void publisher_waited(struct pubsub *p, enum publish_status status);
void publisher_turn(struct pubsub *p, uint64_t now_ms);
void publisher_dispose(struct pubsub *p);

/* wait.c: REDIS_WAIT_REPLICAS. Nothing of it runs where that is 0. */
void wait_init(struct pubsub *p);
void wait_tick(struct pubsub *p, uint64_t now_ms);
/* Ends what was sent on the publishes' link with a question after the replicas; publisher_waited tells the answer, and
 * until then nothing more may be sent there: it would be held up behind the WAIT. */
void wait_send(struct pubsub *p);
bool wait_in_flight(const struct pubsub *p);
/* Redis has fewer replicas than asked at this moment. */
bool wait_is_hopeless(const struct pubsub *p);

/* redis_memory.c: for the metrics */
void redis_memory_tick(struct pubsub *p, uint64_t now_ms);

/* totals.c */
void totals_dispose(struct pubsub *p);

/* log_read.c: one MULTI/EXEC on the command connection: begin, a range for each part, end. */
/* Connected, and the connection's first canary was answered. */
bool log_read_possible(const struct pubsub *p);
void log_read_begin(struct pubsub *p);
/* xrange: XRANGE or XREVRANGE. */
void log_read_range(struct pubsub *p, const char *xrange, struct event_log_ref log, struct str from, struct str to,
                    unsigned count);
/* cb gets EXEC's reply: two elements for history_parse, one for each range. */
void log_read_end(struct pubsub *p, redis_reply_cb cb, void *data);
/* Redis' error in that reply, or a text of one's own if it has not 2 + parts elements; else STR_NONE. */
struct str log_read_error(const redisReply *reply, size_t parts);
/* A bound of a range that leaves `p` itself out. */
#define LOG_BOUND_MAX (1 + POSITION_MAX)
struct str log_bound(char dst[LOG_BOUND_MAX], struct position p);
/* How many entries of such a log to ask for, so that they will have about `bytes`: 1 to `most`. It is told what a reply
 * held, so that where entries are large fewer are asked for. */
unsigned log_read_count(const struct pubsub *p, enum event_log kind, size_t bytes, unsigned most);
void log_read_note(struct pubsub *p, enum event_log kind, size_t bytes, size_t entries);

/* gap.c */
void gap_link_up(struct pubsub *p);
void gap_link_down(struct pubsub *p);
/* ws:broadcast is confirmed. */
void gap_subscribed(struct pubsub *p);
void gap_turn(struct pubsub *p, uint64_t now_ms);
void gap_tick(struct pubsub *p, uint64_t now_ms);
void gap_dispose(struct pubsub *p);
/* The tape is complete up to the mark, and the subscriber connection is read. */
static inline bool gap_closed(const struct pubsub *p)
{
    return p->gap.phase == GAP_CLOSED;
}

/* pages.c */
void pages_turn(struct pubsub *p);
void pages_tick(struct pubsub *p, uint64_t now_ms);
/* The mark is of the present epoch: pages that waited for that are asked again. */
void pages_mark_set(struct pubsub *p);
void pages_dispose(struct pubsub *p);

/* cursors.c */
void cursors_start(struct pubsub *p);
void cursors_turn(struct pubsub *p, uint64_t now_ms);
void cursors_store_due(struct pubsub *p, uint64_t now_ms);
void cursors_end(struct pubsub *p);

/* identity.c */
void identity_link_up(struct pubsub *p);
void identity_link_down(struct pubsub *p);
/* The node channel is subscribed on a new connection: from here on close orders are heard, and those that were missed
 * are made up for by comparing the gens of all connections. */
void identity_subscribed(struct pubsub *p);
/* A canary has found no lease. */
void identity_lost(struct pubsub *p);
/* A message on the node channel that is a close order. False if it is none. */
bool identity_heard(struct pubsub *p, struct str payload);
void identity_turn(struct pubsub *p, uint64_t now_ms);
void identity_dispose(struct pubsub *p);

/* lifecycle.c: nothing of it runs unless LIFECYCLE is on */
/* Somebody has gone: in PRESENCE_GRACE his user may be offline. */
void lifecycle_await(struct pubsub *p);
/* Somebody may be offline now. */
void lifecycle_due(struct pubsub *p);
void lifecycle_turn(struct pubsub *p, uint64_t now_ms);

/* inspect.c: questions on the channels of nodes, and their answers */
/* A message on the node channel that is a question or an answer. False if it is none. */
bool inspect_heard(struct pubsub *p, struct str payload);
void inspect_tick(struct pubsub *p, uint64_t now_ms);
/* Those that wait for an answer fail. */
void inspect_dispose(struct pubsub *p);

/* disconnect.c */
/* A message on the node channel that orders to close for good. False if it is none. */
bool disconnect_heard(struct pubsub *p, struct str payload);

/* reaper.c: what nodes leave behind whose lease has ended */
void reaper_begin(struct pubsub *p, const char node[RANDOM_ID_LEN]);
void reaper_turn(struct pubsub *p);
void reaper_link_down(struct pubsub *p);

/* pubsub.c */
/* All connections have to reach the same Redis: those that do not are rebuilt. */
void pubsub_compare_runs(struct pubsub *p, struct link *just_up);
/* What was reached is no master any more: gives up all connections. */
void pubsub_leave(struct pubsub *p, const char *reason);
/* From the scripts' own replies only. Anybody may PUBLISH a payload with a giant epoch: taken over from there, the next
 * canary would open it, for good. */
void pubsub_note_epoch(struct pubsub *p, uint64_t epoch);
struct script_settings pubsub_script_settings(const struct config *config);

#endif
