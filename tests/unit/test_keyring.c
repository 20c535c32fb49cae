/* Tests of core/keyring.c: what key files may hold, and which key a token is checked with. */
#include "tests/unit/signing.h"

#include "core/keyring.h"

#define LONG_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LONG_C "cccccccccccccccccccccccccccccccccccccccc"

static const struct str input = STR_LIT("some.input");
static EVP_PKEY *rsa, *rsa2, *ec;

static int make_keys(void **state)
{
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    rsa2 = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    return rsa != NULL && rsa2 != NULL && ec != NULL ? 0 : -1;
}

static int free_keys(void **state)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa2);
    EVP_PKEY_free(ec);
    return 0;
}

static struct keyring *parsed(enum jwt_algorithm a, const char *text, bool is_file)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse((int)a, str_of(text), is_file, &error);

    if (k == NULL)
        fail_msg("%.*s", (int)error.n, error.p);
    assert_int_equal(error.n, 0);
    return k;
}

static void refused(enum jwt_algorithm a, struct str text, bool is_file, const char *why)
{
    struct buf error = {0};

    assert_null(keyring_parse((int)a, text, is_file, &error));
    buf_append_char(&error, '\0');
    if (strncmp(error.p, why, strlen(why)) != 0)
        fail_msg("expected \"%s\", got \"%s\"", why, error.p);
    assert_null(strstr(error.p, "sesame"));
    buf_free(&error);
}

static enum keyring_verdict verdict_hs(const struct keyring *k, const char *kid, const char *secret)
{
    unsigned char sig[2048];
    size_t n = signing_sign(sig, JWT_HS256, str_of(secret), NULL, input);

    return keyring_verify(k, JWT_HS256, str_of(kid), input, (struct str){(const char *)sig, n});
}

static enum keyring_verdict verdict_rs(const struct keyring *k, const char *kid, EVP_PKEY *key)
{
    unsigned char sig[2048];
    size_t n = signing_sign(sig, JWT_RS256, STR_NONE, key, input);

    return keyring_verify(k, JWT_RS256, str_of(kid), input, (struct str){(const char *)sig, n});
}

static void the_variable_is_one_secret_as_it_stands(void **state)
{
    const char *secret = " kid:with spaces # and colons and é, all of it ";
    struct keyring *k = parsed(JWT_HS256, secret, false);

    assert_int_equal(verdict_hs(k, NULL, secret), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "any", secret), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_A), KEYRING_BAD_SIGNATURE);
    keyring_unref(k);
}

static void the_variable_is_one_public_pem(void **state)
{
    char pem[8192];
    struct keyring *k = parsed(JWT_RS256, signing_pem(rsa, false, pem).p, false);

    assert_int_equal(verdict_rs(k, NULL, rsa), KEYRING_GOOD);
    assert_int_equal(verdict_rs(k, NULL, rsa2), KEYRING_BAD_SIGNATURE);
    keyring_unref(k);
}

static void wrong_variables_are_refused_with_a_remedy(void **state)
{
    struct buf two = {0};
    char pem[8192];

    refused(JWT_HS256, STR_LIT("open sesame"), false,
            "HS256 needs at least 32 bytes; make one with: openssl rand -base64 48");
    refused(JWT_HS384, STR_LIT(LONG_A), false, "HS384 needs at least 48 bytes");
    refused(JWT_HS512, STR_LIT(LONG_A), false, "HS512 needs at least 64 bytes");
    refused(JWT_HS256, STR_LIT(""), false, "HS256 needs at least 32 bytes");
    refused(JWT_HS256, signing_pem(rsa, false, pem), false, "HS256 takes a secret");
    refused(JWT_RS256, STR_LIT("sesame" LONG_A), false, "RS256 needs a public key in PEM");
    refused(JWT_RS256, signing_pem(rsa, true, pem), false, "this is a private key");
    refused(JWT_RS256, STR_LIT("-----BEGIN PUBLIC KEY-----\nAAAA"), false, "this PEM block has no end");
    buf_append(&two, signing_pem(rsa, false, pem));
    buf_append(&two, signing_pem(rsa2, false, pem));
    refused(JWT_RS256, buf_str(&two), false, "more than one key");
    buf_free(&two);
}

