/* GET /events and /events/position: what was published, read from the logs in pages. An answer is made of as many reads
 * as it takes; the merge of the logs is that of a client that catches up. */
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"
#include "core/catch_up.h"
#include "core/units.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
/* An answer with more bytes of events than that ends, whatever the limit is: there is more then. */
#define ANSWER_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* How often the oldest position may have moved on while it was asked for. */
#define PLACES_MAX 8

struct reading {
    struct api_call *call; /* NULL once the request is gone */
    struct str user;       /* in the request's pool; STR_NONE: broadcasts alone */
    size_t limit, n;
    bool from_oldest; /* no position was brought */
    bool cut;         /* the limit is reached, and there was more */
    unsigned places;  /* how often it was decided where to read from; 0: not known yet */
    struct catch_up at;
    struct position last; /* of the events read */
    struct buf events;    /* with commas between */
};

static void reading_free(struct reading *r)
{
    buf_free(&r->events);
    free(r);
}

/* --- answers --------------------------------------------------------------------------------------------------------
 */

static void put_position(struct buf *out, const char *before, struct position p)
{
    char text[POSITION_MAX];

    buf_append(out, str_of(before));
    buf_append(out, (struct str){text, position_format(text, p)});
    buf_append_char(out, '"');
}

static void answer(const struct reading *r)
{
    struct buf body = {0};

    buf_lit(&body, "{\"events\":[");
    buf_append(&body, buf_str(&r->events));
    put_position(&body, "],\"position\":\"", r->cut ? r->last : r->at.at);
    buf_printf(&body, ",\"more\":%s}", r->cut || r->at.more ? "true" : "false");
    respond_json(r->call->req, 200, &body);
    buf_free(&body);
}

