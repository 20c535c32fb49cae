/* core/log_writer.c: lines arrive in order, a stderr that takes nothing holds nobody up, what is dropped is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/log_writer.h"

#define THREADS 4
#define LINES 500

/* stderr is a pipe while a test runs. */
struct pipe_end {
    int fds[2], saved;
};

static struct pipe_end stderr_to_pipe(void)
{
    struct pipe_end e;

    assert_int_equal(pipe(e.fds), 0);
    e.saved = dup(STDERR_FILENO);
    dup2(e.fds[1], STDERR_FILENO);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    return e;
}

static void restore_stderr(struct pipe_end *e)
{
    dup2(e->saved, STDERR_FILENO);
    close(e->saved);
    close(e->fds[1]);
}

static void *read_all(void *arg)
{
    struct pipe_end *e = arg;
    struct buf *out = mem_zalloc(sizeof(*out));
    char bytes[4096];
    ssize_t n;

    while ((n = read(e->fds[0], bytes, sizeof(bytes))) > 0)
        buf_append(out, (struct str){bytes, (size_t)n});
    buf_append_char(out, '\0');
    return out;
}

static char *finish(struct pipe_end *e, pthread_t reader)
{
    struct buf *out;

    restore_stderr(e);
    pthread_join(reader, (void **)&out);
    close(e->fds[0]);
    char *text = out->p;
    free(out);
    return text;
}

static void *log_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_event(LOG_LEVEL_INFO, "line", LOG_Z("thread", (const char *)arg), LOG_I("n", i));
    return NULL;
}

static void lines_of_each_thread_keep_their_order(void **state)
{
    static const char *const names[THREADS] = {"a", "b", "c", "d"};
    struct pipe_end e = stderr_to_pipe();
    pthread_t reader, threads[THREADS];
    int next[THREADS] = {0};

    pthread_create(&reader, NULL, read_all, &e);
    assert_int_equal(log_writer_start(), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_lines, (void *)names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_writer_stop(10000);
    char *text = finish(&e, reader), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        char *thread = strstr(line, "thread="), *n = strstr(line, " n=");
        assert_non_null(thread);
        assert_non_null(n);
        assert_int_equal(atoi(n + 3), next[thread[7] - 'a']++);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
    assert_int_equal(log_writer_dropped(), 0);
    free(text);
}

static void nobody_waits_for_a_stderr_that_takes_nothing(void **state)
{
    struct pipe_end e = stderr_to_pipe();
    char padding[400];
    pthread_t reader;
    unsigned logged = 3 * LOG_WAITING_MAX / sizeof(padding), arrived = 0;

    memset(padding, 'x', sizeof(padding));
    assert_int_equal(log_writer_start(), 0);
    for (unsigned i = 0; i < logged; i++) /* would hang here if it waited */
        log_event(LOG_LEVEL_INFO, "line", LOG_S("padding", ((struct str){padding, sizeof(padding)})));
    uint64_t dropped = log_writer_dropped();
    assert_true(dropped > logged / 3 && dropped < logged);
    pthread_create(&reader, NULL, read_all, &e);
    log_writer_stop(10000);
    char *text = finish(&e, reader);
    for (char *at = text; (at = strstr(at, " line padding=")) != NULL; at++)
        arrived++;
    char told[64];
    snprintf(told, sizeof(told), "log_lines_dropped lines=%u", (unsigned)dropped);
    assert_non_null(strstr(text, told));
    assert_int_equal(arrived + dropped, logged);
    free(text);
}

static void after_the_end_lines_are_written_at_once(void **state)
{
    struct pipe_end e = stderr_to_pipe();
    char bytes[200] = {0};

    assert_int_equal(log_writer_start(), 0);
    log_writer_stop(10000);
    log_event(LOG_LEVEL_INFO, "late", LOG_U("n", 1));
    assert_true(read(e.fds[0], bytes, sizeof(bytes) - 1) > 0);
    assert_non_null(strstr(bytes, "late n=1"));
    restore_stderr(&e);
    close(e.fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_each_thread_keep_their_order),
        cmocka_unit_test(nobody_waits_for_a_stderr_that_takes_nothing),
        cmocka_unit_test(after_the_end_lines_are_written_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
