/* TLS towards Redis, between two streams of bytes and without I/O.
 *
 * h2o's own client handshake does not serve here. It compares host names itself, but only under TLS 1.2, and there
 * never with an IP address; and it takes errors that another connection left in the thread's OpenSSL queue for its own.
 */
#ifndef PUBSUB_REDIS_TLS_H
#define PUBSUB_REDIS_TLS_H

#include <openssl/ssl.h>
#include "core/config.h"

/* A client context of TLS 1.2 and 1.3 that verifies whom it meets, from REDIS_CA_FILE (else the system's CAs),
 * REDIS_CERT_FILE and REDIS_KEY_FILE: once for the process, which may share it among threads. NULL with one complaint
 * in *error that begins with the variable of the file at fault. SSL_CTX_free is the caller's. */
SSL_CTX *redis_tls_context(const struct config *c, struct buf *error) MUST_CHECK;

struct redis_tls;

/* One side of a connection to `host`, a name or an address, which the certificate has to be for. The context outlives
 * it; the host is copied. Never NULL. */
struct redis_tls *redis_tls_open(SSL_CTX *ctx, const char *host);
void redis_tls_close(struct redis_tls *t);

enum redis_tls_step { REDIS_TLS_AGAIN, REDIS_TLS_DONE, REDIS_TLS_FAILED };

/* Bytes from the network. Read, or go on with the handshake, before the next call: what is not used is kept. */
void redis_tls_input(struct redis_tls *t, struct str bytes);
/* Goes on with the handshake. In each case there may be output to send. */
enum redis_tls_step redis_tls_handshake(struct redis_tls *t);
/* The next plain bytes, at most n of them: 0 if nothing is there yet, -1 if it failed or the peer has said goodbye. */
int redis_tls_read(struct redis_tls *t, char *dst, int n);
/* Appends the plain bytes, encrypted, to *out, behind what else has to be sent. -1 if it failed. */
int redis_tls_write(struct redis_tls *t, struct str plain, struct buf *out) MUST_CHECK;
/* Appends what has to be sent by itself, as the handshake does. */
void redis_tls_output(struct redis_tls *t, struct buf *out);
/* Why it failed, for the log: "TLS: hostname mismatch: the certificate is not for redis.example.org". Lives as long as
 * `t`. */
const char *redis_tls_failure(const struct redis_tls *t);

#endif
