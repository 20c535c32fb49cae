/* Tests of core/token.c: what a token must be like, row by row. */
#include "tests/unit/signing.h"

#include <openssl/err.h>
#include "core/token.h"

#define NOW_S UINT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"sub\":\"u\",\"exp\":1700000100}"

static EVP_PKEY *rsa, *ec, *ed;
static struct keyring *keys;
static struct token_rules rules;
static struct buf text;

static struct keyring *parsed(enum jwt_algorithm a, struct str secret)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse((int)a, secret, false, &error);

    if (k == NULL)
        fail_msg("%.*s", (int)error.n, error.p);
    return k;
}

static int make_keys(void **state)
{
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys = parsed(JWT_HS256, STR_LIT(SECRET_A));
    return rsa != NULL && ec != NULL && ed != NULL ? 0 : -1;
}

static int free_keys(void **state)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
    keyring_unref(keys);
    buf_free(&text);
    return 0;
}

static int reset_rules(void **state)
{
    rules = (struct token_rules){.algorithm = JWT_HS256, .leeway_ms = 5000};
    return 0;
}

/* Result of a right signature over these two texts. */
static const char *verify_at(const char *header, const char *claims, uint64_t now_ms, struct token_claims *out)
{
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, header, claims);

    return token_verify(token, &rules, keys, now_ms, out);
}

static void accepted(const char *header, const char *claims)
{
    struct token_claims c;
    const char *why = verify_at(header, claims, NOW_MS, &c);

    if (why != NULL)
        fail_msg("%s %s: %s", header, claims, why);
}

static void refused(const char *header, const char *claims, const char *expected)
{
    struct token_claims c;
    const char *why = verify_at(header, claims, NOW_MS, &c);

    if (why == NULL || strcmp(why, expected) != 0)
        fail_msg("%s %s: expected \"%s\", got \"%s\"", header, claims, expected, why == NULL ? "accepted" : why);
}

static void refused_text(struct str token, const char *expected)
{
    struct token_claims c;
    const char *why = token_verify(token, &rules, keys, NOW_MS, &c);

    if (why == NULL || strcmp(why, expected) != 0)
        fail_msg("%.*s: expected \"%s\", got \"%s\"", (int)token.n, token.p, expected, why == NULL ? "accepted" : why);
}

static void a_good_token_tells_user_expiry_and_scopes(void **state)
{
    struct token_claims c;

    assert_null(verify_at(HEADER,
                          " {\"sub\":\"j\\u00fcrgen/1\",\"exp\":1700000100.9,\"iat\":\"whenever\",\"x\":[{}],"
                          "\"scope\":\"openid events:publish connections:read\"}\n",
                          NOW_MS, &c));
    assert_int_equal(c.sub_len, 9);
    assert_memory_equal(c.sub, "j\xc3\xbcrgen/1", 9);
    assert_int_equal(c.exp, 1700000100);
    assert_int_equal(c.scopes, SCOPE_EVENTS_PUBLISH | SCOPE_CONNECTIONS_READ);
}

static void no_scope_is_no_scope_even_after_a_token_with_some(void **state)
{
    struct token_claims c = {.scopes = 15};

    assert_null(verify_at(HEADER, CLAIMS, NOW_MS, &c));
    assert_int_equal(c.scopes, 0);
    assert_null(verify_at(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":[\"a\",\"events:read\"]}", NOW_MS, &c));
    assert_int_equal(c.scopes, SCOPE_EVENTS_READ);
}

static void what_has_not_three_parts_of_base64url_is_refused(void **state)
{
    static const struct str bad[] = {
        STR_LIT("a"),
        STR_LIT("."),
        STR_LIT(".."),
        STR_LIT("..."),
        STR_LIT("aaaa.aaaa"),
        STR_LIT(".aaaa.aaaa"),
        STR_LIT("aaaa..aaaa"),
        STR_LIT("aaaa.aaaa."),
        STR_LIT("aaaa.aaaa.aaaa."),
        STR_LIT("aaaa.aaaa.aaaa.aaaa"),
        STR_LIT(" aaaa.aaaa.aaaa"),
        STR_LIT("aaaa.aaaa.aaaa\n"),
        STR_LIT("aaaa.a.aaaa"),
        STR_LIT("aa==.aaaa.aaaa"),
        STR_LIT("aaaa.aa\0a.aaaa"),
        STR_LIT("aaaa.aaaa.aa+/"),
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused_text(bad[i], "token is not a JWT");
    refused_text(STR_NONE, "token is missing");
    refused_text(STR_LIT(""), "token is missing");
}

static void padding_and_a_second_spelling_of_the_signature_are_refused(void **state)
{
    struct token_claims c;
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, HEADER, CLAIMS);

    assert_null(token_verify(token, &rules, keys, NOW_MS, &c));
    /* 32 bytes are 43 characters, the last of which has two bits to spare */
    text.p[text.n - 1]++;
    refused_text(buf_str(&text), "token is not a JWT");
    text.p[text.n - 1]--;
    buf_append_char(&text, '=');
    refused_text(buf_str(&text), "token is not a JWT");
}

