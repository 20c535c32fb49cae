/* Path segments, query parameters, cookies and raw heads: what is taken, and every kind of input that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "core/http_request.h"

/* Memory of exactly its size, so that a sanitizer sees every step beyond it. */
static struct str exact(struct str s)
{
    char *p = mem_alloc(s.n > 0 ? s.n : 1);

    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

/* The segments, each behind a `|`, or the number of the refusal. */
static void assert_path(struct str path, const char *base, const char *expected)
{
    struct buf got = {0};
    struct str segments[PATH_SEGMENTS_MAX], in = exact(path);
    char *storage = mem_alloc(path.n > 0 ? path.n : 1);

    int n = path_split(in, str_of(base), storage, segments);
    if (n < 0)
        buf_printf(&got, "%d", n);
    for (int i = 0; i < n; i++) {
        buf_lit(&got, "|");
        buf_append(&got, segments[i]);
    }
    if (!str_eq(buf_str(&got), str_of(expected)))
        fail_msg("%.*s: expected %s, got %.*s", (int)path.n, path.p, expected, (int)got.n, got.p);
    free(storage);
    free((char *)in.p);
    buf_free(&got);
}
#define PATH(path, base, expected) assert_path(STR_LIT(path), (base), (expected))

static void a_path_is_split_and_each_segment_decoded_once(void **state)
{
    PATH("/", "", "");
    PATH("/a", "", "|a");
    PATH("/a/b", "", "|a|b");
    PATH("/a/", "", "|a|");
    PATH("//", "", "||");
    PATH("/a//b", "", "|a||b");
    PATH("/users/a%2Fb/connections", "", "|users|a/b|connections");
    PATH("/users/%252e%252E", "", "|users|%2e%2E");
    PATH("/users/a%20b+c", "", "|users|a b+c");
    PATH("/users/%F0%9F%94%94", "", "|users|\xf0\x9f\x94\x94");
    PATH("/users/...", "", "|users|...");
    PATH("/ws?token=a/b%", "", "|ws");
    PATH("/?/x", "", "");
    PATH("/1/2/3/4/5/6/7/8", "", "|1|2|3|4|5|6|7|8");
}

static void the_base_path_is_taken_off(void **state)
{
    PATH("/push", "/push", "");
    PATH("/push/", "/push", "");
    PATH("/push/ws", "/push", "|ws");
    PATH("/push?x", "/push", "");
    PATH("/pushing", "/push", "-1");
    PATH("/pus", "/push", "-1");
    PATH("/ws", "/push", "-1");
    PATH("/", "/push", "-1");
    PATH("/%70ush/ws", "/push", "-1");
}

static void a_target_that_is_no_path_is_not_found(void **state)
{
    PATH("", "", "-1");
    PATH("", "/push", "-1");
    PATH("*", "", "-1");
    PATH("ws", "", "-1");
    PATH("?x", "", "-1");
    PATH("http://host/ws", "", "-1");
    assert_path(STR_NONE, "", "-1");
}

static void segments_that_cannot_be_ids_are_refused(void **state)
{
    PATH("/users/%00", "", "-2");
    PATH("/users/a%00b", "", "-2");
    PATH("/users/a\0b", "", "-2");
    PATH("/users/%", "", "-2");
    PATH("/users/%4", "", "-2");
    PATH("/users/%/41", "", "-2");
    PATH("/users/%4/1", "", "-2");
    PATH("/users/%zz", "", "-2");
    PATH("/users/%4g", "", "-2");
    PATH("/users/%+4", "", "-2");
    PATH("/users/%u0041", "", "-2");
    PATH("/users/%0a", "", "-2");
    PATH("/users/%1F", "", "-2");
    PATH("/users/%7f", "", "-2");
    PATH("/users/a\tb", "", "-2");
    PATH("/users/%ff", "", "-2");
    PATH("/users/%C0%80", "", "-2");
    PATH("/users/%ED%A0%80", "", "-2");
    PATH("/users/%E2%82", "", "-2");
    PATH("/users/%E2%82/%AC", "", "-2");
}

static void dot_segments_are_refused_in_every_spelling(void **state)
{
    PATH("/.", "", "-2");
    PATH("/..", "", "-2");
    PATH("/users/../x", "", "-2");
    PATH("/users/%2e", "", "-2");
    PATH("/users/%2E%2e", "", "-2");
    PATH("/users/.%2e/", "", "-2");
}

static void too_many_segments_are_not_found(void **state)
{
    PATH("/1/2/3/4/5/6/7/8/9", "", "-3");
    PATH("/1/2/3/4/5/6/7/8/", "", "-3");
    PATH("/////////////////////////////", "", "-3");
}

static void assert_query(const char *query, const char *name, int expected, const char *value)
{
    struct str in = exact(str_of(query)), out = STR_NONE;
    char *storage = mem_alloc(strlen(query) + 1);

    assert_int_equal(query_get(in, name, storage, &out), expected);
    if (expected == 1) {
        assert_int_equal(out.n, strlen(value));
        assert_memory_equal(out.p, value, out.n);
    }
    free(storage);
    free((char *)in.p);
}

static void query_parameters_are_found_and_decoded(void **state)
{
    assert_query("token=abc", "token", 1, "abc");
    assert_query("a=1&token=abc&b=2", "token", 1, "abc");
    assert_query("token=first&token=second", "token", 1, "first");
    assert_query("token", "token", 1, "");
    assert_query("token=", "token", 1, "");
    assert_query("token=a=b==", "token", 1, "a=b==");
    assert_query("token=a+b%2Bc%20d%26", "token", 1, "a+b+c d&");
    assert_query("&&token=x&", "token", 1, "x");
    assert_query("other=%&token=x", "token", 1, "x");
}

static void absent_query_parameters_are_not_found(void **state)
{
    assert_query("", "token", 0, NULL);
    assert_query("tokens=x", "token", 0, NULL);
    assert_query("xtoken=x", "token", 0, NULL);
    assert_query("Token=x", "token", 0, NULL);
    assert_query("a=token=x", "token", 0, NULL);
    assert_query("%74oken=x", "token", 0, NULL);
}

static void badly_encoded_query_parameters_are_refused(void **state)
{
    assert_query("token=%", "token", -1, NULL);
    assert_query("token=%4", "token", -1, NULL);
    assert_query("token=%4&x=1", "token", -1, NULL);
    assert_query("token=%xy", "token", -1, NULL);
    assert_query("token=%00", "token", -1, NULL);
    assert_query("token=%0d%0a", "token", -1, NULL);
    assert_query("token=%ff", "token", -1, NULL);
    assert_query("token=%&token=good", "token", -1, NULL);
}

static void assert_cookie(const char *cookies, const char *name, const char *value)
{
    struct str out;
    bool found = cookie_get(str_of(cookies), name, &out);

    assert_int_equal(found, value != NULL);
    if (found) {
        assert_int_equal(out.n, strlen(value));
        assert_memory_equal(out.p, value, out.n);
    }
}

static void a_cookie_is_found_by_its_exact_name(void **state)
{
    assert_cookie("session=abc", "session", "abc");
    assert_cookie("a=1; session=abc; b=2", "session", "abc");
    assert_cookie("a=1;session=abc", "session", "abc");
    assert_cookie("session=\"abc\"", "session", "abc");
    assert_cookie("session=\"", "session", "\"");
    assert_cookie("session=\"\"", "session", "");
    assert_cookie("session=a=b==", "session", "a=b==");
    assert_cookie("session=", "session", "");
    assert_cookie("session=1; session=2", "session", "1");
    assert_cookie("", "session", NULL);
    assert_cookie("session", "session", NULL);
    assert_cookie("xsession=1; sessionx=2; Session=3", "session", NULL);
    assert_cookie("a=session=1", "session", NULL);
}

static void assert_head(struct str head, const char *problem)
{
    struct str in = exact(head);
    const char *got = http_head_problem(in);

    if (problem == NULL ? got != NULL : got == NULL || strcmp(got, problem) != 0)
        fail_msg("%.*s: expected %s, got %s", (int)head.n, head.p, problem ? problem : "none", got ? got : "none");
    free((char *)in.p);
}
#define HEAD(head, problem) assert_head(STR_LIT(head), (problem))
#define FIELDS(fields, problem) HEAD("POST /events HTTP/1.1\r\nHost: a\r\n" fields "\r\n", (problem))

static void unambiguous_heads_pass(void **state)
{
    HEAD("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", NULL);
    HEAD("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    HEAD("GET / HTTP/1.0\r\n\r\n", NULL);
    HEAD("GET / HTTP/1.0\r\nHost: a\r\n\r\n", NULL);
    FIELDS("", NULL);
    FIELDS("Content-Length: 0\r\n", NULL);
    FIELDS("content-length:12\r\n", NULL);
    FIELDS("Content-Length:\t 12 \t\r\n", NULL);
    FIELDS("Content-Length: 999999999999999999\r\n", NULL);
    FIELDS("Transfer-Encoding: Chunked\r\n", NULL);
    FIELDS("X-Empty:\r\nX-Tab: a\tb\r\nX-Text: \xc3\xa9: \"q\"\r\nX!#$%&'*+-.^_`|~: odd\r\n", NULL);
    FIELDS("Accept: a\r\nAccept: b\r\n", NULL);
}

static void ambiguous_body_lengths_are_named(void **state)
{
    FIELDS("Content-Length: 1\r\nContent-Length: 1\r\n", "more than one Content-Length");
    FIELDS("Content-Length: 1\r\ncontent-LENGTH: 2\r\n", "more than one Content-Length");
    FIELDS("Content-Length: 1, 1\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: +1\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: -1\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: 0x1\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: 1 1\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: 1_0\r\n", "Content-Length is not a number");
    FIELDS("Content-Length:\r\n", "Content-Length is not a number");
    FIELDS("Content-Length: 1234567890123456789\r\n", "Content-Length is too large");
    FIELDS("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding with Content-Length");
    FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "Transfer-Encoding with Content-Length");
    FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "more than one Transfer-Encoding");
    FIELDS("Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding is not just chunked");
    FIELDS("Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding is not just chunked");
    FIELDS("Transfer-Encoding: identity\r\n", "Transfer-Encoding is not just chunked");
    FIELDS("Transfer-Encoding: xchunked\r\n", "Transfer-Encoding is not just chunked");
    FIELDS("Transfer-Encoding:\r\n", "Transfer-Encoding is not just chunked");
    FIELDS("Transfer-Encoding: \x0b"
           "chunked\r\n",
           "control character in a field");
    HEAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0");
}

