/* Bodies of application/problem+json (RFC 9457), and the reason phrases of the statuses that belfry answers with.
 *
 * `type` is urn:belfry:problem:<slug>, a name that clients may compare and that leads nowhere; about:blank where the
 * status says all there is to say. */
#ifndef CORE_PROBLEM_H
#define CORE_PROBLEM_H

#include "core/str.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

struct problem {
    int status;
    const char *slug;  /* NULL: about:blank */
    const char *title; /* NULL: the reason phrase of the status */
    struct str detail; /* STR_NONE: none. Cut before the first byte that is no UTF-8 */
    struct str field;  /* JSON pointer of the field at fault; STR_NONE: none; "" is the whole body */
    struct str more;   /* further members, as they stand in an object after a comma: `"a":1,"b":2`; STR_NONE: none */
};

/* The body: one JSON object. */
void problem_json(struct buf *out, const struct problem *p);

/* "Not Found" for 404; "Error" for a status that belfry does not use. */
const char *problem_reason(int status);

#endif
