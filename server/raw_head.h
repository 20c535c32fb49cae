/* The raw head of an HTTP/1 request, found again in the input buffer of its socket. */
#ifndef SERVER_RAW_HEAD_H
#define SERVER_RAW_HEAD_H

#include "core/str.h"

/* The head at the front of `input`, from the request line to the blank line, as h2o found it: without the one empty
 * line that may come before (RFC 9112 2.2), its lines ended by CRLF or by LF. Empty if there is none. */
struct str raw_head(struct str input);
/* True if a head that http_head_problem has passed, its field names made lower-case by h2o, has a Transfer-Encoding. */
bool raw_head_is_chunked(struct str head);
/* The path of a request target: itself, or what follows the authority of an absolute one (RFC 9112 3.2.2). */
struct str raw_target_path(struct str target);

#endif
