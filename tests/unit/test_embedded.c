/* pubsub/embedded.c and embedded_folder.c: a real redis-server, servers that fail in every way, belfrys that are
 * killed, and what they leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "pubsub/embedded.h"

#define PATIENCE_MS 10000
#define FAKE_MODE "BELFRY_TEST_FAKE_SERVER"

/* Every test has a folder of its own as TMPDIR. */
static char folder[64];

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/test_embedded-XXXXXX");
    unsetenv("XDG_RUNTIME_DIR");
    return mkdtemp(folder) != NULL ? setenv("TMPDIR", folder, 1) : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static const char *path_in(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static size_t entries_of(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        ++n;
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* A shell script in the folder; "$@" is what the server would be given. */
static char *script(const char *body)
{
    char *path = strdup(path_in("server"));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd != -1);
    dprintf(fd, "#!/bin/sh\n%s\n", body);
    close(fd);
    return path;
}

static struct embedded_redis *started(const char *binary)
{
    struct embedded_redis *r = NULL;
    struct buf error = {0};
    int rc = embedded_start(&r, binary, NULL, PATIENCE_MS, &error);
    if (rc != 0)
        print_error("%.*s\n", (int)error.n, error.p);
    assert_int_equal(rc, 0);
    buf_free(&error);
    return r;
}

static bool contains(const struct buf *b, const char *needle)
{
    bool found = b->n != 0 && memmem(b->p, b->n, needle, strlen(needle)) != NULL;
    if (!found)
        print_error("\"%s\" is not in: %.*s\n", needle, (int)b->n, b->n != 0 ? b->p : "");
    return found;
}

/* It must not start, for a reason that holds `needle`. */
static void assert_fails(const char *binary, uint64_t timeout_ms, const char *needle)
{
    struct embedded_redis *r = NULL;
    struct buf error = {0};
    assert_int_equal(embedded_start(&r, binary, NULL, timeout_ms, &error), -1);
    assert_null(r);
    assert_true(contains(&error, needle));
    buf_free(&error);
}

static bool ends_within(int pidfd, int ms)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    return poll(&fd, 1, ms) == 1;
}

/* Sends an inline command and returns what came back at once. */
static const char *ask_once(const struct embedded_redis *r, const char *command)
{
    static char reply[512];
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", embedded_socket(r));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(send(fd, command, strlen(command), MSG_NOSIGNAL), (ssize_t)strlen(command));
    ssize_t n = recv(fd, reply, sizeof(reply) - 1, 0);
    close(fd);
    reply[n > 0 ? n : 0] = '\0';
    return reply;
}

/* A server that still loads its data counts as started, and says so. */
static const char *ask(const struct embedded_redis *r, const char *command)
{
    uint64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    const char *reply;
    do
        reply = ask_once(r, command);
    while (strncmp(reply, "-LOADING", 8) == 0 && clock_monotonic_ms() < until_ms);
    return reply;
}

/* Polls until it has died, at most PATIENCE_MS. */
static bool dies(struct embedded_redis *r, struct buf *reason)
{
    int pidfd = pidfd_open(embedded_pid(r), 0);
    bool ended = ends_within(pidfd, PATIENCE_MS);
    close(pidfd);
    return ended && !embedded_poll(r, reason);
}

/* --- a server that runs ------------------------------------------------------------------------------------------- */

static void a_started_server_answers_with_the_settings_it_was_given(void **state)
{
    struct embedded_redis *r = started(NULL);
    struct buf reason = {0};
    assert_string_equal(ask(r, "PING\r\n"), "+PONG\r\n");
    assert_non_null(strstr(ask(r, "CONFIG GET stream-node-max-bytes\r\n"), "\r\n1024\r\n"));
    assert_non_null(strstr(ask(r, "CONFIG GET maxmemory-policy\r\n"), "\r\nnoeviction\r\n"));
    assert_non_null(strstr(ask(r, "CONFIG GET port\r\n"), "\r\n0\r\n"));
    assert_non_null(strstr(ask(r, "CONFIG GET save\r\n"), "\r\n$0\r\n"));
    assert_true(embedded_poll(r, &reason));
    assert_int_equal(reason.n, 0);
    assert_true(embedded_pid(r) > 0);
    embedded_stop(r);
}