static void a_token_of_8192_bytes_is_read_and_a_longer_one_is_not(void **state)
{
    struct buf claims = {0};
    struct token_claims c;

    /* header 36 + signature 43 + 2 dots leave 8111 characters, which is 6083 bytes */
    buf_lit(&claims, "{\"sub\":\"u\",\"exp\":1700000100,\"x\":\"");
    while (claims.n < 6081)
        buf_append_char(&claims, 'x');
    buf_lit(&claims, "\"}");
    buf_append_char(&claims, '\0');
    assert_null(verify_at(HEADER, claims.p, NOW_MS, &c));
    assert_int_equal(text.n, TOKEN_MAX);
    claims.p[claims.n - 3] = 'x';
    claims.p[claims.n - 2] = '"';
    claims.p[claims.n - 1] = '}';
    buf_append_char(&claims, '\0');
    refused(HEADER, claims.p, "token is longer than 8192 bytes");
    buf_free(&claims);
}

static void a_header_that_is_not_strict_json_is_refused(void **state)
{
    static const char *const bad[] = {
        "null",
        "[]",
        "\"HS256\"",
        "{",
        "{\"alg\":\"HS256\"} x",
        "{\"alg\":\"HS256\",}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{'alg':'HS256'}",
        "{\"alg\":\"HS256\",\"x\":\"\xc0\x80\"}",
        "{\"alg\":\"HS256\",\"x\":\"\\ud800\"}",
        "\xef\xbb\xbf{\"alg\":\"HS256\"}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(bad[i], CLAIMS, "token header is not strict JSON");
}

static void another_algorithm_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"alg\":null}",
        "{\"alg\":5}",
        "{\"alg\":\"\"}",
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS256 \"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS512\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"EdDSA\"}",
        "{\"alg\":\"PS256\"}",
        "{\"ALG\":\"HS256\"}",
        "{\"alg\":[\"HS256\"]}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(bad[i], CLAIMS, "algorithm is not HS256");
}

static void an_unsigned_token_is_refused(void **state)
{
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, "{\"alg\":\"none\"}", CLAIMS);

    refused_text(token, "algorithm is not HS256");
    while (token.p[token.n - 1] != '.')
        token.n--;
    refused_text(token, "token is not a JWT");
    token.n--;
    refused_text(token, "token is not a JWT");
}

/* The classic: a public key is no secret, so nobody may sign with its text as one. */
static void a_public_key_used_as_hmac_secret_is_refused(void **state)
{
    char pem[8192];
    struct str public = signing_pem(rsa, false, pem);
    struct keyring *k = parsed(JWT_RS256, public);
    struct token_claims c;
    struct str token = signing_token(&text, JWT_HS256, public, NULL, HEADER, CLAIMS);

    rules.algorithm = JWT_RS256;
    assert_string_equal(token_verify(token, &rules, k, NOW_MS, &c), "algorithm is not RS256");
    token = signing_token(&text, JWT_HS256, public, NULL, "{\"alg\":\"RS256\"}", CLAIMS);
    assert_string_equal(token_verify(token, &rules, k, NOW_MS, &c), "signature does not match");
    keyring_unref(k);
}

static void typ_and_unknown_header_members_mean_nothing(void **state)
{
    accepted("{\"alg\":\"HS256\"}", CLAIMS);
    accepted("{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", CLAIMS);
    accepted("{\"typ\":5,\"jwk\":{\"k\":\"\"},\"x5u\":\"http://x\",\"alg\":\"HS256\",\"big\":99999999999999999999}",
             CLAIMS);
    accepted("{\"al\\u0067\":\"HS\\u003256\"}", CLAIMS);
}

