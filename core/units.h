/* Values of the configuration as text: durations, sizes, counts, rates and addresses, read strictly and written back.
 */
#ifndef CORE_UNITS_H
#define CORE_UNITS_H

#include "core/config.h"

/* Decimal digits only: no sign, no space, nothing behind. 0, or -1 (also above UINT64_MAX). */
int units_parse_count(struct str s, uint64_t *out) MUST_CHECK;
/* A whole number with `ms`, `s`, `m` or `h`; a bare number is seconds. 0 and milliseconds, or -1. */
int units_parse_duration(struct str s, uint64_t *ms) MUST_CHECK;
/* A whole number with `K`, `M` or `G` (powers of 1024); a bare number is bytes. 0, or -1. */
int units_parse_size(struct str s, uint64_t *bytes) MUST_CHECK;

#define RATE_MAX 1000000 /* so that a bucket's thousandths fit its 32 bits */
/* `20/s`, `20/s burst 40` (without burst it is the rate) or `off` ({0, 1}). Rate and burst are 1 to RATE_MAX. 0, or -1.
 */
int units_parse_rate(struct str s, struct rate *out) MUST_CHECK;

/* `host:port`, `[v6]:port`, `:port` (any address), `unix:/path`. NULL, or what is wrong with it (static text). On
 * success host or path is the caller's: listen_address_dispose. `off` is not known here. */
const char *listen_address_parse(struct str s, struct listen_address *out) MUST_CHECK;
void listen_address_dispose(struct listen_address *a);
/* The same kind, host and port, or path; port 0 equals nothing, since it picks another one each time. */
bool listen_address_eq(const struct listen_address *a, const struct listen_address *b);

/* Splits `host[:port]` or `[v6][:port]`; without a port *port stays. *host is without brackets and checked: an IP
 * address (with a zone, if any), or a name. NULL, or what is wrong (static text). */
const char *units_parse_host_port(struct str s, struct str *host, uint16_t *port) MUST_CHECK;

/* Back to text, in the largest unit that divides the value: 90000 is `90s`, 65536 `64K`. */
void units_format_duration(struct buf *out, uint64_t ms);
void units_format_size(struct buf *out, uint64_t bytes);
void units_format_rate(struct buf *out, struct rate r);
void listen_address_format(struct buf *out, const struct listen_address *a);

#endif
