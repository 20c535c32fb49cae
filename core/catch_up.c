/* Catching up: the bound of a round, the merge of its logs, and the verdict after it. */
#include "core/catch_up.h"

/* What a frame costs beside its text, about. */
#define ENTRY_OVERHEAD 64
#define ENTRIES_MIN 4

static struct position later(struct position a, struct position b)
{
    return position_cmp(a, b) > 0 ? a : b;
}

/* Foreign events do not count for how far one is: their numbers differ between workers. */
static int compare_own(struct position a, struct position b)
{
    a.n = b.n = 0;
    return position_cmp(a, b);
}

void catch_up_start(struct catch_up *c, struct position at)
{
    *c = (struct catch_up){.at = at, .goal = at, .count = PAGE_ENTRIES_MAX};
}

void catch_up_ask(struct catch_up *c)
{
    c->closed = false;
}

bool catch_up_hears(struct catch_up *c, struct position id)
{
    if (id.n != 0 || (c->known && position_cmp(id, c->goal) <= 0))
        return false;
    if (c->closed)
        c->dropped = later(c->dropped, id);
    return !c->closed;
}

void catch_up_overflowed(struct catch_up *c, struct position id)
{
    c->closed = true;
    c->dropped = later(c->dropped, id);
}

/* --- one round ------------------------------------------------------------------------------------------------------
 */

static struct position least_bound(const struct catch_up_source *sources, size_t n)
{
    struct position least = sources[0].bound;
    for (size_t i = 1; i < n; ++i)
        if (position_cmp(sources[i].bound, least) < 0)
            least = sources[i].bound;
    return least;
}

static void use_up_to(struct catch_up_source *s, struct position id)
{
    while (s->n != 0 && position_cmp(s->entries->id, id) <= 0) {
        ++s->entries;
        --s->n;
    }
}

/* The next entry above `after`, whichever log has it; NULL if there is none. */
static const struct page_entry *next_entry(struct catch_up_source *sources, size_t n, struct position after)
{
    const struct page_entry *next = NULL;
    for (size_t i = 0; i < n; ++i) {
        use_up_to(&sources[i], after);
        if (sources[i].n != 0 && (next == NULL || position_cmp(sources[i].entries->id, next->id) < 0))
            next = sources[i].entries;
    }
    return next;
}

static bool any_full(const struct catch_up_source *sources, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (sources[i].full)
            return true;
    return false;
}

/* Of a page that was cut most was read for nothing; so the next one is shorter, and then they grow again. */
static void adapt_count(struct catch_up *c, bool cut, size_t taken)
{
    size_t count = cut ? taken + ENTRIES_MIN : (size_t)c->count * 2;
    c->count = (uint8_t)(count < PAGE_ENTRIES_MAX ? count : PAGE_ENTRIES_MAX);
}

void catch_up_merge(struct catch_up *c, struct catch_up_source *sources, size_t n,
                    void (*take)(void *, const struct page_entry *), void *data)
{
    struct position done = c->at, bound = later(least_bound(sources, n), c->at);
    const struct page_entry *entry;
    size_t bytes = 0, taken = 0;
    bool cut = false;
    c->more = any_full(sources, n);
    while ((entry = next_entry(sources, n, done)) != NULL && position_cmp(entry->id, bound) <= 0) {
        size_t cost = entry->text.n + ENTRY_OVERHEAD;
        cut = taken != 0 && bytes + cost > CATCH_UP_BYTES_MAX;
        if (cut)
            break;
        done = entry->id;
        if (entry->text.p == NULL)
            continue;
        bytes += cost;
        ++taken;
        take(data, entry);
    }
    c->more = c->more || entry != NULL;
    c->goal = cut ? done : bound;
    c->stuck = position_cmp(c->goal, c->at) == 0;
    c->known = true;
    adapt_count(c, cut, taken);
}

void catch_up_skip(struct catch_up *c, struct position head)
{
    c->at = c->goal = head;
    c->more = c->stuck = false;
    c->known = true;
}

void catch_up_written(struct catch_up *c)
{
    c->at = c->goal;
}

/* --- the verdict ----------------------------------------------------------------------------------------------------
 */

enum catch_up_next catch_up_next(const struct catch_up *c, bool tape_reaches, struct position mark)
{
    int ahead = compare_own(mark, c->at);
    if (c->more || position_cmp(c->dropped, c->at) > 0)
        return c->stuck && ahead <= 0 ? CATCH_UP_WAIT_MARK : CATCH_UP_ASK;
    if (!tape_reaches)
        return CATCH_UP_ASK;
    return ahead < 0 ? CATCH_UP_WAIT_MARK : CATCH_UP_LIVE;
}