static void critical_extensions_are_refused(void **state)
{
    refused("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", CLAIMS, "token header crit is not supported");
    refused("{\"alg\":\"HS256\",\"crit\":null}", CLAIMS, "token header crit is not supported");
}

static void kid_chooses_the_key(void **state)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse(JWT_HS256, STR_LIT("a:" SECRET_A "\nb:" SECRET_B), true, &error);
    static const struct {
        const char *header, *expected;
    } rows[] = {
        {"{\"alg\":\"HS256\",\"kid\":\"a\"}", NULL},
        {"{\"alg\":\"HS256\",\"kid\":\"\\u0061\"}", NULL},
        {"{\"alg\":\"HS256\"}", NULL},
        {"{\"alg\":\"HS256\",\"kid\":\"b\"}", "signature does not match"},
        {"{\"alg\":\"HS256\",\"kid\":\"c\"}", "no key for this token's kid"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000\"}", "no key for this token's kid"},
        {"{\"alg\":\"HS256\",\"kid\":1}", "token header kid is not a string"},
        {"{\"alg\":\"HS256\",\"kid\":null}", "token header kid is not a string"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct token_claims c;
        struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, rows[i].header, CLAIMS);
        const char *why = token_verify(token, &rules, k, NOW_MS, &c);
        if (rows[i].expected == NULL)
            assert_null(why);
        else
            assert_string_equal(why, rows[i].expected);
    }
    keyring_unref(k);
}

static void a_rotated_secret_is_refused(void **state)
{
    struct keyring *k = parsed(JWT_HS256, STR_LIT(SECRET_B));
    struct token_claims c;
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, HEADER, CLAIMS);

    assert_null(token_verify(token, &rules, keys, NOW_MS, &c));
    assert_string_equal(token_verify(token, &rules, k, NOW_MS, &c), "signature does not match");
    keyring_unref(k);
}

static void a_changed_header_or_claim_is_refused(void **state)
{
    struct buf other = {0};
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_A), NULL, HEADER, CLAIMS);
    struct str rest = token, header = str_split(&rest, '.');

    str_split(&rest, '.');
    buf_append(&other, header);
    buf_append_char(&other, '.');
    signing_base64url(&other, "{\"sub\":\"v\",\"exp\":1700000100}", 28);
    buf_append_char(&other, '.');
    buf_append(&other, rest);
    refused_text(buf_str(&other), "signature does not match");
    buf_free(&other);
}

static void junk_after_a_signature_is_refused(void **state)
{
    static const enum jwt_algorithm algorithms[] = {JWT_HS256, JWT_RS256, JWT_ES256, JWT_EDDSA};
    EVP_PKEY *signers[] = {NULL, rsa, ec, ed};
    char pem[8192], header[64];

    for (int i = 0; i < 4; i++) {
        enum jwt_algorithm a = algorithms[i];
        struct keyring *k = parsed(a, a == JWT_HS256 ? STR_LIT(SECRET_A) : signing_pem(signers[i], false, pem));
        struct token_claims c;

        rules.algorithm = a;
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", jwt_algorithm_name(a));
        signing_token(&text, a, STR_LIT(SECRET_A), signers[i], header, CLAIMS);
        assert_null(token_verify(buf_str(&text), &rules, k, NOW_MS, &c));
        buf_lit(&text, "AAAA"); /* three bytes more */
        assert_string_equal(token_verify(buf_str(&text), &rules, k, NOW_MS, &c), "signature does not match");
        assert_int_equal(ERR_peek_error(), 0);
        keyring_unref(k);
    }
}