static void answer_gone(h2o_req_t *req, enum resync_reason reason, const struct page *page)
{
    static const char *const details[] = {
        [RESYNC_EPOCH] = "the history that the position belongs to was lost",
        [RESYNC_AHEAD] = "the position is beyond the last event",
        [RESYNC_EXPIRED] = "events after the position are no longer kept",
    };
    struct buf more = {0};

    buf_printf(&more, "\"reason\":\"%s\"", resync_reason_name(reason));
    put_position(&more, ",\"oldest\":\"", page_oldest(page));
    put_position(&more, ",\"position\":\"", page->history.head);
    respond_problem(req, &(struct problem){
                             .status = 410,
                             .slug = "position-gone",
                             .title = "The position cannot be served",
                             .detail = str_of(details[reason]),
                             .more = buf_str(&more),
                         });
    buf_free(&more);
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static void on_page(void *data, const struct page *page);

static void ask(struct reading *r)
{
    struct event_log_ref logs[] = {{.kind = EVENT_LOG_BROADCAST}, {.kind = EVENT_LOG_USER, .id = r->user}};
    size_t left = r->limit - r->n;
    struct page_request request = {
        .after = r->at.at,
        .logs = logs,
        .n = r->user.p != NULL ? 2 : 1,
        .count = r->places == 0       ? 1
                 : left < r->at.count ? (unsigned)left
                                      : r->at.count,
        .timeout_ms = r->call->api->config->redis_timeout_ms,
    };

    pubsub_read_page(r->call->api->pubsub, &request, on_page, r);
}

static void place(struct reading *r, struct position at)
{
    at.n = 0;
    catch_up_start(&r->at, at);
    r->places++;
}

static void take(void *data, const struct page_entry *entry)
{
    struct reading *r = data;

    r->cut = r->n == r->limit;
    if (r->cut)
        return;
    if (r->n++ != 0)
        buf_append_char(&r->events, ',');
    buf_append(&r->events, entry->text);
    r->last = entry->id;
}

/* True if the answer has all it is to have. */
static bool take_page(struct reading *r, const struct page *page)
{
    struct catch_up_source sources[PAGE_LOGS_MAX];

    for (size_t i = 0; i < page->n; i++) {
        const struct page_log *log = &page->logs[i];
        sources[i] = (struct catch_up_source){log->entries, log->n, page_bound(page, log), log->full};
    }
    catch_up_merge(&r->at, sources, page->n, take, r);
    catch_up_written(&r->at);
    return r->n == r->limit || !r->at.more || r->events.n >= ANSWER_BYTES_MAX;
}

/* True if the request has been answered, or nobody waits for it any more. A later page that cannot be had ends the
 * answer: the next request is told why. */
static bool read_page(struct reading *r, const struct page *page)
{
    h2o_req_t *req = r->call->req;
    enum resync_reason reason = page != NULL && r->places != 0 ? page_judge(page) : RESYNC_NONE;

    if (r->n != 0 && (page == NULL || reason != RESYNC_NONE)) {
        answer(r);
    } else if (page == NULL) {
        respond_unread(req);
    } else if (r->places == 0 || (reason != RESYNC_NONE && r->from_oldest && r->places < PLACES_MAX)) {
        place(r, page_oldest(page));
        return false;
    } else if (reason != RESYNC_NONE) {
        answer_gone(req, reason, page);
    } else if (take_page(r, page)) {
        answer(r);
    } else {
        return false;
    }
    return true;
}

static void on_page(void *data, const struct page *page)
{
    struct reading *r = data;

    if (r->call != NULL && !read_page(r, page)) {
        ask(r);
        return;
    }
    if (r->call != NULL)
        r->call->waiter = NULL;
    reading_free(r);
}

/* --- the requests ---------------------------------------------------------------------------------------------------
 */

/* False if the request has been refused. */
static bool read_parameters(struct reading *r)
{
    struct api_call *call = r->call;
    struct str after, limit;
    struct position at;
    uint64_t number = LIMIT_DEFAULT;

    if (!query_param(call, "after", &after) || !query_param(call, "user", &r->user) ||
        !query_param(call, "limit", &limit))
        return false;
    if (after.p != NULL && position_parse(after, &at) != 0) {
        query_refuse(call, "after", "not a position");
    } else if (r->user.p != NULL && !id_valid(r->user, USER_ID_MAX)) {
        query_refuse(call, "user", "an id has 1 to 256 bytes of UTF-8 without control characters");
    } else if (limit.p != NULL && (units_parse_count(limit, &number) != 0 || number < 1 || number > LIMIT_MAX)) {
        query_refuse(call, "limit", "a whole number from 1 to 1000");
    } else {
        r->limit = (size_t)number;
        r->from_oldest = after.p == NULL;
        if (!r->from_oldest)
            place(r, at);
        return true;
    }
    return false;
}

void api_list_events(struct api_call *call)
{
    struct reading *r = mem_zalloc(sizeof(*r));

    r->call = call;
    if (!read_parameters(r)) {
        reading_free(r);
        return;
    }
    call->waiter = &r->call;
    ask(r);
}

struct question {
    struct api_call *call; /* NULL once the request is gone */
};

static void on_history(void *data, const struct page *page)
{
    struct question *q = data;
    struct buf body = {0};

    if (q->call != NULL)
        q->call->waiter = NULL;
    if (q->call != NULL && page == NULL) {
        respond_unread(q->call->req);
    } else if (q->call != NULL) {
        put_position(&body, "{\"position\":\"", page->history.head);
        put_position(&body, ",\"oldest\":\"", page_oldest(page));
        buf_append_char(&body, '}');
        respond_json(q->call->req, 200, &body);
        buf_free(&body);
    }
    free(q);
}

void api_position(struct api_call *call)
{
    struct question *q = mem_alloc(sizeof(*q));
    struct event_log_ref log = {.kind = EVENT_LOG_BROADCAST};
    struct page_request request = {.logs = &log, .n = 1, .count = 1, .timeout_ms = call->api->config->redis_timeout_ms};

    *q = (struct question){.call = call};
    call->waiter = &q->call;
    pubsub_read_page(call->api->pubsub, &request, on_history, q);
}
