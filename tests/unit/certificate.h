/* Certificates for tests, made at run time. */
#ifndef TESTS_UNIT_CERTIFICATE_H
#define TESTS_UNIT_CERTIFICATE_H

#include "tests/unit/signing.h"

#include <openssl/x509.h>
#include <unistd.h>

/* Writes a self-signed certificate of that key for `name`. */
static inline void certificate_write(const char *path, EVP_PKEY *key, const char *name)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, subject);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(x);
}

/* Writes the private key, encrypted if there is a password. */
static inline void certificate_write_key(const char *path, EVP_PKEY *key, const char *password)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, password == NULL ? NULL : EVP_aes_128_cbc(),
                                          (const unsigned char *)password, password == NULL ? 0 : (int)strlen(password),
                                          NULL, NULL),
                     1);
    assert_int_equal(fclose(f), 0);
}

#endif
