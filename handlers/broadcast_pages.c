/* Pages of the broadcast log, for those whom the tape does not reach back to: one at a time, read once and shared by
 * all whom it serves. Who is not covered by a page waits for another. They are asked for in the order of positions, and
 * round again, so that nobody is put off for ever by those who come after him. */
#include "handlers/internal.h"
#include <stdlib.h>

static void release(struct broadcast_page *b)
{
    if (b != NULL && --b->refs == 0)
        free(b);
}

void conn_drop_broadcasts(struct ws_conn *c)
{
    release(c->catch_up->broadcasts);
    c->catch_up->broadcasts = NULL;
}

static struct broadcast_page *copy_page(const struct page *page)
{
    const struct page_log *log = &page->logs[0];
    size_t bytes = 0;
    for (size_t i = 0; i < log->n; ++i)
        bytes += log->entries[i].text.n;
    struct broadcast_page *b = mem_alloc(sizeof(*b) + log->n * sizeof(struct page_entry) + bytes);
    char *text = (char *)&b->entries[log->n];
    *b = (struct broadcast_page){.refs = 1, .full = log->full, .bound = page_bound(page, log), .n = log->n};
    for (size_t i = 0; i < log->n; ++i) {
        b->entries[i] = log->entries[i];
        if (log->entries[i].text.n == 0)
            continue;
        memcpy(text, log->entries[i].text.p, log->entries[i].text.n);
        b->entries[i].text.p = text;
        text += log->entries[i].text.n;
    }
    return b;
}

/* True if the page served it, or refused it. */
static bool serve(struct ws_catch_up *u, const struct page *page, struct broadcast_page *b)
{
    struct page view = *page;
    struct position at = u->core.at;
    at.n = 0;
    if (position_cmp(at, page->after) < 0)
        return false;
    view.after = at;
    u->resync = (uint8_t)page_judge(&view);
    if (u->resync == RESYNC_NONE && b->full && position_cmp(at, b->bound) >= 0)
        return false;
    if (u->resync == RESYNC_NONE) {
        u->broadcasts = b;
        ++b->refs;
        conn_wake(u->conn);
    } else {
        conn_want_head(u->conn); /* this page was perhaps asked before live events were taken in */
    }
    return true;
}

static void on_page(void *data, const struct page *page)
{
    struct edge *e = data;
    struct catch_up_list *l = &e->want_broadcasts;
    size_t kept = 0;
    e->broadcasts_in_flight = false;
    if (page == NULL || e->broadcasts_generation != e->gap_generation)
        return; /* the end; or who waits has begun to wait after a gap: it is asked again */
    struct broadcast_page *b = copy_page(page);
    for (size_t i = 0; i < l->n; ++i) {
        struct ws_catch_up *u = l->entries[i];
        if (u->conn != NULL && !serve(u, page, b))
            l->entries[kept++] = u;
        else
            catch_up_release(u);
    }
    l->n = kept;
    e->broadcasts_upto = b->bound;
    release(b);
}

/* The next position at or above the end of the last page, else the least; false if nobody waits. */
static bool next_position(struct edge *e, struct position *out)
{
    const struct catch_up_list *l = &e->want_broadcasts;
    const struct position *least = NULL, *next = NULL;
    for (size_t i = 0; i < l->n; ++i) {
        const struct position *at = &l->entries[i]->core.at;
        if (l->entries[i]->conn == NULL)
            continue;
        if (least == NULL || position_cmp(*at, *least) < 0)
            least = at;
        if (position_cmp(*at, e->broadcasts_upto) >= 0 && (next == NULL || position_cmp(*at, *next) < 0))
            next = at;
    }
    if (least == NULL)
        return false;
    *out = next != NULL ? *next : *least;
    out->n = 0;
    return true;
}

void conn_want_broadcasts(struct ws_conn *c)
{
    c->catch_up->phase = PHASE_BROADCASTS;
    catch_up_list_add(&c->edge->want_broadcasts, c->catch_up);
}

void edge_ask_broadcasts(struct edge *e)
{
    struct event_log_ref log = {.kind = EVENT_LOG_BROADCAST};
    struct page_request request = {.logs = &log, .n = 1, .count = PAGE_ENTRIES_MAX};
    if (e->want_broadcasts.n == 0 || e->broadcasts_in_flight || !next_position(e, &request.after))
        return;
    e->broadcasts_in_flight = true;
    e->broadcasts_generation = e->gap_generation;
    pubsub_read_page(e->pubsub, &request, on_page, e);
}
