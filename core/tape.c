/* The tape: the byte ring, its growth, its index, and how cursors find their place. */
#include "core/tape.h"

#include <stdlib.h>

#define FIRST_BYTES (16 * 1024)
#define SMALLEST_MAX (64 * 1024)
#define FIRST_FRAMES 64

void tape_init(struct tape *t, size_t max_bytes)
{
    *t = (struct tape){.cap = FIRST_BYTES, .max_bytes = SMALLEST_MAX, .index_cap = FIRST_FRAMES};
    while (t->max_bytes <= max_bytes / 2)
        t->max_bytes *= 2;
    t->bytes = mem_alloc(t->cap);
    t->index = mem_alloc(t->index_cap * sizeof(*t->index));
}

void tape_dispose(struct tape *t)
{
    free(t->bytes);
    free(t->index);
    *t = (struct tape){0};
}

/* The i-th frame kept. */
static struct tape_frame *frame(const struct tape *t, size_t i)
{
    return &t->index[(t->index_first + i) & (t->index_cap - 1)];
}

/* How many of the frames kept begin before `offset`. */
static size_t frames_before(const struct tape *t, uint64_t offset)
{
    size_t low = 0, high = t->index_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (frame(t, middle)->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the i-th frame begins; the one after the last begins at head. */
static uint64_t frame_offset(const struct tape *t, size_t i)
{
    return i < t->index_count ? frame(t, i)->offset : t->head;
}

static void put_bytes(char *ring, size_t cap, uint64_t offset, struct str s)
{
    size_t at = offset & (cap - 1), until_end = cap - at;
    size_t first = s.n < until_end ? s.n : until_end;

    if (s.n == 0)
        return;
    memcpy(ring + at, s.p, first);
    memcpy(ring, s.p + first, s.n - first);
}

/* Every byte keeps its absolute offset and so finds another place. */
static void grow_bytes(struct tape *t)
{
    size_t cap = t->cap * 2;
    char *bytes = mem_alloc(cap);
    struct str pieces[2];
    uint64_t offset = t->tail;
    int n = tape_pieces(t, t->tail, t->head, pieces);

    for (int i = 0; i < n; i++) {
        put_bytes(bytes, cap, offset, pieces[i]);
        offset += pieces[i].n;
    }
    free(t->bytes);
    t->bytes = bytes;
    t->cap = cap;
}

static void grow_index(struct tape *t)
{
    struct tape_frame *index = mem_alloc(t->index_cap * 2 * sizeof(*index));

    for (size_t i = 0; i < t->index_count; i++)
        index[i] = *frame(t, i);
    free(t->index);
    t->index = index;
    t->index_first = 0;
    t->index_cap *= 2;
}

uint64_t tape_tail_after(const struct tape *t, size_t n)
{
    if (n > t->max_bytes / 2 || t->head - t->tail + n <= t->max_bytes)
        return t->tail;
    return tape_boundary(t, t->head + n - t->max_bytes);
}

static void forget_until(struct tape *t, uint64_t tail)
{
    size_t n = frames_before(t, tail);

    if (n != 0)
        t->lost = frame(t, n - 1)->id;
    t->index_first = (t->index_first + n) & (t->index_cap - 1);
    t->index_count -= n;
    t->tail = tail;
}

struct position tape_end(const struct tape *t)
{
    return t->index_count != 0 ? frame(t, t->index_count - 1)->id : t->lost;
}

int tape_append(struct tape *t, struct position id, struct str header, struct str payload)
{
    size_t n = header.n + payload.n;

    if (n == 0 || n > t->max_bytes / 2 || position_cmp(tape_end(t), id) >= 0)
        return -1;
    forget_until(t, tape_tail_after(t, n));
    while (t->head - t->tail + n > t->cap)
        grow_bytes(t);
    if (t->index_count == t->index_cap)
        grow_index(t);
    put_bytes(t->bytes, t->cap, t->head, header);
    put_bytes(t->bytes, t->cap, t->head + header.n, payload);
    t->index_count++;
    *frame(t, t->index_count - 1) = (struct tape_frame){.id = id, .offset = t->head};
    t->head += n;
    return 0;
}

int tape_pieces(const struct tape *t, uint64_t offset, uint64_t end, struct str out[2])
{
    size_t n = (size_t)(end - offset), at = offset & (t->cap - 1), until_end = t->cap - at;

    out[0] = (struct str){t->bytes + at, n < until_end ? n : until_end};
    out[1] = (struct str){t->bytes, n - out[0].n};
    return out[1].n > 0 ? 2 : n > 0;
}

uint64_t tape_boundary(const struct tape *t, uint64_t offset)
{
    return frame_offset(t, frames_before(t, offset));
}

struct tape_frame tape_frame_at(const struct tape *t, uint64_t offset)
{
    const struct tape_frame *newest = frame(t, t->index_count - 1);

    if (offset >= newest->offset) /* nearly always: whoever has written everything stands there */
        return *newest;
    return *frame(t, frames_before(t, offset + 1) - 1);
}

void tape_learn_stretch(struct tape *t, uint64_t from, uint64_t to)
{
    size_t before = frames_before(t, to);

    t->stretch = (struct tape_stretch){from, to, before - frames_before(t, from), frame(t, before - 1)->id};
}

bool tape_frame_before(const struct tape *t, uint64_t offset, struct tape_frame *out)
{
    size_t n = frames_before(t, offset);

    if (n == 0)
        return false;
    *out = *frame(t, n - 1);
    return true;
}

uint64_t tape_seek(const struct tape *t, struct position p)
{
    size_t low = 0, high = t->index_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (position_cmp(frame(t, middle)->id, p) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return frame_offset(t, low);
}

size_t tape_count(const struct tape *t, uint64_t from, uint64_t to)
{
    return frames_before(t, to) - frames_before(t, from);
}

bool tape_reaches(const struct tape *t, struct position p)
{
    return position_cmp(t->lost, p) <= 0;
}

void tape_restart(struct tape *t, struct position lost)
{
    t->lost = lost;
    /* one further, so that a cursor at the head is overtaken too */
    t->tail = ++t->head;
    t->index_first = t->index_count = 0;
}

size_t tape_cut(struct tape *t, const struct history *h)
{
    size_t kept = t->index_count, before = t->index_count;

    while (kept != 0 && history_judge(h, frame(t, kept - 1)->id) != RESYNC_NONE)
        kept--;
    if (kept != before) {
        t->head = frame(t, kept)->offset;
        t->stretch = (struct tape_stretch){0}; /* other frames will lie at those offsets */
    }
    t->index_count = kept;
    if (kept == 0 && history_judge(h, t->lost) != RESYNC_NONE)
        t->lost = (struct position){0};
    return before - kept;
}
