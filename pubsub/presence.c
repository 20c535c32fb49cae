/* Pages of who is connected, of what stands in Redis. All connections are walked through by HSCAN: a step that brings
 * more than the page may have leaves the ids of the rest in the cursor. A user's are sorted by id: the set is read step
 * by step, and of it the least ids behind those of the page before are kept. */
#include "pubsub/internal.h"
#include "core/clock.h"
#include "pubsub/presence_call.h"
#include <stdio.h>
#include <stdlib.h>

/* Of ws:conns, where only a node's are asked for: how many a step looks at beyond those that are wanted, which it may
 * bring as well, and how many steps a page takes. */
#define FILTER_MORE (PRESENCE_REST_MAX / 2)
#define STEPS_MAX 20
#define SET_STEP 1000

struct listing {
    struct ask ask;
    presence_page_cb cb;
    void *data;
    struct arena arena;
    struct str user, node; /* in the arena */
    size_t limit;
    struct presence_cursor at;
    bool set_read; /* of a user: all ids are known */
    uint64_t set_scan;
    unsigned steps;
    char (*ids)[RANDOM_ID_LEN]; /* of a user: the least ids behind the cursor, one more than the limit; sorted */
    size_t ids_n;
    struct presence_entry *entries;
    size_t n, cap;
};

static void listing_free(struct listing *l)
{
    arena_free(&l->arena);
    free(l->ids);
    free(l->entries);
    free(l);
}

static void fail(struct listing *l)
{
    l->cb(l->data, NULL);
    listing_free(l);
}

static void on_failure(struct ask *a)
{
    fail((struct listing *)a);
}

/* `more`: there is another page, from l->at on. */
static void answer(struct listing *l, bool more)
{
    struct buf cursor = {0};
    if (more)
        presence_cursor_format(&cursor, &l->at);
    l->cb(l->data, &(struct presence_page){.entries = l->entries, .n = l->n, .cursor = buf_str(&cursor)});
    buf_free(&cursor);
    listing_free(l);
}

/* Most entries of a walk for one node are another's: they need not be read. */
static bool may_be_asked_for(const struct listing *l, const redisReply *value)
{
    return value->type == REDIS_REPLY_STRING &&
           (l->node.n == 0 || memmem(value->str, value->len, l->node.p, l->node.n) != NULL);
}

/* What somebody else has put there is no connection. */
static void take(struct listing *l, struct str id, const redisReply *value)
{
    struct presence_entry e;
    if (!may_be_asked_for(l, value) ||
        presence_entry_parse(&l->arena, id, (struct str){value->str, value->len}, &e) != 0 ||
        (l->node.p != NULL && !str_eq(e.node, l->node)) || (l->user.p != NULL && !str_eq(e.user, l->user)))
        return;
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->entries = mem_realloc(l->entries, l->cap * sizeof(*l->entries));
    }
    l->entries[l->n++] = e;
}

static void send_entries(struct listing *l, const char (*ids)[RANDOM_ID_LEN], size_t n)
{
    struct buf key = ask_key(l->ask.p, "conns", STR_NONE, "");
    const char **argv = mem_alloc((n + 2) * sizeof(*argv));
    size_t *lens = mem_alloc((n + 2) * sizeof(*lens));
    argv[0] = "HMGET";
    lens[0] = 5;
    argv[1] = key.p;
    lens[1] = key.n;
    for (size_t i = 0; i < n; ++i) {
        argv[i + 2] = ids[i];
        lens[i + 2] = RANDOM_ID_LEN;
    }
    ask_command(&l->ask, (int)n + 2, argv, lens);
    free(argv);
    free(lens);
    buf_free(&key);
}

static void send_scan(struct listing *l, const char *command, const struct buf *key, uint64_t cursor, size_t count)
{
    char at[24], n[24];
    snprintf(at, sizeof(at), "%llu", (unsigned long long)cursor);
    snprintf(n, sizeof(n), "%zu", count);
    ask_command(&l->ask, 5, (const char *[]){command, key->p, at, "COUNT", n},
                (size_t[]){5, key->n, strlen(at), 5, strlen(n)});
}

static bool take_entries(struct listing *l, const redisReply *r, const char (*ids)[RANDOM_ID_LEN], size_t n)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != n)
        return false;
    for (size_t i = 0; i < n; ++i)
        take(l, (struct str){ids[i], RANDOM_ID_LEN}, r->element[i]);
    return true;
}

static void on_unexpected(struct listing *l, const redisReply *r)
{
    ask_log_refused(&l->ask, redis_reply_str(r));
    fail(l);
}

/* --- all connections ------------------------------------------------------------------------------------------------
 */

static void send_all(struct ask *a)
{
    struct listing *l = (struct listing *)a;
    if (l->at.rest_n != 0) {
        send_entries(l, (const char(*)[RANDOM_ID_LEN])l->at.rest, l->at.rest_n);
        return;
    }
    struct buf key = ask_key(a->p, "conns", STR_NONE, "");
    send_scan(l, "HSCAN", &key, l->at.scan, l->limit - l->n + (l->node.p != NULL ? FILTER_MORE : 0));
    buf_free(&key);
}

