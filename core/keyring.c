/* Keyrings: reads SECRET_KEY and SECRET_KEY_FILE, and chooses the keys that a token is checked with. */
#include "core/keyring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <openssl/err.h>
#include "core/lines.h"
#include "core/signature.h"

#define PEM_BEGIN STR_LIT("-----BEGIN ")
#define PEM_END STR_LIT("-----END ")

struct key {
    struct signature_key key;
    char *kid; /* NULL: none */
};

struct keyring {
    _Atomic unsigned refs;
    enum jwt_algorithm algorithm;
    size_t n;
    struct key keys[KEYRING_MAX];
};

/* What the reading of a text is at. */
struct parser {
    struct keyring *keyring;
    struct lines lines;
    bool is_file;
    struct str kid;    /* of a `kid:` line that waits for its PEM block; STR_NONE if none does */
    unsigned at;       /* line that a complaint is about */
    struct buf reason; /* of the complaint, without the line */
};

static int complain(struct parser *p, const char *reason)
{
    buf_append(&p->reason, str_of(reason));
    return -1;
}

static bool kid_valid(struct str kid)
{
    for (size_t i = 0; i < kid.n; i++)
        if (kid.p[i] <= 0x20 || kid.p[i] >= 0x7f)
            return false;
    return kid.n >= 1 && kid.n <= KEYRING_KID_MAX;
}

static const struct key *find_kid(const struct keyring *k, struct str kid)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->keys[i].kid != NULL && str_eq(str_of(k->keys[i].kid), kid))
            return &k->keys[i];
    return NULL;
}

/* Adds a secret or a PEM block. The kid itself is never named: in a line without one it would be a part of the secret.
 */
static int add_key(struct parser *p, struct str kid, struct str text, bool is_pem)
{
    struct keyring *k = p->keyring;
    struct key *key = &k->keys[k->n];

    if (k->n == KEYRING_MAX)
        return complain(p, "more than 8 keys; remove those that no valid token is signed with any more");
    if (kid.p != NULL && !kid_valid(kid))
        return complain(p, "before the first colon stands a kid: 1 to 128 visible characters");
    if (kid.p != NULL && find_kid(k, kid) != NULL)
        return complain(p, "a second key of the same kid");
    if (is_pem ? signature_key_from_pem(&key->key, k->algorithm, text, &p->reason) != 0
               : signature_key_from_secret(&key->key, k->algorithm, text, &p->reason) != 0)
        return -1;
    key->kid = kid.p == NULL ? NULL : str_dup(kid);
    k->n++;
    return 0;
}

/* `line` is the first of a PEM block in p->lines; takes the lines up to its end. */
static int parse_pem(struct parser *p, struct str line)
{
    const char *begin = line.p;
    struct str kid = p->kid;

    p->kid = STR_NONE;
    do {
        if (!lines_next(&p->lines, &line))
            return complain(p, "this PEM block has no end");
    } while (!str_starts_with(line, PEM_END));
    return add_key(p, kid, (struct str){begin, (size_t)(line.p + line.n - begin)}, true);
}

static int parse_secret(struct parser *p, struct str line)
{
    struct str kid = STR_NONE, secret = line;

    if (lines_has_control(line))
        return complain(p, "a control character; write the secret as text, e.g. in base64");
    if (memchr(line.p, ':', line.n) != NULL) {
        kid = str_split(&secret, ':');
        if (secret.p == NULL)
            secret = STR_LIT("");
    }
    return add_key(p, kid, secret, false);
}

static int parse_line(struct parser *p, struct str line)
{
    const struct str prefix = STR_LIT("kid:");
    bool waits = p->kid.p != NULL;

    if (str_starts_with(line, PEM_BEGIN)) {
        p->at = p->lines.number;
        return parse_pem(p, line);
    }
    if (waits)
        return complain(p, "this kid has no PEM block after it");
    p->at = p->lines.number;
    if (signature_kind(p->keyring->algorithm) == SIGNATURE_HMAC || !str_starts_with(line, prefix))
        return parse_secret(p, line);
    p->kid = str_trim((struct str){line.p + prefix.n, line.n - prefix.n});
    return kid_valid(p->kid) ? 0 : complain(p, "a kid is 1 to 128 visible characters");
}

static int parse_file(struct parser *p)
{
    struct str line;

    while (lines_next(&p->lines, &line))
        if (parse_line(p, line) != 0)
            return -1;
    if (p->kid.p != NULL)
        return complain(p, "this kid has no PEM block after it");
    p->at = 0;
    return p->keyring->n > 0 ? 0 : complain(p, "it holds no key");
}

/* SECRET_KEY: a PEM block and nothing else, or the secret as it stands. */
static int parse_variable(struct parser *p, struct str text)
{
    struct str line;
    bool more = lines_next(&p->lines, &line);

    if (!more || !str_starts_with(line, PEM_BEGIN))
        return add_key(p, STR_NONE, text, false);
    if (parse_pem(p, line) != 0)
        return -1;
    return lines_next(&p->lines, &line) ? complain(p, "more than one key; several need SECRET_KEY_FILE") : 0;
}

struct keyring *keyring_parse(int algorithm, struct str text, bool is_file, struct buf *error)
{
    struct parser p = {.keyring = mem_zalloc(sizeof(*p.keyring)), .lines = {.rest = text}, .is_file = is_file};

    atomic_init(&p.keyring->refs, 1);
    p.keyring->algorithm = (enum jwt_algorithm)algorithm;
    if ((is_file ? parse_file(&p) : parse_variable(&p, text)) != 0) {
        if (is_file && p.at > 0)
            buf_printf(error, "line %u: ", p.at);
        buf_append(error, buf_str(&p.reason));
        keyring_unref(p.keyring);
        p.keyring = NULL;
    }
    buf_free(&p.reason);
    return p.keyring;
}

struct keyring *keyring_ref(struct keyring *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void keyring_unref(struct keyring *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < k->n; i++) {
        signature_key_dispose(&k->keys[i].key);
        free(k->keys[i].kid);
    }
    free(k);
}

enum keyring_verdict keyring_verify(const struct keyring *k, int algorithm, struct str kid, struct str input,
                                    struct str signature)
{
    const struct key *named = kid.p == NULL ? NULL : find_kid(k, kid);
    enum keyring_verdict verdict = KEYRING_NO_KEY;

    if (algorithm != (int)k->algorithm)
        return KEYRING_NO_KEY;
    for (size_t i = 0; i < k->n; i++) {
        const struct key *key = &k->keys[i];
        if (kid.p != NULL && (named != NULL ? key != named : key->kid != NULL))
            continue;
        if (signature_verify(&key->key, input, signature))
            return KEYRING_GOOD;
        verdict = KEYRING_BAD_SIGNATURE;
    }
    return verdict;
}

bool keyring_first_secret(const struct keyring *k, struct str *secret, const char **kid)
{
    if (signature_kind(k->algorithm) != SIGNATURE_HMAC)
        return false;
    *secret = buf_str(&k->keys[0].key.secret);
    *kid = k->keys[0].kid;
    return true;
}

bool keyring_find_public(const struct keyring *k, const EVP_PKEY *pkey, const char **kid)
{
    bool found = false;

    for (size_t i = 0; i < k->n && !found; i++) {
        found = k->keys[i].key.pkey != NULL && EVP_PKEY_eq(k->keys[i].key.pkey, pkey) == 1;
        *kid = k->keys[i].kid;
    }
    ERR_clear_error();
    return found;
}
