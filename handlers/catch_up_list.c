/* Lists of connections that catch up. A connection leaves what it has asked for without being looked for in any list:
 * its struct ws_catch_up stays there, given up, until the list comes to it. */
#include "handlers/internal.h"
#include <stdlib.h>

void catch_up_list_add(struct catch_up_list *l, struct ws_catch_up *u)
{
    if (l->n == l->cap && l->first > l->cap / 2) {
        l->n -= l->first;
        memmove(l->entries, l->entries + l->first, l->n * sizeof(struct ws_catch_up *));
        l->first = 0;
    } else if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->entries = mem_realloc(l->entries, l->cap * sizeof(struct ws_catch_up *));
    }
    ++u->refs;
    l->entries[l->n++] = u;
}

void catch_up_release(struct ws_catch_up *u)
{
    if (--u->refs == 0 && u->conn == NULL)
        free(u);
}

void catch_up_list_free(struct catch_up_list *l)
{
    for (size_t i = l->first; i < l->n; ++i)
        catch_up_release(l->entries[i]);
    free(l->entries);
    *l = (struct catch_up_list){0};
}
