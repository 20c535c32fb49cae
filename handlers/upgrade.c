/* From an HTTP request for /ws to a connection: handshake, Origin, limits, token, and the refusals of each. */
#include "handlers/internal.h"
#include "core/audience.h"
#include "core/clock.h"
#include "core/cursors.h"
#include "core/http_fields.h"
#include "core/http_request.h"
#include "core/metrics.h"
#include "core/origin.h"
#include <h2o/http1.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the request's fields -------------------------------------------------------------------------------------------
 */

static struct str str_of_iovec(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

/* All lines of a field joined by commas; STR_NONE if it is absent. */
static struct str field(h2o_req_t *req, const char *name)
{
    struct str joined = STR_NONE;
    ssize_t at = -1;
    while ((at = h2o_find_header_by_str(&req->headers, name, strlen(name), at)) != -1) {
        h2o_iovec_t value = req->headers.entries[at].value;
        if (joined.p != NULL)
            value = h2o_concat(&req->pool, h2o_iovec_init(joined.p, joined.n), h2o_iovec_init(H2O_STRLIT(",")), value);
        joined = str_of_iovec(value);
    }
    return joined;
}

static struct str query_of(h2o_req_t *req)
{
    if (req->query_at == SIZE_MAX)
        return STR_LIT("");
    return (struct str){req->path.base + req->query_at + 1, req->path.len - req->query_at - 1};
}

/* STR_NONE if it is absent or empty. What is badly encoded reads as a NUL, which no parameter may hold: such a token is
 * refused, such a position unknown. */
static struct str query_param(h2o_req_t *req, const char *name)
{
    struct str query = query_of(req), value = STR_NONE;
    char *storage = h2o_mem_alloc_pool(&req->pool, query.n + 1);
    int found = query_get(query, name, storage, &value);
    if (found == -1)
        return (struct str){"", 1};
    return found == 1 && value.n != 0 ? value : STR_NONE;
}

/* --- refusals by HTTP -----------------------------------------------------------------------------------------------
 */

static int refuse(struct edge_refusal *r, int status, const char *type, const char *title, const char *detail)
{
    *r = (struct edge_refusal){.status = status, .type = type, .title = title};
    snprintf(r->detail, sizeof(r->detail), "%s", detail);
    return -1;
}

static int check_handshake(h2o_req_t *req, struct edge_refusal *r)
{
    const char *reason = "";
    struct handshake h = {
        .method = str_of_iovec(req->method),
        .upgrade = req->upgrade.base != NULL ? str_of_iovec(req->upgrade) : STR_NONE,
        .connection = field(req, "connection"),
        .key = field(req, "sec-websocket-key"),
        .version = field(req, "sec-websocket-version"),
        .protocols = field(req, "sec-websocket-protocol"),
        .http11 = req->version >= 0x101,
    };
    switch (handshake_check(&h, &reason)) {
    case 101:
        return 0;
    case 405:
        return refuse(r, 405, "method-not-allowed", "Method not allowed", reason);
    case 426:
        return refuse(r, 426, "upgrade-required", "Upgrade required", reason);
    default:
        return refuse(r, 400, "bad-handshake", "Malformed WebSocket handshake", reason);
    }
}

/* --- who asks -------------------------------------------------------------------------------------------------------
 */

struct visitor {
    bool peer_is_unix, trusted;
    uint8_t address[16]; /* the client's */
};

static struct visitor visitor_of(const struct edge *e, h2o_req_t *req)
{
    struct visitor v = {0};
    struct sockaddr_storage ss;
    uint8_t peer[16] = {0};
    const struct cidr_list *proxies = &e->config->trusted_proxies;
    socklen_t len = req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&ss);
    v.peer_is_unix = len == 0 || !cidr_from_sockaddr(peer, (struct sockaddr *)&ss);
    v.trusted = v.peer_is_unix ? proxies->trust_unix : cidr_list_has(proxies, peer);
    client_address(proxies, v.peer_is_unix, peer, field(req, "x-forwarded-for"), field(req, "x-real-ip"), v.address);
    return v;
}

/* How much of a field's value is told back: none of it if it is no text. */
static int shown_length(struct str value)
{
    return !utf8_valid(value) ? 0 : value.n > 120 ? 120 : (int)value.n;
}

