/* The demo page at GET / (DEMO): a client to look at, built into the binary, that asks nothing of any other host. */
#ifndef HANDLERS_DEMO_H
#define HANDLERS_DEMO_H

#include <h2o.h>
#include "core/config.h"

/* Answers GET or HEAD of the page: 200 with the page; 308 to `BASE_PATH/` where the slash is missing, since the page's
 * addresses are relative. Returns 0 if it has answered, -1 if config->demo is off (the caller's 404). */
int demo_handle(h2o_req_t *req, const struct config *config);

/* The parts of it that know nothing of h2o. */

/* Appends the page; rest false hides the forms (REST is served on an address of its own). */
void demo_page(struct buf *out, bool rest);
/* Appends the Content-Security-Policy: nothing but the page's own style and script, by their hashes, and connections to
 * where it came from. `host` is the request's Host; one that could not stand in a policy is left out: 'self' remains.
 */
void demo_policy(struct buf *out, struct str host);

#endif
