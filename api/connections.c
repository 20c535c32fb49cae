/* GET and DELETE of connections: who is connected, how one is, and its end by an operator. */
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"
#include "core/audience.h"
#include "core/clock.h"
#include "core/units.h"

#define LIMIT_DEFAULT 100

struct question {
    struct api_call *call; /* NULL once the request is gone */
};

static struct question *question_begin(struct api_call *call)
{
    struct question *q = mem_alloc(sizeof(*q));

    *q = (struct question){.call = call};
    call->waiter = &q->call;
    return q;
}

/* The call, or NULL once the request is gone. */
static struct api_call *question_end(struct question *q)
{
    struct api_call *call = q->call;

    if (call != NULL)
        call->waiter = NULL;
    free(q);
    return call;
}

static void respond_unknown(h2o_req_t *req)
{
    respond_problem(req, &(struct problem){
                             .status = 404,
                             .slug = "connection-not-found",
                             .title = "No such connection",
                             .detail = STR_LIT("this connection does not exist, nor has it ended within five minutes"),
                         });
}

/* --- JSON -----------------------------------------------------------------------------------------------------------
 */

static void put_string(struct buf *out, const char *name, struct str s)
{
    buf_printf(out, ",\"%s\":", name);
    if (s.p == NULL)
        buf_lit(out, "null");
    else
        buf_json_string(out, s);
}

static void put_time(struct buf *out, const char *name, uint64_t unix_ms)
{
    char text[RFC3339_LEN];

    rfc3339_format(text, unix_ms);
    put_string(out, name, (struct str){text, sizeof(text)});
}

/* The object without its end. */
static void put_entry(struct buf *out, const struct presence_entry *e)
{
    buf_lit(out, "{\"connection_id\":");
    buf_json_string(out, e->id);
    put_string(out, "user", e->user);
    put_string(out, "node", e->node);
    put_string(out, "address", e->address);
    put_string(out, "user_agent", e->user_agent);
    put_time(out, "since", e->since_ms);
}

static void put_now(struct buf *out, const struct presence_now *now)
{
    char position[POSITION_MAX];
    struct str text = {position, position_format(position, now->position)};

    put_string(out, "state", str_of(presence_state_name(now->state)));
    if (now->state == PRESENCE_AWAY)
        put_string(out, "last_seen", STR_NONE);
    else
        put_time(out, "last_seen", now->last_seen_ms);
    put_string(out, "position", now->position.epoch != 0 ? text : STR_NONE);
}

/* --- pages ----------------------------------------------------------------------------------------------------------
 */

static void answer_page(h2o_req_t *req, const struct presence_page *page)
{
    struct buf body = {0};

    buf_lit(&body, "{\"connections\":[");
    for (size_t i = 0; i < page->n; i++) {
        if (i != 0)
            buf_append_char(&body, ',');
        put_entry(&body, &page->entries[i]);
        buf_append_char(&body, '}');
    }
    buf_append_char(&body, ']');
    put_string(&body, "cursor", page->cursor);
    buf_append_char(&body, '}');
    respond_json(req, 200, &body);
    buf_free(&body);
}

static void on_page(void *data, const struct presence_page *page)
{
    struct api_call *call = question_end(data);

    if (call == NULL)
        return;
    if (page != NULL)
        answer_page(call->req, page);
    else
        respond_unread(call->req);
}

/* False if the request has been refused. */
static bool read_query(struct api_call *call, struct presence_query *q)
{
    struct str limit;
    uint64_t number = LIMIT_DEFAULT;

    if (!query_param(call, "node", &q->node) || !query_param(call, "limit", &limit) ||
        !query_param(call, "cursor", &q->cursor))
        return false;
    if (q->user.p != NULL && !id_valid(q->user, USER_ID_MAX)) {
        query_refuse(call, "user", "an id has 1 to 256 bytes of UTF-8 without control characters");
    } else if (q->node.p != NULL && !id_valid(q->node, USER_ID_MAX)) {
        query_refuse(call, "node", "the id of a node, as it stands in other answers");
    } else if (limit.p != NULL &&
               (units_parse_count(limit, &number) != 0 || number < 1 || number > PRESENCE_LIMIT_MAX)) {
        query_refuse(call, "limit", "a whole number from 1 to 1000");
    } else {
        q->limit = (size_t)number;
        return true;
    }
    return false;
}

