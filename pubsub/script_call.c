/* Builds KEYS and ARGV of the scripts. The order here is the order that each script explains. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/envelope.h"
#include "pubsub/script_builder.h"

void script_call_free(struct script_call *c)
{
    free(c->argv);
    free(c->argvlen);
    buf_free(&c->bytes);
    *c = (struct script_call){0};
}

void script_call_by_text(struct script_call *c)
{
    struct str text = script_text(c->script);

    c->argv[0] = "EVAL";
    c->argvlen[0] = strlen(c->argv[0]);
    c->argv[1] = text.p;
    c->argvlen[1] = text.n;
}

static void hex_of(char *dst, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[bytes[i] >> 4];
        dst[2 * i + 1] = digits[bytes[i] & 15];
    }
}

/* SHA-256 of the parts, each after its length, so that "ab" + "c" and "a" + "bc" differ. */
static void hash_parts(uint8_t digest[32], const struct str *parts, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; i < n; i++) {
        char len[24]; /* as text: belfrys on different machines have to agree */
        int n_len = snprintf(len, sizeof(len), "%zu ", parts[i].n);

        ok = ok && EVP_DigestUpdate(ctx, len, (size_t)n_len) == 1 && EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
    }
    /* A request that cannot be told from others must not be published: as fatal as memory that is out. */
    if (!ok || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
}

void script_idem_of_caller(struct script_idem *i, struct str scope, struct str key, struct str body, uint64_t ttl_ms)
{
    uint8_t digest[32];

    hash_parts(digest, (const struct str[]){scope, key}, 2);
    hex_of(i->name, digest, sizeof(digest));
    i->name_len = SCRIPT_IDEM_KEY_LEN;
    hash_parts(digest, &body, 1);
    hex_of(i->fingerprint, digest, SCRIPT_FINGERPRINT_LEN / 2);
    i->ttl_ms = ttl_ms;
}

void script_idem_of_own(struct script_idem *i, const uint8_t random[16])
{
    hex_of(i->name, random, 16);
    i->name_len = 32;
    /* Nobody else has that name: the body need not be compared. */
    memset(i->fingerprint, '0', sizeof(i->fingerprint));
    i->ttl_ms = SCRIPT_IDEM_OWN_MS;
}

/* KEYS 1 to 4 of the scripts that common.lua stands in front of. */
static void common_keys(struct script_builder *b)
{
    builder_key(b, "head", STR_NONE);
    builder_key(b, "epochs", STR_NONE);
    builder_key(b, "minutes", STR_NONE);
    builder_key(b, "log:broadcast", STR_NONE);
}

/* ARGV 1 to 4 of them. */
static void common_arguments(struct script_builder *b, uint64_t seen_epoch, const struct script_settings *s)
{
    builder_u64(b, seen_epoch);
    builder_u64(b, s->replay_events);
    builder_u64(b, s->replay_user_events);
    builder_u64(b, s->replay_ttl_ms);
}

static size_t audience_key_count(const struct audience *a)
{
    switch (a->kind) {
    case AUDIENCE_USERS:
        return a->count;
    case AUDIENCE_CONNECTION:
        return 2;
    case AUDIENCE_BROADCAST:
        break;
    }
    return 0;
}

static void audience_keys(struct script_builder *b, const struct audience *a)
{
    if (a->kind == AUDIENCE_CONNECTION) {
        builder_key(b, "log:conn:", a->ids[0]);
        builder_key(b, "away:", a->ids[0]);
    }
    for (size_t i = 0; a->kind == AUDIENCE_USERS && i < a->count; i++)
        builder_key(b, "log:user:", a->ids[i]);
}

static void audience_arguments(struct script_builder *b, const struct audience *a)
{
    if (a->kind == AUDIENCE_BROADCAST) {
        builder_u64(b, 1);
        builder_str(b, STR_LIT("broadcast"));
        builder_str(b, STR_LIT(""));
        return;
    }
    builder_u64(b, a->count);
    for (size_t i = 0; i < a->count; i++) {
        builder_str(b, a->kind == AUDIENCE_USERS ? STR_LIT("user") : STR_LIT("connection"));
        builder_str(b, a->ids[i]);
    }
}

