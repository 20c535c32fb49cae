/* The high-water mark: what each message on the subscriber connection proves about those before it. */
#include "core/mark.h"

static bool same_seq(struct position a, struct position b)
{
    return a.epoch == b.epoch && a.seq == b.seq;
}

static bool above_in_epoch(struct position p, struct position head)
{
    return p.epoch == head.epoch && p.seq > head.seq;
}

/* `p` with the foreign events that have come after it. */
static struct position with_foreign(const struct mark *m, struct position p)
{
    p.n = same_seq(p, m->arrived) ? m->foreign : 0;
    return p;
}

static void raise_mark(struct mark *m, struct position p)
{
    if (position_cmp(p, m->at) > 0)
        m->at = p;
}

static void note_arrived(struct mark *m, struct position id)
{
    if (position_cmp(id, m->arrived) <= 0)
        return;
    m->arrived = id;
    m->foreign = 0;
}

/* One subscriber connection carries own ids in order, and one of them several times only on several channels, one after
 * the other: anything else did not come from the script. */
static bool is_out_of_order(const struct mark *m, struct position id, uint64_t carried_seq)
{
    if (id.epoch != m->last.epoch || id.seq > m->last.seq)
        return false;
    return id.seq < m->last.seq || m->last_complete || id.seq == carried_seq;
}

enum mark_verdict mark_own(struct mark *m, struct position id, uint64_t *carried_seq)
{
    if (id.seq == 0 || id.n != 0)
        return MARK_FOREIGN;
    if (id.epoch != m->at.epoch)
        return MARK_EPOCH;
    if (is_out_of_order(m, id, *carried_seq))
        return MARK_FOREIGN;
    if (!same_seq(id, m->last)) {
        raise_mark(m, with_foreign(m, (struct position){id.epoch, id.seq - 1, 0}));
        note_arrived(m, id);
        m->last = id;
        m->last_complete = false;
    }
    *carried_seq = id.seq;
    return MARK_NEW;
}

void mark_passed(struct mark *m, struct position id)
{
    raise_mark(m, id);
}

struct position mark_foreign(struct mark *m)
{
    struct position id = m->arrived;

    m->last_complete = true;
    raise_mark(m, with_foreign(m, m->arrived));
    id.n = ++m->foreign;
    return id;
}

/* The mark is `head` and nothing else. Foreign events that took head's number keep it, or the next one would take it
 * again. */
static void settle(struct mark *m, struct position head)
{
    if (!same_seq(m->arrived, head)) {
        m->arrived = head;
        m->foreign = 0;
    }
    m->at = with_foreign(m, head);
    m->last = head;
    m->last_complete = true;
}

enum mark_canary mark_canary(struct mark *m, struct position head)
{
    if (head.epoch != m->at.epoch)
        return MARK_CANARY_EPOCH;
    if (above_in_epoch(m->last, head)) {
        settle(m, head);
        return MARK_CANARY_FORGERY;
    }
    note_arrived(m, head);
    raise_mark(m, with_foreign(m, head));
    m->last = head;
    m->last_complete = true;
    return MARK_CANARY_OK;
}

void mark_reset(struct mark *m, struct position head)
{
    settle(m, head);
    m->last = (struct position){0};
    m->last_complete = false;
}
