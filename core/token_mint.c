/* Minting of JSON Web Tokens: libjwt puts them together and signs; EdDSA, which it does not know, OpenSSL signs. */
#include "core/token.h"

#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>
#include "core/base64url.h"
#include "core/signature.h"

/* What jwt_new of libjwt knows our algorithms as. */
static jwt_alg_t libjwt_algorithm(enum jwt_algorithm a)
{
    static const jwt_alg_t names[] = {
        [JWT_HS256] = JWT_ALG_HS256, [JWT_HS384] = JWT_ALG_HS384, [JWT_HS512] = JWT_ALG_HS512,
        [JWT_RS256] = JWT_ALG_RS256, [JWT_RS384] = JWT_ALG_RS384, [JWT_RS512] = JWT_ALG_RS512,
        [JWT_ES256] = JWT_ALG_ES256, [JWT_ES384] = JWT_ALG_ES384, [JWT_ES512] = JWT_ALG_ES512,
    };

    return names[a];
}

static const char *add_string(jwt_t *jwt, const char *claim, const char *value)
{
    return value == NULL || jwt_add_grant(jwt, claim, value) == 0 ? NULL : "a claim is not UTF-8";
}

static const char *add_claims(jwt_t *jwt, const struct token_rules *rules, const char *sub, const char *scope,
                              uint64_t now_s, uint64_t ttl_s)
{
    const char *wrong;

    if (!token_sub_valid(str_of(sub)))
        return "the user has to be 1 to 256 bytes of UTF-8 without control characters";
    if (now_s > INT32_MAX * UINT64_C(1000) || ttl_s > INT32_MAX * UINT64_C(1000))
        return "the time to live is too long";
    if ((wrong = add_string(jwt, "sub", sub)) != NULL || (wrong = add_string(jwt, "scope", scope)) != NULL ||
        (wrong = add_string(jwt, "iss", rules->issuer)) != NULL ||
        (wrong = add_string(jwt, "aud", rules->audience)) != NULL)
        return wrong;
    if (jwt_add_grant_int(jwt, "iat", (long)now_s) != 0 || jwt_add_grant_int(jwt, "exp", (long)(now_s + ttl_s)) != 0)
        return "libjwt does not take the times";
    return NULL;
}

/* libjwt looks at a key only when it signs, asks the terminal for a password, and takes any curve: look first. */
static const char *check_private(enum jwt_algorithm a, struct str pem, EVP_PKEY **pkey)
{
    struct buf why = {0};
    int fits;

    if ((*pkey = signature_read_private(pem)) == NULL)
        return "the key is not a private key in PEM without a password";
    fits = signature_key_fits(a, *pkey, &why);
    buf_free(&why);
    if (fits == 0)
        return NULL;
    EVP_PKEY_free(*pkey);
    *pkey = NULL;
    return "the key's type, size or curve does not fit the algorithm";
}

static const char *check_secret(enum jwt_algorithm a, struct str secret)
{
    return secret.n >= (size_t)EVP_MD_get_size(signature_digest(a)) ? NULL
                                                                    : "the secret is too short for the algorithm";
}

static const char *sign_libjwt(struct buf *out, jwt_t *jwt, enum jwt_algorithm a, struct str key, const char *kid)
{
    char *text;

    if (kid != NULL && jwt_add_header(jwt, "kid", kid) != 0)
        return "the kid is not UTF-8";
    if (jwt_set_alg(jwt, libjwt_algorithm(a), (const unsigned char *)key.p, (int)key.n) != 0)
        return "libjwt does not take the key";
    text = jwt_encode_str(jwt);
    ERR_clear_error();
    if (text == NULL)
        return "libjwt does not sign with the key";
    buf_append(out, str_of(text));
    free(text);
    return NULL;
}

/* Appends the first two parts of an EdDSA token: our header, libjwt's claims. */
static const char *append_eddsa_input(struct buf *out, jwt_t *jwt, const char *kid)
{
    char *claims = jwt_get_grants_json(jwt, NULL);
    struct buf header = {0};

    if (claims == NULL)
        return "libjwt does not print the claims";
    buf_lit(&header, "{\"alg\":\"EdDSA\",");
    if (kid != NULL) {
        buf_lit(&header, "\"kid\":");
        buf_json_string(&header, str_of(kid));
        buf_append_char(&header, ',');
    }
    buf_lit(&header, "\"typ\":\"JWT\"}");
    base64url_encode(out, buf_str(&header));
    buf_append_char(out, '.');
    base64url_encode(out, str_of(claims));
    buf_free(&header);
    free(claims);
    return NULL;
}

static const char *sign_eddsa(struct buf *out, jwt_t *jwt, EVP_PKEY *pkey, const char *kid)
{
    unsigned char signature[128]; /* Ed25519 64, Ed448 114 */
    size_t start = out->n, n = sizeof(signature);
    EVP_MD_CTX *ctx;
    const char *wrong = append_eddsa_input(out, jwt, kid);
    bool signed_;

    if (wrong != NULL)
        return wrong;
    ctx = EVP_MD_CTX_new();
    signed_ = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const unsigned char *)out->p + start, out->n - start) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!signed_)
        return "OpenSSL does not sign with the key";
    buf_append_char(out, '.');
    base64url_encode(out, (struct str){(const char *)signature, n});
    return NULL;
}

static const char *sign(struct buf *out, jwt_t *jwt, enum jwt_algorithm a, struct str key, const char *kid)
{
    EVP_PKEY *pkey = NULL;
    const char *wrong = signature_kind(a) == SIGNATURE_HMAC ? check_secret(a, key) : check_private(a, key, &pkey);

    if (wrong == NULL)
        wrong = a == JWT_EDDSA ? sign_eddsa(out, jwt, pkey, kid) : sign_libjwt(out, jwt, a, key, kid);
    EVP_PKEY_free(pkey);
    return wrong;
}

int token_mint(struct buf *out, const struct token_rules *rules, struct str key, const char *kid, const char *sub,
               const char *scope, uint64_t now_s, uint64_t ttl_s, const char **reason)
{
    size_t start = out->n;
    jwt_t *jwt;

    if (jwt_new(&jwt) != 0)
        abort();
    *reason = add_claims(jwt, rules, sub, scope, now_s, ttl_s);
    if (*reason == NULL)
        *reason = sign(out, jwt, rules->algorithm, key, kid);
    jwt_free(jwt);
    if (*reason == NULL && out->n - start > TOKEN_MAX)
        *reason = "the token would be longer than 8192 bytes";
    if (*reason != NULL)
        out->n = start;
    return *reason == NULL ? 0 : -1;
}
