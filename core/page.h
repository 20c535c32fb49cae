/* Pages: what one read of some logs has brought, in one atomic step with the history at that moment. */
#ifndef CORE_PAGE_H
#define CORE_PAGE_H

#include "core/history.h"

/* Entries of one log in a page, at most; bytes of their texts, unless one entry alone has more; logs in one page. */
#define PAGE_ENTRIES_MAX 100
#define PAGE_BYTES_MAX ((size_t)256 * 1024)
#define PAGE_LOGS_MAX 3

/* text is what clients get, checked as whatever comes live; without bytes (p NULL) where an entry has none to show: it
 * was erased, or is not of the form. */
struct page_entry {
    struct position id;
    struct str text;
};

struct page_log {
    bool empty; /* the log holds nothing at all */
    /* Id of the log's first entry, and of the entry that came before that one; 0-0: none. Of an empty log both are the
     * last entry that is known to have been in it. A first entry that does not tell what came before it counts as its
     * own predecessor. */
    struct position first, first_prev;
    struct page_entry *entries; /* ids increasing, all above the page's `after` */
    size_t n;
    bool full; /* more may follow the last entry; n is then at least 1 */
};

struct page {
    struct position after; /* as it was asked */
    struct history history;
    struct page_log logs[PAGE_LOGS_MAX]; /* in the order in which they were asked */
    size_t n;
};

/* How far a page is known to be complete for one of its logs: a full one's last id, any other's head. */
struct position page_bound(const struct page *page, const struct page_log *log);
/* True if something after `p` is gone from the log: its first entry's predecessor is newer than p. */
bool page_log_incomplete(const struct page_log *log, struct position p);
/* Why `page->after` cannot be served, or RESYNC_NONE: history_judge, then RESYNC_EXPIRED where it is below the floor or
 * one of the page's logs is incomplete. */
enum resync_reason page_judge(const struct page *page);
/* The oldest position from which all of the page's logs are complete. */
struct position page_oldest(const struct page *page);

#endif
