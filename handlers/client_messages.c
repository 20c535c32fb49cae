/* What clients say: pong, ping, ack, auth, and events to publish. */
#include "handlers/internal.h"
#include "core/clock.h"
#include "core/http_fields.h"
#include "core/limiter.h"
#include "core/metrics.h"
#include <stdio.h>
#include <stdlib.h>

void conn_error(struct ws_conn *c, enum error_code code, struct str text, struct str ref, struct str field)
{
    struct buf json = {0};
    message_error(&json, conn_position(c), clock_unix_ms(), code, text, ref, field);
    conn_say(c, &json);
    metric_add(METRIC_SENT_ERROR, 1);
    metric_add(METRIC_ERRORS_BAD_JSON + code, 1);
}

static void ack(struct ws_conn *c, struct str ref, const struct position *published, struct str traceparent)
{
    struct buf json = {0};
    message_ack(&json, conn_position(c), clock_unix_ms(), ref, published, traceparent);
    conn_say(c, &json);
    metric_add(METRIC_SENT_ACK, 1);
}

static void on_bad_message(struct ws_conn *c, const struct client_error *error)
{
    conn_error(c, error->code, str_of(error->detail), error->ref,
               error->field[0] != '\0' ? str_of(error->field) : STR_NONE);
    if (strikes_add(&c->bad, c->edge->now_ms))
        conn_close(c, 4400, "ten bad messages within a minute");
}

static void on_ping(struct ws_conn *c, const struct client_message *m)
{
    struct buf json = {0};
    message_pong(&json, conn_position(c), clock_unix_ms(), m->ref);
    conn_say(c, &json);
    metric_add(METRIC_SENT_PONG, 1);
}

/* --- auth -----------------------------------------------------------------------------------------------------------
 */

static void on_auth(struct ws_conn *c, const struct client_message *m)
{
    const struct edge *e = c->edge;
    struct token_rules rules = token_rules_of(e->config);
    struct token_claims claims;
    const char *reason = token_verify(m->token, &rules, e->credentials->keyring, clock_unix_ms(), &claims);
    if (reason != NULL) {
        conn_close(c, 4401, reason);
    } else if (!str_eq(conn_user(c), (struct str){claims.sub, claims.sub_len})) {
        conn_close(c, 4403, "the token is another user's");
    } else {
        c->scopes = (uint8_t)claims.scopes;
        conn_set_expiry(c, claims.exp);
        ack(c, m->ref, NULL, STR_NONE);
    }
}

/* --- publishing -----------------------------------------------------------------------------------------------------
 */

/* A publish under way; outlives the connection's closing, since it holds a reference. */
struct client_publish {
    struct ws_conn *conn;
    uint64_t begun_ms;
    bool has_ref, has_trace;
    size_t ref_len;
    char ref[MESSAGE_REF_MAX];
    char trace[TRACEPARENT_LEN];
};

static struct str trace_of(const struct client_publish *pub)
{
    return pub->has_trace ? (struct str){pub->trace, sizeof(pub->trace)} : STR_NONE;
}

static enum error_code error_of(enum publish_status status)
{
    if (status == PUBLISH_OUTCOME_UNKNOWN || status == PUBLISH_REPLICAS_BEHIND)
        return ERROR_OUTCOME_UNKNOWN;
    return status == PUBLISH_FAILED ? ERROR_INTERNAL : ERROR_NOT_ACCEPTED;
}

/* What the access log is to a publish over REST, with the status that would have been answered there. */
static void log_published(const struct client_publish *pub, int status, const struct publish_result *result)
{
    const struct ws_conn *c = pub->conn;
    char id[POSITION_MAX];
    struct str event_id = {id, result != NULL ? position_format(id, result->id) : 0};
    if (log_enabled(LOG_LEVEL_INFO))
        log_event(LOG_LEVEL_INFO, "published", LOG_CONN(c), LOG_I("status", status),
                  LOG_S("event_id", result != NULL ? event_id : STR_NONE),
                  LOG_S("trace_id", traceparent_trace_id(trace_of(pub))),
                  LOG_U("duration_ms", c->edge->now_ms - pub->begun_ms));
}

