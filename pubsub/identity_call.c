/* Builds KEYS and ARGV of the scripts that keep identities, and reads what they answer. */
#include "pubsub/identity_call.h"
#include <hiredis/hiredis.h>
#include "core/cidr.h"
#include "core/units.h"
#include "pubsub/pubsub.h"
#include "pubsub/script_builder.h"

struct identity_entry *identity_entry_create(enum identity_act act, const struct identity *i)
{
    struct identity_entry *e = mem_zalloc(sizeof(*e) + i->user.n + i->user_agent.n);

    e->act = act;
    e->gen = i->gen;
    e->since_ms = i->since_ms;
    e->code = i->code;
    e->duration_ms = i->duration_ms;
    memcpy(e->id, i->id.p, RANDOM_ID_LEN);
    if (i->address != NULL)
        memcpy(e->address, i->address, sizeof(e->address));
    e->user_len = (uint32_t)i->user.n;
    e->agent_len = (uint32_t)i->user_agent.n;
    memcpy(e->bytes, i->user.p, i->user.n);
    if (i->user_agent.n != 0)
        memcpy(e->bytes + i->user.n, i->user_agent.p, i->user_agent.n);
    return e;
}

static struct str id_of(const struct identity_entry *e)
{
    return (struct str){e->id, RANDOM_ID_LEN};
}

static struct str user_of(const struct identity_entry *e)
{
    return (struct str){e->bytes, e->user_len};
}

static size_t count(const struct identity_entry *entries)
{
    size_t n = 0;

    for (const struct identity_entry *e = entries; e != NULL; e = e->next)
        ++n;
    return n;
}

/* What all scripts begin with that identity.lua stands in front of: their KEYS, and the first of their ARGV. */
void identity_keys(struct script_builder *b)
{
    builder_key(b, "conns", STR_NONE);
    builder_key(b, "lifecycle", STR_NONE);
    builder_key(b, "lifecycle:due", STR_NONE);
}

void identity_argument(struct script_builder *b, const struct script_settings *s)
{
    if (s->lifecycle)
        builder_u64(b, s->presence_grace_ms);
    else
        builder_str(b, STR_LIT(""));
}

/* ws:away, the log and the user's set of the identity that an entry is about. */
static void entry_keys(struct script_builder *b, const struct identity_entry *e)
{
    struct buf *bytes = &b->call->bytes;
    struct str id = e->act == IDENTITY_CLAIM ? (struct str){e->claimed, RANDOM_ID_LEN} : id_of(e);

    builder_key(b, "away:", id);
    builder_key(b, "log:conn:", id);
    buf_append(bytes, b->prefix);
    buf_lit(bytes, "user:");
    buf_append(bytes, user_of(e));
    buf_lit(bytes, ":conns");
    builder_end_argument(b);
}

/* The JSON of ws:conns: what stands before the gen, and what behind it. */
static void entry_head(struct script_builder *b, const struct identity_entry *e, struct str node)
{
    struct buf *bytes = &b->call->bytes;

    buf_lit(bytes, "{\"user\":");
    buf_json_string(bytes, user_of(e));
    buf_lit(bytes, ",\"node\":");
    buf_json_string(bytes, node);
    buf_lit(bytes, ",\"gen\":");
    builder_end_argument(b);
}

static void entry_tail(struct script_builder *b, const struct identity_entry *e)
{
    static const uint8_t nowhere[16];
    struct buf *bytes = &b->call->bytes;
    char address[46];

    buf_lit(bytes, ",\"address\":");
    if (memcmp(e->address, nowhere, sizeof(nowhere)) == 0)
        buf_lit(bytes, "null"); /* of a Unix socket */
    else
        buf_json_string(bytes, (struct str){address, cidr_format(e->address, address)});
    buf_lit(bytes, ",\"user_agent\":");
    if (e->agent_len == 0)
        buf_lit(bytes, "null");
    else
        buf_json_string(bytes, (struct str){e->bytes + e->user_len, e->agent_len});
    buf_printf(bytes, ",\"since\":%llu}", (unsigned long long)e->since_ms);
    builder_end_argument(b);
}

