/* Keys and signatures for tests, made at run time by OpenSSL and not by the code under test. */
#ifndef TESTS_UNIT_SIGNING_H
#define TESTS_UNIT_SIGNING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/config.h"
#include "core/str.h"

#define SECRET_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECRET_B "another-secret-another-secret-another-secret-another-secret-another"

/* Text that frees itself with the test. */
static inline struct str signing_pem(const EVP_PKEY *key, bool private_half, char text[8192])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    assert_int_equal(private_half ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                                  : PEM_write_bio_PUBKEY(bio, key),
                     1);
    n = BIO_read(bio, text, 8191);
    assert_true(n > 0);
    text[n] = '\0';
    BIO_free(bio);
    return (struct str){text, (size_t)n};
}

static inline const EVP_MD *signing_digest(enum jwt_algorithm a)
{
    static const char *const names[] = {"SHA256", "SHA384", "SHA512"};

    return a == JWT_EDDSA ? NULL : EVP_get_digestbyname(names[a % 3]);
}

static inline void signing_base64url(struct buf *out, const void *p, size_t n)
{
    char *text = buf_reserve(out, n / 3 * 4 + 5), *c;
    int len = EVP_EncodeBlock((unsigned char *)text, p, (int)n);

    for (c = text; c < text + len && *c != '='; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    out->n += (size_t)(c - text);
}

/* DER to r||s. */
static inline size_t signing_raw_ecdsa(unsigned char *sig, size_t n, int half)
{
    const unsigned char *p = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);

    assert_non_null(s);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, half), half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + half, half), half);
    ECDSA_SIG_free(s);
    return 2 * (size_t)half;
}

/* Signature of `input` in the form that JWS wants; `secret` for HS*, `key` for all others. */
static inline size_t signing_sign(unsigned char sig[2048], enum jwt_algorithm a, struct str secret, EVP_PKEY *key,
                                  struct str input)
{
    EVP_MD_CTX *ctx;
    size_t n = 2048;
    unsigned mac_n;

    if (a <= JWT_HS512) {
        assert_non_null(
            HMAC(signing_digest(a), secret.p, (int)secret.n, (const unsigned char *)input.p, input.n, sig, &mac_n));
        return mac_n;
    }
    ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, signing_digest(a), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)input.p, input.n), 1);
    EVP_MD_CTX_free(ctx);
    if (a >= JWT_ES256 && a <= JWT_ES512)
        return signing_raw_ecdsa(sig, n, a == JWT_ES256 ? 32 : a == JWT_ES384 ? 48 : 66);
    return n;
}

/* Replaces *out by a token of these two JSON texts. */
static inline struct str signing_token(struct buf *out, enum jwt_algorithm a, struct str secret, EVP_PKEY *key,
                                       const char *header, const char *claims)
{
    unsigned char sig[2048];
    size_t n;

    out->n = 0;
    signing_base64url(out, header, strlen(header));
    buf_append_char(out, '.');
    signing_base64url(out, claims, strlen(claims));
    n = signing_sign(sig, a, secret, key, buf_str(out));
    buf_append_char(out, '.');
    signing_base64url(out, sig, n);
    return buf_str(out);
}

#endif
