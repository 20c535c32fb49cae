/* A connection that catches up: how far it has all that its logs hold, what one round of pages adds to that, and when
 * it may go live. One mechanism for a client that resumes, one that reads slowly, and one whose worker lost Redis.
 * Pure: pages, the tape's reach and the mark come as arguments. The names are those of the delivery protocol's model.
 *
 *      catch_up_start --> catch_up_ask --(pages)--> catch_up_merge --(written)--> catch_up_written --> catch_up_next
 *                              ^                                                                          |
 *                              `------------------------------- CATCH_UP_ASK -----------------------------'
 */
#ifndef CORE_CATCH_UP_H
#define CORE_CATCH_UP_H

#include "core/page.h"

/* Bytes of events that one round copies for one connection: what a client that catches up costs, beside the list of
 * live events that wait behind (OUTBOX_EVENTS_MAX). A single larger event is taken alone. */
#define CATCH_UP_BYTES_MAX 65536

struct catch_up {
    struct position at;      /* all up to here is written: right to resume from */
    struct position goal;    /* L: what `at` becomes once the frames of this round are written */
    struct position dropped; /* the greatest live event that was dropped; not live below it */
    uint64_t replayed;       /* events taken so far; the owner counts them */
    uint8_t count;           /* entries per log to ask for, so that little of a page is thrown away */
    bool more;               /* something is known to be above L: a page was full or cut, or held a frame above it */
    bool stuck;              /* the last round added nothing, since the mark stands where `at` does */
    bool known;              /* `at` is part of the history: before, it is only what a client has brought */
    bool closed;             /* the list behind overflowed: live events are dropped until the next page is asked */
};

/* What a round gets from one log, or from the tape. */
struct catch_up_source {
    const struct page_entry *entries; /* ids increasing; of the tape none, they stay there */
    size_t n;
    struct position bound; /* complete up to here: page_bound, the tape's mark */
    bool full;             /* more may follow the bound */
};

void catch_up_start(struct catch_up *c, struct position at);

/* The pages of the next round are asked now: what is live from here on is taken in. */
void catch_up_ask(struct catch_up *c);
/* Whether a live event has to wait in the list behind; one that is dropped instead is noted. */
bool catch_up_hears(struct catch_up *c, struct position id);
/* There was no room for it, and the list behind has been emptied. */
void catch_up_overflowed(struct catch_up *c, struct position id);

/* Merges what the sources hold above `at` and up to L, the least of their bounds, by id, each id once; `take` gets each
 * entry that has a text, at most CATCH_UP_BYTES_MAX of them (what is left out lowers L). Uses the sources up. */
void catch_up_merge(struct catch_up *c, struct catch_up_source *sources, size_t n,
                    void (*take)(void *data, const struct page_entry *entry), void *data);
/* What is not in the history was refused: it goes on from `head`, and skips all up to there. */
void catch_up_skip(struct catch_up *c, struct position head);
/* All up to L is written. */
void catch_up_written(struct catch_up *c);

enum catch_up_next {
    CATCH_UP_ASK,       /* the next page */
    CATCH_UP_WAIT_MARK, /* nothing is missing but the mark, which is below `at`: look again when it has risen */
    CATCH_UP_LIVE,      /* from `at` */
};
/* After catch_up_written. tape_reaches: the tape has lost nothing after `at`. */
enum catch_up_next catch_up_next(const struct catch_up *c, bool tape_reaches, struct position mark);

#endif
