/* Reads what the logs hold, entry by entry: anybody may write into them. */
#include "pubsub/log_reply.h"
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include "core/envelope.h"
#include "core/units.h"

/* Fields of an entry that are looked at: belfry's own have two. */
#define FIELDS_MAX 8

static bool is_array(const redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY;
}

static struct str text_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? (struct str){r->str, (size_t)r->len} : STR_NONE;
}

static bool read_id(const redisReply *r, struct position *out)
{
    return position_parse(text_of(r), out) == 0 && out->n == 0;
}

static bool read_number(const redisReply *r, uint64_t *out)
{
    return units_parse_count(text_of(r), out) == 0;
}

/* --- the history ----------------------------------------------------------------------------------------------------
 */

int history_parse(const redisReply *head, const redisReply *ends, struct history *out)
{
    *out = (struct history){0};
    if (!is_array(head) || head->elements != 4 || !is_array(ends) || ends->elements % 2 != 0)
        return -1;
    if (!read_number(head->element[0], &out->head.epoch) || !read_number(head->element[1], &out->head.seq))
        return -1;
    if (!read_number(head->element[2], &out->floor) || !read_id(head->element[3], &out->last))
        return -1;
    size_t n = ends->elements / 2 < HISTORY_ENDS_MAX ? ends->elements / 2 : HISTORY_ENDS_MAX;
    out->ends = mem_alloc((n != 0 ? n : 1) * sizeof(*out->ends));
    for (size_t i = 0; i < n; i++) {
        struct history_end *e = &out->ends[out->n];
        /* One that cannot be read ended nowhere: its positions are told that they are lost. */
        if (read_number(ends->element[2 * i], &e->epoch) && read_number(ends->element[2 * i + 1], &e->seq))
            out->n++;
    }
    return 0;
}

/* --- entries --------------------------------------------------------------------------------------------------------
 */

int log_entry_parse(const redisReply *r, struct log_entry *out)
{
    *out = (struct log_entry){.payload = STR_NONE};
    if (!is_array(r) || r->elements != 2 || !read_id(r->element[0], &out->id) || !is_array(r->element[1]))
        return -1;
    const redisReply *fields = r->element[1];
    bool has_prev = false;
    for (size_t i = 0; i + 1 < fields->elements && i < 2 * FIELDS_MAX; i += 2) {
        struct str name = text_of(fields->element[i]);
        if (str_eq(name, STR_LIT("payload")))
            out->payload = text_of(fields->element[i + 1]);
        else if (str_eq(name, STR_LIT("prev")))
            has_prev = read_id(fields->element[i + 1], &out->prev);
    }
    if (!has_prev || position_cmp(out->prev, out->id) >= 0)
        out->prev = out->id;
    return 0;
}

struct str log_entry_text(const struct log_entry *e, const char **why)
{
    struct arena arena = {0};
    struct envelope envelope;
    *why = NULL;
    if (e->payload.p == NULL)
        return STR_NONE;
    *why = envelope_parse(&arena, e->payload, &envelope);
    if (*why == NULL && (!envelope.own || position_cmp(envelope.id, e->id) != 0))
        *why = "in a log under another id";
    arena_free(&arena);
    return *why == NULL ? envelope.text : STR_NONE;
}

/* --- a page's log ---------------------------------------------------------------------------------------------------
 */

static int parse_first(const redisReply *first, struct page_log *out)
{
    struct log_entry e;
    if (!is_array(first) || first->elements > 1)
        return -1;
    out->empty = first->elements == 0;
    if (out->empty)
        return 0;
    if (log_entry_parse(first->element[0], &e) != 0)
        return -1;
    out->first = e.id;
    out->first_prev = e.prev;
    return 0;
}

/* The entry joins the page, unless the page has its bytes already: false. */
static bool take_entry(const struct log_entry *e, struct page_log *out, size_t *page_bytes, struct log_sample *sample)
{
    const char *why;
    if (out->n != 0 && *page_bytes + e->payload.n > PAGE_BYTES_MAX)
        return false;
    *page_bytes += e->payload.n;
    out->entries[out->n++] = (struct page_entry){e->id, log_entry_text(e, &why)};
    if (why != NULL) {
        sample->junk++;
        sample->why = why;
    }
    return true;
}

int page_log_parse(const redisReply *first, const redisReply *range, struct position after, unsigned asked,
                   struct page_log *out, struct log_sample *sample)
{
    size_t page_bytes = 0;
    bool cut = false;
    *out = (struct page_log){0};
    *sample = (struct log_sample){0};
    if (parse_first(first, out) != 0 || !is_array(range) || range->elements > asked)
        return -1;
    out->entries = mem_alloc((range->elements != 0 ? range->elements : 1) * sizeof(*out->entries));
    after.n = 0;
    for (size_t i = 0; i < range->elements; i++) {
        struct log_entry e;
        if (log_entry_parse(range->element[i], &e) != 0 || position_cmp(e.id, after) <= 0) {
            free(out->entries);
            out->entries = NULL;
            return -1;
        }
        after = e.id;
        sample->bytes += e.payload.n;
        sample->entries++;
        cut = cut || !take_entry(&e, out, &page_bytes, sample);
    }
    out->full = cut || range->elements == asked;
    return 0;
}
