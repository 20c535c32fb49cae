/* How far clients have acknowledged, by user and cursor name, until it is stored: one entry for each cursor, however
 * often it moves. Time is an argument.
 *
 *      ack --> DUE --taken--> SENT --stored--> RESTING --5 s later--> DUE if it has moved meanwhile, else forgotten
 *               ^               |                 |
 *               `-- not sent ---'                 `-- the connection closes, and it has moved: DUE at once */
#ifndef CORE_CURSORS_H
#define CORE_CURSORS_H

#include "core/position.h"
#include "core/table.h"

#define CURSOR_NAME_MAX 64
/* What `cursor` is called where a client names none. */
#define CURSOR_DEFAULT STR_LIT("default")
/* A cursor is stored at most that often. */
#define CURSOR_REST_MS 5000
/* Beyond so many, all at once, acknowledgements of further cursors are forgotten: who resumes gets more again. */
#define CURSORS_MAX 200000

enum cursor_state { CURSOR_DUE, CURSOR_SENT, CURSOR_RESTING };

struct cursor {
    struct table_link link; /* first: the table hands out these */
    struct cursor *next, *prev;
    struct position acked, taken, stored; /* acked ≥ taken ≥ stored */
    uint64_t rested_ms;                   /* RESTING: when it may be stored again */
    enum cursor_state state;
    bool hurry; /* SENT: its connection has closed meanwhile */
    uint16_t user_len;
    uint8_t name_len;
    char bytes[]; /* the user's id, then the name */
};

struct cursor_list {
    struct cursor *first, *last;
};

struct cursors {
    struct table table;
    struct cursor_list lists[CURSOR_RESTING + 1]; /* by state, in the order in which they came */
    size_t count;
};

void cursors_init(struct cursors *c);
void cursors_dispose(struct cursors *c);

/* user at most 65535 bytes, name at most CURSOR_NAME_MAX. What is no greater than known is ignored, and so is `at.n`.
 */
void cursors_ack(struct cursors *c, struct str user, struct str name, struct position at);
/* A connection with that cursor has closed: it rests no longer. */
void cursors_closed(struct cursors *c, struct str user, struct str name);
/* 0-0 if nothing is known of it. */
struct position cursors_acked(const struct cursors *c, struct str user, struct str name);

/* Moves up to `max` from DUE to SENT, those first that have waited longest; `taken` is what to store. Returns how many.
 * They stay valid until each has been given to one of the two below. */
size_t cursors_take(struct cursors *c, struct cursor **out, size_t max);
/* The outcome of a SENT one; after `false` it is tried again once it has rested. */
void cursors_done(struct cursors *c, struct cursor *one, bool stored, uint64_t now_ms);
/* It has to be sent again as soon as it can be. */
void cursors_return(struct cursors *c, struct cursor *one);
/* Ends the rest of those whose time has come. */
void cursors_tick(struct cursors *c, uint64_t now_ms);

/* True if nothing waits to be stored. */
bool cursors_settled(const struct cursors *c);

static inline struct str cursor_user(const struct cursor *c)
{
    return (struct str){c->bytes, c->user_len};
}

static inline struct str cursor_name(const struct cursor *c)
{
    return (struct str){c->bytes + c->user_len, c->name_len};
}

#endif
