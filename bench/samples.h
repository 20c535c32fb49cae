/* Durations in µs, collected for their percentiles. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint32_t *us;
    size_t n, cap;
};

void samples_add(struct samples *s, uint64_t us);
/* Sorts. The value below which `share` (0 to 1) of them lie, in ms; 0 of none. */
double samples_ms(struct samples *s, double share);
void samples_clear(struct samples *s);

#endif
