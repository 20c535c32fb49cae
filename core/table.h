/* An intrusive hash table of pointers: 16 bytes in the element, 8 a bucket. It grows in small steps, so that no insert
 * among 50,000 connections waits for a rehash. Hashes are keyed with a random seed of the process. */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include "core/str.h"

struct table_link {
    struct table_link *next;
    uint32_t hash;
};

struct table {
    struct table_link **buckets, **old; /* while growing, `old` is emptied a few buckets at each insert and removal */
    size_t mask, old_mask, old_at, count;
};

/* A keyed hash of bytes. The seed is drawn once per process, from getrandom(2); threads may call it at the same time.
 */
uint32_t table_hash(const void *p, size_t n);
/* What it is made of: SipHash-1-3 under a key of one's own. */
uint64_t table_siphash13(const uint64_t key[2], const void *p, size_t n);

void table_init(struct table *t);
void table_dispose(struct table *t); /* elements are the caller's */
void table_add(struct table *t, struct table_link *l, uint32_t hash);
/* Nothing happens if `l` is not in it. */
void table_remove(struct table *t, struct table_link *l);
/* First element of that hash for which match(element, key) is true, or NULL. */
struct table_link *table_find(const struct table *t, uint32_t hash,
                              bool (*match)(const struct table_link *, const void *), const void *key);
/* Calls fn for each element; fn may remove the element it is given (and free it) and no other, and adds none. */
void table_each(struct table *t, void (*fn)(struct table_link *, void *), void *data);

#endif
