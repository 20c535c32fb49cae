/* Collected durations: kept whole, since a bench's run fits into memory, and sorted when asked. */
#include "bench/samples.h"
#include "core/str.h"
#include <stdlib.h>

void samples_add(struct samples *s, uint64_t us)
{
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 1024 : s->cap * 2;
        s->us = mem_realloc(s->us, s->cap * sizeof(*s->us));
    }
    s->us[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

double samples_ms(struct samples *s, double share)
{
    if (s->n == 0)
        return 0;
    qsort(s->us, s->n, sizeof(*s->us), compare);
    size_t at = (size_t)(share * (double)s->n);
    return s->us[at < s->n ? at : s->n - 1] / 1000.0;
}

void samples_clear(struct samples *s)
{
    free(s->us);
    *s = (struct samples){0};
}