static int log_status(enum publish_status status, const struct publish_result *results)
{
    return status != PUBLISH_OK ? publish_problem(status).status : results[0].unknown ? 404 : 202;
}

static void on_published(void *data, enum publish_status status, const struct publish_result *results, size_t n)
{
    struct client_publish *pub = data;
    struct ws_conn *c = pub->conn;
    struct str ref = pub->has_ref ? (struct str){pub->ref, pub->ref_len} : STR_NONE;
    bool done = status == PUBLISH_OK && !results[0].unknown;
    (void)n;
    --c->refs;
    log_published(pub, log_status(status, results), done ? &results[0] : NULL);
    if (c->state >= CONN_CLOSING)
        ;
    else if (status != PUBLISH_OK)
        conn_error(c, error_of(status), str_of(publish_problem(status).detail), ref, STR_NONE);
    else if (results[0].unknown)
        conn_error(c, ERROR_NOT_ACCEPTED, STR_LIT("there is no such connection"), ref, STR_LIT("/audience/connection"));
    else
        ack(c, ref, &results[0].id, trace_of(pub));
    free(pub);
}

static bool within_publish_rate(struct ws_conn *c)
{
    struct edge *e = c->edge;
    struct buf subject = {0};
    uint64_t retry_ms;
    buf_lit(&subject, "sub:");
    buf_append(&subject, conn_user(c));
    bool ok = limiter_take(e->limiter, buf_str(&subject), 1, e->now_ms, &retry_ms) == LIMITER_OK;
    buf_free(&subject);
    return ok;
}

static void publish(struct ws_conn *c, const struct client_message *m)
{
    struct client_publish *pub = mem_zalloc(sizeof(*pub));
    struct publish_request request = {.events = &m->event, .n = 1, .traceparent = m->traceparent};
    pub->conn = c;
    pub->begun_ms = c->edge->now_ms;
    pub->has_ref = m->ref.p != NULL;
    pub->ref_len = m->ref.n;
    if (m->ref.n != 0)
        memcpy(pub->ref, m->ref.p, m->ref.n);
    pub->has_trace = m->traceparent.p != NULL;
    if (pub->has_trace)
        memcpy(pub->trace, m->traceparent.p, sizeof(pub->trace));
    ++c->refs;
    pubsub_publish(c->edge->pubsub, &request, on_published, pub);
}

static void on_event(struct ws_conn *c, const struct client_message *m)
{
    if ((c->scopes & SCOPE_EVENTS_PUBLISH) == 0)
        conn_error(c, ERROR_FORBIDDEN, STR_LIT("the token lacks the scope events:publish"), m->ref, STR_NONE);
    else if (!within_publish_rate(c))
        conn_error(c, ERROR_RATE_LIMITED, STR_LIT("more events than PUBLISH_RATE allows"), m->ref, STR_NONE);
    else
        publish(c, m);
}

/* --------------------------------------------------------------------------------------------------------------------
 */

void conn_on_message(struct ws_conn *c, struct str text)
{
    struct arena arena = {0};
    struct client_message m;
    struct client_error error;
    struct publication_limits limits = {.max_message_bytes = c->edge->config->max_message_bytes};
    bool readable = client_message_parse(&arena, text, &limits, &m, &error) == 0;
    metric_add(readable ? METRIC_RECEIVED_PONG + m.kind : METRIC_RECEIVED_REFUSED, 1);
    if (!readable) {
        on_bad_message(c, &error);
    } else if (m.kind == CLIENT_PING) {
        on_ping(c, &m);
    } else if (m.kind == CLIENT_ACK) {
        conn_ack(c, &m);
    } else if (m.kind == CLIENT_AUTH) {
        on_auth(c, &m);
    } else if (m.kind == CLIENT_EVENT) {
        on_event(c, &m);
    } /* a pong has done its work by coming */
    arena_free(&arena);
}
