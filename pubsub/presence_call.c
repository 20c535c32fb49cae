/* Reads and writes what is said and kept of connections. */
#include "pubsub/presence_call.h"
#include <hiredis/hiredis.h>
#include "core/audience.h"
#include "core/utf8.h"
#include "core/units.h"
#include "pubsub/identity_call.h"
#include "pubsub/script_builder.h"

/* --- entries --------------------------------------------------------------------------------------------------------
 */

/* A string, or null for one that is absent. */
static bool read_string(struct arena *a, struct json_value v, bool may_be_null, struct str *out)
{
    *out = STR_NONE;
    if (v.kind == JSON_STRING)
        *out = json_string(a, v);
    return v.kind == JSON_STRING || (may_be_null && v.kind == JSON_NULL);
}

int presence_entry_parse(struct arena *a, struct str id, struct str json, struct presence_entry *out)
{
    struct json_member *m;
    size_t n;

    if (!random_id_valid(id) || json.n > PRESENCE_ENTRY_MAX || json_check(json) != NULL)
        return -1;
    json = arena_copy(a, json);
    if (json_value(json).kind != JSON_OBJECT)
        return -1;
    n = json_members(a, json, &m);
    *out = (struct presence_entry){.id = arena_copy(a, id)};
    if (!read_string(a, json_get(m, n, "user"), false, &out->user) || !id_valid(out->user, USER_ID_MAX) ||
        !read_string(a, json_get(m, n, "node"), false, &out->node) || !random_id_valid(out->node) ||
        !read_string(a, json_get(m, n, "address"), true, &out->address) ||
        !read_string(a, json_get(m, n, "user_agent"), true, &out->user_agent) ||
        units_parse_count(json_get(m, n, "since").raw, &out->since_ms) != 0)
        return -1;
    return 0;
}

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

int presence_scan_parse(const redisReply *r, struct presence_scan *out)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !is_text(r->element[0]) ||
        r->element[1]->type != REDIS_REPLY_ARRAY ||
        units_parse_count((struct str){r->element[0]->str, r->element[0]->len}, &out->cursor) != 0)
        return -1;
    out->n = r->element[1]->elements;
    out->elements = r->element[1]->element;
    for (size_t i = 0; i < out->n; i++)
        if (!is_text(out->elements[i]))
            return -1;
    return 0;
}

/* --- cursors of pages -----------------------------------------------------------------------------------------------
 */

void presence_cursor_format(struct buf *out, const struct presence_cursor *c)
{
    if (c->of_user) {
        buf_append_char(out, 'u');
        buf_append(out, (struct str){c->after, RANDOM_ID_LEN});
        return;
    }
    buf_printf(out, "s%llu", (unsigned long long)c->scan);
    for (size_t i = 0; i < c->rest_n; i++) {
        buf_append_char(out, '.');
        buf_append(out, (struct str){c->rest[i], RANDOM_ID_LEN});
    }
}

int presence_cursor_parse(struct str text, struct presence_cursor *out)
{
    struct str rest = {text.p + 1, text.n - 1}, id;

    *out = (struct presence_cursor){0};
    if (text.n < 2 || (text.p[0] != 'u' && text.p[0] != 's'))
        return -1;
    out->of_user = text.p[0] == 'u';
    if (out->of_user) {
        if (!random_id_valid(rest))
            return -1;
        memcpy(out->after, rest.p, RANDOM_ID_LEN);
        return 0;
    }
    if (units_parse_count(str_split(&rest, '.'), &out->scan) != 0)
        return -1;
    while (rest.p != NULL) {
        id = str_split(&rest, '.');
        if (out->rest_n == PRESENCE_REST_MAX || !random_id_valid(id))
            return -1;
        memcpy(out->rest[out->rest_n++], id.p, RANDOM_ID_LEN);
    }
    return out->scan != 0 || out->rest_n != 0 ? 0 : -1;
}

/* --- messages on the channel of a node ------------------------------------------------------------------------------
 */

/* The next word, which has to be there. */
static bool take_word(struct str *rest, struct str *word)
{
    if (rest->p == NULL)
        return false;
    *word = str_split(rest, ' ');
    return true;
}

static bool take_kind(struct str *rest, const char *kind)
{
    struct str word;

    return take_word(rest, &word) && str_eq(word, str_of(kind));
}

static bool take_id(struct str *rest, struct str *id)
{
    return take_word(rest, id) && random_id_valid(*id);
}

