/* core/log.c: both formats, what is cut, replaced and quoted, and that a line is one write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/log.h"

#define MOMENT_US 1767323045678999 /* 2026-01-02T03:04:05.678999Z */
#define TEXT_START "2026-01-02T03:04:05.678Z INFO  e"
#define JSON_START "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\",\"event\":\"e\""

#define assert_line(format, expected, ...)                                                                             \
    do {                                                                                                               \
        const struct log_field fields_[] = {__VA_ARGS__};                                                              \
        struct buf line_ = {0};                                                                                        \
        log_format_line(&line_, (format), MOMENT_US, LOG_LEVEL_INFO, "e", fields_,                                     \
                        sizeof(fields_) / sizeof(fields_[0]));                                                         \
        buf_append_char(&line_, '\0');                                                                                 \
        assert_string_equal(line_.p, expected "\n");                                                                   \
        buf_free(&line_);                                                                                              \
    } while (0)

static void text_is_for_people(void **state)
{
    struct buf line = {0};
    const struct log_field fields[] = {LOG_Z("address", "[::]:8000"), LOG_U("workers", 4)};

    log_format_line(&line, LOG_FORMAT_TEXT, MOMENT_US, LOG_LEVEL_INFO, "listening", fields, 2);
    log_format_line(&line, LOG_FORMAT_TEXT, -1, LOG_LEVEL_ERROR, "stopped", NULL, 0);
    buf_append_char(&line, '\0');
    assert_string_equal(line.p, "2026-01-02T03:04:05.678Z INFO  listening address=[::]:8000 workers=4\n"
                                "1970-01-01T00:00:00.000Z ERROR stopped\n");
    buf_free(&line);
}

static void json_has_its_keys_in_order(void **state)
{
    assert_line(LOG_FORMAT_JSON, JSON_START ",\"s\":\"v\",\"i\":-5,\"u\":18446744073709551615,\"t\":true,\"f\":false}",
                LOG_Z("s", "v"), LOG_I("i", -5), LOG_U("u", UINT64_MAX), LOG_B("t", 2), LOG_B("f", 0));
}

static void text_quotes_what_could_be_misread(void **state)
{
    assert_line(LOG_FORMAT_TEXT,
                TEXT_START " a=\"two words\" b=\"\" c=\"x=y\" d=\"say \\\"hi\\\"\" e=\"\\\\\" f=\xc3\xa4",
                LOG_Z("a", "two words"), LOG_Z("b", ""), LOG_Z("c", "x=y"), LOG_Z("d", "say \"hi\""), LOG_Z("e", "\\"),
                LOG_Z("f", "\xc3\xa4"));
}

static void a_value_cannot_begin_a_line_of_its_own(void **state)
{
    assert_line(LOG_FORMAT_TEXT, TEXT_START " a=\"x\\n2026 ERROR forged\" b=\"\\u001b[2J\" c=\"\\u0000\"",
                LOG_Z("a", "x\n2026 ERROR forged"), LOG_Z("b", "\x1b[2J"), LOG_S("c", ((struct str){"", 1})));
    assert_line(LOG_FORMAT_JSON, JSON_START ",\"a\":\"\\\",\\\"level\\\":\\\"error\\r\\n\"}",
                LOG_Z("a", "\",\"level\":\"error\r\n"));
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    assert_line(LOG_FORMAT_TEXT,
                TEXT_START " a=x\xef\xbf\xbdy b=\xef\xbf\xbd"
                           "A c=\xef\xbf\xbd\xef\xbf\xbd d=\xef\xbf\xbd",
                LOG_Z("a", "x\xffy"),
                LOG_Z("b", "\xe2\x82"
                           "A"),
                LOG_Z("c", "\xc0\x80"), LOG_Z("d", "\xf0\x9f\x94"));
    assert_line(LOG_FORMAT_JSON, JSON_START ",\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x94\x94\"}",
                LOG_Z("a", "\xed\xa0\x80\xf0\x9f\x94\x94"));
}

static void controls_that_json_lets_pass_do_not_reach_a_terminal(void **state)
{
    assert_line(LOG_FORMAT_TEXT,
                TEXT_START " a=\xef\xbf\xbd"
                           "2J b=\xef\xbf\xbd c=\xc2\xa0",
                LOG_Z("a", "\xc2\x9b"
                           "2J"),
                LOG_Z("b", "\x7f"), LOG_Z("c", "\xc2\xa0"));
}

