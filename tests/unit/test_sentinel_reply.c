/* pubsub/sentinel_reply.c: what a sentinel may say, whole and byte by byte, and what it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "pubsub/sentinel_reply.h"

#define ADDRESS "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"

/* In memory of exactly that length, so that a sanitizer sees a read beyond it. */
static struct sentinel_reply read_exactly(const char *p, size_t n)
{
    char *copy = malloc(n + 1);
    assert_non_null(copy);
    char *exact = memcpy(copy + 1, p, n);
    struct sentinel_reply r = sentinel_reply_read((struct str){exact, n});
    r.text = STR_NONE;
    free(copy);
    return r;
}

static void assert_kind(const char *text, enum sentinel_reply_kind kind)
{
    struct sentinel_reply r = read_exactly(text, strlen(text));
    if (r.kind != kind)
        fail_msg("%s: %d", text, r.kind);
}

static void an_address_is_read_with_what_follows_left(void **state)
{
    struct sentinel_reply r = sentinel_reply_read(str_of(ADDRESS "+OK\r\n"));
    assert_int_equal(r.kind, SENTINEL_ADDRESS);
    assert_string_equal(r.host, "127.0.0.1");
    assert_int_equal(r.port, 6379);
    assert_int_equal(r.n, strlen(ADDRESS));
    r = sentinel_reply_read(str_of("*2\r\n$3\r\n::1\r\n$5\r\n65535\r\n"));
    assert_string_equal(r.host, "::1");
    assert_int_equal(r.port, 65535);
}

static void a_reply_in_pieces_is_waited_for(void **state)
{
    static const char *const replies[] = {ADDRESS, "+OK\r\n", "*-1\r\n", "-NOAUTH no\r\n"};
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); ++i) {
        size_t n = strlen(replies[i]);
        for (size_t k = 0; k < n; ++k) {
            struct sentinel_reply r = read_exactly(replies[i], k);
            if (r.kind != SENTINEL_MORE || r.n != 0)
                fail_msg("%zu bytes of %s: %d", k, replies[i], r.kind);
        }
        assert_int_equal(read_exactly(replies[i], n).n, n);
    }
}

static void status_nil_and_error_are_told_apart(void **state)
{
    assert_kind("+OK\r\n", SENTINEL_OK);
    assert_kind("*-1\r\n", SENTINEL_UNKNOWN);
    assert_kind("$-1\r\n", SENTINEL_UNKNOWN);
    struct sentinel_reply r = sentinel_reply_read(str_of("-NOAUTH Authentication required.\r\n"));
    assert_int_equal(r.kind, SENTINEL_ERROR);
    assert_true(str_eq(r.text, STR_LIT("NOAUTH Authentication required.")));
}

static void what_no_sentinel_says_is_noise(void **state)
{
    static const char *const noise[] = {
        "\r\n",
        "\n",
        "+OK\n",
        "HTTP/1.1 400 Bad Request\r\n",
        ":1\r\n",
        "*1\r\n",
        "*3\r\n",
        "*1000000000\r\n",
        "*2\r\n$-1\r\n",
        "*2\r\n$0\r\n\r\n",
        "*2\r\n$256\r\n",
        "*2\r\n$500000000\r\n",
        "*2\r\n$99999999999999999999\r\n",
        "*2\r\n$-9\r\n",
        "*2\r\n*2\r\n",
        "*2\r\n$1\r\nabc\r\n",
        "*2\r\n$3\r\na b\r\n$4\r\n6379\r\n",
        "*2\r\n$3\r\na\nb\r\n$4\r\n6379\r\n",
        "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n$6\r\n006379\r\n",
        "*2\r\n$1\r\na\r\n$2\r\n-1\r\n",
        "*2\r\n$1\r\na\r\n$2\r\n1x\r\n",
        "$7\r\nunknown\r\n",
    };
    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); ++i)
        assert_kind(noise[i], SENTINEL_NOISE);
    assert_int_equal(sentinel_reply_read((struct str){"*2\r\n$3\r\na\0b\r\n$1\r\n1\r\n", 22}).kind, SENTINEL_NOISE);
}

static void a_line_or_a_reply_without_end_is_noise(void **state)
{
    char text[SENTINEL_REPLY_MAX + 8];
    memset(text, 'x', sizeof(text));
    text[0] = '-';
    assert_int_equal(read_exactly(text, SENTINEL_REPLY_MAX - 1).kind, SENTINEL_MORE);
    assert_int_equal(read_exactly(text, SENTINEL_REPLY_MAX).kind, SENTINEL_NOISE);
    memcpy(text + SENTINEL_REPLY_MAX, "\r\n", 2);
    assert_int_equal(read_exactly(text, SENTINEL_REPLY_MAX + 2).kind, SENTINEL_NOISE);
}

static void a_host_name_has_at_most_255_bytes(void **state)
{
    char text[300];
    for (int n = SENTINEL_HOST_MAX; n <= SENTINEL_HOST_MAX + 1; ++n) {
        int at = snprintf(text, sizeof(text), "*2\r\n$%d\r\n", n);
        memset(text + at, 'h', (size_t)n);
        strcpy(text + at + n, "\r\n$1\r\n1\r\n");
        struct sentinel_reply r = read_exactly(text, strlen(text));
        assert_int_equal(r.kind, n == SENTINEL_HOST_MAX ? SENTINEL_ADDRESS : SENTINEL_NOISE);
        if (r.kind == SENTINEL_ADDRESS)
            assert_int_equal(strlen(r.host), n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_with_what_follows_left),
        cmocka_unit_test(a_reply_in_pieces_is_waited_for),
        cmocka_unit_test(status_nil_and_error_are_told_apart),
        cmocka_unit_test(what_no_sentinel_says_is_noise),
        cmocka_unit_test(a_line_or_a_reply_without_end_is_noise),
        cmocka_unit_test(a_host_name_has_at_most_255_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