static void a_request_has_one_host(void **state)
{
    HEAD("GET / HTTP/1.1\r\n\r\n", "no Host");
    HEAD("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", "no Host");
    FIELDS("Host: b\r\n", "more than one Host");
    FIELDS("hOST: a\r\n", "more than one Host");
    HEAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host");
}

static void malformed_lines_are_named(void **state)
{
    FIELDS("A: b\n", "line that ends in a bare LF");
    FIELDS("A: b\nContent-Length: 5\r\n", "line that ends in a bare LF");
    FIELDS("\n", "line that ends in a bare LF");
    HEAD("GET / HTTP/1.1\nHost: a\r\n\r\n", "line that ends in a bare LF");
    HEAD("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "line that ends in a bare LF");
    FIELDS("A: b\rContent-Length: 5\r\n", "bare CR");
    FIELDS("A: b\r\r\n", "bare CR");
    FIELDS("A: b\r\n folded\r\n", "folded line");
    FIELDS("A: b\r\n\tContent-Length: 5\r\n", "folded line");
    FIELDS(" \r\n", "folded line");
    FIELDS("Content-Length : 5\r\n", "white space before the colon");
    FIELDS("Content-Length\t: 5\r\n", "white space before the colon");
    FIELDS("Content Length: 5\r\n", "malformed field name");
    FIELDS(": 5\r\n", "malformed field name");
    FIELDS("Content-Length\x0b: 5\r\n", "malformed field name");
    FIELDS("\xc3\xa9: 5\r\n", "malformed field name");
    FIELDS("no colon\r\n", "field without a colon");
    FIELDS("A: \x01\r\n", "control character in a field");
    FIELDS("A: \x7f\r\n", "control character in a field");
    FIELDS("A: b\0c\r\n", "NUL in the head");
    FIELDS("A\0: b\r\n", "NUL in the head");
    HEAD("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "NUL in the head");
}

static void malformed_request_lines_are_named(void **state)
{
    HEAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD("GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD("GET\r\nHost: a\r\n\r\n", "malformed request line");
    HEAD("GET /\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET / http/1.1\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    HEAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
}

static void a_head_ends_at_its_blank_line(void **state)
{
    HEAD("", "head without an end");
    HEAD("\r\n", "head without an end");
    HEAD("GET / HTTP/1.1", "head without an end");
    HEAD("GET / HTTP/1.1\r\n", "head without an end");
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n", "head without an end");
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r", "head without an end");
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", "bytes behind the end of the head");
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", "bytes behind the end of the head");
    HEAD("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "malformed request line");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_split_and_each_segment_decoded_once),
        cmocka_unit_test(the_base_path_is_taken_off),
        cmocka_unit_test(a_target_that_is_no_path_is_not_found),
        cmocka_unit_test(segments_that_cannot_be_ids_are_refused),
        cmocka_unit_test(dot_segments_are_refused_in_every_spelling),
        cmocka_unit_test(too_many_segments_are_not_found),
        cmocka_unit_test(query_parameters_are_found_and_decoded),
        cmocka_unit_test(absent_query_parameters_are_not_found),
        cmocka_unit_test(badly_encoded_query_parameters_are_refused),
        cmocka_unit_test(a_cookie_is_found_by_its_exact_name),
        cmocka_unit_test(unambiguous_heads_pass),
        cmocka_unit_test(ambiguous_body_lengths_are_named),
        cmocka_unit_test(a_request_has_one_host),
        cmocka_unit_test(malformed_lines_are_named),
        cmocka_unit_test(malformed_request_lines_are_named),
        cmocka_unit_test(a_head_ends_at_its_blank_line),
    };

    return cmocka_run_group_tests_name("http_request", tests, NULL, NULL);
}
