/* Tests of server/reload.c: files that change, break, vanish and come back. Time is an argument. */
#include "tests/unit/certificate.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include "core/log.h"
#include "server/reload.h"

#define API_KEY "0123456789abcdef0123456789abcdef"
#define STEP RELOAD_INTERVAL_MS

static char folder[] = "/tmp/belfry-reload-XXXXXX", keys[64], api[64], cert[64], key[64], fresh[64], logged[64];
static struct config config;
static struct credentials *credentials;
static struct credentials_view view;
static struct reload *reload;
static SSL_CTX *tls;
static unsigned tls_times;
static int real_stderr;

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* As an editor or a Secret's volume does it: another file takes the name. */
static void replace(const char *path, const char *text)
{
    put(fresh, text);
    assert_int_equal(rename(fresh, path), 0);
}

static void on_tls(void *ctx, SSL_CTX *new)
{
    assert_ptr_equal(ctx, &tls);
    SSL_CTX_free(tls);
    tls = new;
    tls_times++;
}

static const struct reload_targets *targets(void)
{
    static struct reload_targets t;

    t = (struct reload_targets){credentials, on_tls, &tls};
    return &t;
}

static struct keyring *keyring_of(const char *text)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse(JWT_HS256, str_of(text), true, &error);

    assert_non_null(k);
    return k;
}

static int begin(void **state)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

    put(keys, SECRET_A "\n");
    put(api, "billing:" API_KEY ":events:read\n");
    certificate_write(cert, pkey, "one");
    certificate_write_key(key, pkey, NULL);
    EVP_PKEY_free(pkey);
    config = (struct config){.secret_key_file = keys, .api_keys_file = api, .tls_cert_file = cert, .tls_key_file = key};
    credentials = credentials_create(keyring_of(SECRET_A), NULL);
    reload = reload_create(&config, targets());
    tls_times = 0;
    /* log lines go to a file that the test reads */
    real_stderr = dup(STDERR_FILENO);
    int fd = open(logged, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    return fd < 0 || dup2(fd, STDERR_FILENO) < 0 || close(fd) != 0 ? -1 : 0;
}

static int end(void **state)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    reload_destroy(reload);
    credentials_view_release(&view);
    credentials_destroy(credentials);
    SSL_CTX_free(tls);
    tls = NULL;
    return 0;
}

static bool known(const char *secret)
{
    unsigned char sig[2048];
    size_t n = signing_sign(sig, JWT_HS256, str_of(secret), NULL, STR_LIT("x"));

    credentials_refresh(credentials, &view);
    return keyring_verify(view.keyring, JWT_HS256, STR_NONE, STR_LIT("x"), (struct str){(const char *)sig, n}) ==
           KEYRING_GOOD;
}

/* How often the text stands in the log; it never holds a secret. */
static unsigned in_log(const char *text)
{
    char line[2048];
    unsigned n = 0;
    FILE *f = fopen(logged, "r");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        assert_null(strstr(line, "sesame"));
        assert_null(strstr(line, SECRET_A));
        n += strstr(line, text) != NULL;
    }
    fclose(f);
    return n;
}

static void nothing_happens_while_no_file_changes(void **state)
{
    for (uint64_t now = 0; now < 10 * STEP; now += STEP / 4)
        reload_poll(reload, now);
    credentials_refresh(credentials, &view);
    assert_int_equal(view.generation, 1);
    assert_int_equal(tls_times, 0);
    assert_int_equal(in_log(""), 0);
}

static void changed_keys_are_used_once_they_stand_still(void **state)
{
    reload_poll(reload, 0);
    put(keys, "new:" SECRET_B "\n");
    reload_poll(reload, STEP - 1); /* too early to look */
    reload_poll(reload, STEP);     /* seen */
    assert_true(known(SECRET_A));
    reload_poll(reload, 2 * STEP);
    assert_true(known(SECRET_B));
    assert_false(known(SECRET_A));
    assert_int_equal(in_log("reloaded"), 1);
    assert_int_equal(in_log("SECRET_KEY_FILE"), 1);
    assert_int_equal(tls_times, 0);
}

static void a_file_that_is_still_being_written_is_left_alone(void **state)
{
    put(keys, SECRET_B "\n");
    reload_poll(reload, 0);
    put(keys, SECRET_B "\nsesame-and-a-half");
    reload_poll(reload, STEP);
    put(keys, SECRET_B "\n" SECRET_A "\n");
    reload_poll(reload, 2 * STEP);
    assert_false(known(SECRET_B));
    reload_poll(reload, 3 * STEP);
    assert_true(known(SECRET_A));
    assert_true(known(SECRET_B));
    assert_int_equal(in_log("reload_failed"), 0);
}

static void broken_keys_are_logged_once_and_the_old_ones_stay(void **state)
{
    put(keys, SECRET_B "\nsesame\n");
    for (uint64_t now = 0; now < 5 * STEP; now += STEP)
        reload_poll(reload, now);
    assert_true(known(SECRET_A));
    assert_false(known(SECRET_B));
    assert_int_equal(in_log("reload_failed"), 1);
    assert_int_equal(in_log("line 2: HS256 needs at least 32 bytes"), 1);
    put(keys, SECRET_B "\n");
    reload_poll(reload, 6 * STEP);
    reload_poll(reload, 7 * STEP);
    assert_true(known(SECRET_B));
}

