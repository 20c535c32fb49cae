/* API keys of services: reads API_KEYS_FILE and finds the key of a presented secret. */
#include "core/api_keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <openssl/sha.h>
#include "core/lines.h"
#include "core/token.h"

#define SECRET_MIN 32
#define NAME_MAX_BYTES 64

struct entry {
    char name[NAME_MAX_BYTES];
    size_t name_n;
    unsigned scopes, line;
    unsigned char secret[SHA256_DIGEST_LENGTH];
};

struct api_keys {
    _Atomic unsigned refs;
    size_t n;
    struct entry entries[API_KEYS_MAX];
};

static bool name_valid(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '-')
            return false;
    }
    return name.n >= 1 && name.n <= NAME_MAX_BYTES;
}

/* An unknown word is named by its place only: in a line whose parts are mixed up it might be the secret. */
static int parse_scopes(struct entry *e, struct str words, struct buf *error)
{
    unsigned place = 0;

    while (words.n > 0) {
        struct str word = str_split(&words, ' ');
        unsigned bit = scope_from_word(word);
        if (word.n == 0)
            continue;
        place++;
        if (bit == 0) {
            buf_printf(error, "scope number %u is unknown; known are %s, %s, %s and %s", place,
                       scope_name(SCOPE_EVENTS_PUBLISH), scope_name(SCOPE_EVENTS_READ),
                       scope_name(SCOPE_CONNECTIONS_READ), scope_name(SCOPE_CONNECTIONS_WRITE));
            return -1;
        }
        e->scopes |= bit;
    }
    if (e->scopes != 0)
        return 0;
    buf_lit(error, "no scope, so the key could do nothing; the line is name:secret:scope scope");
    return -1;
}

static int parse_secret(struct entry *e, struct str secret, struct buf *error)
{
    if (lines_has_control(secret)) {
        buf_lit(error, "a control character in the secret; write it as text, e.g. in base64");
        return -1;
    }
    if (secret.n < SECRET_MIN) {
        buf_printf(error, "the secret needs at least %d bytes; make one with: openssl rand -base64 48", SECRET_MIN);
        return -1;
    }
    SHA256((const unsigned char *)secret.p, secret.n, e->secret);
    return 0;
}

static int parse_line(struct entry *e, struct str line, struct buf *error)
{
    struct str name = str_split(&line, ':'), secret = str_split(&line, ':');

    if (line.p == NULL) {
        buf_lit(error, "the line is name:secret:scope scope");
        return -1;
    }
    if (!name_valid(name)) {
        buf_printf(error, "the name is 1 to %d of A-Z a-z 0-9 . _ -", NAME_MAX_BYTES);
        return -1;
    }
    memcpy(e->name, name.p, name.n);
    e->name_n = name.n;
    return parse_secret(e, secret, error) != 0 ? -1 : parse_scopes(e, line, error);
}

static int check_unique(const struct api_keys *k, const struct entry *e, struct buf *error)
{
    for (size_t i = 0; i < k->n; i++) {
        const struct entry *other = &k->entries[i];
        bool same_name = e->name_n == other->name_n && memcmp(e->name, other->name, e->name_n) == 0;
        if (!same_name && memcmp(e->secret, other->secret, sizeof(e->secret)) != 0)
            continue;
        buf_printf(error, "the same %s as in line %u", same_name ? "name" : "secret", other->line);
        return -1;
    }
    return 0;
}

static int parse(struct api_keys *k, struct lines *lines, struct buf *error)
{
    struct str line;

    while (lines_next(lines, &line)) {
        struct entry *e = &k->entries[k->n];
        if (k->n == API_KEYS_MAX) {
            buf_printf(error, "more than %d keys", API_KEYS_MAX);
            return -1;
        }
        e->line = lines->number;
        if (parse_line(e, line, error) != 0 || check_unique(k, e, error) != 0)
            return -1;
        k->n++;
    }
    if (k->n > 0)
        return 0;
    buf_lit(error, "the file holds no key");
    return -1;
}

struct api_keys *api_keys_parse(struct str text, struct buf *error)
{
    struct api_keys *k = mem_zalloc(sizeof(*k));
    struct lines lines = {.rest = text};
    struct buf why = {0};

    atomic_init(&k->refs, 1);
    if (parse(k, &lines, &why) != 0) {
        if (k->n > 0 || k->entries[0].line > 0) /* a file without any line has none to name */
            buf_printf(error, "line %u: ", lines.number);
        buf_append(error, buf_str(&why));
        api_keys_unref(k);
        k = NULL;
    }
    buf_free(&why);
    return k;
}

/* Every key is compared in full, so that the time tells neither which one fits nor how far a wrong one does. */
bool api_keys_find(const struct api_keys *k, struct str secret, struct api_key *out)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const struct entry *found = NULL;

    if (k == NULL || secret.n < SECRET_MIN)
        return false;
    SHA256((const unsigned char *)secret.p, secret.n, digest);
    for (size_t i = 0; i < k->n; i++)
        if (str_eq_secret((struct str){(const char *)digest, sizeof(digest)},
                          (struct str){(const char *)k->entries[i].secret, sizeof(digest)}))
            found = &k->entries[i];
    if (found == NULL)
        return false;
    *out = (struct api_key){.name = {found->name, found->name_n}, .scopes = found->scopes};
    return true;
}

struct api_keys *api_keys_ref(struct api_keys *k)
{
    if (k != NULL)
        atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void api_keys_unref(struct api_keys *k)
{
    if (k != NULL && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1)
        free(k);
}
