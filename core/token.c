/* Verification of JSON Web Tokens: shape, header, signature, claims, in this order. */
#include "core/token.h"

#include "core/base64url.h"
#include "core/json.h"
#include "core/utf8.h"

/* The greatest whole second that every arithmetic on it survives: 2^53 - 1. */
#define SECONDS_MAX 9007199254740991u

/* A token's three parts, decoded (RFC 7515 7.1). */
struct jws {
    struct str input; /* what is signed: the first two parts as they stand */
    struct str header, claims, signature;
    char storage[BASE64URL_DECODED_MAX(TOKEN_MAX) + 8];
};

static const char *jws_split(struct str token, struct jws *j)
{
    struct str *const parts[3] = {&j->header, &j->claims, &j->signature};
    struct str rest = token;
    char *at = j->storage;

    if (token.n == 0)
        return "token is missing";
    if (token.n > TOKEN_MAX)
        return "token is longer than 8192 bytes";
    for (int i = 0; i < 3; i++) {
        struct str part = str_split(&rest, '.');
        if (part.n == 0 || base64url_decode(part, at, &parts[i]->n) != 0)
            return "token is not a JWT";
        parts[i]->p = at;
        at += parts[i]->n;
        if (i == 1)
            j->input = (struct str){token.p, (size_t)(part.p + part.n - token.p)};
    }
    return rest.p == NULL ? NULL : "token is not a JWT";
}

/* Members of a text that has to be one strict JSON object; false if it is not. */
static bool object_members(struct arena *a, struct str text, struct json_member **members, size_t *n)
{
    struct str body = text;

    while (body.n > 0 && (body.p[0] == ' ' || body.p[0] == '\t' || body.p[0] == '\n' || body.p[0] == '\r')) {
        body.p++;
        body.n--;
    }
    if (json_check(text) != NULL || body.p[0] != '{')
        return false;
    *n = json_members(a, text, members);
    return true;
}

static const char *wrong_algorithm(enum jwt_algorithm a)
{
    static const char *const reasons[] = {
        [JWT_HS256] = "algorithm is not HS256", [JWT_HS384] = "algorithm is not HS384",
        [JWT_HS512] = "algorithm is not HS512", [JWT_RS256] = "algorithm is not RS256",
        [JWT_RS384] = "algorithm is not RS384", [JWT_RS512] = "algorithm is not RS512",
        [JWT_ES256] = "algorithm is not ES256", [JWT_ES384] = "algorithm is not ES384",
        [JWT_ES512] = "algorithm is not ES512", [JWT_EDDSA] = "algorithm is not EdDSA",
    };

    return reasons[a];
}

/* The header may name the configured algorithm and nothing else; typ and the rest mean nothing here. An extension
 * marked as critical is one that we do not know (RFC 7515 4.1.11). */
static const char *check_header(struct arena *a, struct str text, enum jwt_algorithm algorithm, struct str *kid)
{
    struct json_member *members;
    struct json_value alg, id;
    size_t n;

    if (!object_members(a, text, &members, &n))
        return "token header is not strict JSON";
    alg = json_get(members, n, "alg");
    if (alg.kind != JSON_STRING || !str_eq(json_string(a, alg), str_of(jwt_algorithm_name(algorithm))))
        return wrong_algorithm(algorithm);
    if (json_get(members, n, "crit").kind != JSON_ABSENT)
        return "token header crit is not supported";
    id = json_get(members, n, "kid");
    *kid = STR_NONE;
    if (id.kind == JSON_ABSENT)
        return NULL;
    if (id.kind != JSON_STRING)
        return "token header kid is not a string";
    *kid = json_string(a, id);
    return NULL;
}

bool token_sub_valid(struct str sub)
{
    for (size_t i = 0; i < sub.n; i++) {
        unsigned char c = (unsigned char)sub.p[i];
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == 0xc2 && i + 1 < sub.n && (unsigned char)sub.p[i + 1] < 0xa0) /* U+0080 to U+009F */
            return false;
    }
    return sub.n >= 1 && sub.n <= TOKEN_SUB_MAX && utf8_valid(sub);
}

static const char *check_sub(struct arena *a, struct json_value v, struct token_claims *out)
{
    struct str sub;

    if (v.kind == JSON_ABSENT)
        return "claim sub is missing";
    if (v.kind != JSON_STRING)
        return "claim sub is not a string";
    sub = json_string(a, v);
    if (!token_sub_valid(sub))
        return "claim sub is empty, too long or has control characters";
    memcpy(out->sub, sub.p, sub.n);
    out->sub_len = sub.n;
    return NULL;
}

