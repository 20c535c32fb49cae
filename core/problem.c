/* Bodies of application/problem+json (RFC 9457). */
#include "core/problem.h"
#include "core/utf8.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

const char *problem_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Error";
}

/* A detail may have been cut to the size of its buffer in the middle of a character. */
static struct str valid_prefix(struct str s)
{
    struct utf8 state = {0};
    size_t good = 0;

    for (size_t i = 0; i < s.n && utf8_feed(&state, s.p + i, 1); i++) {
        if (utf8_complete(&state))
            good = i + 1;
    }
    return (struct str){s.p, good};
}

void problem_json(struct buf *out, const struct problem *p)
{
    buf_append_char(out, '{');
    if (p->slug != NULL)
        buf_printf(out, "\"type\":\"urn:belfry:problem:%s\",\"title\":", p->slug);
    else
        buf_lit(out, "\"type\":\"about:blank\",\"title\":");
    buf_json_string(out, str_of(p->title != NULL ? p->title : problem_reason(p->status)));
    buf_printf(out, ",\"status\":%d", p->status);
    if (p->detail.p != NULL) {
        buf_lit(out, ",\"detail\":");
        buf_json_string(out, valid_prefix(p->detail));
    }
    if (p->field.p != NULL) {
        buf_lit(out, ",\"field\":");
        buf_json_string(out, valid_prefix(p->field));
    }
    if (p->more.p != NULL) {
        buf_append_char(out, ',');
        buf_append(out, p->more);
    }
    buf_append_char(out, '}');
}
