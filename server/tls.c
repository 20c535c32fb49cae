/* TLS of the listeners: protocol, ciphers, ALPN, certificate and key. */
#include "server/tls.h"

#include <stdlib.h>

#include "core/tls_files.h"

/* Protocol names of ALPN carry their length (RFC 7301 3.1). */
static const unsigned char alpn_http11[] = "\x08http/1.1";

/* A client that offers something else only is refused (RFC 7301 3.2) instead of being answered in a protocol it cannot
 * read. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_n, alpn_http11, sizeof(alpn_http11) - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *create_context(void)
{
    static const unsigned char session_context[] = "belfry";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL)
        abort();
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1)
        abort();
    return ctx;
}

SSL_CTX *tls_create(const char *cert_file, const char *key_file, struct buf *error)
{
    SSL_CTX *ctx = create_context();

    if (tls_files_use_pair(ctx, (struct tls_file){"TLS_CERT_FILE", cert_file},
                           (struct tls_file){"TLS_KEY_FILE", key_file}, error) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}
