/* Acknowledgements: how far a client has what it was sent. They move a cursor of its user, which pubsub/ stores; a
 * connection that brings no name for its cursor and acknowledges nothing costs nothing here. */
#include "handlers/internal.h"
#include "core/cursors.h"
#include <stdlib.h>

/* The name that a connection brought. */
struct cursor_name {
    struct table_link link; /* first: the table hands out these */
    const struct ws_conn *conn;
    uint8_t len;
    char bytes[];
};

static uint32_t hash_of(const struct ws_conn *c)
{
    return table_hash(&c, sizeof(c));
}

static bool is_of(const struct table_link *l, const void *conn)
{
    return ((const struct cursor_name *)l)->conn == conn;
}

static struct cursor_name *find(const struct ws_conn *c)
{
    return (struct cursor_name *)table_find(&c->edge->cursor_names, hash_of(c), is_of, c);
}

void conn_name_cursor(struct ws_conn *c, struct str name)
{
    struct cursor_name *n = mem_zalloc(sizeof(*n) + name.n);
    n->conn = c;
    n->len = (uint8_t)name.n;
    memcpy(n->bytes, name.p, name.n);
    table_add(&c->edge->cursor_names, &n->link, hash_of(c));
    c->cursor_named = true;
}

struct str conn_cursor_name(const struct ws_conn *c)
{
    if (!c->cursor_named)
        return CURSOR_DEFAULT;
    const struct cursor_name *n = find(c);
    return (struct str){n->bytes, n->len};
}

void conn_ack(struct ws_conn *c, const struct client_message *m)
{
    if (position_cmp(m->acked, conn_position(c)) > 0) {
        conn_error(c, ERROR_NOT_ACCEPTED, STR_LIT("this connection has not been sent that event"), m->ref,
                   str_of(m->acked_from));
        return;
    }
    c->acked = true;
    pubsub_ack(c->edge->pubsub, conn_user(c), conn_cursor_name(c), m->acked);
}

void conn_end_acks(struct ws_conn *c)
{
    if (c->acked)
        pubsub_acks_end(c->edge->pubsub, conn_user(c), conn_cursor_name(c));
    if (c->cursor_named) {
        struct cursor_name *n = find(c);
        table_remove(&c->edge->cursor_names, &n->link);
        free(n);
    }
    c->acked = c->cursor_named = false;
}

/* --- resuming at the cursor -----------------------------------------------------------------------------------------
 */

static void on_cursor(void *data, bool known, struct position at)
{
    struct ws_conn *c = data;
    --c->refs;
    if (c->state >= CONN_CLOSING)
        return;
    if (!known) {
        conn_close(c, 1013, "retry_after_ms=2000 the cursor cannot be read");
        return;
    }
    conn_begin_catch_up(c, at.epoch != 0 ? &at : NULL);
    conn_wake(c);
}

void conn_begin_at_cursor(struct ws_conn *c)
{
    ++c->refs;
    pubsub_read_cursor(c->edge->pubsub, conn_user(c), conn_cursor_name(c), on_cursor, c);
}
