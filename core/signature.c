/* Verification keys and the check of signatures, by OpenSSL with keys that were parsed once. */
#include "core/signature.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 16384
/* A DER signature of P-521: two integers of at most 67 bytes with their headers. */
#define ECDSA_DER_MAX 160

enum signature_kind signature_kind(enum jwt_algorithm a)
{
    if (a <= JWT_HS512)
        return SIGNATURE_HMAC;
    if (a <= JWT_RS512)
        return SIGNATURE_RSA;
    return a <= JWT_ES512 ? SIGNATURE_ECDSA : SIGNATURE_EDDSA;
}

const EVP_MD *signature_digest(enum jwt_algorithm a)
{
    switch (a) {
    case JWT_HS256:
    case JWT_RS256:
    case JWT_ES256:
        return EVP_sha256();
    case JWT_HS384:
    case JWT_RS384:
    case JWT_ES384:
        return EVP_sha384();
    case JWT_HS512:
    case JWT_RS512:
    case JWT_ES512:
        return EVP_sha512();
    case JWT_EDDSA:
        break;
    }
    return NULL;
}

/* Names of OpenSSL, and bytes of r and of s. */
static const char *ecdsa_curve(enum jwt_algorithm a)
{
    return a == JWT_ES256 ? "prime256v1" : a == JWT_ES384 ? "secp384r1" : "secp521r1";
}

static size_t ecdsa_half(enum jwt_algorithm a)
{
    return a == JWT_ES256 ? 32 : a == JWT_ES384 ? 48 : 66;
}

int signature_key_from_secret(struct signature_key *k, enum jwt_algorithm a, struct str secret, struct buf *error)
{
    size_t least;

    if (signature_kind(a) != SIGNATURE_HMAC) {
        buf_printf(error, "%s needs a public key in PEM (-----BEGIN PUBLIC KEY-----), and this is none",
                   jwt_algorithm_name(a));
        return -1;
    }
    least = (size_t)EVP_MD_get_size(signature_digest(a));
    if (secret.n < least) {
        buf_printf(error, "%s needs at least %zu bytes; make one with: openssl rand -base64 48", jwt_algorithm_name(a),
                   least);
        return -1;
    }
    k->algorithm = a;
    buf_append(&k->secret, secret);
    return 0;
}

static int rsa_fits(enum jwt_algorithm a, const EVP_PKEY *pkey, struct buf *error)
{
    int bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA) {
        buf_printf(error, "%s needs an RSA key", jwt_algorithm_name(a));
        return -1;
    }
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
        buf_printf(error, "an RSA key has to have %d to %d bits, and this one has %d", RSA_BITS_MIN, RSA_BITS_MAX,
                   bits);
        return -1;
    }
    return 0;
}

static int ecdsa_fits(enum jwt_algorithm a, const EVP_PKEY *pkey, struct buf *error)
{
    char curve[64] = "";

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), NULL) == 1 &&
        strcmp(curve, ecdsa_curve(a)) == 0)
        return 0;
    buf_printf(error, "%s needs an EC key on the curve %s", jwt_algorithm_name(a), ecdsa_curve(a));
    return -1;
}

static int eddsa_fits(const EVP_PKEY *pkey, struct buf *error)
{
    int id = EVP_PKEY_get_base_id(pkey);

    if (id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448)
        return 0;
    buf_lit(error, "EdDSA needs an Ed25519 or Ed448 key");
    return -1;
}

int signature_key_fits(enum jwt_algorithm a, const EVP_PKEY *pkey, struct buf *error)
{
    switch (signature_kind(a)) {
    case SIGNATURE_RSA:
        return rsa_fits(a, pkey, error);
    case SIGNATURE_ECDSA:
        return ecdsa_fits(a, pkey, error);
    case SIGNATURE_EDDSA:
        return eddsa_fits(pkey, error);
    case SIGNATURE_HMAC:
        break;
    }
    buf_printf(error, "%s takes a secret, not a key in PEM: set ALGORITHM to the one that your tokens are signed with",
               jwt_algorithm_name(a));
    return -1;
}

