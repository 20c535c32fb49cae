/* Watches the files that may change while belfry serves: keys of users and of services, certificate and key of TLS. */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include <openssl/ssl.h>
#include "core/config.h"
#include "core/credentials.h"

#define RELOAD_INTERVAL_MS 1000

struct reload;

/* Where news goes. Kept by the caller and read in reload_poll only, so that it may be filled in after reload_create. */
struct reload_targets {
    struct credentials *credentials;
    /* A new context for the listeners, whose SSL_CTX_free is the callee's. Needed only if TLS_CERT_FILE is set. */
    void (*on_tls)(void *ctx, SSL_CTX *tls);
    void *ctx;
};

/* Notes what the files are like at this moment: call it before they are read for the first time, and no change is
 * missed. Both arguments are kept. */
struct reload *reload_create(const struct config *config, const struct reload_targets *targets);
void reload_destroy(struct reload *r);

/* From the main thread, as often as one likes: looks at the files once a RELOAD_INTERVAL_MS of now_ms (monotonic). A
 * file that has changed (times, size, inode; also through a symbolic link) is read when it then has stood still for one
 * interval, so that nobody sees half of it. What cannot be used is logged, once, and what was in use stays so. */
void reload_poll(struct reload *r, uint64_t now_ms);

#endif