static void put_word(struct buf *out, struct str word)
{
    buf_append_char(out, ' ');
    buf_append(out, word);
}

void presence_question_format(struct buf *out, const struct presence_question *q)
{
    buf_lit(out, "ask");
    put_word(out, q->nonce);
    put_word(out, q->node);
    put_word(out, q->id);
}

int presence_question_parse(struct str rest, struct presence_question *out)
{
    return take_kind(&rest, "ask") && take_id(&rest, &out->nonce) && take_id(&rest, &out->node) &&
                   take_id(&rest, &out->id) && rest.p == NULL
               ? 0
               : -1;
}

static const char *const state_names[] = {
    [PRESENCE_AWAY] = "away",
    [PRESENCE_CONNECTING] = "connecting",
    [PRESENCE_CATCHING_UP] = "catching_up",
    [PRESENCE_LIVE] = "live",
};

const char *presence_state_name(enum presence_state s)
{
    return state_names[s];
}

/* Of those that a worker can answer. */
static bool read_state(struct str word, enum presence_state *out)
{
    for (int s = PRESENCE_CONNECTING; s <= PRESENCE_LIVE; s++) {
        if (str_eq(word, str_of(state_names[s]))) {
            *out = (enum presence_state)s;
            return true;
        }
    }
    return false;
}

void presence_answer_format(struct buf *out, const struct presence_answer *a)
{
    char position[POSITION_MAX];

    buf_lit(out, "answer");
    put_word(out, a->nonce);
    put_word(out, a->id);
    if (a->gone) {
        buf_lit(out, " gone");
        return;
    }
    buf_printf(out, " %s %llu", presence_state_name(a->now.state), (unsigned long long)a->now.last_seen_ms);
    put_word(out, (struct str){position, position_format(position, a->now.position)});
}

int presence_answer_parse(struct str rest, struct presence_answer *out)
{
    struct str state, seen, position;

    *out = (struct presence_answer){0};
    if (!take_kind(&rest, "answer") || !take_id(&rest, &out->nonce) || !take_id(&rest, &out->id) ||
        !take_word(&rest, &state))
        return -1;
    if (rest.p == NULL) {
        out->gone = str_eq(state, STR_LIT("gone"));
        return out->gone ? 0 : -1;
    }
    return take_word(&rest, &seen) && take_word(&rest, &position) && rest.p == NULL &&
                   read_state(state, &out->now.state) && units_parse_count(seen, &out->now.last_seen_ms) == 0 &&
                   position_parse(position, &out->now.position) == 0
               ? 0
               : -1;
}

int presence_order_parse(struct str rest, struct presence_order *out)
{
    struct str word;
    uint64_t gen;

    if (!take_kind(&rest, "disconnect") || !take_id(&rest, &out->id) || !take_word(&rest, &word) ||
        units_parse_count(word, &gen) != 0 || gen > UINT32_MAX || !id_valid(rest, DISCONNECT_REASON_MAX))
        return -1;
    out->gen = (uint32_t)gen;
    out->reason = rest;
    return 0;
}

/* --- disconnect.lua -------------------------------------------------------------------------------------------------
 */

void script_disconnect_build(struct script_call *c, const struct script_settings *s, bool of_user, struct str id,
                             struct str reason)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_DISCONNECT, s->prefix, of_user ? 4 : 5);
    identity_keys(&b);
    if (of_user) {
        buf_append(&c->bytes, s->prefix);
        buf_lit(&c->bytes, "user:");
        buf_append(&c->bytes, id);
        buf_lit(&c->bytes, ":conns");
        builder_end_argument(&b);
    } else {
        builder_key(&b, "away:", id);
        builder_key(&b, "log:conn:", id);
    }
    identity_argument(&b, s);
    builder_str(&b, of_user ? STR_LIT("user") : STR_LIT("connection"));
    builder_str(&b, id);
    builder_u64(&b, DISCONNECT_STEP);
    builder_u64(&b, DISCONNECT_REMEMBER_MS);
    builder_str(&b, reason);
    builder_end(&b);
}

int script_disconnect_parse(const redisReply *r, struct script_disconnect_reply *out)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_INTEGER ||
        r->element[1]->type != REDIS_REPLY_INTEGER || r->element[0]->integer < 0 || r->element[1]->integer < 0)
        return -1;
    out->ordered = (uint64_t)r->element[0]->integer;
    out->left = (uint64_t)r->element[1]->integer;
    return 0;
}