/* Refuses by the label what OpenSSL would take for a public key although it is more, or could not read at all. */
static int pem_label_check(struct str pem, struct buf *error)
{
    struct str label = str_split(&pem, '\n');

    if (memmem(label.p, label.n, "PRIVATE", 7) != NULL)
        buf_lit(error, "this is a private key; give its public half: openssl pkey -in key.pem -pubout");
    else if (memmem(label.p, label.n, "CERTIFICATE", 11) != NULL)
        buf_lit(error, "this is a certificate; give its public key: openssl x509 -in cert.pem -noout -pubkey");
    else if (memmem(label.p, label.n, "PUBLIC KEY", 10) == NULL)
        buf_lit(error, "this PEM holds no public key (-----BEGIN PUBLIC KEY-----)");
    else
        return 0;
    return -1;
}

/* OpenSSL asks the terminal for a password where it is given no callback. */
static int no_password(char *dst, int size, int writing, void *data)
{
    return -1;
}

int signature_key_from_pem(struct signature_key *k, enum jwt_algorithm a, struct str pem, struct buf *error)
{
    EVP_PKEY *pkey;
    BIO *bio;

    if (signature_kind(a) == SIGNATURE_HMAC)
        return signature_key_fits(a, NULL, error);
    if (pem_label_check(pem, error) != 0)
        return -1;
    if ((bio = BIO_new_mem_buf(pem.p, (int)pem.n)) == NULL)
        abort();
    pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (pkey == NULL) {
        buf_lit(error, "the PEM block cannot be read as a public key");
        return -1;
    }
    if (signature_key_fits(a, pkey, error) != 0) {
        EVP_PKEY_free(pkey);
        return -1;
    }
    k->algorithm = a;
    k->pkey = pkey;
    return 0;
}

EVP_PKEY *signature_read_private(struct str pem)
{
    BIO *bio;
    EVP_PKEY *pkey;

    if (pem.n == 0 || pem.n > INT32_MAX)
        return NULL;
    if ((bio = BIO_new_mem_buf(pem.p, (int)pem.n)) == NULL)
        abort();
    pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return pkey;
}

void signature_key_dispose(struct signature_key *k)
{
    EVP_PKEY_free(k->pkey);
    k->pkey = NULL;
    if (k->secret.p != NULL)
        OPENSSL_cleanse(k->secret.p, k->secret.cap);
    buf_free(&k->secret);
}

static bool hmac_verify(const struct signature_key *k, struct str input, struct str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (HMAC(signature_digest(k->algorithm), k->secret.p, (int)k->secret.n, (const unsigned char *)input.p, input.n,
             mac, &n) == NULL)
        return false;
    return str_eq_secret((struct str){(const char *)mac, n}, signature);
}

static bool pkey_verify(const struct signature_key *k, struct str input, const unsigned char *signature, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, signature_digest(k->algorithm), NULL, k->pkey) == 1 &&
                EVP_DigestVerify(ctx, signature, n, (const unsigned char *)input.p, input.n) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

/* JWS carries r and s as two numbers of fixed width (RFC 7518 3.4); OpenSSL wants them in DER. */
static size_t ecdsa_der(const unsigned char *raw, size_t half, unsigned char der[ECDSA_DER_MAX])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL), *s = BN_bin2bn(raw + half, (int)half, NULL);
    int n;

    if (sig == NULL || r == NULL || s == NULL)
        abort();
    ECDSA_SIG_set0(sig, r, s);
    n = i2d_ECDSA_SIG(sig, NULL);
    if (n <= 0 || n > ECDSA_DER_MAX)
        n = 0;
    else
        n = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

static bool ecdsa_verify(const struct signature_key *k, struct str input, struct str signature)
{
    unsigned char der[ECDSA_DER_MAX];
    size_t n, half = ecdsa_half(k->algorithm);

    if (signature.n != 2 * half)
        return false;
    n = ecdsa_der((const unsigned char *)signature.p, half, der);
    return n > 0 && pkey_verify(k, input, der, n);
}

bool signature_verify(const struct signature_key *k, struct str input, struct str signature)
{
    bool good;

    if (k->pkey == NULL)
        return hmac_verify(k, input, signature);
    if (signature_kind(k->algorithm) == SIGNATURE_ECDSA)
        good = ecdsa_verify(k, input, signature);
    else
        good = signature.n == (size_t)EVP_PKEY_get_size(k->pkey) &&
               pkey_verify(k, input, (const unsigned char *)signature.p, signature.n);
    ERR_clear_error();
    return good;
}
