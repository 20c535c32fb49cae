/* Warnings of what is legal but unwise in a configuration. */
#include "core/config_table.h"

#define PROXY_IDLE_MS 60000 /* nginx' proxy_read_timeout, and what many load balancers do */

static bool has_origin(const struct config *c, const char *pattern)
{
    for (char *const *p = c->allowed_origins; p != NULL && *p != NULL; ++p)
        if (strcmp(*p, pattern) == 0)
            return true;
    return false;
}

static void advise_on_browsers(const struct config *c, struct buf *out)
{
    if (c->query_token)
        buf_lit(out, "QUERY_TOKEN: is on: tokens in URLs end up in the logs of proxies and in browsers' histories; "
                     "switch it off "
                     "once all clients bring the token as a subprotocol\n");
    if (has_origin(c, "*") && c->token_cookie != NULL)
        buf_lit(out,
                "ALLOWED_ORIGINS: is * beside TOKEN_COOKIE: any page in a user's browser can connect as that user\n");
    else if (has_origin(c, "*"))
        buf_lit(out, "ALLOWED_ORIGINS: is *: pages of any site may connect\n");
    if (has_origin(c, "null"))
        buf_lit(out, "ALLOWED_ORIGINS: has null, which any sandboxed frame and any local file sends\n");
    if (c->demo && c->redis.kind != REDIS_EMBEDDED)
        buf_lit(out, "DEMO: is on: everybody who reaches LISTEN can open the demo page\n");
}

static bool is_wildcard(const struct listen_address *a)
{
    return a->kind == LISTEN_TCP && (strcmp(a->host, "::") == 0 || strcmp(a->host, "0.0.0.0") == 0);
}

static void advise_on_proxies(const struct config *c, struct buf *out)
{
    if (c->proxy_protocol && (is_wildcard(&c->listen) || is_wildcard(&c->api_listen)))
        buf_lit(
            out,
            "PROXY_PROTOCOL: is v1 on all addresses: whoever reaches the port beside the proxy can claim any client "
            "address; listen where only the proxy can reach\n");
    for (size_t i = 0; i < c->trusted_proxies.n; ++i)
        if (c->trusted_proxies.entries[i].bits == 0 || c->trusted_proxies.entries[i].bits == 96)
            buf_lit(out, "TRUSTED_PROXIES: has a range that holds every address: any client can claim any address\n");
    if (c->ping_interval_ms >= PROXY_IDLE_MS)
        buf_lit(out, "PING_INTERVAL: is 60s or more: many proxies close a connection that is silent for 60 s\n");
}

static void advise_on_redis(const struct config *c, struct buf *out)
{
    bool embedded = c->redis.kind == REDIS_EMBEDDED;

    if (embedded && c->data_dir == NULL)
        buf_lit(
            out,
            "REDIS_URL: the embedded Redis is for one process, and nothing in it survives a restart; name a Redis for "
            "production, or set DATA_DIR\n");
    else if (embedded)
        buf_lit(out, "REDIS_URL: the embedded Redis is for one process; name a Redis to run several\n");
    else if (c->data_dir != NULL)
        buf_lit(out, "DATA_DIR: is for the embedded Redis only: the one that REDIS_URL names keeps its data itself\n");
    if (!c->redis.tls && c->redis_ca_file != NULL)
        buf_lit(out, "REDIS_CA_FILE: has no effect, since REDIS_URL is no rediss://\n");
    if (!c->redis.tls && c->redis_cert_file != NULL)
        buf_lit(out, "REDIS_CERT_FILE: has no effect, since REDIS_URL is no rediss://\n");
}

static void advise_on_limits(const struct config *c, struct buf *out)
{
    if (c->tape_bytes < 4 * c->max_message_bytes)
        buf_lit(out, "TAPE_BYTES: is less than four times MAX_MESSAGE_BYTES: large events push clients off the tape\n");
}

void config_advice(const struct config *c, const struct config_environment *env, struct buf *out)
{
    size_t n = c->secret_key != NULL ? strlen(c->secret_key) : 0;

    if (n > 0 && c->secret_key[n - 1] == '\n' && strstr(c->secret_key, "-----END") == NULL)
        buf_lit(out, "SECRET_KEY: ends with a line break, which is taken as a part of the secret\n");
    advise_on_browsers(c, out);
    advise_on_proxies(c, out);
    advise_on_redis(c, out);
    advise_on_limits(c, out);
}
