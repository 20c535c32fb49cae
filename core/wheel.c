/* The timer wheel: a ring of lists, one a tick; a run walks the ticks that have passed since the last. */
#include "core/wheel.h"

static void list_init(struct wheel_entry *head)
{
    head->next = head->prev = head;
}

static void list_append(struct wheel_entry *head, struct wheel_entry *e)
{
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}

static void list_unlink(struct wheel_entry *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->next = e->prev = NULL;
}

static struct wheel_entry *slot_of(struct wheel *w, uint64_t tick)
{
    return &w->slots[tick % WHEEL_SLOTS];
}

void wheel_init(struct wheel *w, uint64_t tick_ms, uint64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
        w->slots[i].due_ms = UINT64_MAX;
    }
    w->tick_ms = tick_ms;
    w->now_tick = now_ms / tick_ms;
    w->count = 0;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms)
{
    uint64_t tick = due_ms / w->tick_ms;
    struct wheel_entry *slot = slot_of(w, tick < w->now_tick ? w->now_tick : tick);

    wheel_clear(w, e);
    e->due_ms = due_ms;
    list_append(slot, e);
    if (due_ms < slot->due_ms)
        slot->due_ms = due_ms;
    w->count++;
}

void wheel_clear(struct wheel *w, struct wheel_entry *e)
{
    if (e->next == NULL)
        return;
    list_unlink(e);
    w->count--;
}

/* Moves up to *room due entries of a slot to `due`. False if one more is there. */
static bool collect_slot(struct wheel_entry *slot, uint64_t now_ms, size_t *room, struct wheel_entry *due)
{
    uint64_t earliest = UINT64_MAX;

    if (slot->due_ms > now_ms)
        return true;
    for (struct wheel_entry *e = slot->next, *next; e != slot; e = next) {
        next = e->next;
        if (e->due_ms > now_ms) {
            earliest = e->due_ms < earliest ? e->due_ms : earliest;
            continue;
        }
        if (*room == 0)
            return false;
        list_unlink(e);
        list_append(due, e);
        --*room;
    }
    slot->due_ms = earliest;
    return true;
}

/* Moves up to `room` due entries to `due` and goes on to the present tick. False if there are more: it then stays at
 * the tick of the first of them. */
static bool collect(struct wheel *w, uint64_t now_ms, size_t room, struct wheel_entry *due)
{
    uint64_t last = now_ms / w->tick_ms;

    /* more than a turn has passed: each slot once is enough */
    if (last > w->now_tick && last - w->now_tick >= WHEEL_SLOTS)
        w->now_tick = last - WHEEL_SLOTS + 1;
    for (;;) {
        if (!collect_slot(slot_of(w, w->now_tick), now_ms, &room, due))
            return false;
        if (w->now_tick >= last)
            return true;
        w->now_tick++;
    }
}

/* True if fn has set something that is due already. */
static bool has_due(const struct wheel_entry *slot, uint64_t now_ms)
{
    if (slot->due_ms > now_ms)
        return false;
    for (const struct wheel_entry *e = slot->next; e != slot; e = e->next) {
        if (e->due_ms <= now_ms)
            return true;
    }
    return false;
}

bool wheel_run(struct wheel *w, uint64_t now_ms, size_t max, void (*fn)(struct wheel_entry *, void *), void *data)
{
    struct wheel_entry due;

    /* Collected before the first call, so that what fn sets waits for the next run and what it clears just leaves the
     * list. */
    list_init(&due);
    bool all = collect(w, now_ms, max, &due);
    while (due.next != &due) {
        struct wheel_entry *e = due.next;
        wheel_clear(w, e);
        fn(e, data);
    }
    return !all || has_due(slot_of(w, w->now_tick), now_ms);
}
