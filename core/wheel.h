/* A hashed timer wheel: one deadline per connection, 24 bytes, O(1) to set and to move. Time is an argument (ms). */
#ifndef CORE_WHEEL_H
#define CORE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wheel_entry {
    struct wheel_entry *next, *prev; /* NULL when not set */
    uint64_t due_ms;
};

#define WHEEL_SLOTS 4096

struct wheel {
    struct wheel_entry slots[WHEEL_SLOTS]; /* list heads; their due_ms is no later than any in the list */
    uint64_t tick_ms, now_tick;
    size_t count;
};

/* The wheel is large (96 KB): one per worker. tick_ms is the resolution: an entry fires at the first wheel_run at or
 * after due_ms. */
void wheel_init(struct wheel *w, uint64_t tick_ms, uint64_t now_ms);
/* Sets or moves. A due_ms in the past fires at the next run, also when it is set from inside fn. Deadlines beyond one
 * turn of the wheel wait for their round. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms);
/* Does nothing to an entry that is not set. */
void wheel_clear(struct wheel *w, struct wheel_entry *e);
/* Fires at most `max` due entries, each unset before fn is called, so that fn may set, clear or free it (and clear
 * others). Returns true if more are due: call again in the next loop turn. */
bool wheel_run(struct wheel *w, uint64_t now_ms, size_t max, void (*fn)(struct wheel_entry *, void *), void *data);

#endif