static void claims_that_are_not_strict_json_are_refused(void **state)
{
    static const char *const bad[] = {
        "null",
        "[]",
        "\"u\"",
        "17",
        "{\"sub\":\"u\",\"exp\":1700000100",
        "{\"sub\":\"u\",\"exp\":1700000100}}",
        "{\"sub\":\"u\",\"sub\":\"root\",\"exp\":1700000100}",
        "{\"sub\":\"u\",\"s\\u0075b\":\"root\",\"exp\":1700000100}",
        "{\"sub\":\"u\",\"exp\":1,\"exp\":1700000100}",
        "{\"sub\":\"u\",\"exp\":01700000100}",
        "{\"sub\":\"u\",\"exp\":+1700000100}",
        "{\"sub\":\"u\",\"exp\":NaN}",
        "{\"sub\":\"u\",\"exp\":0x7fffffff}",
        "{\"sub\":\"u\\ud800\",\"exp\":1700000100}",
        "{\"sub\":\"\\udc00u\",\"exp\":1700000100}",
        "{\"sub\":\"\xc0\x80\",\"exp\":1700000100}",
        "{\"sub\":\"\xed\xa0\x80\",\"exp\":1700000100}",
        "{\"sub\":\"u\x01\",\"exp\":1700000100}",
        "{/**/\"sub\":\"u\",\"exp\":1700000100}",
        "{\"sub\":\"u\",\"exp\":1700000100,\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
        "}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(HEADER, bad[i], "token claims are not strict JSON");
}

static void sub_is_a_string_of_1_to_256_bytes_without_control_characters(void **state)
{
    static const char *const controls[] = {"\\u0000", "a\\u0000b", "\\n",      "\\u001f", "\\u007f",
                                           "\x7f",    "\\u0080",   "\xc2\x9f", ""};
    const char *const wrong = "claim sub is empty, too long or has control characters";
    char claims[1024], sub[300];

    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"exp\":1700000100}", controls[i]);
        refused(HEADER, claims, wrong);
    }
    memset(sub, 'x', sizeof(sub));
    snprintf(claims, sizeof(claims), "{\"sub\":\"%.256s\",\"exp\":1700000100}", sub);
    accepted(HEADER, claims);
    snprintf(claims, sizeof(claims), "{\"sub\":\"%.257s\",\"exp\":1700000100}", sub);
    refused(HEADER, claims, wrong);
    accepted(HEADER, "{\"sub\":\"\\ud83d\\ude00 \xc2\xa0 \xf0\x9f\x98\x80\",\"exp\":1700000100}");
    refused(HEADER, "{\"exp\":1700000100}", "claim sub is missing");
    refused(HEADER, "{\"sub\":17,\"exp\":1700000100}", "claim sub is not a string");
    refused(HEADER, "{\"sub\":null,\"exp\":1700000100}", "claim sub is not a string");
    refused(HEADER, "{\"sub\":[\"u\"],\"exp\":1700000100}", "claim sub is not a string");
}

static void exp_is_a_required_number(void **state)
{
    struct token_claims c;

    refused(HEADER, "{\"sub\":\"u\"}", "claim exp is missing");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":\"1700000100\"}", "claim exp is not a number");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":null}", "claim exp is not a number");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":true}", "claim exp is not a number");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":0}", "token expired");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":-1}", "token expired");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":-1e300}", "token expired");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1e-300}", "token expired");
    assert_null(verify_at(HEADER, "{\"sub\":\"u\",\"exp\":1.7000001e9}", NOW_MS, &c));
    assert_int_equal(c.exp, 1700000100);
    assert_null(verify_at(HEADER, "{\"sub\":\"u\",\"exp\":99999999999999999999}", NOW_MS, &c));
    assert_int_equal(c.exp, 9007199254740991);
    assert_null(verify_at(HEADER, "{\"sub\":\"u\",\"exp\":1e300}", NOW_MS, &c));
    assert_int_equal(c.exp, 9007199254740991);
}

static void a_token_expires_at_exp_and_leeway_to_the_millisecond(void **state)
{
    const char *claims = "{\"sub\":\"u\",\"exp\":1700000000.999}";
    struct token_claims c;

    assert_null(verify_at(HEADER, claims, NOW_MS + 4999, &c));
    assert_string_equal(verify_at(HEADER, claims, NOW_MS + 5000, &c), "token expired");
    rules.leeway_ms = 0;
    assert_null(verify_at(HEADER, claims, NOW_MS - 1, &c));
    assert_string_equal(verify_at(HEADER, claims, NOW_MS, &c), "token expired");
}

static void a_token_begins_at_nbf_less_leeway_to_the_millisecond(void **state)
{
    const char *claims = "{\"sub\":\"u\",\"exp\":1700009999,\"nbf\":1700000000.5}";
    struct token_claims c;

    assert_null(verify_at(HEADER, claims, NOW_MS - 5000, &c));
    assert_string_equal(verify_at(HEADER, claims, NOW_MS - 5001, &c), "token is not valid yet");
    rules.leeway_ms = 0;
    assert_null(verify_at(HEADER, claims, NOW_MS, &c));
    assert_string_equal(verify_at(HEADER, claims, NOW_MS - 1, &c), "token is not valid yet");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"nbf\":\"0\"}", "claim nbf is not a number");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"nbf\":null}", "claim nbf is not a number");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"nbf\":1e300}", "token is not valid yet");
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"nbf\":-5}");
}