void script_register_build(struct script_call *c, const struct script_settings *s, struct str node,
                           const struct identity_entry *entries)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_REGISTER, s->prefix, 6 + 3 * count(entries));
    identity_keys(&b);
    builder_key(&b, "nodes", STR_NONE);
    builder_key(&b, "node:", node);
    builder_key(&b, "head", STR_NONE);
    for (const struct identity_entry *e = entries; e != NULL; e = e->next)
        entry_keys(&b, e);
    identity_argument(&b, s);
    builder_str(&b, node);
    builder_u64(&b, s->replay_ttl_ms + SCRIPT_LINGER_MS);
    for (const struct identity_entry *e = entries; e != NULL; e = e->next) {
        builder_str(&b, e->act == IDENTITY_CLAIM ? (struct str){e->claimed, RANDOM_ID_LEN} : STR_LIT(""));
        builder_str(&b, id_of(e));
        builder_u64(&b, e->gen);
        builder_str(&b, user_of(e));
        entry_head(&b, e, node);
        entry_tail(&b, e);
    }
    builder_end(&b);
}

void script_leave_build(struct script_call *c, const struct script_settings *s, struct str node,
                        const struct identity_entry *entries)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_LEAVE, s->prefix, 3 + 3 * count(entries));
    identity_keys(&b);
    for (const struct identity_entry *e = entries; e != NULL; e = e->next)
        entry_keys(&b, e);
    identity_argument(&b, s);
    builder_str(&b, node);
    builder_u64(&b, IDENTITY_AWAY_MS);
    for (const struct identity_entry *e = entries; e != NULL; e = e->next) {
        builder_str(&b, id_of(e));
        builder_u64(&b, e->gen);
        builder_u64(&b, e->code);
        builder_u64(&b, e->duration_ms);
    }
    builder_end(&b);
}

static bool read_u32(const redisReply *r, uint32_t *out)
{
    if (r->type != REDIS_REPLY_INTEGER || r->integer < 0 || r->integer > UINT32_MAX)
        return false;
    *out = (uint32_t)r->integer;
    return true;
}

int script_register_parse(const redisReply *r, size_t n, struct identity_answer *out, uint64_t *epoch)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 * n + 1)
        return -1;
    const redisReply *last = r->element[2 * n];
    if (last->type != REDIS_REPLY_INTEGER || last->integer < 0)
        return -1;
    *epoch = (uint64_t)last->integer;
    for (size_t i = 0; i < n; ++i) {
        uint32_t status;
        if (!read_u32(r->element[2 * i], &status) || status > IDENTITY_DISCONNECTED ||
            !read_u32(r->element[2 * i + 1], &out[i].gen))
            return -1;
        out[i].status = (enum identity_status)status;
    }
    return 0;
}

void script_reap_build(struct script_call *c, const struct script_settings *s, const struct script_reap *r)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_REAP, s->prefix, 5);
    identity_keys(&b);
    builder_key(&b, "nodes", STR_NONE);
    builder_key(&b, "node:", r->node);
    identity_argument(&b, s);
    builder_str(&b, r->node);
    builder_str(&b, r->cursor);
    builder_u64(&b, IDENTITY_BATCH_MAX);
    builder_u64(&b, IDENTITY_AWAY_MS);
    builder_u64(&b, REAP_RESERVED_MS);
    builder_end(&b);
}

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; ++i)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n != 0;
}

int script_reap_parse(const redisReply *r, struct script_reap_reply *out)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_INTEGER || r->element[1]->integer < 0)
        return -1;
    out->cursor = (struct str){r->element[0]->str, r->element[0]->len};
    out->moved = (uint64_t)r->element[1]->integer;
    return out->cursor.n <= REAP_CURSOR_LEN && all_digits(out->cursor) ? 0 : -1;
}

void script_offline_build(struct script_call *c, const struct script_settings *s)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_OFFLINE, s->prefix, 3);
    identity_keys(&b);
    identity_argument(&b, s);
    builder_u64(&b, OFFLINE_STEP);
    builder_end(&b);
}

int script_offline_parse(const redisReply *r, struct script_offline_reply *out)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_INTEGER ||
        r->element[1]->type != REDIS_REPLY_INTEGER || r->element[0]->integer < 0 || r->element[1]->integer < -1)
        return -1;
    out->told = (uint64_t)r->element[0]->integer;
    out->more = r->element[1]->integer >= 0;
    out->next_ms = out->more ? (uint64_t)r->element[1]->integer : 0;
    return 0;
}

int identity_order_parse(struct str payload, struct str *id, uint32_t *gen)
{
    uint64_t number;

    if (!str_eq(str_split(&payload, ' '), STR_LIT("close")) || payload.p == NULL)
        return -1;
    *id = str_split(&payload, ' ');
    if (!random_id_valid(*id) || payload.p == NULL || units_parse_count(payload, &number) != 0 || number > UINT32_MAX)
        return -1;
    *gen = (uint32_t)number;
    return 0;
}
