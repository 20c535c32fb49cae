/* Opens a stream to a host and port, or to a unix socket: looks the name up, then tries its addresses one after the
 * other. */
#ifndef PUBSUB_DIAL_H
#define PUBSUB_DIAL_H

#include <h2o.h>

struct dial;

/* Called once, from dial_tick or from the loop, and the dial is gone with it: `sock` is the receiver's, or NULL with
 * the reason in words, valid during the call ("cannot connect to 10.0.0.1:6379: Connection refused"). */
typedef void (*dial_cb)(void *data, h2o_socket_t *sock, const char *reason);

/* Never NULL, and nothing is called back from within. `host` is a name or an address without brackets; name and
 * connection together may take `timeout_ms`. The text is copied. */
struct dial *dial_host(h2o_loop_t *loop, const char *host, uint16_t port, uint64_t timeout_ms, uint64_t now_ms,
                       dial_cb cb, void *data);
struct dial *dial_path(h2o_loop_t *loop, const char *path, uint64_t timeout_ms, uint64_t now_ms, dial_cb cb,
                       void *data);
/* Looks whether the name is there, and whether the time is over: at least every 100 ms. It may call back. */
void dial_tick(struct dial *d, uint64_t now_ms);
/* Ends it without a call. */
void dial_drop(struct dial *d);

#endif