static void an_absent_value_leaves_its_field_out(void **state)
{
    assert_line(LOG_FORMAT_TEXT, TEXT_START " b=1", LOG_Z("a", NULL), LOG_I("b", 1));
    assert_line(LOG_FORMAT_JSON, JSON_START ",\"b\":1}", LOG_S("a", STR_NONE), LOG_I("b", 1));
}

static void assert_value_length(const char *bytes, size_t n, size_t expected)
{
    const struct log_field field = LOG_S("a", ((struct str){bytes, n}));
    struct buf line = {0};

    log_format_line(&line, LOG_FORMAT_TEXT, MOMENT_US, LOG_LEVEL_INFO, "e", &field, 1);
    assert_int_equal(line.n, sizeof(TEXT_START " a=\n") - 1 + expected);
    buf_free(&line);
}

static void a_long_value_is_cut_between_two_characters(void **state)
{
    char bytes[1000];

    memset(bytes, 'x', sizeof(bytes));
    assert_value_length(bytes, 512, 512);
    assert_value_length(bytes, 513, 512);
    assert_value_length(bytes, 1000, 512);
    memcpy(bytes + 510, "\xe2\x82\xac", 3);
    assert_value_length(bytes, 513, 510);
    memcpy(bytes + 509, "\xe2\x82\xac", 3);
    assert_value_length(bytes, 600, 512);
    /* not cut, so what is missing was missing before */
    assert_value_length(bytes, 511, 509 + 3);
}

static void a_level_below_the_configured_one_is_silent(void **state)
{
    log_init(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    assert_true(log_enabled(LOG_LEVEL_DEBUG));
}

/* A packet pipe (O_DIRECT) gives back each write(2) by itself. */
static void a_line_is_one_write(void **state)
{
    int pipe_fds[2], saved = dup(STDERR_FILENO);
    char got[4096];

    assert_true(saved >= 0);
    assert_int_equal(pipe2(pipe_fds, O_DIRECT | O_NONBLOCK), 0);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
    errno = ENOENT;
    log_event(LOG_LEVEL_INFO, "first", LOG_Z("a", "x\ny"), LOG_U("b", 7));
    log_event(LOG_LEVEL_DEBUG, "unheard", LOG_U("b", 7));
    log_event(LOG_LEVEL_ERROR, "second", LOG_U("b", 8));
    int errno_after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);

    ssize_t n = read(pipe_fds[0], got, sizeof(got) - 1);
    assert_true(n > 0);
    got[n] = '\0';
    assert_non_null(strstr(got, "\"level\":\"info\",\"event\":\"first\",\"a\":\"x\\ny\",\"b\":7}\n"));
    assert_int_equal(got[n - 1], '\n');
    n = read(pipe_fds[0], got, sizeof(got) - 1);
    assert_true(n > 0);
    got[n] = '\0';
    assert_non_null(strstr(got, "\"event\":\"second\""));
    assert_int_equal(read(pipe_fds[0], got, sizeof(got)), -1);
    assert_int_equal(errno_after, ENOENT);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void a_limited_line_passes_once_a_second_and_tells_what_it_hid(void **state)
{
    struct log_limit l = {0};
    uint64_t suppressed = 99;

    assert_true(log_limit_pass(&l, 5000, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass(&l, 5000, &suppressed));
    assert_false(log_limit_pass(&l, 5999, &suppressed));
    assert_true(log_limit_pass(&l, 6000, &suppressed));
    assert_int_equal(suppressed, 2);
    assert_true(log_limit_pass(&l, 9000, &suppressed));
    assert_int_equal(suppressed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_for_people),
        cmocka_unit_test(json_has_its_keys_in_order),
        cmocka_unit_test(text_quotes_what_could_be_misread),
        cmocka_unit_test(a_value_cannot_begin_a_line_of_its_own),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(controls_that_json_lets_pass_do_not_reach_a_terminal),
        cmocka_unit_test(an_absent_value_leaves_its_field_out),
        cmocka_unit_test(a_long_value_is_cut_between_two_characters),
        cmocka_unit_test(a_level_below_the_configured_one_is_silent),
        cmocka_unit_test(a_line_is_one_write),
        cmocka_unit_test(a_limited_line_passes_once_a_second_and_tells_what_it_hid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