static void a_file_that_vanishes_is_logged_once_and_used_when_it_is_back(void **state)
{
    assert_int_equal(unlink(keys), 0);
    for (uint64_t now = 0; now < 5 * STEP; now += STEP)
        reload_poll(reload, now);
    assert_true(known(SECRET_A));
    assert_int_equal(in_log("is gone"), 1);
    put(keys, SECRET_B "\n");
    reload_poll(reload, 6 * STEP);
    reload_poll(reload, 7 * STEP);
    assert_true(known(SECRET_B));
}

static void another_file_of_the_same_size_and_time_is_noticed(void **state)
{
    struct timespec times[2];
    struct stat st;

    assert_int_equal(stat(keys, &st), 0);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    put(fresh, "z" SECRET_A "\n");
    assert_int_equal(truncate(fresh, st.st_size), 0);
    assert_int_equal(utimensat(AT_FDCWD, fresh, times, 0), 0);
    assert_int_equal(rename(fresh, keys), 0);
    reload_poll(reload, 0);
    reload_poll(reload, STEP);
    assert_false(known(SECRET_A));
}

static void a_symbolic_link_that_points_elsewhere_is_noticed(void **state)
{
    char target[80];

    snprintf(target, sizeof(target), "%s/target", folder);
    put(target, SECRET_B "\n");
    assert_int_equal(symlink(target, fresh), 0);
    assert_int_equal(rename(fresh, keys), 0);
    reload_poll(reload, 0);
    reload_poll(reload, STEP);
    assert_true(known(SECRET_B));
    unlink(keys);
    unlink(target);
}

static void a_pipe_in_the_place_of_a_file_does_not_block(void **state)
{
    assert_int_equal(unlink(keys), 0);
    assert_int_equal(mkfifo(keys, 0600), 0);
    reload_poll(reload, 0);
    reload_poll(reload, STEP);
    assert_true(known(SECRET_A));
    assert_int_equal(in_log("reload_failed"), 1);
    unlink(keys);
}

static void changed_api_keys_are_used(void **state)
{
    struct api_key found;

    replace(api, "ops:" API_KEY "x:events:read\n");
    reload_poll(reload, 0);
    reload_poll(reload, STEP);
    credentials_refresh(credentials, &view);
    assert_true(api_keys_find(view.api_keys, STR_LIT(API_KEY "x"), &found));
    assert_false(api_keys_find(view.api_keys, STR_LIT(API_KEY), &found));
    replace(api, "ops:sesame:events:read\n");
    reload_poll(reload, 2 * STEP);
    reload_poll(reload, 3 * STEP);
    credentials_refresh(credentials, &view);
    assert_true(api_keys_find(view.api_keys, STR_LIT(API_KEY "x"), &found));
    assert_int_equal(in_log("API_KEYS_FILE: line 1: the secret needs at least 32 bytes"), 1);
}

static void a_new_certificate_comes_as_a_new_context_once_its_key_fits(void **state)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

    certificate_write(cert, pkey, "two");
    reload_poll(reload, 0);
    reload_poll(reload, STEP);
    assert_int_equal(tls_times, 0);
    assert_int_equal(in_log("it is not the key of the certificate"), 1);
    certificate_write_key(key, pkey, NULL);
    reload_poll(reload, 2 * STEP);
    reload_poll(reload, 3 * STEP);
    assert_int_equal(tls_times, 1);
    assert_non_null(tls);
    EVP_PKEY_free(pkey);
}

static void what_is_not_configured_is_not_watched(void **state)
{
    struct config none = {0};
    struct reload *r = reload_create(&none, targets());

    reload_poll(r, 0);
    reload_poll(r, STEP);
    reload_destroy(r);
    assert_int_equal(in_log(""), 0);
}

static int make_folder(void **state)
{
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(keys, sizeof(keys), "%s/keys", folder);
    snprintf(api, sizeof(api), "%s/api", folder);
    snprintf(cert, sizeof(cert), "%s/cert", folder);
    snprintf(key, sizeof(key), "%s/key", folder);
    snprintf(fresh, sizeof(fresh), "%s/fresh", folder);
    snprintf(logged, sizeof(logged), "%s/log", folder);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(keys);
    unlink(api);
    unlink(cert);
    unlink(key);
    unlink(logged);
    return rmdir(folder);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_happens_while_no_file_changes),
        CASE(changed_keys_are_used_once_they_stand_still),
        CASE(a_file_that_is_still_being_written_is_left_alone),
        CASE(broken_keys_are_logged_once_and_the_old_ones_stay),
        CASE(a_file_that_vanishes_is_logged_once_and_used_when_it_is_back),
        CASE(another_file_of_the_same_size_and_time_is_noticed),
        CASE(a_symbolic_link_that_points_elsewhere_is_noticed),
        CASE(a_pipe_in_the_place_of_a_file_does_not_block),
        CASE(changed_api_keys_are_used),
        CASE(a_new_certificate_comes_as_a_new_context_once_its_key_fits),
        CASE(what_is_not_configured_is_not_watched),
    };

    return cmocka_run_group_tests_name("reload", tests, make_folder, remove_folder);
}
