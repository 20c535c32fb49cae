/* One verification key of JSON Web Signatures and its algorithm: HMAC, RSA, ECDSA (RFC 7518 part 3), EdDSA (RFC 8037).
 */
#ifndef CORE_SIGNATURE_H
#define CORE_SIGNATURE_H

#include <openssl/evp.h>
#include "core/config.h"
#include "core/str.h"

enum signature_kind { SIGNATURE_HMAC, SIGNATURE_RSA, SIGNATURE_ECDSA, SIGNATURE_EDDSA };

enum signature_kind signature_kind(enum jwt_algorithm a);
/* Digest of the algorithm; NULL for EdDSA, which hashes by itself. */
const EVP_MD *signature_digest(enum jwt_algorithm a);

struct signature_key {
    enum jwt_algorithm algorithm;
    EVP_PKEY *pkey;    /* NULL for HMAC */
    struct buf secret; /* empty unless HMAC */
};

/* Fills a zero-initialised key from a secret, or from one PEM block. 0, or -1 with what is wrong and the remedy in
 * *error; nothing of the secret stands in it. An HMAC secret shorter than its digest is refused (RFC 7518 3.2), as are
 * an RSA key under 2048 bits (3.3), another curve than the algorithm's (3.4) and private keys, which have no business
 * here. */
int signature_key_from_secret(struct signature_key *k, enum jwt_algorithm a, struct str secret,
                              struct buf *error) MUST_CHECK;
int signature_key_from_pem(struct signature_key *k, enum jwt_algorithm a, struct str pem, struct buf *error) MUST_CHECK;
void signature_key_dispose(struct signature_key *k);

/* Whether a key of that type, size and curve may serve the algorithm: 0, or -1 with the reason. Private keys too. */
int signature_key_fits(enum jwt_algorithm a, const EVP_PKEY *pkey, struct buf *error) MUST_CHECK;

/* A private key from PEM, for minting; NULL if it is none, or has a password. EVP_PKEY_free is the caller's. */
EVP_PKEY *signature_read_private(struct str pem) MUST_CHECK;

/* True if `signature` (raw bytes; r||s for ECDSA) is that of `input`. Its length has to be exact: nothing may be
 * appended. Thread-safe. Leaves OpenSSL's error queue empty. */
bool signature_verify(const struct signature_key *k, struct str input, struct str signature) MUST_CHECK;

#endif
