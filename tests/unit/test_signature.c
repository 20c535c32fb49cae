/* Tests of core/signature.c: every algorithm with keys made here. */
#include "tests/unit/signing.h"

#include <openssl/err.h>
#include "core/signature.h"

static const struct {
    enum jwt_algorithm algorithm;
    int key; /* index into keys */
} cases[] = {
    {JWT_HS256, -1}, {JWT_HS384, -1}, {JWT_HS512, -1}, {JWT_RS256, 0}, {JWT_RS384, 0}, {JWT_RS512, 0},
    {JWT_ES256, 1},  {JWT_ES384, 2},  {JWT_ES512, 3},  {JWT_EDDSA, 4}, {JWT_EDDSA, 5},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static EVP_PKEY *keys[6];
static const struct str input = STR_LIT("some.input");

static int make_keys(void **state)
{
    keys[0] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    keys[1] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    keys[2] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    keys[3] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
    keys[4] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys[5] = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    for (int i = 0; i < 6; i++)
        if (keys[i] == NULL)
            return -1;
    return 0;
}

static int free_keys(void **state)
{
    for (int i = 0; i < 6; i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

/* The verification key of a case, and a signature of `input` by it. */
static size_t prepare(size_t i, struct signature_key *key, unsigned char sig[2048])
{
    struct buf error = {0};
    char pem[8192];

    *key = (struct signature_key){0};
    if (cases[i].key < 0)
        assert_int_equal(signature_key_from_secret(key, cases[i].algorithm, STR_LIT(SECRET_A), &error), 0);
    else
        assert_int_equal(
            signature_key_from_pem(key, cases[i].algorithm, signing_pem(keys[cases[i].key], false, pem), &error), 0);
    assert_int_equal(error.n, 0);
    return signing_sign(sig, cases[i].algorithm, STR_LIT(SECRET_A), cases[i].key < 0 ? NULL : keys[cases[i].key],
                        input);
}

static bool verify(const struct signature_key *key, struct str text, const unsigned char *sig, size_t n)
{
    bool good = signature_verify(key, text, (struct str){(const char *)sig, n});

    assert_int_equal(ERR_peek_error(), 0);
    return good;
}

static void a_right_signature_is_good_again_and_again(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct signature_key key;
        unsigned char sig[2048];
        size_t n = prepare(i, &key, sig);

        assert_true(verify(&key, input, sig, n));
        assert_false(verify(&key, STR_LIT("some.inpuT"), sig, n));
        assert_true(verify(&key, input, sig, n));
        signature_key_dispose(&key);
    }
}

static void a_changed_bit_is_noticed(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct signature_key key;
        unsigned char sig[2048];
        size_t n = prepare(i, &key, sig);

        for (size_t at = 0; at < n; at += n / 7) {
            sig[at] ^= 1;
            assert_false(verify(&key, input, sig, n));
            sig[at] ^= 1;
        }
        signature_key_dispose(&key);
    }
}

static void a_signature_of_another_length_is_refused(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct signature_key key;
        unsigned char sig[2048] = {0}, shifted[2049] = {0};
        size_t n = prepare(i, &key, sig);

        memcpy(shifted + 1, sig, n);
        assert_false(verify(&key, input, sig, n + 1));
        assert_false(verify(&key, input, sig, n - 1));
        assert_false(verify(&key, input, sig, 0));
        assert_false(verify(&key, input, sig, 2 * n));
        assert_false(verify(&key, input, shifted, n + 1));
        signature_key_dispose(&key);
    }
}

static void ecdsa_in_der_or_of_zeroes_is_refused(void **state)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[2048], zero[64] = {0}, ones[64];
    struct signature_key key;
    size_t n = sizeof(sig);

    prepare(6, &key, sig);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, keys[1]), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)input.p, input.n), 1);
    EVP_MD_CTX_free(ctx);
    memset(ones, 0xff, sizeof(ones));
    assert_false(verify(&key, input, sig, n));
    assert_false(verify(&key, input, zero, sizeof(zero)));
    assert_false(verify(&key, input, ones, sizeof(ones)));
    signature_key_dispose(&key);
}

static void refused_pem(enum jwt_algorithm a, struct str pem, const char *why)
{
    struct signature_key key = {0};
    struct buf error = {0};

    assert_int_equal(signature_key_from_pem(&key, a, pem, &error), -1);
    buf_append_char(&error, '\0');
    assert_non_null(strstr(error.p, why));
    assert_null(key.pkey);
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&error);
}

