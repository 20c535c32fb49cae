/* pubsub/redis_tls.c: handshakes in memory with servers of every kind, in pieces, and what is said of the failed ones.
 */
#include "tests/unit/certificate.h"

#include <openssl/err.h>
#include "pubsub/redis_tls.h"

static char folder[] = "/tmp/belfry-redis-tls-XXXXXX", cert[64], key[64], other[64];
static EVP_PKEY *ec, *stranger;

static int make_files(void **state)
{
    ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    stranger = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    if (mkdtemp(folder) == NULL || ec == NULL || stranger == NULL)
        return -1;
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(other, sizeof(other), "%s/other.pem", folder);
    certificate_write(cert, ec, "redis.example.org");
    certificate_write_key(key, ec, NULL);
    certificate_write(other, stranger, "stranger");
    return 0;
}

static int remove_files(void **state)
{
    EVP_PKEY_free(ec);
    EVP_PKEY_free(stranger);
    unlink(cert);
    unlink(key);
    unlink(other);
    return rmdir(folder);
}

static SSL_CTX *context(const char *ca)
{
    struct config c = {.redis_ca_file = (char *)ca};
    struct buf error = {0};
    SSL_CTX *ctx = redis_tls_context(&c, &error);

    if (ctx == NULL)
        fail_msg("%.*s", (int)error.n, error.p);
    assert_int_equal(ERR_peek_error(), 0);
    return ctx;
}

/* A client of ours and a server, and what lies between them. */
struct pair {
    SSL_CTX *client_ctx, *server_ctx;
    struct redis_tls *client;
    SSL *server;
    BIO *to_server, *from_server;
    size_t piece; /* most bytes that pass at a time */
    enum redis_tls_step step;
};

static void open_pair(struct pair *p, const char *ca, const char *host, int version)
{
    p->client_ctx = context(ca);
    p->server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(p->server_ctx, version);
    SSL_CTX_set_max_proto_version(p->server_ctx, version);
    assert_int_equal(SSL_CTX_use_certificate_file(p->server_ctx, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(p->server_ctx, key, SSL_FILETYPE_PEM), 1);
    p->client = redis_tls_open(p->client_ctx, host);
    p->server = SSL_new(p->server_ctx);
    p->to_server = BIO_new(BIO_s_mem());
    p->from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(p->server, p->to_server, p->from_server);
    SSL_set_accept_state(p->server);
}

static void close_pair(struct pair *p)
{
    redis_tls_close(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->client_ctx);
    SSL_CTX_free(p->server_ctx);
    ERR_clear_error();
}

static void to_server(struct pair *p, struct buf *bytes)
{
    redis_tls_output(p->client, bytes);
    if (bytes->n != 0)
        assert_int_equal(BIO_write(p->to_server, bytes->p, (int)bytes->n), bytes->n);
    bytes->n = 0;
}

/* Whether a piece came. */
static bool to_client(struct pair *p)
{
    char piece[4096];
    int n = BIO_read(p->from_server, piece, (int)(p->piece < sizeof(piece) ? p->piece : sizeof(piece)));
    if (n > 0)
        redis_tls_input(p->client, (struct str){piece, (size_t)n});
    return n > 0;
}

static enum redis_tls_step handshake(struct pair *p)
{
    struct buf bytes = {0};

    for (int turn = 0; turn < 10000; ++turn) {
        p->step = redis_tls_handshake(p->client);
        assert_int_equal(ERR_peek_error(), 0);
        to_server(p, &bytes);
        if (p->step != REDIS_TLS_AGAIN)
            break;
        if (!to_client(p))
            SSL_do_handshake(p->server);
    }
    SSL_do_handshake(p->server);
    buf_free(&bytes);
    return p->step;
}

static void assert_refused(const char *ca, const char *host, const char *why)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (int i = 0; i < 2; ++i) {
        struct pair p = {.piece = 4096};
        open_pair(&p, ca, host, versions[i]);
        assert_int_equal(handshake(&p), REDIS_TLS_FAILED);
        if (strstr(redis_tls_failure(p.client), why) == NULL)
            fail_msg("%s: %s", host, redis_tls_failure(p.client));
        close_pair(&p);
    }
}

static void only_the_host_of_the_certificate_will_do(void **state)
{
    assert_refused(cert, "redis.example.com", "hostname mismatch: the certificate is not for redis.example.com");
    assert_refused(cert, "example.org", "hostname mismatch");
    assert_refused(cert, "10.0.0.1", "IP address mismatch: the certificate is not for 10.0.0.1");
    assert_refused(cert, "fe80::1%eth0", "IP address mismatch: the certificate is not for fe80::1");
}