static void list(struct api_call *call, struct str user)
{
    struct presence_query q = {.user = user};
    struct question *question;

    if (!read_query(call, &q))
        return;
    question = question_begin(call);
    if (!pubsub_list_connections(call->api->pubsub, &q, on_page, question)) {
        question_end(question);
        query_refuse(call, "cursor", "not the cursor of a page of these connections");
    }
}

void api_list_connections(struct api_call *call)
{
    struct str user;

    if (query_param(call, "user", &user))
        list(call, user);
}

void api_list_user_connections(struct api_call *call)
{
    list(call, call->param);
}

/* --- one connection -------------------------------------------------------------------------------------------------
 */

static void respond_silent(h2o_req_t *req)
{
    respond_problem(req, &(struct problem){
                             .status = 504,
                             .slug = "node-silent",
                             .title = "The connection's node did not answer",
                             .detail = STR_LIT("the process that holds this connection did not answer within a second"),
                         });
}

static void answer_connection(h2o_req_t *req, const struct presence_entry *entry, const struct presence_now *now)
{
    struct buf body = {0};

    put_entry(&body, entry);
    put_now(&body, now);
    buf_append_char(&body, '}');
    respond_json(req, 200, &body);
    buf_free(&body);
}

static void on_inspected(void *data, enum inspect_status status, const struct presence_entry *entry,
                         const struct presence_now *now)
{
    struct api_call *call = question_end(data);

    if (call == NULL)
        return;
    switch (status) {
    case INSPECT_OK:
        answer_connection(call->req, entry, now);
        break;
    case INSPECT_UNKNOWN:
        respond_unknown(call->req);
        break;
    case INSPECT_SILENT:
        respond_silent(call->req);
        break;
    case INSPECT_AWAY:
        respond_unread(call->req);
        break;
    }
}

void api_connection(struct api_call *call)
{
    pubsub_inspect(call->api->pubsub, call->param, on_inspected, question_begin(call));
}

/* --- ends -----------------------------------------------------------------------------------------------------------
 */

static void answer_ordered(h2o_req_t *req, uint64_t ordered)
{
    struct buf body = {0};

    buf_printf(&body, "{\"ordered\":%llu}", (unsigned long long)ordered);
    respond_json(req, 202, &body);
    buf_free(&body);
}

static void on_one(void *data, bool known, uint64_t ordered)
{
    struct api_call *call = question_end(data);

    if (call == NULL)
        return;
    if (!known)
        respond_unread(call->req);
    else if (ordered == 0)
        respond_unknown(call->req);
    else
        answer_ordered(call->req, ordered);
}

static void on_all(void *data, bool known, uint64_t ordered)
{
    struct api_call *call = question_end(data);

    if (call == NULL)
        return;
    if (known)
        answer_ordered(call->req, ordered);
    else
        respond_unread(call->req);
}

/* False if the request has been refused. */
static bool read_reason(struct api_call *call, struct str *reason)
{
    if (!query_param(call, "reason", reason))
        return false;
    if (reason->n == 0 || id_valid(*reason, DISCONNECT_REASON_MAX))
        return true;
    query_refuse(call, "reason", "at most 100 bytes of UTF-8 without control characters");
    return false;
}

void api_disconnect(struct api_call *call)
{
    struct str reason;

    if (read_reason(call, &reason))
        pubsub_disconnect(call->api->pubsub, call->param, reason, on_one, question_begin(call));
}

void api_disconnect_user(struct api_call *call)
{
    struct str reason;

    if (read_reason(call, &reason))
        pubsub_disconnect_user(call->api->pubsub, call->param, reason, on_all, question_begin(call));
}