static void iss_is_checked_when_it_is_configured(void **state)
{
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"iss\":5}");
    rules.issuer = "https://id.example";
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"iss\":\"https:\\/\\/id.example\"}");
    refused(HEADER, CLAIMS, "claim iss is missing");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"iss\":\"https://id.example/\"}",
            "claim iss is another issuer");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"iss\":[\"https://id.example\"]}",
            "claim iss is another issuer");
}

static void aud_is_checked_when_it_is_configured(void **state)
{
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":\"others\"}");
    rules.audience = "push";
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":\"push\"}");
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":[\"web\",\"pu\\u0073h\"]}");
    refused(HEADER, CLAIMS, "claim aud is missing");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":\"web\"}", "claim aud is another audience");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":\"push \"}", "claim aud is another audience");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":[]}", "claim aud is another audience");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":[\"push\",5]}",
            "claim aud is not a string or an array of strings");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":{\"push\":1}}",
            "claim aud is not a string or an array of strings");
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"aud\":[[\"push\"]]}",
            "claim aud is not a string or an array of strings");
}

static void scope_of_another_type_is_refused(void **state)
{
    const char *const wrong = "claim scope is not a string or an array of strings";

    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":null}", wrong);
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":{}}", wrong);
    refused(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":[\"events:read\",1]}", wrong);
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":[]}");
    accepted(HEADER, "{\"sub\":\"u\",\"exp\":1700000100,\"scope\":\"\"}");
}

/* Nobody without a key may learn from the answer what the claims are checked for. */
static void the_signature_is_checked_before_the_claims(void **state)
{
    struct str token = signing_token(&text, JWT_HS256, STR_LIT(SECRET_B), NULL, HEADER, "{\"exp\":\"never\"");

    refused_text(token, "signature does not match");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_token_tells_user_expiry_and_scopes, reset_rules),
        cmocka_unit_test_setup(no_scope_is_no_scope_even_after_a_token_with_some, reset_rules),
        cmocka_unit_test_setup(what_has_not_three_parts_of_base64url_is_refused, reset_rules),
        cmocka_unit_test_setup(padding_and_a_second_spelling_of_the_signature_are_refused, reset_rules),
        cmocka_unit_test_setup(a_token_of_8192_bytes_is_read_and_a_longer_one_is_not, reset_rules),
        cmocka_unit_test_setup(a_header_that_is_not_strict_json_is_refused, reset_rules),
        cmocka_unit_test_setup(another_algorithm_is_refused, reset_rules),
        cmocka_unit_test_setup(an_unsigned_token_is_refused, reset_rules),
        cmocka_unit_test_setup(a_public_key_used_as_hmac_secret_is_refused, reset_rules),
        cmocka_unit_test_setup(typ_and_unknown_header_members_mean_nothing, reset_rules),
        cmocka_unit_test_setup(critical_extensions_are_refused, reset_rules),
        cmocka_unit_test_setup(kid_chooses_the_key, reset_rules),
        cmocka_unit_test_setup(a_rotated_secret_is_refused, reset_rules),
        cmocka_unit_test_setup(a_changed_header_or_claim_is_refused, reset_rules),
        cmocka_unit_test_setup(junk_after_a_signature_is_refused, reset_rules),
        cmocka_unit_test_setup(claims_that_are_not_strict_json_are_refused, reset_rules),
        cmocka_unit_test_setup(sub_is_a_string_of_1_to_256_bytes_without_control_characters, reset_rules),
        cmocka_unit_test_setup(exp_is_a_required_number, reset_rules),
        cmocka_unit_test_setup(a_token_expires_at_exp_and_leeway_to_the_millisecond, reset_rules),
        cmocka_unit_test_setup(a_token_begins_at_nbf_less_leeway_to_the_millisecond, reset_rules),
        cmocka_unit_test_setup(iss_is_checked_when_it_is_configured, reset_rules),
        cmocka_unit_test_setup(aud_is_checked_when_it_is_configured, reset_rules),
        cmocka_unit_test_setup(scope_of_another_type_is_refused, reset_rules),
        cmocka_unit_test_setup(the_signature_is_checked_before_the_claims, reset_rules),
    };

    return cmocka_run_group_tests_name("token", tests, make_keys, free_keys);
}
