/* What `belfry status` shows, made from two answers of /metrics. */
#ifndef SERVER_STATUS_VIEW_H
#define SERVER_STATUS_VIEW_H

#include "core/str.h"

struct status_sample {
    struct str text; /* of /metrics */
    uint64_t at_ms;  /* monotonic */
};

/* Appends lines of at most 100 columns for up to 6 workers; of more only the whole is shown. Rates are those between
 * the two. What is not in the texts shows as "-". */
void status_view(struct buf *out, const char *address, const struct status_sample *before,
                 const struct status_sample *now);

#endif
