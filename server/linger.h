/* Lingering close: whoever gets the last answer of a connection may still be sending, the rest of a refused request or
 * the next one, and a close with unread bytes would reset the connection before that answer has been read (RFC
 * 9112 9.6). So the writing side is shut, what still comes is thrown away, then it is closed. */
#ifndef SERVER_LINGER_H
#define SERVER_LINGER_H

#include <h2o.h>

/* The connections of one context that linger. */
struct linger_list {
    h2o_linklist_t lingering;
};

void linger_init(struct linger_list *list);
/* Closes them all at once. */
void linger_dispose(struct linger_list *list);

/* Makes the request's connection linger once h2o closes it: until the peer closes, says nothing for a second, or ten
 * seconds have passed. Whoever watches the socket's on_close is told when that is over. Call it on requests whose
 * connection will be closed after the answer. Without a free descriptor it does nothing. */
void linger_after(struct linger_list *list, h2o_req_t *req);

#endif
