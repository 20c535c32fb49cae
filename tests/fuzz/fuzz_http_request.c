/* Fuzzes what is read from a request: each reader gets its bytes in memory of exactly their size, and what it lets pass
 * is checked a second time by plainer means. */
#include <stdio.h>
#include <stdlib.h>
#include "core/http_request.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s does not hold\n", #what);                                                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_decoded(struct str s)
{
    CHECK(utf8_valid(s));
    for (size_t i = 0; i < s.n; i++)
        CHECK((uint8_t)s.p[i] >= 0x20 && s.p[i] != 0x7f);
}

static void escape_all(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_printf(out, "%%%02X", (uint8_t)s.p[i]);
}

static bool same_segments(const struct str *a, const struct str *b, int n)
{
    for (int i = 0; i < n; i++) {
        if (!str_eq(a[i], b[i]))
            return false;
    }
    return true;
}

/* A path that was taken gives the same segments when every byte of them is escaped. */
static void fuzz_path(struct str path)
{
    struct str segments[PATH_SEGMENTS_MAX], again[PATH_SEGMENTS_MAX];
    char *storage = malloc(path.n + 1), *storage_again;
    struct buf escaped = {0};
    int n = path_split(path, STR_NONE, storage, segments);

    CHECK(n >= -3 && n <= PATH_SEGMENTS_MAX);
    for (int i = 0; i < n; i++) {
        check_decoded(segments[i]);
        CHECK(!str_eq(segments[i], STR_LIT(".")) && !str_eq(segments[i], STR_LIT("..")));
        buf_lit(&escaped, "/");
        escape_all(&escaped, segments[i]);
    }
    if (n > 0) {
        storage_again = malloc(escaped.n);
        CHECK(path_split(buf_str(&escaped), STR_NONE, storage_again, again) == n);
        CHECK(same_segments(segments, again, n));
        free(storage_again);
    }
    free(storage);
    buf_free(&escaped);
}

static void fuzz_query(struct str query)
{
    char *storage = malloc(query.n + 1);
    struct str out = STR_NONE;
    int rc = query_get(query, "token", storage, &out);

    CHECK(rc >= -1 && rc <= 1);
    if (rc == 1) {
        CHECK(memmem(query.p, query.n, "token", 5) != NULL);
        check_decoded(out);
    }
    if (cookie_get(query, "token", &out))
        CHECK(out.p >= query.p && out.p + out.n <= query.p + query.n);
    free(storage);
}

/* How often a field stands at the beginning of a line, in any case. */
static size_t count_fields(struct str head, const char *name)
{
    size_t n = 0, len = strlen(name);

    for (size_t i = 1; i + len <= head.n; i++)
        n += head.p[i - 1] == '\n' && str_ieq((struct str){head.p + i, len}, str_of(name));
    return n;
}

/* What passes has one end, which is its last byte, and one meaning. No beginning of it passes. */
static void fuzz_head(struct str head)
{
    if (http_head_problem(head) != NULL)
        return;
    CHECK(head.n >= 4 && memcmp(head.p + head.n - 4, "\r\n\r\n", 4) == 0);
    CHECK(memmem(head.p + 2, head.n - 3, "\r\n\r\n", 4) == NULL);
    CHECK(memchr(head.p, '\0', head.n) == NULL);
    CHECK(memmem(head.p, head.n, "\n ", 2) == NULL && memmem(head.p, head.n, "\n\t", 2) == NULL);
    for (size_t i = 0; i < head.n; i++)
        CHECK((head.p[i] == '\n') == (i > 0 && head.p[i - 1] == '\r'));
    CHECK(count_fields(head, "host:") <= 1 && count_fields(head, "host ") == 0);
    CHECK(count_fields(head, "content-length:") + count_fields(head, "transfer-encoding:") <= 1);
    for (size_t n = 0; n < head.n; n++)
        CHECK(http_head_problem((struct str){head.p, n}) != NULL);
}

static void fuzz_handshake(struct str s)
{
    struct handshake h = {.http11 = true};
    struct handshake_offer offer = handshake_offers(s);
    const char *reason;
    char accept[28];

    h.method = str_split(&s, '\n');
    h.upgrade = str_split(&s, '\n');
    h.connection = str_split(&s, '\n');
    h.version = str_split(&s, '\n');
    h.key = s;
    int status = handshake_check(&h, &reason);

    CHECK(status == 101 || status == 400 || status == 405 || status == 426);
    CHECK((status == 101) == (reason == NULL));
    if (status == 101)
        handshake_accept(accept, h.key);
    CHECK(offer.bearer.p == NULL || memchr(offer.bearer.p, ',', offer.bearer.n) == NULL);
}

/* The first byte chooses the reader. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct str) = {fuzz_path, fuzz_query, fuzz_head, fuzz_handshake};

    if (size < 1)
        return 0;
    size_t n = size - 1;
    char *exact = malloc(n > 0 ? n : 1);

    if (n > 0)
        memcpy(exact, data + 1, n);
    readers[data[0] % 4]((struct str){exact, n});
    free(exact);
    return 0;
}