static int refuse_origin(struct edge *e, struct str origin, struct str host, struct edge_refusal *r)
{
    uint64_t suppressed;
    refuse(r, 403, "origin-not-allowed", "Origin not allowed", "");
    if (origin.p == NULL)
        snprintf(r->detail, sizeof(r->detail), "a token in a cookie needs an Origin");
    else
        snprintf(r->detail, sizeof(r->detail), "Origin %.*s is not allowed for host %.*s; see ALLOWED_ORIGINS",
                 shown_length(origin), origin.p, shown_length(host), host.p);
    if (log_limit_pass(&e->origin_log, e->now_ms, &suppressed))
        log_event(LOG_LEVEL_WARN, "origin_refused", LOG_S("origin", origin), LOG_S("host", host),
                  LOG_Z("variable", "ALLOWED_ORIGINS"), LOG_U("suppressed", suppressed));
    return -1;
}

static int check_origin(struct edge *e, h2o_req_t *req, const struct visitor *v, bool by_cookie, struct edge_refusal *r)
{
    struct str origin = field(req, "origin");
    struct str host = str_of_iovec(req->input.authority);
    struct str forwarded = v->trusted ? field(req, "x-forwarded-host") : STR_NONE;
    if (forwarded.p != NULL)
        host = str_trim(str_split(&forwarded, ','));
    if (origin.p == NULL && !by_cookie)
        return 0;
    if (origin.p != NULL && origin_allowed(origin, host, e->config->allowed_origins))
        return 0;
    return refuse_origin(e, origin, host, r);
}

/* --- the token ------------------------------------------------------------------------------------------------------
 */

struct credentials_found {
    struct str token; /* STR_NONE if none was brought */
    bool by_cookie, belfry_v1;
};

static struct credentials_found find_token(const struct edge *e, h2o_req_t *req)
{
    struct handshake_offer offer = handshake_offers(field(req, "sec-websocket-protocol"));
    struct credentials_found f = {.belfry_v1 = offer.belfry_v1};
    struct str authorization = field(req, "authorization");
    if (offer.bearer.p != NULL) {
        f.token = offer.bearer;
    } else if (authorization.p != NULL && authorization_bearer(authorization, &f.token)) {
        ;
    } else if (e->config->token_cookie != NULL && cookie_get(field(req, "cookie"), e->config->token_cookie, &f.token)) {
        f.by_cookie = true;
    } else if (e->config->query_token) {
        f.token = query_param(req, "token");
    }
    return f;
}

/* --- the upgrade ----------------------------------------------------------------------------------------------------
 */

static void on_upgraded(void *data, h2o_socket_t *sock, size_t reqsize)
{
    struct ws_conn *c = data;
    --c->refs;
    if (c->state == CONN_CLOSED) { /* it was given up meanwhile */
        if (sock != NULL)
            h2o_socket_close(sock);
        return;
    }
    c->sock = sock;
    if (sock == NULL) {
        conn_cut(c, "the client left during the handshake");
        return;
    }
    sock->data = c;
    h2o_buffer_consume(&sock->input, reqsize);
    if (c->state == CONN_HANDSHAKING)
        conn_set_state(c, CONN_SUBSCRIBING);
    conn_schedule(c);
    c->reading_held = true;
    conn_wake(c);
    conn_mark_dirty(c);
}

static void send_upgrade(struct ws_conn *c, h2o_req_t *req)
{
    char *accept = h2o_mem_alloc_pool(&req->pool, 28);
    handshake_accept(accept, field(req, "sec-websocket-key"));
    req->res.status = 101;
    req->res.reason = "Switching Protocols";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_UPGRADE, NULL, H2O_STRLIT("websocket"));
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("sec-websocket-accept"), 0, NULL, accept, 28);
    if (c->belfry_v1)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("sec-websocket-protocol"), 0, NULL,
                              H2O_STRLIT("belfry.v1"));
    ++c->refs;
    h2o_http1_upgrade(req, NULL, 0, on_upgraded, c);
}

/* Completes the handshake only to say why not, which is all that a browser can read. */
static int upgrade_and_close(struct edge *e, h2o_req_t *req, bool belfry_v1, uint16_t code, const char *reason,
                             struct edge_refusal *r)
{
    if (atomic_fetch_add_explicit(&e->shared->lingering, 1, memory_order_relaxed) >= LINGERING_MAX) {
        atomic_fetch_sub_explicit(&e->shared->lingering, 1, memory_order_relaxed);
        return refuse(r, 503, "overloaded", "Overloaded", "too many clients are being refused at this moment");
    }
    struct ws_conn *c = conn_create(e);
    c->lingering = true;
    c->belfry_v1 = belfry_v1;
    conn_close(c, code, reason);
    send_upgrade(c, req);
    return 0;
}

