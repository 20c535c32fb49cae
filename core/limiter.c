/* PUBLISH_RATE: one token bucket for each subject that publishes. */
#include "core/limiter.h"
#include "core/metrics.h"
#include <stdlib.h>

struct limiter_entry {
    struct table_link link; /* first: the table hands out these */
    struct limiter_entry *newer, *older;
    struct bucket bucket;
    size_t n;
    char subject[];
};

void limiter_init(struct limiter *l, struct rate rate)
{
    *l = (struct limiter){.rate = rate};
    table_init(&l->entries);
}

static void detach(struct limiter *l, struct limiter_entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &l->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &l->oldest) = e->newer;
}

static void attach_newest(struct limiter *l, struct limiter_entry *e)
{
    e->newer = NULL;
    e->older = l->newest;
    *(l->newest != NULL ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
}

static void forget(struct limiter *l, struct limiter_entry *e)
{
    detach(l, e);
    table_remove(&l->entries, &e->link);
    l->count--;
    free(e);
}

void limiter_dispose(struct limiter *l)
{
    while (l->oldest != NULL)
        forget(l, l->oldest);
    table_dispose(&l->entries);
}

/* A full bucket is as good as none. */
static bool has_rested(const struct limiter *l, const struct limiter_entry *e, uint64_t now_ms)
{
    struct bucket copy = e->bucket;

    return bucket_take(&copy, l->rate, l->rate.burst, now_ms, NULL);
}

/* Two at each take: however many subjects come, more go than come. */
static void forget_the_rested(struct limiter *l, uint64_t now_ms)
{
    for (int i = 0; i < 2 && l->oldest != NULL && has_rested(l, l->oldest, now_ms); i++)
        forget(l, l->oldest);
}

static bool has_subject(const struct table_link *link, const void *key)
{
    const struct limiter_entry *e = (const struct limiter_entry *)link;
    const struct str *subject = key;

    return str_eq((struct str){e->subject, e->n}, *subject);
}

static struct limiter_entry *find_or_add(struct limiter *l, struct str subject)
{
    uint32_t hash = table_hash(subject.p, subject.n);
    struct limiter_entry *e = (struct limiter_entry *)table_find(&l->entries, hash, has_subject, &subject);

    if (e != NULL) {
        detach(l, e);
    } else {
        e = mem_zalloc(sizeof(*e) + subject.n);
        e->n = subject.n;
        memcpy(e->subject, subject.p, subject.n);
        table_add(&l->entries, &e->link, hash);
        l->count++;
    }
    attach_newest(l, e);
    return e;
}

enum limiter_verdict limiter_take(struct limiter *l, struct str subject, uint32_t n, uint64_t now_ms,
                                  uint64_t *retry_ms)
{
    struct limiter_entry *e;

    if (l->rate.per_second == 0)
        return LIMITER_OK;
    forget_the_rested(l, now_ms);
    e = find_or_add(l, subject);
    if (bucket_take(&e->bucket, l->rate, n, now_ms, retry_ms))
        return LIMITER_OK;
    metric_add(METRIC_RATE_LIMITED_PUBLISH, 1);
    return LIMITER_LATER;
}