static void a_file_holds_secrets_with_and_without_kid(void **state)
{
    struct keyring *k = parsed(JWT_HS256, "# rotated in May\n\nnew:" LONG_A "\r\n  old:x:" LONG_B "  \n" LONG_C, true);
    const char *kid;
    struct str secret;

    assert_int_equal(verdict_hs(k, "new", LONG_A), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "old", "x:" LONG_B), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_C), KEYRING_GOOD);
    assert_true(keyring_first_secret(k, &secret, &kid));
    assert_true(str_eq(secret, STR_LIT(LONG_A)));
    assert_string_equal(kid, "new");
    keyring_unref(k);
}

static void a_kid_that_names_a_key_is_checked_against_that_one_only(void **state)
{
    struct keyring *k = parsed(JWT_HS256, "a:" LONG_A "\nb:" LONG_B "\n" LONG_C "\n", true);

    assert_int_equal(verdict_hs(k, "a", LONG_A), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "a", LONG_B), KEYRING_BAD_SIGNATURE);
    assert_int_equal(verdict_hs(k, "a", LONG_C), KEYRING_BAD_SIGNATURE);
    keyring_unref(k);
}

static void a_kid_that_names_none_is_checked_against_the_keys_without(void **state)
{
    struct keyring *k = parsed(JWT_HS256, "a:" LONG_A "\n" LONG_B "\n" LONG_C "\n", true);
    struct keyring *named = parsed(JWT_HS256, "a:" LONG_A "\n", true);

    assert_int_equal(verdict_hs(k, "z", LONG_B), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "z", LONG_C), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "", LONG_C), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, "z", LONG_A), KEYRING_BAD_SIGNATURE);
    assert_int_equal(verdict_hs(named, "z", LONG_A), KEYRING_NO_KEY);
    assert_int_equal(verdict_hs(named, "", LONG_A), KEYRING_NO_KEY);
    keyring_unref(k);
    keyring_unref(named);
}

static void without_kid_all_keys_are_tried(void **state)
{
    struct keyring *k = parsed(JWT_HS256, "a:" LONG_A "\nb:" LONG_B "\n" LONG_C "\n", true);

    assert_int_equal(verdict_hs(k, NULL, LONG_A), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_B), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_C), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_A "x"), KEYRING_BAD_SIGNATURE);
    keyring_unref(k);
}

static void another_algorithm_has_no_key(void **state)
{
    struct keyring *k = parsed(JWT_HS256, LONG_A, true);

    assert_int_equal(keyring_verify(k, JWT_RS256, STR_NONE, input, input), KEYRING_NO_KEY);
    keyring_unref(k);
}

static void a_file_holds_pem_blocks_with_and_without_kid(void **state)
{
    struct buf text = {0};
    struct keyring *k;
    const char *kid;
    char pem[8192];

    buf_printf(&text, "# keys\nkid: first\n\n%s\n", signing_pem(rsa, false, pem).p);
    buf_append(&text, signing_pem(rsa2, false, pem));
    buf_append_char(&text, '\0');
    k = parsed(JWT_RS256, text.p, true);
    assert_int_equal(verdict_rs(k, "first", rsa), KEYRING_GOOD);
    assert_int_equal(verdict_rs(k, "first", rsa2), KEYRING_BAD_SIGNATURE);
    assert_int_equal(verdict_rs(k, "second", rsa2), KEYRING_GOOD);
    assert_int_equal(verdict_rs(k, NULL, rsa2), KEYRING_GOOD);
    assert_true(keyring_find_public(k, rsa, &kid));
    assert_string_equal(kid, "first");
    assert_true(keyring_find_public(k, rsa2, &kid));
    assert_null(kid);
    assert_false(keyring_find_public(k, ec, &kid));
    keyring_unref(k);
    buf_free(&text);
}

static void pem_with_windows_line_ends_is_read(void **state)
{
    struct buf text = {0};
    char pem[8192];

    for (const char *p = signing_pem(rsa, false, pem).p; *p != '\0'; p++) {
        if (*p == '\n')
            buf_append_char(&text, '\r');
        buf_append_char(&text, *p);
    }
    buf_append_char(&text, '\0');
    keyring_unref(parsed(JWT_RS256, text.p, true));
    keyring_unref(parsed(JWT_RS256, text.p, false));
    buf_free(&text);
}