/* Where it wants to go on from. */
static void note_position(struct ws_conn *c, struct str last_event_id)
{
    struct position at;
    if (last_event_id.p == NULL)
        conn_begin_catch_up(c, NULL);
    else if (str_eq(last_event_id, STR_LIT("acked")))
        conn_begin_at_cursor(c);
    else if (position_parse(last_event_id, &at) == 0)
        conn_begin_catch_up(c, &at);
    else
        conn_begin_unknown(c);
}

/* NULL, or why the cursor's name that the client brings is refused. A name that cannot be decoded reads as empty. */
static const char *check_cursor(struct str name)
{
    return name.p == NULL || id_valid(name, CURSOR_NAME_MAX)
               ? NULL
               : "a cursor's name has 1 to 64 bytes of UTF-8 without control characters";
}

static void open_conn(struct edge *e, h2o_req_t *req, const struct token_claims *claims, const struct visitor *v,
                      bool belfry_v1)
{
    struct ws_conn *c = conn_create(e);
    c->belfry_v1 = belfry_v1;
    c->scopes = (uint8_t)claims->scopes;
    c->counted = true;
    atomic_fetch_add_explicit(&e->shared->connections, 1, memory_order_relaxed);
    c->deadline_ms = e->now_ms + SUBSCRIBE_TIMEOUT_MS;
    c->next_ping_ms = e->now_ms + e->config->ping_interval_ms;
    conn_note_client(c, v->address, field(req, "user-agent"));
    conn_follow_user(c, (struct str){claims->sub, claims->sub_len});
    conn_plan_leave(c);
    conn_set_expiry(c, claims->exp);
    struct str cursor = query_param(req, "cursor");
    if (cursor.p != NULL)
        conn_name_cursor(c, cursor);
    note_position(c, query_param(req, "last_event_id"));
    bool room = conn_count_address(c, v->address);
    metric_add(room ? METRIC_HANDSHAKES_ACCEPTED : METRIC_HANDSHAKES_ADDRESS_LIMIT, 1);
    if (room)
        conn_enter(c, query_param(req, "connection_id"));
    else
        conn_close(c, 4429, "retry_after_ms=10000 MAX_CONNECTIONS_PER_ADDRESS is reached");
    send_upgrade(c, req);
}

int edge_upgrade(struct edge *e, h2o_req_t *req, struct edge_refusal *r)
{
    struct token_claims claims;
    uint16_t code;
    e->now_ms = clock_monotonic_ms();
    if (check_handshake(req, r) != 0) {
        metric_add(METRIC_HANDSHAKES_BAD_HANDSHAKE, 1);
        return -1;
    }
    struct visitor v = visitor_of(e, req);
    struct credentials_found found = find_token(e, req);
    if (check_origin(e, req, &v, found.by_cookie, r) != 0) {
        metric_add(METRIC_HANDSHAKES_ORIGIN, 1);
        return -1;
    }
    const char *full = edge_full(e, &code);
    if (full != NULL)
        return upgrade_and_close(e, req, found.belfry_v1, code, full, r);
    struct token_rules rules = token_rules_of(e->config);
    const char *bad = found.token.p == NULL
                          ? "token missing"
                          : token_verify(found.token, &rules, e->credentials->keyring, clock_unix_ms(), &claims);
    if (bad != NULL) {
        metric_add(METRIC_HANDSHAKES_TOKEN, 1);
        return upgrade_and_close(e, req, found.belfry_v1, 4401, bad, r);
    }
    bad = check_cursor(query_param(req, "cursor"));
    if (bad != NULL) {
        metric_add(METRIC_HANDSHAKES_CURSOR, 1);
        return upgrade_and_close(e, req, found.belfry_v1, 4400, bad, r);
    }
    full = edge_limit_user(e, (struct str){claims.sub, claims.sub_len}, &code);
    if (full != NULL)
        return upgrade_and_close(e, req, found.belfry_v1, code, full, r);
    open_conn(e, req, &claims, &v, found.belfry_v1);
    return 0;
}
