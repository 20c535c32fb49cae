/* What a page proves: how far it is complete, and whether something before it is gone. */
#include "core/page.h"

struct position page_bound(const struct page *page, const struct page_log *log)
{
    return log->full && log->n != 0 ? log->entries[log->n - 1].id : page->history.head;
}

bool page_log_incomplete(const struct page_log *log, struct position p)
{
    p.n = 0;
    return position_cmp(log->first_prev, p) > 0;
}

enum resync_reason page_judge(const struct page *page)
{
    enum resync_reason reason = history_judge(&page->history, page->after);

    if (reason != RESYNC_NONE)
        return reason;
    if (page->after.seq < page->history.floor)
        return RESYNC_EXPIRED;
    for (size_t i = 0; i < page->n; i++) {
        if (page_log_incomplete(&page->logs[i], page->after))
            return RESYNC_EXPIRED;
    }
    return RESYNC_NONE;
}

struct position page_oldest(const struct page *page)
{
    struct position oldest = history_oldest(&page->history);

    for (size_t i = 0; i < page->n; i++) {
        /* Within one history seq alone tells the order. */
        if (page->logs[i].first_prev.seq > oldest.seq)
            oldest = page->logs[i].first_prev;
    }
    return oldest;
}
