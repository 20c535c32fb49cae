/* Fuzzes token verification: raw tokens, and rightly signed ones whose header and claims come from the input; key files
 * too. */
#include "core/token.h"

#include <openssl/hmac.h>
#include <stdlib.h>
#include "core/api_keys.h"
#include "core/base64url.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_MS UINT64_C(1700000000000)

static const struct token_rules rules = {.algorithm = JWT_HS256, .issuer = "i", .audience = "a", .leeway_ms = 5000};

static void check(struct str token, const struct keyring *keys)
{
    struct token_claims c = {.sub_len = 0};

    if (token_verify(token, &rules, keys, NOW_MS, &c) != NULL)
        return;
    /* what is accepted keeps what the header promises */
    if (!token_sub_valid((struct str){c.sub, c.sub_len}) || c.exp * 1000 + rules.leeway_ms <= NOW_MS || c.scopes > 15)
        abort();
}

/* The input is `header NUL claims`, and we sign it: so the fuzzer gets behind the signature. */
static void check_signed(struct str input, const struct keyring *keys)
{
    unsigned char mac[32];
    struct buf token = {0};
    struct str claims = input, header = str_split(&claims, '\0');

    base64url_encode(&token, header);
    buf_append_char(&token, '.');
    base64url_encode(&token, claims);
    HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (const unsigned char *)token.p, token.n, mac, NULL);
    buf_append_char(&token, '.');
    base64url_encode(&token, (struct str){(const char *)mac, sizeof(mac)});
    check(buf_str(&token), keys);
    buf_free(&token);
}

static void check_key_files(struct str text)
{
    static const int algorithms[] = {JWT_HS256, JWT_RS256, JWT_EDDSA};
    struct buf error = {0};

    for (int i = 0; i < 3; i++) {
        error.n = 0;
        struct keyring *k = keyring_parse(algorithms[i], text, true, &error);
        if ((k == NULL) != (error.n > 0))
            abort();
        keyring_unref(k);
    }
    error.n = 0;
    struct api_keys *k = api_keys_parse(text, &error);
    if ((k == NULL) != (error.n > 0))
        abort();
    api_keys_unref(k);
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keyring *keys;
    struct str input = {(const char *)data, size};

    if (keys == NULL) {
        struct buf error = {0};
        if ((keys = keyring_parse(JWT_HS256, STR_LIT(SECRET), false, &error)) == NULL)
            abort();
    }
    check(input, keys);
    check_signed(input, keys);
    check_key_files(input);
    return 0;
}