static void a_key_that_does_not_fit_the_algorithm_is_refused(void **state)
{
    EVP_PKEY *small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    EVP_PKEY *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY *k1 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1");
    char pem[8192];

    refused_pem(JWT_RS256, signing_pem(keys[1], false, pem), "RS256 needs an RSA key");
    refused_pem(JWT_RS256, signing_pem(small, false, pem), "has 1024");
    refused_pem(JWT_ES256, signing_pem(keys[0], false, pem), "ES256 needs an EC key on the curve prime256v1");
    refused_pem(JWT_ES256, signing_pem(keys[2], false, pem), "prime256v1");
    refused_pem(JWT_ES256, signing_pem(k1, false, pem), "prime256v1");
    refused_pem(JWT_ES384, signing_pem(keys[1], false, pem), "secp384r1");
    refused_pem(JWT_ES512, signing_pem(keys[2], false, pem), "secp521r1");
    refused_pem(JWT_EDDSA, signing_pem(keys[1], false, pem), "Ed25519");
    refused_pem(JWT_EDDSA, signing_pem(x25519, false, pem), "Ed25519");
    refused_pem(JWT_HS256, signing_pem(keys[0], false, pem), "HS256 takes a secret");
    EVP_PKEY_free(small);
    EVP_PKEY_free(x25519);
    EVP_PKEY_free(k1);
}

static void a_pem_that_is_no_public_key_is_refused(void **state)
{
    char pem[8192];

    refused_pem(JWT_RS256, signing_pem(keys[0], true, pem), "private key");
    refused_pem(JWT_RS256, STR_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), "certificate");
    refused_pem(JWT_RS256, STR_LIT("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----"),
                "no public key");
    refused_pem(JWT_RS256, STR_LIT("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), "cannot be read");
    refused_pem(JWT_RS256, STR_LIT("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"), "cannot be read");
}

static void a_secret_needs_the_length_of_its_digest(void **state)
{
    static const size_t least[] = {32, 48, 64};

    for (int a = JWT_HS256; a <= JWT_HS512; a++) {
        struct signature_key key = {0};
        struct buf error = {0};

        assert_int_equal(
            signature_key_from_secret(&key, (enum jwt_algorithm)a, (struct str){SECRET_A, least[a] - 1}, &error), -1);
        buf_append_char(&error, '\0');
        assert_non_null(strstr(error.p, "openssl rand -base64 48"));
        assert_null(strstr(error.p, "0123456789"));
        assert_int_equal(
            signature_key_from_secret(&key, (enum jwt_algorithm)a, (struct str){SECRET_A, least[a]}, &error), 0);
        signature_key_dispose(&key);
        buf_free(&error);
    }
}

static void a_private_key_is_read_only_without_a_password(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char pem[8192], *text;
    EVP_PKEY *key = signature_read_private(signing_pem(keys[4], true, pem));

    assert_int_equal(EVP_PKEY_eq(key, keys[4]), 1);
    EVP_PKEY_free(key);
    assert_null(signature_read_private(signing_pem(keys[4], false, pem)));
    assert_null(signature_read_private(STR_NONE));
    assert_int_equal(
        PEM_write_bio_PrivateKey(bio, keys[4], EVP_aes_128_cbc(), (const unsigned char *)"word", 4, NULL, NULL), 1);
    long n = BIO_get_mem_data(bio, &text);
    assert_null(signature_read_private((struct str){text, (size_t)n}));
    assert_int_equal(ERR_peek_error(), 0);
    BIO_free(bio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_signature_is_good_again_and_again),
        cmocka_unit_test(a_changed_bit_is_noticed),
        cmocka_unit_test(a_signature_of_another_length_is_refused),
        cmocka_unit_test(ecdsa_in_der_or_of_zeroes_is_refused),
        cmocka_unit_test(a_key_that_does_not_fit_the_algorithm_is_refused),
        cmocka_unit_test(a_pem_that_is_no_public_key_is_refused),
        cmocka_unit_test(a_secret_needs_the_length_of_its_digest),
        cmocka_unit_test(a_private_key_is_read_only_without_a_password),
    };

    return cmocka_run_group_tests_name("signature", tests, make_keys, free_keys);
}
