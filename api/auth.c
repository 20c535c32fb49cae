/* Who calls: a JWT or an API key, with the scope that the call asks for (RFC 6750). */
#include "api/internal.h"
#include "api/respond.h"
#include "core/clock.h"
#include "core/http_fields.h"

#define CHALLENGE "Bearer realm=\"belfry\""

/* Reasons are fixed texts without quotes. */
static void refuse_401(h2o_req_t *req, const char *reason)
{
    struct buf challenge = {0};

    buf_lit(&challenge, CHALLENGE);
    if (reason != NULL)
        buf_printf(&challenge, ", error=\"invalid_token\", error_description=\"%s\"", reason);
    respond_field(req, "www-authenticate", buf_str(&challenge));
    buf_free(&challenge);
    respond_problem(req, &(struct problem){
                             .status = 401,
                             .slug = reason != NULL ? "credentials-refused" : "credentials-missing",
                             .detail = str_of(
                                 reason != NULL ? reason : "send Authorization: Bearer <token> or X-API-Key: <secret>"),
                         });
}

static void refuse_403(h2o_req_t *req, enum scope scope)
{
    struct buf text = {0};

    buf_printf(&text, CHALLENGE ", error=\"insufficient_scope\", scope=\"%s\"", scope_name(scope));
    respond_field(req, "www-authenticate", buf_str(&text));
    text.n = 0;
    buf_printf(&text, "this call needs the scope %s", scope_name(scope));
    respond_problem(req, &(struct problem){.status = 403, .slug = "scope-missing", .detail = buf_str(&text)});
    buf_free(&text);
}

static void set_subject(struct api_caller *caller, const char *kind, struct str name)
{
    struct str cut = {name.p, name.n < TOKEN_SUB_MAX ? name.n : TOKEN_SUB_MAX};

    memcpy(caller->subject, kind, 4);
    memcpy(caller->subject + 4, cut.p, cut.n);
    caller->subject_len = 4 + cut.n;
}

static const char *check_token(const struct api *api, struct str token, struct api_caller *caller)
{
    struct token_claims claims;
    const char *reason = token_verify(token, &api->rules, api->credentials->keyring, clock_unix_ms(), &claims);

    if (reason != NULL)
        return reason;
    set_subject(caller, "sub:", (struct str){claims.sub, claims.sub_len});
    caller->scopes = claims.scopes;
    return NULL;
}

static const char *check_key(const struct api *api, struct str secret, struct api_caller *caller)
{
    struct api_key key;

    if (api->credentials->api_keys == NULL)
        return "no API keys are configured";
    if (!api_keys_find(api->credentials->api_keys, secret, &key))
        return "unknown API key";
    set_subject(caller, "key:", key.name);
    caller->scopes = key.scopes;
    return NULL;
}

/* A bearer token goes before an API key; another scheme of Authorization (a gateway's Basic) counts as none. */
static bool identify(struct api_call *call, bool *present, const char **reason)
{
    struct str value, token;
    int n = request_field(call->req, "authorization", &value);

    *present = true;
    if (n == 2)
        *reason = "more than one Authorization field";
    else if (n == 1 && authorization_bearer(value, &token))
        *reason = check_token(call->api, token, &call->caller);
    else if ((n = request_field(call->req, "x-api-key", &value)) == 2)
        *reason = "more than one X-API-Key field";
    else if (n == 1)
        *reason = check_key(call->api, str_trim(value), &call->caller);
    else
        *present = false;
    return *present && *reason == NULL;
}

bool api_authorize(struct api_call *call, enum scope scope)
{
    const char *reason = NULL;
    bool present;

    if (!identify(call, &present, &reason)) {
        refuse_401(call->req, reason);
        return false;
    }
    if ((call->caller.scopes & (unsigned)scope) == 0) {
        refuse_403(call->req, scope);
        return false;
    }
    return true;
}
