/* Memory that is freed all at once: what the reading of one message or body needs. */
#include "core/json.h"

#include <stdalign.h>
#include <stdlib.h>

/* The first block serves an ordinary message; blocks double, so that a large body costs few of them. */
#define BLOCK_FIRST 1024
#define BLOCK_MAX (256 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    alignas(max_align_t) char bytes[];
};

static struct arena_block *block_add(struct arena *a, size_t n)
{
    size_t cap = a->blocks == NULL ? BLOCK_FIRST : a->blocks->cap * 2;
    if (cap > BLOCK_MAX)
        cap = BLOCK_MAX;
    if (cap < n)
        cap = n;
    struct arena_block *block = mem_alloc(sizeof(*block) + cap);
    block->next = a->blocks;
    block->used = 0;
    block->cap = cap;
    a->blocks = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_block *block = a->blocks;
    n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (block == NULL || block->cap - block->used < n)
        block = block_add(a, n);
    void *p = block->bytes + block->used;
    block->used += n;
    return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

void arena_free(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
}
