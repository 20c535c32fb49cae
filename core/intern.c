/* A table of strings with the number of their holders. */
#include "core/intern.h"
#include <assert.h>
#include <stdlib.h>

static bool is_string(const struct table_link *l, const void *key)
{
    return str_eq(intern_str((const struct interned *)l), *(const struct str *)key);
}

struct interned *intern_hold(struct table *t, struct str s)
{
    if (s.n == 0)
        return NULL;
    assert(s.n <= UINT16_MAX);
    uint32_t hash = table_hash(s.p, s.n);
    struct interned *i = (struct interned *)table_find(t, hash, is_string, &s);
    if (i == NULL) {
        i = mem_zalloc(sizeof(*i) + s.n);
        i->len = (uint16_t)s.n;
        memcpy(i->bytes, s.p, s.n);
        table_add(t, &i->link, hash);
    }
    ++i->holders;
    return i;
}

void intern_release(struct table *t, struct interned *i)
{
    if (i == NULL || --i->holders != 0)
        return;
    table_remove(t, &i->link);
    free(i);
}

struct str intern_str(const struct interned *i)
{
    return i == NULL ? STR_LIT("") : (struct str){i->bytes, i->len};
}
