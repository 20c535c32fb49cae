/* Pages: reads of some logs in one atomic step. They wait in line until the command connection may be asked, and few
 * are asked of it at a time.
 *
 *      WAITING --sent--> IN FLIGHT --reply--> handed out
 *         ^                |    |
 *         |<-- link lost --'    | refused, or of another epoch than the mark's
 *         `-- a second, or -- LATER <-'
 *             the new mark */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/log_reply.h"
#include <stdlib.h>

/* After an error reply, which asking at once would not cure. */
#define RETRY_MS 1000
#define NEVER UINT64_MAX

struct page_asked {
    struct page_asked *next;
    struct pubsub *p;
    page_cb cb; /* NULL: its time was over while it was in flight */
    void *data;
    uint64_t deadline_ms, not_before_ms;
    struct position after;
    unsigned count, asked[PAGE_LOGS_MAX];
    size_t n;
    struct event_log_ref logs[PAGE_LOGS_MAX]; /* ids point behind the struct */
    char ids[];
};

/* --- lines ----------------------------------------------------------------------------------------------------------
 */

static void line_add(struct page_line *l, struct page_asked *a)
{
    a->next = NULL;
    *(l->first != NULL ? &l->last->next : &l->first) = a;
    l->last = a;
    l->n++;
}

static struct page_asked *line_take(struct page_line *l)
{
    struct page_asked *a = l->first;
    l->first = a->next;
    l->n--;
    return a;
}

/* Moves those for which `due` is true; both keep their order. */
static void line_sift(struct page_line *from, struct page_line *to, bool (*due)(const struct page_asked *, uint64_t),
                      uint64_t now_ms)
{
    struct page_line all = *from;
    *from = (struct page_line){0};
    while (all.n != 0) {
        struct page_asked *a = line_take(&all);
        line_add(due(a, now_ms) ? to : from, a);
    }
}

static void forget(struct page_asked *a)
{
    if (a->deadline_ms != NEVER)
        a->p->pages.timed--;
    free(a);
}

static void answer(struct page_asked *a, const struct page *page)
{
    a->cb(a->data, page);
    forget(a);
}

/* Those that are asked meanwhile are none of them. */
static void answer_none(struct page_line *l)
{
    struct page_line all = *l;
    *l = (struct page_line){0};
    while (all.n != 0)
        answer(line_take(&all), NULL);
}

/* --- replies --------------------------------------------------------------------------------------------------------
 */

static void ask_later(struct page_asked *a, uint64_t not_before_ms)
{
    a->not_before_ms = not_before_ms;
    line_add(&a->p->pages.later, a);
}

static void refused(struct page_asked *a, struct str reply)
{
    struct pubsub *p = a->p;
    uint64_t now_ms = clock_monotonic_ms(), suppressed;
    if (log_limit_pass(&p->pages.log, now_ms, &suppressed))
        log_event(LOG_LEVEL_ERROR, "page_failed", LOG_U("worker", p->worker), LOG_S("reply", reply),
                  LOG_U("suppressed", suppressed));
    canary_want(p); /* opens an epoch where ws:head is gone */
    ask_later(a, now_ms + RETRY_MS);
}

static void page_free(struct page *page)
{
    for (size_t i = 0; i < page->n; i++)
        free(page->logs[i].entries);
    free(page->history.ends);
}

static int parse_log(struct page_asked *a, size_t i, redisReply **replies, struct page *page)
{
    struct page_log *log = &page->logs[i];
    struct log_sample sample;
    if (page_log_parse(replies[0], replies[1], a->after, a->asked[i], log, &sample) != 0)
        return -1;
    page->n = i + 1;
    log_read_note(a->p, a->logs[i].kind, sample.bytes, sample.entries);
    if (sample.junk != 0)
        subscriber_drop(a->p, sample.why, sample.junk);
    if (log->empty && a->logs[i].kind == EVENT_LOG_BROADCAST)
        log->first = log->first_prev = page->history.last;
    return 0;
}

/* 0, or -1 and nothing to free. */
static int parse(struct page_asked *a, redisReply *reply, struct page *page)
{
    *page = (struct page){.after = a->after};
    if (history_parse(reply->element[0], reply->element[1], &page->history) != 0)
        return -1;
    for (size_t i = 0; i < a->n; i++) {
        if (parse_log(a, i, &reply->element[2 + 2 * i], page) != 0) {
            page_free(page);
            return -1;
        }
    }
    return 0;
}

/* Positions of two epochs cannot be told apart by a worker that knows the end of neither: first its subscriber
 * connection has to be read through the new one's beginning, which sets the mark, and then the page is asked again. */
