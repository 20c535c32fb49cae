/* Makes problems (RFC 9457) of the errors that h2o answers by itself: a body too large, a broken chunk, an unknown
 * expectation. */
#ifndef SERVER_PROBLEM_FILTER_H
#define SERVER_PROBLEM_FILTER_H

#include <h2o.h>

/* Every answer of the path with a status of 400 or more and the type text/plain gets a problem for its body. An error
 * after which the connection is closed lets it linger (server/linger.h), so that it reaches its sender. */
void problem_filter_register(h2o_pathconf_t *path);

#endif