static void event_arguments(struct script_builder *b, const struct publication *e, const struct script_publish *p)
{
    envelope_head(&b->call->bytes, e->type);
    builder_end_argument(b);
    envelope_tail(&b->call->bytes, p->now_ms, p->traceparent, e->data);
    builder_end_argument(b);
    builder_u64(b, e->replay ? 1 : 0);
    audience_arguments(b, &e->audience);
}

void script_publish_build(struct script_call *c, const struct script_settings *s, const struct script_publish *p)
{
    struct script_builder b;
    size_t keys = 6;

    for (size_t i = 0; i < p->n; i++)
        keys += audience_key_count(&p->events[i].audience);
    builder_begin(&b, c, SCRIPT_PUBLISH, s->prefix, keys);
    common_keys(&b);
    builder_key(&b, "conns", STR_NONE);
    builder_key(&b, "idem:", p->idem != NULL ? (struct str){p->idem->name, p->idem->name_len} : STR_LIT("-"));
    for (size_t i = 0; i < p->n; i++)
        audience_keys(&b, &p->events[i].audience);
    common_arguments(&b, p->seen_epoch, s);
    builder_str(&b, p->idem != NULL ? (struct str){p->idem->fingerprint, SCRIPT_FINGERPRINT_LEN} : STR_LIT(""));
    builder_u64(&b, p->idem != NULL ? p->idem->ttl_ms : 0);
    builder_u64(&b, p->n);
    for (size_t i = 0; i < p->n; i++)
        event_arguments(&b, &p->events[i], p);
    builder_end(&b);
}

void script_canary_build(struct script_call *c, const struct script_settings *s, const struct script_canary *canary)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_CANARY, s->prefix, s->lifecycle ? 7 : 6);
    common_keys(&b);
    builder_key(&b, "nodes", STR_NONE);
    builder_key(&b, "node:", canary->node);
    if (s->lifecycle)
        builder_key(&b, "lifecycle:due", STR_NONE);
    common_arguments(&b, canary->seen_epoch, s);
    builder_str(&b, canary->node);
    builder_str(&b, canary->nonce);
    builder_u64(&b, canary->lease_ms);
    builder_str(&b, STR_LIT("local"));
    builder_u64(&b, canary->local);
    builder_str(&b, STR_LIT("dead"));
    builder_u64(&b, canary->dead);
    builder_str(&b, STR_LIT("since"));
    builder_u64(&b, canary->since_ms);
    builder_end(&b);
}

void script_totals_build(struct script_call *c, const struct script_settings *s)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_TOTALS, s->prefix, 1);
    builder_key(&b, "nodes", STR_NONE);
    builder_key(&b, "node:", STR_NONE);
    builder_end(&b);
}

void script_erase_build(struct script_call *c, const struct script_settings *s, uint64_t seen_epoch, struct str user)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_ERASE, s->prefix, 5);
    common_keys(&b);
    builder_key(&b, "log:user:", user);
    common_arguments(&b, seen_epoch, s);
    builder_end(&b);
}

static void arg_position(struct script_builder *b, struct position p)
{
    char text[POSITION_MAX];

    p.n = 0;
    builder_str(b, (struct str){text, position_format(text, p)});
}

void script_cursors_build(struct script_call *c, const struct script_settings *s, const struct script_cursor *cursors,
                          size_t n)
{
    struct script_builder b;

    builder_begin(&b, c, SCRIPT_CURSORS, s->prefix, 1 + n);
    builder_key(&b, "head", STR_NONE);
    for (size_t i = 0; i < n; i++)
        builder_key(&b, "cursor:", cursors[i].user);
    builder_u64(&b, s->replay_ttl_ms + SCRIPT_LINGER_MS);
    for (size_t i = 0; i < n; i++) {
        builder_str(&b, cursors[i].name);
        arg_position(&b, cursors[i].at);
    }
    builder_end(&b);
}
