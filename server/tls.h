/* TLS of the listeners. */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <openssl/ssl.h>
#include "core/str.h"

/* A server context of TLS 1.2 and 1.3 with forward secrecy only, from a certificate chain and its private key in PEM.
 * ALPN agrees on http/1.1 alone: HTTP/2 belongs to the gateway. Idle connections hold no buffers; sessions are resumed
 * by tickets. NULL with one complaint in *error that begins with the variable of the file at fault. SSL_CTX_free is the
 * caller's. */
SSL_CTX *tls_create(const char *cert_file, const char *key_file, struct buf *error) MUST_CHECK;

#endif
