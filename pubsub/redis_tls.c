/* TLS towards Redis: OpenSSL between two buffers in memory. The thread's error queue is empty before each call into it,
 * so that nobody's errors are mistaken for another's, and afterwards. */
#include "pubsub/redis_tls.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/tls_files.h"

/* One TLS record. */
#define WRITE_BYTES 16384

struct redis_tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    char host[256], failure[320];
};

/* --- the context ----------------------------------------------------------------------------------------------------
 */

static SSL_CTX *create_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        abort();
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

static int use_cas(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    if (c->redis_ca_file != NULL)
        return tls_files_use_ca(ctx, (struct tls_file){"REDIS_CA_FILE", c->redis_ca_file}, error);
    if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        abort();
    ERR_clear_error(); /* a system without CAs: the handshake will say so */
    return 0;
}

SSL_CTX *redis_tls_context(const struct config *c, struct buf *error)
{
    SSL_CTX *ctx = create_context();
    int rc = use_cas(ctx, c, error);
    if (rc == 0 && c->redis_cert_file != NULL && c->redis_key_file != NULL)
        rc = tls_files_use_pair(ctx, (struct tls_file){"REDIS_CERT_FILE", c->redis_cert_file},
                                (struct tls_file){"REDIS_KEY_FILE", c->redis_key_file}, error);
    if (rc == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* --- one connection -------------------------------------------------------------------------------------------------
 */

/* The certificate has to be for this address or name. A name is told to the peer, an address is not (RFC 6066 3). */
static void expect_host(struct redis_tls *t)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, t->host) == 1)
        return;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(param, t->host, 0) != 1 || SSL_set_tlsext_host_name(t->ssl, t->host) != 1)
        abort();
}

/* Neither the zone of a link-local address nor the root's dot stands in certificates. */
static void copy_host(struct redis_tls *t, const char *host)
{
    size_t n = strcspn(host, "%");
    if (n != 0 && host[n - 1] == '.')
        --n;
    snprintf(t->host, sizeof(t->host), "%.*s", (int)n, host);
}

struct redis_tls *redis_tls_open(SSL_CTX *ctx, const char *host)
{
    struct redis_tls *t = mem_zalloc(sizeof(*t));
    t->ssl = SSL_new(ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl == NULL || t->in == NULL || t->out == NULL)
        abort();
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    copy_host(t, host);
    expect_host(t);
    ERR_clear_error();
    return t;
}

void redis_tls_close(struct redis_tls *t)
{
    SSL_free(t->ssl);
    free(t);
}

/* --- failures -------------------------------------------------------------------------------------------------------
 */

static void explain_certificate(struct redis_tls *t, long result)
{
    const char *text = X509_verify_cert_error_string(result), *hint = "";
    if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        snprintf(t->failure, sizeof(t->failure), "TLS: %s: the certificate is not for %.200s", text, t->host);
        return;
    }
    if (result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
        result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
        hint = ": REDIS_CA_FILE names whom to trust";
    snprintf(t->failure, sizeof(t->failure), "TLS: %s%s", text, hint);
}

static void explain_error(struct redis_tls *t, unsigned long error)
{
    const char *text = ERR_reason_error_string(error), *hint = "";
    switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
        hint = ": does this port speak TLS?";
        break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        hint = ": Redis asks for a certificate that it trusts, REDIS_CERT_FILE";
        break;
    }
    snprintf(t->failure, sizeof(t->failure), "TLS: %s%s", text != NULL ? text : "the handshake failed", hint);
}

/* What the last call into OpenSSL with result `rc` means. */
static enum redis_tls_step judge(struct redis_tls *t, int rc)
{
    int error = SSL_get_error(t->ssl, rc);
    enum redis_tls_step step = error == SSL_ERROR_WANT_READ ? REDIS_TLS_AGAIN : REDIS_TLS_FAILED;
    long verified = SSL_get_verify_result(t->ssl);
    if (step == REDIS_TLS_FAILED && error == SSL_ERROR_ZERO_RETURN)
        snprintf(t->failure, sizeof(t->failure), "Redis closed the connection");
    else if (step == REDIS_TLS_FAILED && verified != X509_V_OK)
        explain_certificate(t, verified);
    else if (step == REDIS_TLS_FAILED)
        explain_error(t, ERR_peek_error());
    ERR_clear_error();
    return step;
}

const char *redis_tls_failure(const struct redis_tls *t)
{
    return t->failure;
}

/* --- bytes ----------------------------------------------------------------------------------------------------------
 */

void redis_tls_input(struct redis_tls *t, struct str bytes)
{
    if (BIO_write(t->in, bytes.p, (int)bytes.n) != (int)bytes.n)
        abort(); /* only when memory is out */
}

enum redis_tls_step redis_tls_handshake(struct redis_tls *t)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    return rc == 1 ? REDIS_TLS_DONE : judge(t, rc);
}

int redis_tls_read(struct redis_tls *t, char *dst, int n)
{
    ERR_clear_error();
    int rc = SSL_read(t->ssl, dst, n);
    if (rc > 0)
        return rc;
    return judge(t, rc) == REDIS_TLS_AGAIN ? 0 : -1;
}

int redis_tls_write(struct redis_tls *t, struct str plain, struct buf *out)
{
    redis_tls_output(t, out);
    while (plain.n != 0) {
        int n = plain.n < WRITE_BYTES ? (int)plain.n : WRITE_BYTES;
        ERR_clear_error();
        int rc = SSL_write(t->ssl, plain.p, n);
        if (rc != n) {
            (void)judge(t, rc);
            return -1;
        }
        redis_tls_output(t, out);
        plain.p += n;
        plain.n -= (size_t)n;
    }
    return 0;
}

void redis_tls_output(struct redis_tls *t, struct buf *out)
{
    int n = (int)BIO_pending(t->out);
    if (n > 0 && BIO_read(t->out, buf_reserve(out, (size_t)n), n) != n)
        abort();
    out->n += n > 0 ? (size_t)n : 0;
}
