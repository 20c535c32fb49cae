/* TLS of the listeners: protocol, ciphers, ALPN, certificate and key. */
#include "server/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509err.h>
#include <stdlib.h>
#include <unistd.h>

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

/* OpenSSL asks the terminal otherwise; notes that a password was wanted. */
static int no_password(char *dst, int size, int writing, void *wanted)
{
    *(bool *)wanted = true;
    return -1;
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

static int fail(struct buf *error, const char *variable, const char *path, const char *why)
{
    buf_printf(error, "%s: %s: %s", variable, path, why == NULL ? "cannot be used" : why);
    ERR_clear_error();
    return -1;
}

static int use_certificate(SSL_CTX *ctx, const char *path, struct buf *error)
{
    if (access(path, R_OK) != 0)
        return fail(error, "TLS_CERT_FILE", path, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(ctx, path) == 1)
        return 0;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
        return fail(error, "TLS_CERT_FILE", path, "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
    return fail(error, "TLS_CERT_FILE", path, ERR_reason_error_string(ERR_peek_error()));
}

static int use_key(SSL_CTX *ctx, const char *path, struct buf *error)
{
    bool wanted = false;
    int good, reason;

    if (access(path, R_OK) != 0)
        return fail(error, "TLS_KEY_FILE", path, strerror(errno));
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &wanted);
    good = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (good == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return 0;
    if (wanted)
        return fail(error, "TLS_KEY_FILE", path, "the key has a password; remove it: openssl pkey -in key.pem");
    reason = ERR_GET_REASON(ERR_peek_last_error());
    /* a key of another type goes to a place of its own, where no certificate is */
    if (reason == X509_R_KEY_VALUES_MISMATCH || (good == 1 && reason == SSL_R_NO_CERTIFICATE_ASSIGNED))
        return fail(error, "TLS_KEY_FILE", path, "it is not the key of the certificate in TLS_CERT_FILE");
    return fail(error, "TLS_KEY_FILE", path, "it holds no private key in PEM that can be used");
}

SSL_CTX *tls_create(const char *cert_file, const char *key_file, struct buf *error)
{
    SSL_CTX *ctx = create_context();

    ERR_clear_error();
    if (use_certificate(ctx, cert_file, error) != 0 || use_key(ctx, key_file, error) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}
