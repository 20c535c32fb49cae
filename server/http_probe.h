/* Asks one URL of a server, blocking and with a deadline: for `belfry health` and `belfry status`. */
#ifndef SERVER_HTTP_PROBE_H
#define SERVER_HTTP_PROBE_H

#include "core/config.h"

/* GETs `path` of a server that listens on `address` (TCP or unix; any-addresses are asked on loopback), without TLS.
 * The status of the answer, or -1 with why there is none in *error. timeout_ms bounds all but the look-up of a host
 * name. */
int http_probe(const struct listen_address *address, const char *path, unsigned timeout_ms,
               struct buf *error) MUST_CHECK;

/* The same, with the body of the answer appended to *body; an answer of more than `max` bytes is an error. */
int http_get(const struct listen_address *address, const char *path, unsigned timeout_ms, size_t max, struct buf *body,
             struct buf *error) MUST_CHECK;

/* Reads the environment of the process and looks whether the server that runs with it can be asked on METRICS_LISTEN;
 * nothing else of it has to be right. False with the reason in *error. *config is the caller's to free either way. */
bool probe_target(struct config *config, struct buf *error) MUST_CHECK;

/* `belfry: <what>: METRICS_LISTEN (<address>): <why>` on stderr; always 1, the exit code. */
int probe_complain(const char *what, const struct listen_address *address, struct str why);

/* The status in the first line of a response (RFC 9112 part 4), -1 if it is none. */
int http_probe_status(struct str response) MUST_CHECK;

#endif
