/* One line in the log for each request over HTTP. */
#include "server/access_log.h"
#include "api/api.h"
#include "api/respond.h"
#include "core/http_fields.h"

struct access_log {
    h2o_logger_t super;
    enum log_level level;
};

static int64_t duration_ms(h2o_req_t *req)
{
    struct timeval end = req->timestamps.response_end_at, *begin = &req->timestamps.request_begin_at;

    if (end.tv_sec == 0) /* the client left first */
        end = *h2o_get_timestamp(req->conn->ctx, NULL, NULL);
    return h2o_timeval_subtract(begin, &end) / 1000;
}

static void log_access(h2o_logger_t *super, h2o_req_t *req)
{
    const struct access_log *self = (const struct access_log *)super;
    const struct api_call *call = api_call_find(req);
    struct str rest = str_of_iovec(req->input.path);
    struct log_field fields[7];
    struct str trace;
    size_t n = 0;

    if (!log_enabled(self->level) || req->res.status == 101)
        return;
    fields[n++] = LOG_S("method", str_of_iovec(req->input.method));
    fields[n++] = LOG_S("path", str_split(&rest, '?'));
    fields[n++] = LOG_I("status", req->res.status);
    if (call != NULL && call->caller.subject_len != 0)
        fields[n++] = LOG_S("subject", ((struct str){call->caller.subject, call->caller.subject_len}));
    if (call != NULL && call->event_id_len != 0)
        fields[n++] = LOG_S("event_id", ((struct str){call->event_id, call->event_id_len}));
    if (request_field(req, "traceparent", &trace) == 1 && traceparent_valid(trace))
        fields[n++] = LOG_S("trace_id", traceparent_trace_id(trace));
    fields[n++] = LOG_I("duration_ms", duration_ms(req));
    log_fields(self->level, "request", fields, n);
}

void access_log_register(h2o_pathconf_t *path, enum log_level level)
{
    struct access_log *self = (void *)h2o_create_logger(path, sizeof(*self));

    self->super.log_access = log_access;
    self->level = level;
}
