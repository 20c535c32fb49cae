/* Reads the scripts' replies. Every type and number is checked: another Redis, or a script of another belfry under the
 * same SHA-1, must not make this one read past an array. */
#include <hiredis/hiredis.h>
#include "pubsub/script_reply.h"

static bool is_array(const redisReply *r, size_t n)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == n;
}

static struct str text_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ? (struct str){r->str, r->len} : STR_NONE;
}

static bool read_number(const redisReply *r, uint64_t *out)
{
    if (r->type != REDIS_REPLY_INTEGER || r->integer < 0)
        return false;
    *out = (uint64_t)r->integer;
    return true;
}

static bool read_id(const redisReply *r, struct position *out)
{
    return position_parse(text_of(r), out) == 0 && out->n == 0;
}

static bool read_status(const redisReply *r, enum script_publish_status *out)
{
    static const struct str words[] = {
        [SCRIPT_PUBLISH_OK] = STR_LIT("ok"),
        [SCRIPT_PUBLISH_AGAIN] = STR_LIT("again"),
        [SCRIPT_PUBLISH_KEY_REUSED] = STR_LIT("key_reused"),
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_eq(text_of(r), words[i])) {
            *out = (enum script_publish_status)i;
            return true;
        }
    }
    return false;
}

/* Receivers of -1: there was nobody it could be meant for. */
static bool read_result(const redisReply *id, const redisReply *receivers, struct publish_result *out)
{
    *out = (struct publish_result){0};
    out->unknown = receivers->type == REDIS_REPLY_INTEGER && receivers->integer == -1;
    return read_id(id, &out->id) && (out->unknown || read_number(receivers, &out->receivers));
}

int script_publish_parse(const redisReply *r, size_t n, struct script_publish_reply *out,
                         struct publish_result *results)
{
    *out = (struct script_publish_reply){0};
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements < 3 || !read_status(r->element[0], &out->status) ||
        !read_number(r->element[1], &out->head.epoch) || !read_number(r->element[2], &out->head.seq))
        return -1;
    if (out->status == SCRIPT_PUBLISH_KEY_REUSED)
        return 0;
    if (!is_array(r, 3 + 2 * n))
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!read_result(r->element[3 + 2 * i], r->element[4 + 2 * i], &results[i]))
            return -1;
    }
    return 0;
}

/* Empty: there is none. */
static bool read_ended(const redisReply *r, struct script_canary_reply *out)
{
    struct str id = text_of(r);

    if (id.p != NULL && id.n == 0)
        return true;
    if (!random_id_valid(id))
        return false;
    out->points_at_ended = true;
    memcpy(out->ended, id.p, RANDOM_ID_LEN);
    return true;
}

int script_canary_parse(const redisReply *r, struct script_canary_reply *out)
{
    uint64_t existed, overdue = 0;
    size_t with_due = r != NULL && is_array(r, 7);

    *out = (struct script_canary_reply){0};
    if (!is_array(r, 6 + with_due) || !read_number(r->element[0], &out->head.epoch) ||
        !read_number(r->element[1], &out->head.seq) || !read_number(r->element[2], &out->floor) ||
        !read_id(r->element[3], &out->oldest) || !read_number(r->element[4], &existed) ||
        (with_due != 0 && !read_number(r->element[6], &overdue)))
        return -1;
    out->user_due = overdue != 0;
    out->lease_existed = existed != 0;
    return read_ended(r->element[5], out) ? 0 : -1;
}

int script_canary_message_parse(struct str payload, struct position *head, struct str *nonce)
{
    struct str rest = payload;

    if (!str_eq(str_split(&rest, ' '), STR_LIT("canary")) || rest.p == NULL)
        return -1;
    if (position_parse(str_split(&rest, ' '), head) != 0 || head->n != 0 || rest.n == 0)
        return -1;
    *nonce = rest;
    return 0;
}

int script_totals_parse(const redisReply *r, struct script_totals_reply *out)
{
    *out = (struct script_totals_reply){0};
    if (!is_array(r, 3) || !read_number(r->element[0], &out->local) || !read_number(r->element[1], &out->dead) ||
        !read_number(r->element[2], &out->nodes))
        return -1;
    return 0;
}

/* Codes of Redis and of the scripts. */
static const struct {
    struct str code;
    enum script_error error;
} codes[] = {
    {STR_LIT("NOSCRIPT"), SCRIPT_ERROR_NOSCRIPT},
    {STR_LIT("LOADING"), SCRIPT_ERROR_LOADING},
    {STR_LIT("READONLY"), SCRIPT_ERROR_READONLY},
    {STR_LIT("OOM"), SCRIPT_ERROR_OOM},
    {STR_LIT("NOREPLICAS"), SCRIPT_ERROR_NOREPLICAS},
    {STR_LIT("MISCONF"), SCRIPT_ERROR_MISCONF},
    {STR_LIT("BUSY"), SCRIPT_ERROR_BUSY},
    {STR_LIT("NOPERM"), SCRIPT_ERROR_NOPERM},
    {STR_LIT("NOAUTH"), SCRIPT_ERROR_NOAUTH},
    {STR_LIT("MOVED"), SCRIPT_ERROR_CLUSTER},
    {STR_LIT("CROSSSLOT"), SCRIPT_ERROR_CLUSTER},
    {STR_LIT("CLUSTERDOWN"), SCRIPT_ERROR_CLUSTER},
    {STR_LIT("BELFRY_SCHEMA"), SCRIPT_ERROR_SCHEMA},
    {STR_LIT("BELFRY_INFO"), SCRIPT_ERROR_INFO},
    {STR_LIT("BELFRY_ARGS"), SCRIPT_ERROR_ARGS},
    {STR_LIT("BELFRY_LOG"), SCRIPT_ERROR_LOG},
};

static enum script_error error_by_code(struct str word)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (str_eq(word, codes[i].code))
            return codes[i].error;
    }
    return SCRIPT_ERROR_OTHER;
}

/* The text after the first `mark`, or STR_NONE. */
static struct str after(struct str s, struct str mark)
{
    const char *at = s.n != 0 ? memmem(s.p, s.n, mark.p, mark.n) : NULL;

    return at != NULL ? (struct str){at + mark.n, s.n - (size_t)(at - s.p) - mark.n} : STR_NONE;
}

enum script_error script_error_of(struct str error)
{
    struct str rest = error, buried = after(error, STR_LIT(": -"));
    enum script_error found = error_by_code(str_split(&rest, ' '));

    if (found == SCRIPT_ERROR_OTHER && buried.p != NULL)
        found = error_by_code(str_split(&buried, ' '));
    if (found == SCRIPT_ERROR_OTHER && after(error, STR_LIT("The user executing the script can't ")).p != NULL)
        found = SCRIPT_ERROR_NOPERM;
    return found;
}

enum publish_status script_error_status(enum script_error e)
{
    switch (e) {
    case SCRIPT_ERROR_LOADING:
        return PUBLISH_LOADING;
    case SCRIPT_ERROR_READONLY:
        return PUBLISH_READONLY;
    case SCRIPT_ERROR_OOM:
        return PUBLISH_OUT_OF_MEMORY;
    case SCRIPT_ERROR_NOREPLICAS:
        return PUBLISH_NO_REPLICAS;
    case SCRIPT_ERROR_MISCONF:
        return PUBLISH_MISCONF;
    case SCRIPT_ERROR_BUSY:
        return PUBLISH_BUSY;
    default:
        return PUBLISH_FAILED;
    }
}
