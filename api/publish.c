/* The publishing calls: from a request to pubsub/, and from what came of it to the answer. */
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"
#include "core/clock.h"
#include "core/http_fields.h"

/* A publish under way. It outlives its request if that goes away first; the publications live in its arena and in the
 * request's body, so they are looked at only while there is a call. */
struct publishing {
    struct api_call *call; /* NULL once the request is gone */
    struct arena arena;
    const struct publication *events;
    size_t n;
    int status; /* of success */
    bool batch;
    struct str key; /* the caller's Idempotency-Key, STR_NONE if none */
    char key_storage[IDEMPOTENCY_KEY_MAX];
};

static void publishing_free(struct publishing *p)
{
    arena_free(&p->arena);
    free(p);
}

/* Refused before anything was sent to Redis. */
static void publishing_refuse(struct publishing *p, const struct problem *problem)
{
    respond_problem(p->call->req, problem);
    publishing_free(p);
}

static void event_members(struct buf *out, const struct publication *event, const struct publish_result *result)
{
    char id[POSITION_MAX];
    size_t n = position_format(id, result->id);

    buf_printf(out, "\"event_id\":\"%.*s\",\"type\":", (int)n, id);
    buf_json_string(out, event->type);
    buf_lit(out, ",\"audience\":");
    audience_json(out, &event->audience);
    buf_printf(out, ",\"receivers\":%llu", (unsigned long long)result->receivers);
}

#define NO_CONNECTION_TITLE "No such connection"
#define NO_CONNECTION_DETAIL                                                                                           \
    "this connection does not exist, nor has it ended within five minutes; nothing was published"

/* An event of a batch that found no connection does not fail the others, which are delivered: its result says so. */
static void batch_json(struct buf *out, const struct publishing *p, const struct publish_result *results)
{
    buf_lit(out, "{\"results\":[");
    for (size_t i = 0; i < p->n; i++) {
        buf_append(out, i == 0 ? STR_LIT("{") : STR_LIT(",{"));
        event_members(out, &p->events[i], &results[i]);
        if (results[i].unknown)
            buf_lit(out,
                    ",\"status\":404,\"title\":\"" NO_CONNECTION_TITLE "\",\"detail\":\"" NO_CONNECTION_DETAIL "\"");
        buf_append_char(out, '}');
    }
    buf_lit(out, "]}");
}

static void answer_success(const struct publishing *p, const struct publish_result *results)
{
    struct buf body = {0};

    if (p->batch) {
        batch_json(&body, p, results);
    } else if (results[0].unknown) {
        respond_problem(p->call->req, &(struct problem){
                                          .status = 404,
                                          .slug = "connection-not-found",
                                          .title = NO_CONNECTION_TITLE,
                                          .detail = STR_LIT(NO_CONNECTION_DETAIL),
                                      });
        return;
    } else {
        buf_append_char(&body, '{');
        event_members(&body, &p->events[0], &results[0]);
        buf_append_char(&body, '}');
    }
    respond_json(p->call->req, p->status, &body);
    buf_free(&body);
}

/* How long a caller should wait before it tries again: what heals by itself soon, what needs a failover, what needs a
 * person. */
static uint64_t retry_after_ms(enum publish_status s)
{
    switch (s) {
    case PUBLISH_AWAY:
    case PUBLISH_LOADING:
    case PUBLISH_READONLY:
    case PUBLISH_NO_REPLICAS:
        return 2000;
    case PUBLISH_OUT_OF_MEMORY:
    case PUBLISH_MISCONF:
        return 10000;
    default:
        return 1000;
    }
}

void api_respond_unpublished(h2o_req_t *req, enum publish_status status)
{
    struct publish_problem what = publish_problem(status);

    if (what.status == 503)
        respond_retry_after(req, retry_after_ms(status));
    respond_problem(req, &(struct problem){
                             .status = what.status,
                             .slug = what.type,
                             .title = what.title,
                             .detail = str_of(what.detail),
                         });
}

static void on_published(void *data, enum publish_status status, const struct publish_result *results, size_t n)
{
    struct publishing *p = data;
    struct api_call *call = p->call;

    (void)n;
    if (call != NULL) {
        call->waiter = NULL;
        if (status == PUBLISH_OK) {
            call->event_id_len = position_format(call->event_id, results[0].id);
            answer_success(p, results);
        } else {
            api_respond_unpublished(call->req, status);
        }
    }
    publishing_free(p);
}

/* The caller's key and trace; false if the request has been refused. */
static bool read_fields(struct publishing *p, struct str *traceparent)
{
    h2o_req_t *req = p->call->req;
    struct str value;
    int n = request_field(req, "idempotency-key", &value);

    if (n == 2 || (n == 1 && idempotency_key_parse(value, p->key_storage, &p->key) != 0)) {
        publishing_refuse(
            p, &(struct problem){
                   .status = 400,
                   .slug = "bad-idempotency-key",
                   .detail = STR_LIT("Idempotency-Key has to be one key of 1 to 255 visible ASCII characters, "
                                     "bare or as a quoted string"),
               });
        return false;
    }
    /* An invalid traceparent is as good as none (W3C Trace Context 4.3): it never fails a request. */
    *traceparent = STR_NONE;
    if (request_field(req, "traceparent", &value) == 1 && traceparent_valid(value)) {
        *traceparent = (struct str){value.p, TRACEPARENT_LEN};
        respond_field(req, "traceparent", *traceparent);
    }
    return true;
}

