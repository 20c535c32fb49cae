/* Puts certificates and keys from files into a TLS context. */
#include "core/tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509err.h>
#include <stdio.h>
#include <unistd.h>

/* OpenSSL asks the terminal otherwise; notes that a password was wanted. */
static int no_password(char *dst, int size, int writing, void *wanted)
{
    *(bool *)wanted = true;
    return -1;
}

static int fail(struct buf *error, struct tls_file file, const char *why)
{
    buf_printf(error, "%s: %s: %s", file.variable, file.path, why == NULL ? "cannot be used" : why);
    ERR_clear_error();
    return -1;
}

static int use_certificate(SSL_CTX *ctx, struct tls_file cert, struct buf *error)
{
    if (access(cert.path, R_OK) != 0)
        return fail(error, cert, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(ctx, cert.path) == 1)
        return 0;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
        return fail(error, cert, "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
    return fail(error, cert, ERR_reason_error_string(ERR_peek_error()));
}

static int fail_mismatch(struct buf *error, struct tls_file key, const char *cert_variable)
{
    char why[100];

    snprintf(why, sizeof(why), "it is not the key of the certificate in %s", cert_variable);
    return fail(error, key, why);
}

static int use_key(SSL_CTX *ctx, struct tls_file key, const char *cert_variable, struct buf *error)
{
    bool wanted = false;
    int good, reason;

    if (access(key.path, R_OK) != 0)
        return fail(error, key, strerror(errno));
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &wanted);
    good = SSL_CTX_use_PrivateKey_file(ctx, key.path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (good == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return 0;
    if (wanted)
        return fail(error, key, "the key has a password; remove it: openssl pkey -in key.pem");
    reason = ERR_GET_REASON(ERR_peek_last_error());
    /* a key of another type goes to a place of its own, where no certificate is */
    if (reason == X509_R_KEY_VALUES_MISMATCH || (good == 1 && reason == SSL_R_NO_CERTIFICATE_ASSIGNED))
        return fail_mismatch(error, key, cert_variable);
    return fail(error, key, "it holds no private key in PEM that can be used");
}

int tls_files_use_pair(SSL_CTX *ctx, struct tls_file cert, struct tls_file key, struct buf *error)
{
    ERR_clear_error();
    return use_certificate(ctx, cert, error) != 0 ? -1 : use_key(ctx, key, cert.variable, error);
}

int tls_files_use_ca(SSL_CTX *ctx, struct tls_file ca, struct buf *error)
{
    ERR_clear_error();
    if (access(ca.path, R_OK) != 0)
        return fail(error, ca, strerror(errno));
    if (SSL_CTX_load_verify_file(ctx, ca.path) == 1)
        return 0;
    return fail(error, ca, "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
}