/* A NumericDate with its fraction cut off; before 1970 it is 0, and what is too great becomes the greatest second. */
static uint64_t seconds(struct json_value v)
{
    double d = json_number(v);

    if (!(d > 0))
        return 0;
    return d >= (double)SECONDS_MAX ? SECONDS_MAX : (uint64_t)d;
}

static const char *check_times(struct json_value exp, struct json_value nbf, const struct token_rules *rules,
                               uint64_t now_ms, struct token_claims *out)
{
    if (exp.kind == JSON_ABSENT)
        return "claim exp is missing";
    if (exp.kind != JSON_NUMBER)
        return "claim exp is not a number";
    out->exp = seconds(exp);
    if (now_ms >= out->exp * 1000 + rules->leeway_ms)
        return "token expired";
    if (nbf.kind == JSON_ABSENT)
        return NULL;
    if (nbf.kind != JSON_NUMBER)
        return "claim nbf is not a number";
    return now_ms + rules->leeway_ms >= seconds(nbf) * 1000 ? NULL : "token is not valid yet";
}

static const char *check_issuer(struct arena *a, struct json_value v, const char *issuer)
{
    if (issuer == NULL)
        return NULL;
    if (v.kind == JSON_ABSENT)
        return "claim iss is missing";
    return v.kind == JSON_STRING && str_eq(json_string(a, v), str_of(issuer)) ? NULL : "claim iss is another issuer";
}

/* One string or an array of them (RFC 7519 4.1.3). */
static const char *check_audience(struct arena *a, struct json_value v, const char *audience)
{
    struct json_value *items = &v;
    bool found = false;
    size_t n = 1;

    if (audience == NULL)
        return NULL;
    if (v.kind == JSON_ABSENT)
        return "claim aud is missing";
    if (v.kind == JSON_ARRAY)
        n = json_items(a, v.raw, &items);
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind != JSON_STRING)
            return "claim aud is not a string or an array of strings";
        found |= str_eq(json_string(a, items[i]), str_of(audience));
    }
    return found ? NULL : "claim aud is another audience";
}

/* Words separated by spaces (RFC 8693 4.2), or the array of words that some issuers make of it. */
static const char *check_scope(struct arena *a, struct json_value v, struct token_claims *out)
{
    struct json_value *items = &v;
    size_t n = 1;

    out->scopes = 0;
    if (v.kind == JSON_ABSENT)
        return NULL;
    if (v.kind == JSON_ARRAY)
        n = json_items(a, v.raw, &items);
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind != JSON_STRING)
            return "claim scope is not a string or an array of strings";
        out->scopes |= scopes_from_text(json_string(a, items[i]));
    }
    return NULL;
}

static const char *check_claims(struct arena *a, struct str text, const struct token_rules *rules, uint64_t now_ms,
                                struct token_claims *out)
{
    struct json_member *m;
    const char *wrong;
    size_t n;

    if (!object_members(a, text, &m, &n))
        return "token claims are not strict JSON";
    if ((wrong = check_times(json_get(m, n, "exp"), json_get(m, n, "nbf"), rules, now_ms, out)) != NULL ||
        (wrong = check_issuer(a, json_get(m, n, "iss"), rules->issuer)) != NULL ||
        (wrong = check_audience(a, json_get(m, n, "aud"), rules->audience)) != NULL ||
        (wrong = check_sub(a, json_get(m, n, "sub"), out)) != NULL)
        return wrong;
    return check_scope(a, json_get(m, n, "scope"), out);
}

static const char *check_signature(const struct jws *j, enum jwt_algorithm algorithm, struct str kid,
                                   const struct keyring *keys)
{
    switch (keyring_verify(keys, (int)algorithm, kid, j->input, j->signature)) {
    case KEYRING_GOOD:
        return NULL;
    case KEYRING_NO_KEY:
        return "no key for this token's kid";
    case KEYRING_BAD_SIGNATURE:
        break;
    }
    return "signature does not match";
}

const char *token_verify(struct str token, const struct token_rules *rules, const struct keyring *keys, uint64_t now_ms,
                         struct token_claims *out)
{
    struct arena arena = {0};
    struct str kid;
    struct jws j;
    const char *wrong;

    if ((wrong = jws_split(token, &j)) == NULL &&
        (wrong = check_header(&arena, j.header, rules->algorithm, &kid)) == NULL &&
        (wrong = check_signature(&j, rules->algorithm, kid, keys)) == NULL)
        wrong = check_claims(&arena, j.claims, rules, now_ms, out);
    arena_free(&arena);
    return wrong;
}

struct token_rules token_rules_of(const struct config *config)
{
    return (struct token_rules){
        .algorithm = config->algorithm,
        .issuer = config->jwt_issuer,
        .audience = config->jwt_audience,
        .leeway_ms = config->jwt_leeway_ms,
    };
}
