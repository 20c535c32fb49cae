/* Acknowledged positions that wait to be stored. */
#include "core/cursors.h"
#include <stdlib.h>

struct cursor_key {
    struct str user, name;
};

/* --- the entries ----------------------------------------------------------------------------------------------------
 */

/* The name's hash is turned round, so that two cursors whose user and name are swapped differ. */
static uint32_t hash_of(const struct cursor_key *key)
{
    uint32_t name = table_hash(key->name.p, key->name.n);

    return table_hash(key->user.p, key->user.n) ^ (name << 16 | name >> 16);
}

static bool matches(const struct table_link *l, const void *data)
{
    const struct cursor *one = (const struct cursor *)l;
    const struct cursor_key *key = data;

    return str_eq(cursor_user(one), key->user) && str_eq(cursor_name(one), key->name);
}

static struct cursor *find(const struct cursors *c, const struct cursor_key *key)
{
    return (struct cursor *)table_find(&c->table, hash_of(key), matches, key);
}

static void leave_list(struct cursors *c, struct cursor *one)
{
    struct cursor_list *l = &c->lists[one->state];

    *(one->prev != NULL ? &one->prev->next : &l->first) = one->next;
    *(one->next != NULL ? &one->next->prev : &l->last) = one->prev;
}

static void enter_list(struct cursors *c, struct cursor *one, enum cursor_state state)
{
    struct cursor_list *l = &c->lists[state];

    one->state = state;
    one->next = NULL;
    one->prev = l->last;
    *(l->last != NULL ? &l->last->next : &l->first) = one;
    l->last = one;
}

static void set_state(struct cursors *c, struct cursor *one, enum cursor_state state)
{
    leave_list(c, one);
    enter_list(c, one, state);
}

static void add(struct cursors *c, const struct cursor_key *key, struct position at)
{
    struct cursor *one;

    if (c->count == CURSORS_MAX)
        return;
    one = mem_zalloc(sizeof(*one) + key->user.n + key->name.n);
    one->acked = at;
    one->user_len = (uint16_t)key->user.n;
    one->name_len = (uint8_t)key->name.n;
    memcpy(one->bytes, key->user.p, key->user.n);
    memcpy(one->bytes + key->user.n, key->name.p, key->name.n);
    table_add(&c->table, &one->link, hash_of(key));
    enter_list(c, one, CURSOR_DUE);
    c->count++;
}

static void forget(struct cursors *c, struct cursor *one)
{
    leave_list(c, one);
    table_remove(&c->table, &one->link);
    c->count--;
    free(one);
}

/* Since it was stored. */
static bool has_moved(const struct cursor *one)
{
    return position_cmp(one->acked, one->stored) > 0;
}

/* --- from clients ---------------------------------------------------------------------------------------------------
 */

void cursors_init(struct cursors *c)
{
    *c = (struct cursors){0};
    table_init(&c->table);
}

void cursors_dispose(struct cursors *c)
{
    for (int state = CURSOR_DUE; state <= CURSOR_RESTING; state++) {
        while (c->lists[state].first != NULL)
            forget(c, c->lists[state].first);
    }
    table_dispose(&c->table);
}

void cursors_ack(struct cursors *c, struct str user, struct str name, struct position at)
{
    struct cursor_key key = {user, name};
    struct cursor *one = find(c, &key);

    at.n = 0;
    if (one == NULL)
        add(c, &key, at);
    else if (position_cmp(at, one->acked) > 0)
        one->acked = at;
}

void cursors_closed(struct cursors *c, struct str user, struct str name)
{
    struct cursor_key key = {user, name};
    struct cursor *one = find(c, &key);

    if (one == NULL || !has_moved(one))
        return;
    if (one->state == CURSOR_RESTING)
        set_state(c, one, CURSOR_DUE);
    one->hurry = one->state == CURSOR_SENT;
}

struct position cursors_acked(const struct cursors *c, struct str user, struct str name)
{
    struct cursor_key key = {user, name};
    const struct cursor *one = find(c, &key);

    return one != NULL ? one->acked : (struct position){0};
}

/* --- to the store ---------------------------------------------------------------------------------------------------
 */

size_t cursors_take(struct cursors *c, struct cursor **out, size_t max)
{
    size_t n = 0;

    while (n < max && c->lists[CURSOR_DUE].first != NULL) {
        struct cursor *one = c->lists[CURSOR_DUE].first;

        one->taken = one->acked;
        one->hurry = false;
        set_state(c, one, CURSOR_SENT);
        out[n++] = one;
    }
    return n;
}

void cursors_done(struct cursors *c, struct cursor *one, bool stored, uint64_t now_ms)
{
    if (stored)
        one->stored = one->taken;
    if (stored && one->hurry && has_moved(one)) {
        set_state(c, one, CURSOR_DUE);
        return;
    }
    one->rested_ms = now_ms + CURSOR_REST_MS;
    set_state(c, one, CURSOR_RESTING);
}

void cursors_return(struct cursors *c, struct cursor *one)
{
    set_state(c, one, CURSOR_DUE);
}

void cursors_tick(struct cursors *c, uint64_t now_ms)
{
    struct cursor *one;

    while ((one = c->lists[CURSOR_RESTING].first) != NULL && now_ms >= one->rested_ms) {
        if (has_moved(one))
            set_state(c, one, CURSOR_DUE);
        else
            forget(c, one);
    }
}

bool cursors_settled(const struct cursors *c)
{
    return c->lists[CURSOR_DUE].first == NULL && c->lists[CURSOR_SENT].first == NULL;
}
