/* The tape: one byte ring of encoded frames, in the order of their ids, with an index of where each begins. A
 * connection is a cursor into it, an absolute offset that only grows; nothing ever points into the ring, so the ring
 * never waits.
 *
 *      tail                                  head
 *   ----|=======|====|==========|====|=======|----->   absolute offsets
 *       ^ oldest frame kept                  ^ next frame goes here
 *
 * Memory starts small and doubles up to `max_bytes` before anything is overwritten. A cursor below tail is overtaken.
 */
#ifndef CORE_TAPE_H
#define CORE_TAPE_H

#include "core/history.h"

struct tape_frame {
    struct position id;
    uint64_t offset; /* absolute, of its first byte */
};

/* What lies between two offsets. */
struct tape_stretch {
    uint64_t from, to;
    size_t n;             /* how many frames begin there */
    struct position last; /* id of the one that holds the last byte */
};

struct tape {
    char *bytes;
    size_t cap, max_bytes; /* both powers of two */
    uint64_t head, tail;
    struct tape_frame *index; /* ring of the frames between tail and head */
    size_t index_cap, index_first, index_count;
    struct position lost; /* where it begins: the last id that it does not hold any more; 0-0: it has lost nothing */
    struct tape_stretch stretch; /* the one that was asked for last */
};

/* max_bytes is rounded down to a power of two, at least 64 KB. */
void tape_init(struct tape *t, size_t max_bytes);
void tape_dispose(struct tape *t);

/* How far tail will have to move before a frame of n bytes can be appended: the new tail (tail itself if there is
 * room). Call it first: connections in the middle of a frame before it must copy the rest aside. */
uint64_t tape_tail_after(const struct tape *t, size_t n);
/* Appends one encoded frame given in two parts (header, payload). -1 and nothing done if the frame is empty
 * or larger than max_bytes / 2, or its id is not greater than tape_end. */
int tape_append(struct tape *t, struct position id, struct str header, struct str payload) MUST_CHECK;

/* The bytes from `offset` to `end`, in one or two pieces; returns how many (0 if there are none; pieces not needed are
 * empty). They are valid until the next append. tail ≤ offset ≤ end ≤ head. */
int tape_pieces(const struct tape *t, uint64_t offset, uint64_t end, struct str out[2]);

/* Boundary at or after `offset` (tail ≤ offset ≤ head): `offset` itself if a frame begins there or it is head. */
uint64_t tape_boundary(const struct tape *t, uint64_t offset);
/* The frame that contains byte `offset` (tail ≤ offset < head). */
struct tape_frame tape_frame_at(const struct tape *t, uint64_t offset);
void tape_learn_stretch(struct tape *t, uint64_t from, uint64_t to);
/* Of tail ≤ from < to ≤ head, both anywhere in frames. What was asked for last is at hand: after a broadcast most
 * cursors move along the same stretch. */
static inline struct tape_stretch tape_stretch(struct tape *t, uint64_t from, uint64_t to)
{
    if (t->stretch.from != from || t->stretch.to != to)
        tape_learn_stretch(t, from, to);
    return t->stretch;
}
/* The last frame that ends at or before the boundary `offset`; false if the tape no longer holds it. */
bool tape_frame_before(const struct tape *t, uint64_t offset, struct tape_frame *out);
/* Offset of the first frame with an id greater than `p`; head if there is none. */
uint64_t tape_seek(const struct tape *t, struct position p);
/* How many frames begin at or after `from` and before `to` (both boundaries; what is overwritten does not count). */
size_t tape_count(const struct tape *t, uint64_t from, uint64_t to);
/* True if the tape has lost nothing that comes after `p`. */
bool tape_reaches(const struct tape *t, struct position p);
/* The position after which it lacks frames: the last one's id, or where it begins. */
struct position tape_end(const struct tape *t);
/* Forgets everything and begins after `lost`; offsets go on one after head, so that every old cursor counts as
 * overtaken, the one at head too. */
void tape_restart(struct tape *t, struct position lost);
/* Cuts off its end what is no part of the history: frames that history_judge refuses. If that is all there is, and
 * where it begins is refused too, it begins at 0-0. Head goes back, so nobody may have a cursor beyond tape_boundary of
 * what is left: connections have left the tape before. Returns how many frames were cut. */
size_t tape_cut(struct tape *t, const struct history *h);

#endif
