/* Tests of server/tls.c: handshakes in memory with clients of every kind, and files that cannot be used. */
#include "tests/unit/certificate.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include "server/tls.h"

static char folder[] = "/tmp/belfry-tls-XXXXXX", cert[64], key[64];
static EVP_PKEY *rsa, *ec;

static int make_files(void **state)
{
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    if (mkdtemp(folder) == NULL || rsa == NULL || ec == NULL)
        return -1;
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    return 0;
}

static int remove_files(void **state)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    unlink(cert);
    unlink(key);
    return rmdir(folder);
}

static SSL_CTX *created(EVP_PKEY *pkey)
{
    struct buf error = {0};
    SSL_CTX *ctx;

    certificate_write(cert, pkey, "localhost");
    certificate_write_key(key, pkey, NULL);
    ctx = tls_create(cert, key, &error);
    if (ctx == NULL)
        fail_msg("%.*s", (int)error.n, error.p);
    assert_int_equal(error.n, 0);
    assert_int_equal(ERR_peek_error(), 0);
    return ctx;
}

/* What a client of those versions and with that ALPN offer agrees on. */
struct outcome {
    bool done;
    int version;
    char alpn[16], cipher[64];
};

static struct outcome handshake(SSL_CTX *ctx, int least, int most, const char *ciphers, struct str alpn)
{
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    struct outcome o = {0};
    const unsigned char *chosen;
    unsigned chosen_n;
    BIO *left, *right;
    SSL *client, *server;

    SSL_CTX_set_security_level(client_ctx, 0);
    SSL_CTX_set_min_proto_version(client_ctx, least);
    SSL_CTX_set_max_proto_version(client_ctx, most);
    if (ciphers != NULL)
        assert_int_equal(SSL_CTX_set_cipher_list(client_ctx, ciphers), 1);
    client = SSL_new(client_ctx);
    server = SSL_new(ctx);
    if (alpn.n > 0)
        SSL_set_alpn_protos(client, (const unsigned char *)alpn.p, (unsigned)alpn.n);
    assert_int_equal(BIO_new_bio_pair(&left, 0, &right, 0), 1);
    SSL_set_bio(client, left, left);
    SSL_set_bio(server, right, right);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    o.done = SSL_is_init_finished(client) && SSL_is_init_finished(server);
    o.version = SSL_version(server);
    SSL_get0_alpn_selected(client, &chosen, &chosen_n);
    snprintf(o.alpn, sizeof(o.alpn), "%.*s", (int)chosen_n, chosen == NULL ? (const unsigned char *)"" : chosen);
    snprintf(o.cipher, sizeof(o.cipher), "%s", SSL_get_cipher_name(server));
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    ERR_clear_error();
    return o;
}

static void tls_1_2_and_1_3_are_spoken_with_both_kinds_of_key(void **state)
{
    EVP_PKEY *pkeys[] = {rsa, ec};

    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = created(pkeys[i]);
        struct outcome o = handshake(ctx, 0, 0, NULL, STR_NONE);

        assert_true(o.done);
        assert_int_equal(o.version, TLS1_3_VERSION);
        o = handshake(ctx, TLS1_2_VERSION, TLS1_2_VERSION, NULL, STR_NONE);
        assert_true(o.done);
        assert_int_equal(o.version, TLS1_2_VERSION);
        assert_memory_equal(o.cipher, "ECDHE-", 6);
        SSL_CTX_free(ctx);
    }
}

static void old_versions_and_ciphers_without_forward_secrecy_are_refused(void **state)
{
    SSL_CTX *ctx = created(rsa);

    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    assert_false(handshake(ctx, TLS1_VERSION, TLS1_1_VERSION, "ALL:@SECLEVEL=0", STR_NONE).done);
    assert_false(handshake(ctx, TLS1_2_VERSION, TLS1_2_VERSION, "AES128-GCM-SHA256", STR_NONE).done);
    assert_false(handshake(ctx, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", STR_NONE).done);
    assert_true(handshake(ctx, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", STR_NONE).done);
    SSL_CTX_free(ctx);
}

static void alpn_agrees_on_http_1_1_and_never_on_h2(void **state)
{
    SSL_CTX *ctx = created(ec);
    struct outcome o = handshake(ctx, 0, 0, NULL, STR_LIT("\x02h2\x08http/1.1"));

    assert_true(o.done);
    assert_string_equal(o.alpn, "http/1.1");
    o = handshake(ctx, 0, 0, NULL, STR_NONE);
    assert_true(o.done);
    assert_string_equal(o.alpn, "");
    assert_false(handshake(ctx, 0, 0, NULL, STR_LIT("\x02h2")).done);
    SSL_CTX_free(ctx);
}

static void idle_connections_give_their_buffers_back(void **state)
{
    SSL_CTX *ctx = created(ec);

    assert_true((SSL_CTX_get_mode(ctx) & SSL_MODE_RELEASE_BUFFERS) != 0);
    SSL_CTX_free(ctx);
}

static void refused(const char *cert_file, const char *key_file, const char *expected)
{
    struct buf error = {0};

    assert_null(tls_create(cert_file, key_file, &error));
    buf_append_char(&error, '\0');
    if (strncmp(error.p, expected, strlen(expected)) != 0)
        fail_msg("expected \"%s\", got \"%s\"", expected, error.p);
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&error);
}

static void starts_with(char *out, size_t n, const char *variable, const char *file, const char *why)
{
    snprintf(out, n, "%s: %s: %s", variable, file, why);
}

static void files_that_cannot_be_used_are_named_with_the_reason(void **state)
{
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    char expected[256];

    SSL_CTX_free(created(rsa));
    refused("/nonexistent", key, "TLS_CERT_FILE: /nonexistent: No such file or directory");
    refused(cert, "/nonexistent", "TLS_KEY_FILE: /nonexistent: No such file or directory");
    starts_with(expected, sizeof(expected), "TLS_CERT_FILE", key, "it holds no certificate in PEM");
    refused(key, key, expected);
    starts_with(expected, sizeof(expected), "TLS_KEY_FILE", cert, "it holds no private key in PEM");
    refused(cert, cert, expected);
    starts_with(expected, sizeof(expected), "TLS_KEY_FILE", key, "it is not the key of the certificate");
    certificate_write_key(key, other, NULL);
    refused(cert, key, expected);
    certificate_write_key(key, ec, NULL);
    refused(cert, key, expected);
    starts_with(expected, sizeof(expected), "TLS_KEY_FILE", key, "the key has a password");
    certificate_write_key(key, rsa, "word");
    refused(cert, key, expected);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_1_2_and_1_3_are_spoken_with_both_kinds_of_key),
        cmocka_unit_test(old_versions_and_ciphers_without_forward_secrecy_are_refused),
        cmocka_unit_test(alpn_agrees_on_http_1_1_and_never_on_h2),
        cmocka_unit_test(idle_connections_give_their_buffers_back),
        cmocka_unit_test(files_that_cannot_be_used_are_named_with_the_reason),
    };

    return cmocka_run_group_tests_name("tls", tests, make_files, remove_files);
}
