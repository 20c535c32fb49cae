/* A worker's high-water mark (docs/protocol.md, "Positions"): all that its channels carry up to the mark has arrived.
 * Only the subscriber connection raises it. It also tells belfry's own events from what merely looks like them. The
 * names are those of the delivery protocol's model. */
#ifndef CORE_MARK_H
#define CORE_MARK_H

#include "core/position.h"

struct mark {
    struct position at;      /* the mark itself; its n counts the foreign events that have come after at.seq */
    struct position arrived; /* highest own id that has arrived, on whatever channel; its event may follow on others */
    uint64_t foreign;        /* how many foreign events took `arrived`.n so far */
    struct position last;    /* the last own event or canary read on this subscriber connection; 0-0: none yet */
    bool last_complete;      /* another message came after it, so that its event follows on no other channel */
};

enum mark_verdict {
    MARK_NEW,     /* own event in order: deliver */
    MARK_FOREIGN, /* looks like own and cannot be (id already carried on this channel, or below what has arrived) */
    MARK_EPOCH,   /* another epoch than the mark's: the subscriber connection counts as lost */
};

/* An own-looking broadcast / targeted event. *carried_seq is the channel's memory of the last own seq that came on it
 * on this subscriber connection (0 at first) and is updated on MARK_NEW. The mark rises to the id before it; after it
 * has been handed on call mark_passed for a broadcast.
 *
 * After mark_reset own events may come that are not above the mark: the page has them already. They are MARK_NEW and
 * raise nothing; a broadcast of them stays off the tape, of targeted ones each connection skips what is not above its
 * position.
 */
enum mark_verdict mark_own(struct mark *m, struct position id, uint64_t *carried_seq);
/* The broadcast, own or foreign, is on the tape: the mark is its id now. */
void mark_passed(struct mark *m, struct position id);
/* Takes the next id for a foreign event. That it came shows that the own event before it follows on no other channel,
 * so the mark rises to the id before this one. */
struct position mark_foreign(struct mark *m);

enum mark_canary { MARK_CANARY_OK, MARK_CANARY_EPOCH, MARK_CANARY_FORGERY };
/* A canary with head `head` came back. FORGERY: something above its head had come as an own event, so it was forged;
 * the mark is then head, the tape has to be cleared (it may hold greater ids) and the worker's connections catch up.
 * EPOCH: another epoch; nothing is changed. A mark that a page has set above the head of a canary sent earlier is no
 * forgery. */
enum mark_canary mark_canary(struct mark *m, struct position head);
/* A new subscriber connection, the first one too, and a new epoch: before anything of it is judged the mark starts at
 * `head`, which was read after the subscription and may be below what it was. What
 * is still to be read from the connection may begin anywhere. */
void mark_reset(struct mark *m, struct position head);

#endif
