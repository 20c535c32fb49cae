/* What Redis says at one moment about the order of all events: its head, how far back it is kept, and where earlier
 * epochs ended. Every page read from the logs carries one. */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "core/position.h"

/* Why a position cannot be served, in the order in which the reasons are tried; their names are those of
 * `resync_required`. */
enum resync_reason { RESYNC_NONE, RESYNC_UNKNOWN, RESYNC_EPOCH, RESYNC_AHEAD, RESYNC_EXPIRED };

/* An epoch that is over, and the last seq that it keeps. */
struct history_end {
    uint64_t epoch, seq;
};

struct history {
    struct position head; /* n is 0 */
    uint64_t floor;       /* the last seq that may be gone from the logs */
    struct position last; /* id of the last broadcast that was logged; 0-0: none */
    struct history_end *ends;
    size_t n;
};

/* RESYNC_NONE if `p` is part of this history (its n is ignored): its epoch is the present one and p is not above the
 * head, or it ended no earlier than p. Else RESYNC_AHEAD in the present epoch, RESYNC_EPOCH in another. It does not
 * tell whether what comes after p is still kept. */
enum resync_reason history_judge(const struct history *h, struct position p);

/* The position of the floor: the oldest one from which no time has taken anything yet. It is of the epoch that the
 * floor fell into, since ids are ordered by their epoch first. */
struct position history_oldest(const struct history *h);

/* "unknown" and the like. */
const char *resync_reason_name(enum resync_reason r);

#endif
