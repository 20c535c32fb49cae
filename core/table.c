/* The intrusive hash table: chains, a doubling that is spread over the calls after it, and SipHash-1-3 against floods
 * of chosen ids. */
#include "core/table.h"

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_BUCKETS 16
/* Half as many calls as it takes to need the next doubling empty the old buckets. */
#define BUCKETS_PER_CALL 2

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t table_siphash13(const uint64_t key[2], const void *p, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    const unsigned char *bytes = p;
    uint64_t word;

    for (size_t left = n; left >= 8; left -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        sip_word(v, le64toh(word));
    }
    word = (uint64_t)n << 56;
    for (size_t i = 0; i < n % 8; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    sip_word(v, word);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t process_key[2];

/* A guessable seed would let a client choose ids that all fall into one chain, so without randomness there is no start.
 */
static void draw_process_key(void)
{
    if (getrandom(process_key, sizeof(process_key), 0) != (ssize_t)sizeof(process_key))
        abort();
}

uint32_t table_hash(const void *p, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw_process_key);
    return (uint32_t)table_siphash13(process_key, p, n);
}

void table_init(struct table *t)
{
    *t = (struct table){0};
}

void table_dispose(struct table *t)
{
    free(t->buckets);
    free(t->old);
    *t = (struct table){0};
}

static void push(struct table_link **bucket, struct table_link *l)
{
    l->next = *bucket;
    *bucket = l;
}

/* Moves up to `n` of the old buckets, and forgets them when all are moved. */
static void move_buckets(struct table *t, size_t n)
{
    for (; t->old != NULL && n > 0; n--) {
        struct table_link *l = t->old[t->old_at], *next;
        for (; l != NULL; l = next) {
            next = l->next;
            push(&t->buckets[l->hash & t->mask], l);
        }
        t->old[t->old_at] = NULL;
        if (t->old_at++ == t->old_mask) {
            free(t->old);
            t->old = NULL;
        }
    }
}

static void grow_if_full(struct table *t)
{
    size_t size = t->buckets == NULL ? 0 : t->mask + 1;

    if (t->count < size || t->old != NULL)
        return;
    if (size > 0) {
        t->old = t->buckets;
        t->old_mask = t->mask;
        t->old_at = 0;
    }
    size = size == 0 ? FIRST_BUCKETS : size * 2;
    t->buckets = mem_zalloc(size * sizeof(*t->buckets));
    t->mask = size - 1;
}

void table_add(struct table *t, struct table_link *l, uint32_t hash)
{
    grow_if_full(t);
    move_buckets(t, BUCKETS_PER_CALL);
    l->hash = hash;
    push(&t->buckets[hash & t->mask], l);
    t->count++;
}

static bool unlink_from(struct table_link **at, struct table_link *l)
{
    for (; *at != NULL; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            l->next = NULL;
            return true;
        }
    }
    return false;
}

void table_remove(struct table *t, struct table_link *l)
{
    if (t->count == 0)
        return;
    bool found = unlink_from(&t->buckets[l->hash & t->mask], l);
    if (!found && t->old != NULL)
        found = unlink_from(&t->old[l->hash & t->old_mask], l);
    if (found)
        t->count--;
    move_buckets(t, BUCKETS_PER_CALL);
}

static struct table_link *find_in(struct table_link *l, uint32_t hash,
                                  bool (*match)(const struct table_link *, const void *), const void *key)
{
    for (; l != NULL; l = l->next) {
        if (l->hash == hash && match(l, key))
            return l;
    }
    return NULL;
}

struct table_link *table_find(const struct table *t, uint32_t hash,
                              bool (*match)(const struct table_link *, const void *), const void *key)
{
    if (t->count == 0)
        return NULL;
    struct table_link *l = find_in(t->buckets[hash & t->mask], hash, match, key);
    if (l == NULL && t->old != NULL)
        l = find_in(t->old[hash & t->old_mask], hash, match, key);
    return l;
}

void table_each(struct table *t, void (*fn)(struct table_link *, void *), void *data)
{
    /* with no old buckets left a removal by fn moves no other element */
    move_buckets(t, SIZE_MAX);
    for (size_t i = 0; t->count > 0 && i <= t->mask; i++) {
        struct table_link *l = t->buckets[i], *next;
        for (; l != NULL; l = next) {
            next = l->next;
            fn(l, data);
        }
    }
}
