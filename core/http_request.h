/* What of an HTTP request is checked without a server: path segments, query, the raw head, the WebSocket handshake. */
#ifndef CORE_HTTP_REQUEST_H
#define CORE_HTTP_REQUEST_H

#include "core/str.h"

#define PATH_SEGMENTS_MAX 8

/* Splits the raw path (up to `?`) at `/`, strips `base` ("" or "/push"), decodes each segment once and strictly into
 * `storage` (as long as the path). Returns the number of segments ("/" has 0, "/a/b" 2, "/a/" 2 with an empty last
 * one); -1: not below base (404); -2: a bad escape, %00, a control character, not UTF-8, `.` or `..` (400); -3: too
 * many (404). */
int path_split(struct str path, struct str base, char *storage, struct str segments[PATH_SEGMENTS_MAX]) MUST_CHECK;

/* The value of a query parameter, percent-decoded (`+` stays a plus: tokens and positions have none) into storage (as
 * long as the query). The first one counts; names are compared as they stand. 1 found, 0 absent, -1 badly encoded: a
 * bad escape, a control character, not UTF-8. */
int query_get(struct str query, const char *name, char *storage, struct str *out) MUST_CHECK;

/* Looks at a raw HTTP/1 request head (from the request line to the blank line) again, for what h2o has accepted and
 * already stripped. NULL if unambiguous, else what is wrong: two Content-Length, a Content-Length that is not digits,
 * Transfer-Encoding with Content-Length, Transfer-Encoding other than "chunked" once, no or two Host (HTTP/1.1), bare
 * LF or CR, a folded line, white space before the colon, NUL or another control character, a request line of other than
 * three words, bytes behind the blank line. One empty line before the request line is ignored (RFC 9112 2.2). */
const char *http_head_problem(struct str head) MUST_CHECK;

struct handshake {
    struct str method, upgrade, connection, key, version,
        protocols; /* STR_NONE if absent; joined by commas if repeated */
    bool http11;
};

/* Answer to a request for /ws: 101 when it is a WebSocket handshake of RFC 6455 4.2.1, 426 for another version (or when
 * it is no upgrade at all), 405, or 400; *reason names what is missing. */
int handshake_check(const struct handshake *h, const char **reason);
/* Sec-WebSocket-Accept of a key that handshake_check has taken: 28 characters. */
void handshake_accept(char dst[28], struct str key);

/* Sec-WebSocket-Protocol offers: whether `belfry.v1` is among them, and the token of a `bearer.<token>` offer. */
struct handshake_offer {
    bool belfry_v1;
    struct str
        bearer; /* STR_NONE if none; "" if the offer is a bare `bearer.`, which is a token that will be refused */
};
struct handshake_offer handshake_offers(struct str protocols);

/* Value of a cookie in a Cookie field; false if absent. */
bool cookie_get(struct str cookies, const char *name, struct str *out);

#endif
