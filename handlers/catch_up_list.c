/* Lists of connections that catch up, and whose turn it is. A connection leaves what it has asked for without being
 * looked for in any list: its struct ws_catch_up stays there, given up, until the list comes to it. */
#include "handlers/internal.h"
#include "core/clock.h"
#include <stdlib.h>

/* How long one turn of the loop gives turns. */
#define SLICE_MS 2
#define SLICE_CHECK 16

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

/* --- turns ----------------------------------------------------------------------------------------------------------
 */

void conn_wake(struct ws_conn *c)
{
    if (!conn_is_catching_up(c) || c->catch_up->queued)
        return;
    c->catch_up->queued = true;
    catch_up_list_add(&c->edge->steps, c->catch_up);
}

void edge_steps(struct edge *e)
{
    struct catch_up_list *l = &e->steps;
    uint64_t until_ms = clock_monotonic_ms() + SLICE_MS;
    /* who is woken meanwhile has his turn in the next one */
    for (size_t left = l->n - l->first; left != 0; --left) {
        struct ws_catch_up *u = l->entries[l->first++];
        u->queued = false;
        if (u->conn != NULL)
            conn_step(u->conn);
        catch_up_release(u);
        if (left % SLICE_CHECK == 0 && clock_monotonic_ms() >= until_ms)
            break;
    }
    if (l->first == l->n)
        l->n = l->first = 0;
}

void edge_free_catch_up(struct edge *e)
{
    catch_up_list_free(&e->steps);
    catch_up_list_free(&e->want_head);
    catch_up_list_free(&e->asked_head);
    catch_up_list_free(&e->want_mark);
    catch_up_list_free(&e->want_broadcasts);
}
