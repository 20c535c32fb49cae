/* Time as text and as numbers. Nothing in core/ but clock_*_now looks at a clock: time is an argument. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include "core/str.h"

#define RFC3339_LEN 24 /* 2025-11-08T22:00:00.123Z */

uint64_t clock_monotonic_ms(void); /* CLOCK_MONOTONIC */
uint64_t clock_unix_ms(void);      /* CLOCK_REALTIME */

/* RFC 3339 in UTC with milliseconds; exactly RFC3339_LEN bytes, no NUL. Later than the year 9999 stays at its last
 * moment. */
void rfc3339_format(char dst[RFC3339_LEN], uint64_t unix_ms);

/* Reads an RFC 3339 date-time with offset (part 5.6; a space for T is not accepted, a leap second is), real dates only.
 * T and Z may be small letters. A leap second counts as the second after it and has to end a month in UTC. Fractions
 * are cut at nanoseconds. 0 and nanoseconds since 1970, held at INT64_MIN and INT64_MAX outside 1677 to 2262; or -1. */
int rfc3339_parse(struct str s, int64_t *unix_ns) MUST_CHECK;

#endif
