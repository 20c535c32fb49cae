/* Positions in the one order of all events: `<epoch>-<seq>`, of foreign events `<epoch>-<seq>.<n>`. */
#ifndef CORE_POSITION_H
#define CORE_POSITION_H

#include "core/str.h"

struct position {
    uint64_t epoch, seq;
    uint64_t n; /* 0: belfry's own; else the n-th foreign event after seq. Resuming ignores it. */
};

/* The longest text of a position, without a NUL: three numbers and two separators. */
#define POSITION_MAX (20 + 1 + 20 + 1 + 20)

/* Reads exactly one position (decimal, no sign, no leading zeros but "0" itself, n ≥ 1). 0, or -1 if `s` is not of the
 * form. */
int position_parse(struct str s, struct position *out) MUST_CHECK;

/* Writes the text, without a NUL, and returns its length. */
size_t position_format(char dst[POSITION_MAX], struct position p);

/* -1, 0, 1: by epoch, then seq, then n. */
int position_cmp(struct position a, struct position b);

#endif