static bool is_of_marks_epoch(struct pubsub *p, const struct page *page)
{
    if (page->history.head.epoch == p->mark.at.epoch)
        return true;
    if (gap_closed(p))
        link_restart(&p->subscriber, "a new epoch of the log began");
    return false;
}

static void on_reply(void *data, redisReply *reply)
{
    struct page_asked *a = data;
    struct pubsub *p = a->p;
    struct page page;
    line_take(&p->pages.flight); /* it is the first: replies come in order */
    if (reply == NULL && a->cb != NULL) {
        line_add(&p->pages.waiting, a);
        return;
    }
    if (a->cb == NULL) {
        forget(a);
        return;
    }
    struct str error = log_read_error(reply, 2 * a->n);
    if (error.p != NULL) {
        refused(a, error);
    } else if (parse(a, reply, &page) != 0) {
        refused(a, STR_LIT("an answer of another form"));
    } else {
        if (is_of_marks_epoch(p, &page))
            answer(a, &page);
        else
            ask_later(a, NEVER);
        page_free(&page);
    }
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static void send_page(struct page_asked *a)
{
    struct pubsub *p = a->p;
    char bytes[LOG_BOUND_MAX];
    struct str after = log_bound(bytes, a->after);
    log_read_begin(p);
    for (size_t i = 0; i < a->n; i++) {
        a->asked[i] = log_read_count(p, a->logs[i].kind, PAGE_BYTES_MAX, a->count);
        log_read_range(p, "XRANGE", a->logs[i], STR_LIT("-"), STR_LIT("+"), 1);
        log_read_range(p, "XRANGE", a->logs[i], after, STR_LIT("+"), a->asked[i]);
    }
    line_add(&p->pages.flight, a);
    log_read_end(p, on_reply, a);
}

void pages_turn(struct pubsub *p)
{
    struct pages_state *s = &p->pages;
    if (p->closed)
        pages_dispose(p);
    if (!log_read_possible(p))
        return;
    while (s->waiting.n != 0 && s->flight.n < PAGES_IN_FLIGHT_MAX) {
        send_page(line_take(&s->waiting));
        canary_want(p); /* one for the turn's pages, behind them */
    }
}

static bool is_overdue(const struct page_asked *a, uint64_t now_ms)
{
    return now_ms >= a->deadline_ms;
}

static bool may_be_asked(const struct page_asked *a, uint64_t now_ms)
{
    return now_ms >= a->not_before_ms;
}

static bool every_one(const struct page_asked *a, uint64_t now_ms)
{
    (void)a;
    (void)now_ms;
    return true;
}

void pages_tick(struct pubsub *p, uint64_t now_ms)
{
    struct pages_state *s = &p->pages;
    struct page_line overdue = {0};
    line_sift(&s->later, &s->waiting, may_be_asked, now_ms);
    if (s->timed == 0)
        return;
    line_sift(&s->waiting, &overdue, is_overdue, now_ms);
    line_sift(&s->later, &overdue, is_overdue, now_ms);
    answer_none(&overdue);
    for (struct page_asked *a = s->flight.first; a != NULL; a = a->next) {
        page_cb cb = a->cb;
        if (cb == NULL || !is_overdue(a, now_ms))
            continue;
        a->cb = NULL;
        cb(a->data, NULL);
    }
}

void pages_mark_set(struct pubsub *p)
{
    line_sift(&p->pages.later, &p->pages.waiting, every_one, 0);
}

void pages_dispose(struct pubsub *p)
{
    answer_none(&p->pages.waiting);
    answer_none(&p->pages.later);
}

/* --- asking ---------------------------------------------------------------------------------------------------------
 */

void pubsub_read_page(struct pubsub *p, const struct page_request *r, page_cb cb, void *data)
{
    size_t bytes = 0;
    for (size_t i = 0; i < r->n; i++)
        bytes += r->logs[i].id.n;
    struct page_asked *a = mem_alloc(sizeof(*a) + bytes);
    *a = (struct page_asked){.p = p, .cb = cb, .data = data, .after = r->after, .n = r->n, .count = r->count};
    a->deadline_ms = r->timeout_ms != 0 ? clock_monotonic_ms() + r->timeout_ms : NEVER;
    p->pages.timed += r->timeout_ms != 0;
    char *at = a->ids;
    for (size_t i = 0; i < r->n; i++) {
        struct str id = r->logs[i].id;
        a->logs[i] = (struct event_log_ref){r->logs[i].kind, {at, id.n}};
        if (id.n != 0)
            memcpy(at, id.p, id.n);
        at += id.n;
    }
    line_add(&p->pages.waiting, a);
}