static void nobody_else_can_enter_its_folder(void **state)
{
    struct embedded_redis *r = started(NULL);
    struct stat st;
    char path[128];
    snprintf(path, sizeof(path), "%s", embedded_socket(r));
    assert_true(strncmp(path, folder, strlen(folder)) == 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    embedded_stop(r);
}

static void stopping_leaves_neither_process_nor_folder_nor_descriptor(void **state)
{
    size_t descriptors = entries_of("/proc/self/fd");
    struct embedded_redis *r = started(NULL);
    pid_t pid = embedded_pid(r);
    char path[256];
    snprintf(path, sizeof(path), "%.*s/dump", (int)(strrchr(embedded_socket(r), '/') - embedded_socket(r)),
             embedded_socket(r));
    assert_int_equal(mkdir(path, 0700), 0); /* as if somebody had told it to persist */
    strcat(path, "/file");
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    embedded_stop(r);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(entries_of(folder), 2); /* . and .. */
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
}

/* What a descriptor of the server leads to; "" if it is closed. */
static const char *descriptor_of(const struct embedded_redis *r, int fd)
{
    static char target[256];
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)embedded_pid(r), fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    return target;
}

static void it_inherits_no_descriptor(void **state)
{
    int opened = open(path_in("secret"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int fd = fcntl(opened, F_DUPFD, 20); /* without O_CLOEXEC */
    close(opened);
    struct embedded_redis *r = started(NULL);
    bool leaked = false;
    for (int i = 0; i < 64; ++i)
        leaked = leaked || strcmp(descriptor_of(r, i), path_in("secret")) == 0;
    assert_false(leaked);
    embedded_stop(r);
    close(fd);
}

static void ctrl_c_and_blocked_signals_of_belfry_do_not_reach_it(void **state)
{
    sigset_t set, before;
    char path[64], line[256] = "";
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    struct embedded_redis *r = started(NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(getsid(embedded_pid(r)), embedded_pid(r));
    snprintf(path, sizeof(path), "/proc/%d/status", (int)embedded_pid(r));
    FILE *status = fopen(path, "re");
    while (fgets(line, sizeof(line), status) != NULL && strncmp(line, "SigBlk:", 7) != 0)
        ;
    fclose(status);
    assert_string_equal(line, "SigBlk:\t0000000000000000\n");
    embedded_stop(r);
}

static void it_starts_where_belfry_has_no_standard_descriptors(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct embedded_redis *r = NULL;
        struct buf error = {0};
        char output[256];
        for (int fd = 0; fd < 3; ++fd)
            close(fd);
        if (embedded_start(&r, NULL, NULL, PATIENCE_MS, &error) != 0)
            _exit(1);
        bool well = strcmp(descriptor_of(r, 0), "/dev/null") == 0;
        snprintf(output, sizeof(output), "%s", descriptor_of(r, 1));
        well = well && strncmp(output, "pipe:", 5) == 0 && strcmp(descriptor_of(r, 2), output) == 0;
        embedded_stop(r);
        _exit(well ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- what it says, and its death ---------------------------------------------------------------------------------- */

static void its_death_is_noticed_with_signal_and_last_words(void **state)
{
    char *binary = script("exec redis-server \"$@\" --enable-debug-command yes");
    struct embedded_redis *r = started(binary);
    struct buf reason = {0};
    ask(r, "DEBUG LOG farewell\r\n");
    assert_true(embedded_poll(r, &reason));
    kill(embedded_pid(r), SIGKILL);
    assert_true(dies(r, &reason));
    assert_true(contains(&reason, "ended by signal 9 (Killed"));
    assert_true(contains(&reason, "it said: "));
    assert_true(contains(&reason, "farewell"));
    assert_int_not_equal(reason.p[reason.n - 1], '\n');
    assert_int_equal(embedded_pid(r), 0);
    embedded_stop(r);
    buf_free(&reason);
    free(binary);
}

static void an_end_by_itself_is_noticed_with_its_exit_code(void **state)
{
    struct embedded_redis *r = started(NULL);
    struct buf reason = {0};
    kill(embedded_pid(r), SIGTERM);
    assert_true(dies(r, &reason));
    assert_true(contains(&reason, "ended with exit code 0"));
    embedded_stop(r);
    buf_free(&reason);
}

static void its_descriptor_wakes_whoever_waits_for_its_death(void **state)
{
    struct embedded_redis *r = started(NULL);
    struct pollfd fd = {.fd = embedded_fd(r), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    kill(embedded_pid(r), SIGKILL);
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    embedded_stop(r);
}

static void what_it_says_is_logged_by_whole_lines(void **state)
{
    char *binary = script("exec redis-server \"$@\" --enable-debug-command yes");
    struct embedded_redis *r = started(binary);
    struct buf reason = {0};
    char logged[4096];
    int ends[2], terminal = dup(STDERR_FILENO);
    char command[1500] = "DEBUG LOG ";
    memset(command + 10, 'x', 1100); /* more than one read brings */
    strcpy(command + 1110, "end\r\n");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    ask(r, command);
    ask(r, "DEBUG LOG tidings\r\n");
    dup2(ends[1], STDERR_FILENO);
    bool lives = embedded_poll(r, &reason);
    dup2(terminal, STDERR_FILENO);
    close(ends[1]);
    ssize_t n = read(ends[0], logged, sizeof(logged) - 1);
    logged[n > 0 ? n : 0] = '\0';
    size_t lines = 0;
    for (char *p = logged; (p = strstr(p, "embedded_redis_says")) != NULL; ++p)
        ++lines;
    assert_true(lives);
    assert_non_null(strstr(logged, "tidings"));
    assert_int_equal(lines, 2);
    close(ends[0]);
    close(terminal);
    embedded_stop(r);
    free(binary);
}

static void a_server_that_closes_its_output_is_still_watched(void **state)
{
    char *binary = script("exec redis-server \"$@\" >/dev/null 2>&1");
    struct embedded_redis *r = started(binary);
    struct buf reason = {0};
    assert_true(embedded_poll(r, &reason));
    assert_int_equal(embedded_fd(r), -1); /* or poll(2) would spin */
    kill(embedded_pid(r), SIGKILL);
    assert_true(dies(r, &reason));
    embedded_stop(r);
    buf_free(&reason);
    free(binary);
}

static void its_death_is_noticed_where_belfry_was_started_with_sigchld_ignored(void **state)
{
    struct buf reason = {0};
    signal(SIGCHLD, SIG_IGN);
    struct embedded_redis *r = started(NULL);
    kill(embedded_pid(r), SIGKILL);
    assert_true(dies(r, &reason));
    assert_true(contains(&reason, "ended by signal 9"));
    embedded_stop(r);
    buf_free(&reason);
}

/* --- servers that do not start ------------------------------------------------------------------------------------ */

static void a_missing_server_is_told_with_what_to_install(void **state)
{
    assert_fails("no-such-redis-server", PATIENCE_MS,
                 "no-such-redis-server is not installed: apt-get install redis-server, or set REDIS_URL");
    assert_fails("/no/such/redis-server", PATIENCE_MS, "is not installed");
    assert_int_equal(entries_of(folder), 2);
}

static void a_file_that_cannot_be_run_is_told_with_the_reason(void **state)
{
    char *binary = script("exit 0");
    chmod(binary, 0600);
    assert_fails(binary, PATIENCE_MS, "cannot run");
    assert_fails(binary, PATIENCE_MS, "Permission denied");
    free(binary);
}

static void a_server_that_exits_at_once_is_quoted(void **state)
{
    char *binary = script("echo 'Bad directive' >&2; exit 3");
    assert_fails(binary, PATIENCE_MS, "redis-server ended with exit code 3; it said: Bad directive");
    unlink(binary);
    assert_int_equal(entries_of(folder), 2);
    free(binary);
}

static void only_the_last_words_of_much_are_quoted(void **state)
{
    char *binary = script("i=0; while [ $i -lt 500 ]; do echo first; i=$((i+1)); done; echo last; exit 1");
    struct embedded_redis *r = NULL;
    struct buf error = {0};
    assert_int_equal(embedded_start(&r, binary, NULL, PATIENCE_MS, &error), -1);
    assert_true(error.n < 512);
    assert_memory_equal(error.p + error.n - 4, "last", 4);
    buf_free(&error);
    free(binary);
}

static void the_wait_for_a_server_that_does_not_answer_is_bounded(void **state)
{
    static const char *const modes[] = {"absent", "mute", "hang up"};
    for (size_t i = 0; i < 3; ++i) {
        uint64_t before_ms = clock_monotonic_ms();
        setenv(FAKE_MODE, modes[i], 1);
        assert_fails("/proc/self/exe", 200, "did not answer within 200 ms; it said: fake");
        assert_true(clock_monotonic_ms() - before_ms < 4000);
        assert_int_equal(entries_of(folder), 2);
    }
}

/* --- its data ----------------------------------------------------------------------------------------------------- */

static int open_data(struct embedded_redis **r, const char *data, struct buf *error)
{
    return embedded_start(r, NULL, data, PATIENCE_MS, error);
}

static void data_are_kept_in_a_folder_that_nobody_else_can_enter(void **state)
{
    char data[512];
    struct embedded_redis *r;
    struct buf error = {0};
    struct stat st;
    snprintf(data, sizeof(data), "%s", path_in("with a space"));
    assert_int_equal(open_data(&r, data, &error), 0);
    assert_int_equal(stat(data, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_non_null(strstr(ask(r, "CONFIG GET appendonly\r\n"), "\r\nyes\r\n"));
    assert_non_null(strstr(ask(r, "CONFIG GET appendfsync\r\n"), "\r\neverysec\r\n"));
    assert_non_null(strstr(ask(r, "CONFIG GET dir\r\n"), data));
    assert_string_equal(ask(r, "SET a 1\r\n"), "+OK\r\n");
    kill(embedded_pid(r), SIGKILL);
    assert_true(dies(r, &error));
    embedded_stop(r);
    assert_int_equal(open_data(&r, data, &error), 0);
    assert_string_equal(ask(r, "GET a\r\n"), "$1\r\n1\r\n");
    embedded_stop(r);
    buf_free(&error);
}

static void a_folder_in_use_is_refused_also_while_only_its_server_lives(void **state)
{
    char data[512];
    struct embedded_redis *r, *second = NULL;
    struct buf error = {0};
    snprintf(data, sizeof(data), "%s", path_in("data"));
    assert_int_equal(open_data(&r, data, &error), 0);
    assert_true(strncmp(descriptor_of(r, 4), data, strlen(data)) == 0); /* the lock lives as long as the server */
    assert_int_equal(open_data(&second, data, &error), -1);
    assert_true(contains(&error, "is in use by another belfry"));
    assert_null(second);
    embedded_stop(r);
    assert_int_equal(open_data(&second, data, &error), 0);
    embedded_stop(second);
    buf_free(&error);
}

static void a_folder_that_cannot_be_used_is_told_with_the_reason(void **state)
{
    static const char *const paths[][2] = {{"missing/data", "cannot be made: No such file or directory"},
                                           {"file", "cannot be opened: Not a directory"}};
    close(open(path_in("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (size_t i = 0; i < 2; ++i) {
        struct embedded_redis *r = NULL;
        struct buf error = {0};
        assert_int_equal(open_data(&r, path_in(paths[i][0]), &error), -1);
        assert_true(contains(&error, paths[i][1]));
        assert_true(contains(&error, "DATA_DIR /tmp/"));
        buf_free(&error);
    }
    assert_int_equal(entries_of(folder), 3); /* no folder of a server */
}

static void a_server_that_still_loads_has_started(void **state)
{
    setenv(FAKE_MODE, "loads", 1);
    struct embedded_redis *r = started("/proc/self/exe");
    embedded_stop(r);
}

/* --- belfrys that are killed -------------------------------------------------------------------------------------- */

/* A process that starts a server, tells its pid, and waits to be killed. */
static pid_t start_in_a_process(pid_t *redis)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct embedded_redis *r = NULL;
        struct buf error = {0};
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should an assertion end the test before it does */
        if (embedded_start(&r, NULL, NULL, PATIENCE_MS, &error) != 0)
            _exit(1);
        pid_t told = embedded_pid(r);
        if (write(ends[1], &told, sizeof(told)) == sizeof(told))
            pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], redis, sizeof(*redis)), sizeof(*redis));
    close(ends[0]);
    return pid;
}

static void the_server_of_a_killed_belfry_dies_and_its_folder_goes_at_the_next_start(void **state)
{
    pid_t redis, belfry = start_in_a_process(&redis);
    int pidfd = pidfd_open(redis, 0);
    assert_true(pidfd != -1);
    assert_false(ends_within(pidfd, 0));
    kill(belfry, SIGKILL);
    assert_int_equal(waitpid(belfry, NULL, 0), belfry);
    assert_true(ends_within(pidfd, 2000));
    close(pidfd);
    assert_int_equal(entries_of(folder), 3); /* its folder is left */
    struct embedded_redis *r = started(NULL);
    assert_int_equal(entries_of(folder), 3); /* the new one */
    embedded_stop(r);
    assert_int_equal(entries_of(folder), 2);
}

static void a_belfry_that_lives_keeps_its_folder(void **state)
{
    pid_t redis, belfry = start_in_a_process(&redis);
    struct embedded_redis *r = started(NULL), *second = started(NULL);
    assert_int_equal(entries_of(folder), 5);
    assert_string_equal(ask(r, "PING\r\n"), "+PONG\r\n");
    embedded_stop(r);
    embedded_stop(second);
    assert_int_equal(entries_of(folder), 3);
    kill(belfry, SIGKILL);
    assert_int_equal(waitpid(belfry, NULL, 0), belfry);
}

/* --- this program as a server ------------------------------------------------------------------------------------- */

/* Says a word, then: loads, answers that; absent, never listens; mute, never answers; hang up, closes each connection
 * at once. */
static int fake_server(char **argv)
{
    const char *mode = getenv(FAKE_MODE);
    bool loads = strcmp(mode, "loads") == 0;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    fprintf(stderr, "fake\n");
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", argv[4]); /* --port 0 --unixsocket PATH */
    if (strcmp(mode, "absent") != 0 && (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, 8) != 0))
        return 1;
    while (strcmp(mode, "hang up") == 0)
        close(accept(fd, NULL, NULL));
    for (int client; loads && (client = accept(fd, NULL, NULL)) != -1; close(client))
        dprintf(client, "-LOADING Redis is loading the dataset in memory\r\n");
    pause();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "--port") == 0)
        return fake_server(argv);
    const struct CMUnitTest tests[] = {
        TEST(a_started_server_answers_with_the_settings_it_was_given),
        TEST(nobody_else_can_enter_its_folder),
        TEST(stopping_leaves_neither_process_nor_folder_nor_descriptor),
        TEST(it_inherits_no_descriptor),
        TEST(ctrl_c_and_blocked_signals_of_belfry_do_not_reach_it),
        TEST(it_starts_where_belfry_has_no_standard_descriptors),
        TEST(its_death_is_noticed_with_signal_and_last_words),
        TEST(an_end_by_itself_is_noticed_with_its_exit_code),
        TEST(its_descriptor_wakes_whoever_waits_for_its_death),
        TEST(what_it_says_is_logged_by_whole_lines),
        TEST(a_server_that_closes_its_output_is_still_watched),
        TEST(its_death_is_noticed_where_belfry_was_started_with_sigchld_ignored),
        TEST(a_missing_server_is_told_with_what_to_install),
        TEST(a_file_that_cannot_be_run_is_told_with_the_reason),
        TEST(a_server_that_exits_at_once_is_quoted),
        TEST(only_the_last_words_of_much_are_quoted),
        TEST(the_wait_for_a_server_that_does_not_answer_is_bounded),
        TEST(data_are_kept_in_a_folder_that_nobody_else_can_enter),
        TEST(a_folder_in_use_is_refused_also_while_only_its_server_lives),
        TEST(a_folder_that_cannot_be_used_is_told_with_the_reason),
        TEST(a_server_that_still_loads_has_started),
        TEST(the_server_of_a_killed_belfry_dies_and_its_folder_goes_at_the_next_start),
        TEST(a_belfry_that_lives_keeps_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