/* Those above the limit go into the cursor, as far as it holds them. */
static void leave_rest(struct listing *l)
{
    size_t over = l->n > l->limit ? l->n - l->limit : 0;
    l->at.rest_n = over < PRESENCE_REST_MAX ? over : PRESENCE_REST_MAX;
    l->n -= l->at.rest_n;
    for (size_t i = 0; i < l->at.rest_n; ++i)
        memcpy(l->at.rest[i], l->entries[l->n + i].id.p, RANDOM_ID_LEN);
}

static void go_on(struct listing *l)
{
    ++l->steps;
    if (l->at.scan != 0 && l->n < l->limit && l->steps < STEPS_MAX) {
        ask_again(&l->ask);
        return;
    }
    leave_rest(l);
    answer(l, l->at.scan != 0 || l->at.rest_n != 0);
}

static void on_all(struct ask *a, redisReply *reply)
{
    struct listing *l = (struct listing *)a;
    struct presence_scan step;
    if (l->at.rest_n != 0 && take_entries(l, reply, (const char(*)[RANDOM_ID_LEN])l->at.rest, l->at.rest_n)) {
        l->at.rest_n = 0;
        go_on(l);
    } else if (l->at.rest_n == 0 && presence_scan_parse(reply, &step) == 0 && step.n % 2 == 0) {
        for (size_t i = 0; i < step.n; i += 2)
            take(l, redis_reply_str(step.elements[i]), step.elements[i + 1]);
        l->at.scan = step.cursor;
        go_on(l);
    } else {
        on_unexpected(l, reply);
    }
}

static const struct ask_callbacks all_callbacks = {send_all, on_all, on_failure, .once = false};

/* --- a user's connections -------------------------------------------------------------------------------------------
 */

static void send_user(struct ask *a)
{
    struct listing *l = (struct listing *)a;
    if (l->set_read) {
        send_entries(l, (const char(*)[RANDOM_ID_LEN])l->ids, l->ids_n < l->limit ? l->ids_n : l->limit);
        return;
    }
    struct buf key = ask_key(a->p, "user:", l->user, ":conns");
    send_scan(l, "SSCAN", &key, l->set_scan, SET_STEP);
    buf_free(&key);
}

/* Where an id is, or belongs. */
static size_t place_of(const struct listing *l, const char *id)
{
    size_t low = 0, high = l->ids_n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(l->ids[middle], id, RANDOM_ID_LEN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void take_id(struct listing *l, struct str id)
{
    if (!random_id_valid(id) || (l->at.of_user && memcmp(id.p, l->at.after, RANDOM_ID_LEN) <= 0))
        return;
    size_t place = place_of(l, id.p), kept = l->ids_n;
    if (place < kept && memcmp(l->ids[place], id.p, RANDOM_ID_LEN) == 0)
        return; /* a scan may tell it twice */
    if (place > l->limit)
        return;
    if (kept > l->limit)
        kept = l->limit; /* the last one gives way */
    memmove(l->ids[place + 1], l->ids[place], (kept - place) * RANDOM_ID_LEN);
    memcpy(l->ids[place], id.p, RANDOM_ID_LEN);
    l->ids_n = kept + 1;
}

static void on_set(struct listing *l, const redisReply *reply)
{
    struct presence_scan step;
    if (presence_scan_parse(reply, &step) != 0) {
        on_unexpected(l, reply);
        return;
    }
    for (size_t i = 0; i < step.n; ++i)
        take_id(l, redis_reply_str(step.elements[i]));
    l->set_scan = step.cursor;
    l->set_read = step.cursor == 0;
    if (l->set_read && l->ids_n == 0)
        answer(l, false);
    else
        ask_again(&l->ask);
}

static void on_user(struct ask *a, redisReply *reply)
{
    struct listing *l = (struct listing *)a;
    bool more = l->ids_n > l->limit;
    if (!l->set_read) {
        on_set(l, reply);
        return;
    }
    size_t n = more ? l->limit : l->ids_n;
    if (!take_entries(l, reply, (const char(*)[RANDOM_ID_LEN])l->ids, n)) {
        on_unexpected(l, reply);
        return;
    }
    l->at = (struct presence_cursor){.of_user = true};
    memcpy(l->at.after, l->ids[n - 1], RANDOM_ID_LEN);
    answer(l, more);
}

static const struct ask_callbacks user_callbacks = {send_user, on_user, on_failure, .once = false};

/* --------------------------------------------------------------------------------------------------------------------
 */

bool pubsub_list_connections(struct pubsub *p, const struct presence_query *q, presence_page_cb cb, void *data)
{
    bool of_user = q->user.p != NULL;
    struct presence_cursor at = {0};
    if (q->cursor.p != NULL && (presence_cursor_parse(q->cursor, &at) != 0 || at.of_user != of_user))
        return false;
    struct listing *l = mem_zalloc(sizeof(*l));
    l->cb = cb;
    l->data = data;
    l->limit = q->limit;
    l->at = at;
    if (of_user) {
        l->user = arena_copy(&l->arena, q->user);
        l->ids = mem_alloc((q->limit + 1) * sizeof(*l->ids));
    }
    if (q->node.p != NULL)
        l->node = arena_copy(&l->arena, q->node);
    ask_begin(&l->ask, p, of_user ? &user_callbacks : &all_callbacks);
    return true;
}
