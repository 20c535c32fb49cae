/* Tests of core/token_mint.c: what is minted is what token_verify accepts, for every algorithm. */
#include "tests/unit/signing.h"

#include <openssl/err.h>
#include "core/base64url.h"
#include "core/token.h"

#define NOW_S UINT64_C(1700000000)

static const struct {
    enum jwt_algorithm algorithm;
    int key; /* index into keys; -1: the secret */
} cases[] = {
    {JWT_HS256, -1}, {JWT_HS384, -1}, {JWT_HS512, -1}, {JWT_RS256, 0}, {JWT_RS384, 0}, {JWT_RS512, 0},
    {JWT_ES256, 1},  {JWT_ES384, 2},  {JWT_ES512, 3},  {JWT_EDDSA, 4}, {JWT_EDDSA, 5},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static EVP_PKEY *keys[6];
static char private_pem[6][8192], public_pem[6][8192];

static int make_keys(void **state)
{
    keys[0] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    keys[1] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    keys[2] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    keys[3] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
    keys[4] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys[5] = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    for (int i = 0; i < 6; i++) {
        if (keys[i] == NULL)
            return -1;
        signing_pem(keys[i], true, private_pem[i]);
        signing_pem(keys[i], false, public_pem[i]);
    }
    return 0;
}

static int free_keys(void **state)
{
    for (int i = 0; i < 6; i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

static struct str minting_key(int key)
{
    return key < 0 ? STR_LIT(SECRET_A) : str_of(private_pem[key]);
}

static struct keyring *verifying_keys(enum jwt_algorithm a, int key)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse((int)a, key < 0 ? STR_LIT(SECRET_A) : str_of(public_pem[key]), false, &error);

    assert_non_null(k);
    return k;
}

static void what_is_minted_is_accepted(void **state)
{
    const char *reason, *sub = "jürgen \"x\" \\ 😀", *scope = "events:publish connections:write";

    for (size_t i = 0; i < CASES; i++) {
        struct token_rules rules = {cases[i].algorithm, "https://id.example", "push", 0};
        struct keyring *k = verifying_keys(cases[i].algorithm, cases[i].key);
        struct token_claims c;
        struct buf token = {0};

        if (token_mint(&token, &rules, minting_key(cases[i].key), NULL, sub, scope, NOW_S, 60, &reason) != 0)
            fail_msg("%s: %s", jwt_algorithm_name(cases[i].algorithm), reason);
        assert_null(token_verify(buf_str(&token), &rules, k, NOW_S * 1000, &c));
        assert_int_equal(c.sub_len, strlen(sub));
        assert_memory_equal(c.sub, sub, c.sub_len);
        assert_int_equal(c.exp, NOW_S + 60);
        assert_int_equal(c.scopes, SCOPE_EVENTS_PUBLISH | SCOPE_CONNECTIONS_WRITE);
        assert_string_equal(token_verify(buf_str(&token), &rules, k, (NOW_S + 60) * 1000, &c), "token expired");
        assert_int_equal(ERR_peek_error(), 0);
        keyring_unref(k);
        buf_free(&token);
    }
}

/* Decodes the part of that index into `out`, NUL-terminated. */
static void part(const struct buf *token, int index, char out[2048])
{
    struct str rest = buf_str(token), p = {0};
    size_t n;

    for (int i = 0; i <= index; i++)
        p = str_split(&rest, '.');
    assert_true(p.n < 2000);
    assert_int_equal(base64url_decode(p, out, &n), 0);
    out[n] = '\0';
}

static void what_the_rules_and_the_caller_lack_is_left_out(void **state)
{
    struct token_rules rules = {.algorithm = JWT_HS256};
    struct buf token = {0};
    char text[2048];
    const char *reason;

    assert_int_equal(token_mint(&token, &rules, STR_LIT(SECRET_A), NULL, "u", NULL, NOW_S, 60, &reason), 0);
    part(&token, 0, text);
    assert_null(strstr(text, "kid"));
    part(&token, 1, text);
    assert_null(strstr(text, "scope"));
    assert_null(strstr(text, "iss"));
    assert_null(strstr(text, "aud"));
    assert_non_null(strstr(text, "\"iat\":1700000000"));
    assert_non_null(strstr(text, "\"exp\":1700000060"));
    buf_free(&token);
}

static void the_kid_goes_into_the_header(void **state)
{
    static const int indexes[] = {0, 3, 6, 9};
    const char *reason;
    char text[2048];

    for (int i = 0; i < 4; i++) {
        struct token_rules rules = {.algorithm = cases[indexes[i]].algorithm};
        struct buf token = {0};

        assert_int_equal(
            token_mint(&token, &rules, minting_key(cases[indexes[i]].key), "a\"b", "u", NULL, NOW_S, 60, &reason), 0);
        part(&token, 0, text);
        assert_non_null(strstr(text, "\"kid\":\"a\\\"b\""));
        buf_free(&token);
    }
}

static void refused(enum jwt_algorithm a, struct str key, const char *sub, const char *scope, uint64_t ttl_s,
                    const char *expected)
{
    struct token_rules rules = {.algorithm = a};
    struct buf token = {0};
    const char *reason = NULL;

    buf_lit(&token, "before");
    assert_int_equal(token_mint(&token, &rules, key, NULL, sub, scope, NOW_S, ttl_s, &reason), -1);
    assert_string_equal(reason, expected);
    assert_true(str_eq(buf_str(&token), STR_LIT("before")));
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&token);
}

static void a_key_that_does_not_fit_is_refused(void **state)
{
    const char *const no_private = "the key is not a private key in PEM without a password";
    const char *const unfit = "the key's type, size or curve does not fit the algorithm";

    refused(JWT_HS256, STR_LIT(""), "u", NULL, 60, "the secret is too short for the algorithm");
    refused(JWT_HS512, STR_LIT("0123456789abcdef0123456789abcdef"), "u", NULL, 60,
            "the secret is too short for the algorithm");
    refused(JWT_RS256, STR_LIT(SECRET_A), "u", NULL, 60, no_private);
    refused(JWT_RS256, str_of(public_pem[0]), "u", NULL, 60, no_private);
    refused(JWT_RS256, str_of(private_pem[1]), "u", NULL, 60, unfit);
    refused(JWT_ES256, str_of(private_pem[2]), "u", NULL, 60, unfit);
    refused(JWT_EDDSA, str_of(private_pem[0]), "u", NULL, 60, unfit);
}

static void a_user_or_time_that_no_server_would_take_is_refused(void **state)
{
    const char *const bad_user = "the user has to be 1 to 256 bytes of UTF-8 without control characters";
    struct buf scope = {0};
    char sub[258];

    memset(sub, 'x', 257);
    sub[257] = '\0';
    refused(JWT_HS256, STR_LIT(SECRET_A), "", NULL, 60, bad_user);
    refused(JWT_HS256, STR_LIT(SECRET_A), sub, NULL, 60, bad_user);
    refused(JWT_HS256, STR_LIT(SECRET_A), "a\nb", NULL, 60, bad_user);
    refused(JWT_HS256, STR_LIT(SECRET_A), "\xc0\x80", NULL, 60, bad_user);
    refused(JWT_HS256, STR_LIT(SECRET_A), "u", "\xff", 60, "a claim is not UTF-8");
    refused(JWT_HS256, STR_LIT(SECRET_A), "u", NULL, UINT64_MAX, "the time to live is too long");
    while (scope.n < 8000)
        buf_lit(&scope, "events:read ");
    buf_append_char(&scope, '\0');
    refused(JWT_HS256, STR_LIT(SECRET_A), "u", scope.p, 60, "the token would be longer than 8192 bytes");
    buf_free(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_minted_is_accepted),
        cmocka_unit_test(what_the_rules_and_the_caller_lack_is_left_out),
        cmocka_unit_test(the_kid_goes_into_the_header),
        cmocka_unit_test(a_key_that_does_not_fit_is_refused),
        cmocka_unit_test(a_user_or_time_that_no_server_would_take_is_refused),
    };

    return cmocka_run_group_tests_name("token_mint", tests, make_keys, free_keys);
}