/* PUBLISH_RATE; false if the request has been refused. */
static bool take_rate(struct publishing *p)
{
    struct api_call *call = p->call;
    struct str subject = {call->caller.subject, call->caller.subject_len};
    uint64_t retry_ms = 0;

    if (limiter_take(call->api->limiter, subject, (uint32_t)p->n, clock_monotonic_ms(), &retry_ms) == LIMITER_OK)
        return true;
    respond_retry_after(call->req, retry_ms);
    publishing_refuse(
        p, &(struct problem){
               .status = 429,
               .slug = "publish-rate",
               .detail = STR_LIT("more events than PUBLISH_RATE allows; nothing of this request was published"),
           });
    return false;
}

/* Takes the publishing over. */
static void publish(struct publishing *p)
{
    struct api_call *call = p->call;
    struct buf scope = {0};
    struct publish_request request = {.events = p->events, .n = p->n, .body = str_of_iovec(call->req->entity)};

    if (!read_fields(p, &request.traceparent) || !take_rate(p))
        return;
    buf_append(&scope, (struct str){call->caller.subject, call->caller.subject_len});
    buf_append_char(&scope, ' ');
    buf_append(&scope, call->path);
    request.idempotency_scope = buf_str(&scope);
    request.idempotency_key = p->key;
    call->waiter = &p->call;
    pubsub_publish(call->api->pubsub, &request, on_published, p);
    buf_free(&scope);
}

static void refuse_input(struct publishing *p, const struct input_error *error)
{
    static const struct {
        int status;
        const char *slug, *title;
    } kinds[] = {
        {400, "not-json", "The body is not JSON"},
        {413, "event-too-large", "One event is too large"},
        {422, "invalid-field", "A field is not valid"},
    };
    struct problem problem = {.status = error->status, .detail = str_of(error->detail)};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].status == error->status) {
            problem.slug = kinds[i].slug;
            problem.title = kinds[i].title;
        }
    }
    if (error->status != 400)
        problem.field = str_of(error->field);
    publishing_refuse(p, &problem);
}

/* NULL if the request has been refused: its body is not declared to be JSON. */
static struct publishing *publishing_begin(struct api_call *call, int status)
{
    struct publishing *p;
    struct str type;

    if (request_field(call->req, "content-type", &type) != 1 || !content_type_is_json(type)) {
        respond_problem(call->req, &(struct problem){
                                       .status = 415,
                                       .slug = "not-declared-json",
                                       .detail = STR_LIT("Content-Type has to be application/json"),
                                   });
        return NULL;
    }
    p = mem_zalloc(sizeof(*p));
    p->call = call;
    p->status = status;
    p->n = 1;
    return p;
}

static struct publication_limits limits_of(const struct api_call *call)
{
    return (struct publication_limits){.max_message_bytes = call->api->config->max_message_bytes};
}

static struct str body_of(const struct api_call *call)
{
    return call->req->entity.base == NULL ? STR_LIT("") : str_of_iovec(call->req->entity);
}

static void publish_flat(struct api_call *call, enum convenience_call kind, int status)
{
    struct publishing *p = publishing_begin(call, status);
    struct publication_limits limits = limits_of(call);
    struct publication *event;
    struct input_error error;

    if (p == NULL)
        return;
    event = arena_alloc(&p->arena, sizeof(*event));
    p->events = event;
    if (publication_from_flat(&p->arena, kind, call->param, body_of(call), &limits, event, &error) != 0)
        refuse_input(p, &error);
    else
        publish(p);
}

void api_publish_task(struct api_call *call)
{
    publish_flat(call, CALL_TASK, 202);
}

void api_publish_agent(struct api_call *call)
{
    publish_flat(call, CALL_AGENT, 202);
}

void api_publish_notification(struct api_call *call)
{
    publish_flat(call, CALL_NOTIFICATION, 202);
}

void api_publish_calendar(struct api_call *call)
{
    publish_flat(call, CALL_CALENDAR, 201);
}

void api_publish_event(struct api_call *call)
{
    struct publishing *p = publishing_begin(call, 202);
    struct publication_limits limits = limits_of(call);
    struct publication *event;
    struct input_error error;

    if (p == NULL)
        return;
    event = arena_alloc(&p->arena, sizeof(*event));
    p->events = event;
    if (publication_from_event(&p->arena, body_of(call), &limits, event, &error) != 0)
        refuse_input(p, &error);
    else
        publish(p);
}

void api_publish_batch(struct api_call *call)
{
    struct publishing *p = publishing_begin(call, 202);
    struct publication_limits limits = limits_of(call);
    struct publication *events;
    struct input_error error;

    if (p == NULL)
        return;
    p->batch = true;
    if (publication_from_batch(&p->arena, body_of(call), &limits, &events, &p->n, &error) != 0) {
        refuse_input(p, &error);
        return;
    }
    p->events = events;
    publish(p);
}
