/* Looks a host name up on a thread of its own, so that the loop never waits for DNS. Whoever asked looks in from time
 * to time and may drop the question at any moment: h2o's own resolver answers into its context even after that has been
 * freed. */
#ifndef PUBSUB_LOOKUP_H
#define PUBSUB_LOOKUP_H

#include <netdb.h>
#include <stdint.h>

struct lookup;

/* NULL if too many look-ups of the process are under way already, or no thread can be made. */
struct lookup *lookup_start(const char *host, uint16_t port);

enum lookup_state { LOOKUP_PENDING, LOOKUP_FOUND, LOOKUP_FAILED };
/* LOOKUP_FOUND: *found, valid until lookup_drop. LOOKUP_FAILED: *reason, a static text. */
enum lookup_state lookup_poll(const struct lookup *l, struct addrinfo **found, const char **reason);
/* Ends the interest in it; the thread may go on. */
void lookup_drop(struct lookup *l);

#endif