static void only_those_who_are_trusted_will_do(void **state)
{
    assert_refused(other, "redis.example.org", "REDIS_CA_FILE names whom to trust");
    assert_refused(NULL, "redis.example.org", "REDIS_CA_FILE names whom to trust");
}

static void exchange(struct pair *p, size_t n)
{
    struct buf bytes = {0}, got = {0};
    char *text = mem_alloc(n);

    for (size_t i = 0; i < n; ++i)
        text[i] = (char)(i * 31 + i / 251);
    assert_int_equal(redis_tls_write(p->client, (struct str){text, n}, &bytes), 0);
    assert_true(bytes.n > n);
    to_server(p, &bytes);
    while (got.n < n) {
        int rc = SSL_read(p->server, buf_reserve(&got, 4096), 4096);
        assert_true(rc > 0);
        got.n += (size_t)rc;
    }
    assert_memory_equal(got.p, text, n);
    assert_int_equal(SSL_write(p->server, text, (int)n), n);
    for (got.n = 0; got.n < n;) {
        /* An error that another connection has left must not be taken for one of ours. */
        ERR_raise(ERR_LIB_SSL, SSL_R_HTTP_REQUEST);
        int rc = redis_tls_read(p->client, buf_reserve(&got, 1000), 1000);
        assert_true(rc >= 0);
        assert_int_equal(ERR_peek_error(), 0);
        got.n += (size_t)rc;
        if (rc == 0)
            assert_true(to_client(p));
    }
    assert_memory_equal(got.p, text, n);
    buf_free(&bytes);
    buf_free(&got);
    free(text);
}

static void bytes_pass_whole_and_in_pieces(void **state)
{
    static const size_t pieces[] = {4096, 7, 1};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (int i = 0; i < 6; ++i) {
        struct pair p = {.piece = pieces[i / 2]};
        open_pair(&p, cert, i % 2 ? "redis.example.org" : "redis.example.org.", versions[i % 2]);
        if (handshake(&p) != REDIS_TLS_DONE)
            fail_msg("%s", redis_tls_failure(p.client));
        exchange(&p, 1);
        exchange(&p, 16384);
        exchange(&p, 100000);
        assert_string_equal(redis_tls_failure(p.client), "");
        close_pair(&p);
    }
}

static void a_goodbye_ends_it(void **state)
{
    struct pair p = {.piece = 4096};
    char byte;

    open_pair(&p, cert, "redis.example.org", TLS1_3_VERSION);
    assert_int_equal(handshake(&p), REDIS_TLS_DONE);
    SSL_shutdown(p.server);
    while (to_client(&p))
        ;
    assert_int_equal(redis_tls_read(p.client, &byte, 1), -1);
    assert_string_equal(redis_tls_failure(p.client), "Redis closed the connection");
    close_pair(&p);
}

static void what_is_no_tls_is_told(void **state)
{
    SSL_CTX *ctx = context(cert);
    struct redis_tls *t = redis_tls_open(ctx, "redis.example.org");

    assert_int_equal(redis_tls_handshake(t), REDIS_TLS_AGAIN);
    redis_tls_input(t, STR_LIT("-ERR unknown command\r\n"));
    assert_int_equal(redis_tls_handshake(t), REDIS_TLS_FAILED);
    assert_non_null(strstr(redis_tls_failure(t), "does this port speak TLS?"));
    redis_tls_close(t);
    SSL_CTX_free(ctx);
}

static void assert_bad_files(struct config c, const char *complaint)
{
    struct buf error = {0};

    assert_null(redis_tls_context(&c, &error));
    assert_true(error.n >= strlen(complaint) && memcmp(error.p, complaint, strlen(complaint)) == 0);
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&error);
}

static void files_that_cannot_be_used_are_named(void **state)
{
    assert_bad_files((struct config){.redis_ca_file = (char *)"/nonexistent"},
                     "REDIS_CA_FILE: /nonexistent: No such file or directory");
    assert_bad_files((struct config){.redis_ca_file = key}, "REDIS_CA_FILE: /tmp/belfry-redis-tls-");
    assert_bad_files((struct config){.redis_cert_file = (char *)"/nonexistent", .redis_key_file = key},
                     "REDIS_CERT_FILE: /nonexistent: No such file or directory");
    assert_bad_files((struct config){.redis_cert_file = cert, .redis_key_file = (char *)"/nonexistent"},
                     "REDIS_KEY_FILE: /nonexistent: No such file or directory");
    assert_bad_files((struct config){.redis_cert_file = other, .redis_key_file = key}, "REDIS_KEY_FILE: /tmp/belfry-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_host_of_the_certificate_will_do),
        cmocka_unit_test(only_those_who_are_trusted_will_do),
        cmocka_unit_test(bytes_pass_whole_and_in_pieces),
        cmocka_unit_test(a_goodbye_ends_it),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
