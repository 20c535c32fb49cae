/* Asks one URL of a server, blocking and with a deadline: for `belfry health`. */
#ifndef SERVER_HTTP_PROBE_H
#define SERVER_HTTP_PROBE_H

#include "core/config.h"

/* GETs `path` of a server that listens on `address` (TCP or unix; any-addresses are asked on loopback), without TLS.
 * The status of the answer, or -1 with why there is none in *error. timeout_ms bounds all but the look-up of a host
 * name. */
int http_probe(const struct listen_address *address, const char *path, unsigned timeout_ms,
               struct buf *error) MUST_CHECK;

/* The status in the first line of a response (RFC 9112 part 4), -1 if it is none. */
int http_probe_status(struct str response) MUST_CHECK;

#endif
