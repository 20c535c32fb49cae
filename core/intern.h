/* Strings that many hold at the same time, each kept once: user agents, of which there are few. */
#ifndef CORE_INTERN_H
#define CORE_INTERN_H

#include "core/table.h"

struct interned {
    struct table_link link;
    uint32_t holders;
    uint16_t len;
    char bytes[];
};

/* One more holder. s.n ≤ 65535. NULL for a string without bytes. The table is the caller's (table_init, and
 * table_dispose once all are released). */
struct interned *intern_hold(struct table *t, struct str s);
/* Does nothing with NULL; the last holder's release frees it. */
void intern_release(struct table *t, struct interned *i);
/* STR_LIT("") of NULL. */
struct str intern_str(const struct interned *i);

#endif