static void wrong_files_are_refused_by_line(void **state)
{
    struct buf text = {0};
    char pem[8192];

    refused(JWT_HS256, STR_LIT(""), true, "it holds no key");
    refused(JWT_HS256, STR_LIT("# nothing\n\n"), true, "it holds no key");
    refused(JWT_HS256, STR_LIT("# one\n\na:sesame\n"), true, "line 3: HS256 needs at least 32 bytes");
    refused(JWT_HS256, STR_LIT("a:\n"), true, "line 1: HS256 needs at least 32 bytes");
    refused(JWT_HS256, STR_LIT(":" LONG_A), true, "line 1: before the first colon stands a kid");
    refused(JWT_HS256, STR_LIT("sesame open:" LONG_A), true, "line 1: before the first colon stands a kid");
    refused(JWT_HS256, STR_LIT(LONG_A "\nsesame\x01" LONG_B), true, "line 2: a control character");
    refused(JWT_HS256, STR_LIT("sesame\0" LONG_B), true, "line 1: a control character");
    refused(JWT_HS256, STR_LIT("sesame:" LONG_A "\nb:" LONG_B "\nsesame:" LONG_C), true,
            "line 3: a second key of the same kid");
    refused(JWT_RS256, STR_LIT("\nsesame" LONG_A), true, "line 2: RS256 needs a public key in PEM");
    refused(JWT_RS256, STR_LIT("kid: a\n"), true, "line 1: this kid has no PEM block after it");
    refused(JWT_RS256, STR_LIT("#\nkid: a\nkid: b\n"), true, "line 2: this kid has no PEM block after it");
    refused(JWT_RS256, STR_LIT("kid:\n"), true, "line 1: a kid is 1 to 128 visible characters");
    refused(JWT_RS256, STR_LIT("\n-----BEGIN PUBLIC KEY-----\nAAAA\n"), true, "line 2: this PEM block has no end");
    buf_printf(&text, "kid: a\n%skid: a\n", signing_pem(rsa, false, pem).p);
    buf_append(&text, signing_pem(rsa2, false, pem));
    refused(JWT_RS256, buf_str(&text), true, "line 12: a second key of the same kid");
    text.n = 0;
    buf_printf(&text, "%s%s", LONG_A "\n", signing_pem(rsa, false, pem).p);
    refused(JWT_HS256, buf_str(&text), true, "line 2: HS256 takes a secret");
    refused(JWT_ES256, signing_pem(rsa, false, pem), true, "line 1: ES256 needs an EC key");
    buf_free(&text);
}

static void eight_keys_are_taken_and_a_ninth_is_not(void **state)
{
    struct buf text = {0};
    struct keyring *k;

    for (int i = 0; i < 8; i++)
        buf_printf(&text, "k%d:" LONG_A "%d\n", i, i);
    buf_append_char(&text, '\0');
    k = parsed(JWT_HS256, text.p, true);
    assert_int_equal(verdict_hs(k, "k7", LONG_A "7"), KEYRING_GOOD);
    assert_int_equal(verdict_hs(k, NULL, LONG_A "7"), KEYRING_GOOD);
    keyring_unref(k);
    text.n--;
    buf_printf(&text, "\nk8:" LONG_A "8\n");
    refused(JWT_HS256, buf_str(&text), true, "line 10: more than 8 keys");
    buf_free(&text);
}

static void a_reference_keeps_the_keyring_alive(void **state)
{
    struct keyring *k = parsed(JWT_HS256, LONG_A, true), *same = keyring_ref(k);

    keyring_unref(k);
    assert_int_equal(verdict_hs(same, NULL, LONG_A), KEYRING_GOOD);
    keyring_unref(same);
    keyring_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variable_is_one_secret_as_it_stands),
        cmocka_unit_test(the_variable_is_one_public_pem),
        cmocka_unit_test(wrong_variables_are_refused_with_a_remedy),
        cmocka_unit_test(a_file_holds_secrets_with_and_without_kid),
        cmocka_unit_test(a_kid_that_names_a_key_is_checked_against_that_one_only),
        cmocka_unit_test(a_kid_that_names_none_is_checked_against_the_keys_without),
        cmocka_unit_test(without_kid_all_keys_are_tried),
        cmocka_unit_test(another_algorithm_has_no_key),
        cmocka_unit_test(a_file_holds_pem_blocks_with_and_without_kid),
        cmocka_unit_test(pem_with_windows_line_ends_is_read),
        cmocka_unit_test(wrong_files_are_refused_by_line),
        cmocka_unit_test(eight_keys_are_taken_and_a_ninth_is_not),
        cmocka_unit_test(a_reference_keeps_the_keyring_alive),
    };

    return cmocka_run_group_tests_name("keyring", tests, make_keys, free_keys);
}
