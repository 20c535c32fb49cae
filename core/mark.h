/* A worker's high-water mark (docs/protocol.md, "Positions"): all that its channels carry up to the mark has arrived. Only
 * the subscriber connection raises it. It also tells belfry's own events from what merely looks like them.
 * The names are those of the delivery protocol's model. */
#ifndef CORE_MARK_H
#define CORE_MARK_H

#include "core/position.h"

struct mark {
    struct position at;      /* the mark itself */
    struct position arrived; /* highest own id that has arrived, on whatever channel; its event may follow on others */
    uint32_t foreign;        /* how many foreign events took `arrived`.n so far */
    bool known;              /* false before the first canary */
};

enum mark_verdict {
    MARK_NEW,     /* own event in order: deliver */
    MARK_FOREIGN, /* looks like own and cannot be (id already carried on this channel, or below what has arrived) */
    MARK_EPOCH,   /* another epoch than the mark's: the subscriber connection counts as lost */
};

/* An own-looking broadcast / targeted event. *carried_seq is the channel's memory of the last own seq that came on it and is
 * updated on MARK_NEW. The mark rises to the id before it; after it has been handed on call mark_passed for a broadcast. */
enum mark_verdict mark_own(struct mark *m, struct position id, uint64_t *carried_seq);
/* The broadcast is on the tape: the mark is its id now. */
void mark_passed(struct mark *m, struct position id);
/* Takes the next id for a foreign event. */
struct position mark_foreign(struct mark *m);

enum mark_canary { MARK_CANARY_OK, MARK_CANARY_EPOCH, MARK_CANARY_FORGERY };
/* A canary with head `head` came back. FORGERY: the mark stood above it, so some own-looking event was forged; the mark is
 * then head, and the worker's connections catch up. EPOCH: another epoch; nothing is changed. */
enum mark_canary mark_canary(struct mark *m, struct position head);
/* A new subscriber connection (or epoch): the mark starts again at `head`, which was read after the subscription. */
void mark_reset(struct mark *m, struct position head);

#endif
