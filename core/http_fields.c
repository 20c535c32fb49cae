/* Values of HTTP fields that REST calls bring. */
#include "core/http_fields.h"

static bool is_token_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static struct str take_token(struct str *rest)
{
    size_t n = 0;

    while (n < rest->n && is_token_char(rest->p[n]))
        n++;
    struct str token = {rest->p, n};
    *rest = (struct str){rest->p + n, rest->n - n};
    return token;
}

/* A quoted string of RFC 9110 5.6.4, without its quotes; an escape in it is left as it stands. */
static bool take_quoted(struct str *rest, struct str *out)
{
    for (size_t i = 1; i < rest->n; i++) {
        if (rest->p[i] == '"') {
            *out = (struct str){rest->p + 1, i - 1};
            *rest = (struct str){rest->p + i + 1, rest->n - i - 1};
            return true;
        }
        if (rest->p[i] == '\\')
            i++;
    }
    return false;
}

/* `name=value` after a semicolon. */
static bool take_parameter(struct str *rest, struct str *name, struct str *value)
{
    *name = take_token(rest);
    if (name->n == 0 || rest->n == 0 || rest->p[0] != '=')
        return false;
    *rest = (struct str){rest->p + 1, rest->n - 1};
    if (rest->n != 0 && rest->p[0] == '"')
        return take_quoted(rest, value);
    *value = take_token(rest);
    return value->n != 0;
}

bool content_type_is_json(struct str value)
{
    struct str rest = str_trim(value), name, parameter;
    const struct str json = STR_LIT("application/json");

    if (rest.n < json.n || !str_ieq((struct str){rest.p, json.n}, json))
        return false;
    rest = str_trim((struct str){rest.p + json.n, rest.n - json.n});
    while (rest.n != 0) {
        if (rest.p[0] != ';')
            return false;
        rest = str_trim((struct str){rest.p + 1, rest.n - 1});
        if (rest.n == 0 || rest.p[0] == ';') /* RFC 9110 5.6.6 lets a parameter be empty */
            continue;
        if (!take_parameter(&rest, &name, &parameter))
            return false;
        if (str_ieq(name, STR_LIT("charset")) && !str_ieq(parameter, STR_LIT("utf-8")))
            return false;
        rest = str_trim(rest);
    }
    return true;
}

/* The characters of a quoted key, up to the quote that has to be its last byte; -1 if they are not of the form. */
static int unquote(struct str value, char *storage, size_t *n)
{
    for (size_t i = 1; i < value.n; i++) {
        char c = value.p[i];
        if (c == '"')
            return i + 1 == value.n ? 0 : -1;
        if (c == '\\') {
            if (++i == value.n || (value.p[i] != '"' && value.p[i] != '\\'))
                return -1;
            c = value.p[i];
        }
        if (c < 0x20 || c > 0x7e || *n == IDEMPOTENCY_KEY_MAX)
            return -1;
        storage[(*n)++] = c;
    }
    return -1;
}

int idempotency_key_parse(struct str value, char storage[IDEMPOTENCY_KEY_MAX], struct str *out)
{
    size_t n = 0;

    value = str_trim(value);
    if (value.n != 0 && value.p[0] == '"') {
        if (unquote(value, storage, &n) != 0)
            return -1;
    } else {
        for (; n < value.n; n++) {
            if (n == IDEMPOTENCY_KEY_MAX || value.p[n] < 0x21 || value.p[n] > 0x7e || value.p[n] == '"')
                return -1;
            storage[n] = value.p[n];
        }
    }
    if (n == 0)
        return -1;
    *out = (struct str){storage, n};
    return 0;
}

static bool is_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
    }
    return true;
}

static bool is_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '0')
            return false;
    }
    return true;
}

bool traceparent_valid(struct str v)
{
    if (v.n < TRACEPARENT_LEN || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-')
        return false;
    if (!is_hex(v.p, 2) || !is_hex(v.p + 3, 32) || !is_hex(v.p + 36, 16) || !is_hex(v.p + 53, 2))
        return false;
    if (memcmp(v.p, "ff", 2) == 0 || is_zero(v.p + 3, 32) || is_zero(v.p + 36, 16))
        return false;
    if (v.n == TRACEPARENT_LEN)
        return true;
    return memcmp(v.p, "00", 2) != 0 && v.p[TRACEPARENT_LEN] == '-';
}

struct str traceparent_trace_id(struct str value)
{
    return value.p != NULL ? (struct str){value.p + 3, 32} : STR_NONE;
}

bool authorization_bearer(struct str value, struct str *token)
{
    const struct str scheme = STR_LIT("Bearer ");

    value = str_trim(value);
    if (value.n <= scheme.n || !str_ieq((struct str){value.p, scheme.n}, scheme))
        return false;
    *token = str_trim((struct str){value.p + scheme.n, value.n - scheme.n});
    return token->n != 0;
}
