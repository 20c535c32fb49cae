/* Whether a position belongs to the history that Redis has. */
#include "core/history.h"

enum resync_reason history_judge(const struct history *h, struct position p)
{
    if (p.epoch == h->head.epoch)
        return p.seq <= h->head.seq ? RESYNC_NONE : RESYNC_AHEAD;
    for (size_t i = 0; i < h->n; i++) {
        if (h->ends[i].epoch == p.epoch && p.seq <= h->ends[i].seq)
            return RESYNC_NONE;
    }
    return RESYNC_EPOCH;
}

struct position history_oldest(const struct history *h)
{
    struct position oldest = {.epoch = h->head.epoch, .seq = h->floor};

    for (size_t i = 0; i < h->n; i++) {
        if (h->ends[i].seq >= h->floor && h->ends[i].epoch < oldest.epoch)
            oldest.epoch = h->ends[i].epoch;
    }
    return oldest;
}

const char *resync_reason_name(enum resync_reason r)
{
    static const char *const names[] = {
        [RESYNC_NONE] = "none",   [RESYNC_UNKNOWN] = "unknown", [RESYNC_EPOCH] = "epoch",
        [RESYNC_AHEAD] = "ahead", [RESYNC_EXPIRED] = "expired",
    };

    return names[r];
}
