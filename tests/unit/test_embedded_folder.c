/* pubsub/embedded_folder.c: where the folder is made, and which of those found there are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pubsub/embedded_folder.h"

#define SOCKET "redis.sock"

/* Every test has a folder of its own as TMPDIR. */
static char folder[64];

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/test_embedded_folder-XXXXXX");
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

static bool is_there(const char *name)
{
    struct stat st;
    return lstat(path_in(name), &st) == 0;
}

static struct embedded_folder made(void)
{
    struct embedded_folder f;
    struct buf error = {0};
    assert_int_equal(embedded_folder_make(&f, SOCKET, &error), 0);
    assert_int_equal(error.n, 0);
    return f;
}

static void assert_fails(const char *needle)
{
    struct embedded_folder f;
    struct buf error = {0};
    assert_int_equal(embedded_folder_make(&f, SOCKET, &error), -1);
    buf_append_char(&error, '\0');
    assert_non_null(strstr(error.p, needle));
    buf_free(&error);
}

static void a_folder_is_private_and_goes_with_all_that_is_in_it(void **state)
{
    struct embedded_folder f = made();
    struct stat st;
    char path[200];
    assert_true(strncmp(f.path, path_in("belfry-"), strlen(path_in("belfry-"))) == 0);
    assert_int_equal(stat(f.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    snprintf(path, sizeof(path), "%s/inner", f.path);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/file");
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    embedded_folder_remove(&f);
    assert_int_equal(f.lock, -1);
    assert_int_equal(rmdir(folder), 0); /* empty */
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void assert_made_in(const char *parent)
{
    struct embedded_folder f = made();
    assert_true(strncmp(f.path, parent, strlen(parent)) == 0);
    assert_true(strncmp(f.path + strlen(parent), "/belfry-", 8) == 0);
    embedded_folder_remove(&f);
}

static void the_first_folder_that_can_be_used_is_taken(void **state)
{
    assert_int_equal(mkdir(path_in("run"), 0700), 0);
    setenv("XDG_RUNTIME_DIR", path_in("run"), 1);
    assert_made_in(path_in("run"));
    setenv("XDG_RUNTIME_DIR", path_in("absent"), 1);
    assert_made_in(folder);
    setenv("XDG_RUNTIME_DIR", ".", 1); /* relative */
    assert_made_in(folder);
    setenv("XDG_RUNTIME_DIR", "", 1);
    setenv("TMPDIR", path_in("absent"), 1);
    assert_made_in("/tmp");
    unsetenv("TMPDIR");
    assert_made_in("/tmp");
}

/* A folder whose path has n bytes. */
static char *parent_of(size_t n)
{
    char name[256];
    size_t rest = n - strlen(folder) - 1;
    memset(name, 'n', rest);
    name[rest] = '\0';
    char *path = strdup(path_in(name));
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

static void a_path_too_long_for_a_socket_is_told_with_the_variable(void **state)
{
    char pid[16];
    size_t own = (size_t)snprintf(pid, sizeof(pid), "%d", (int)getpid()) + strlen("/belfry--XXXXXX/" SOCKET);
    char *longest = parent_of(107 - own), *longer = parent_of(108 - own);
    setenv("TMPDIR", longest, 1);
    struct embedded_folder f = made();
    assert_int_equal(strlen(f.path) + strlen("/" SOCKET), 107);
    embedded_folder_remove(&f);
    setenv("TMPDIR", longer, 1);
    assert_fails("too long for a Unix socket in it: set TMPDIR to a shorter one");
    setenv("XDG_RUNTIME_DIR", longer, 1);
    assert_fails("set XDG_RUNTIME_DIR to a shorter one");
    assert_int_equal(rmdir(longer), 0);
    free(longest);
    free(longer);
}

static pid_t dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    return pid;
}

/* A folder as a belfry would leave it; returns its name, for free(). */
static char *leave_folder(pid_t pid, const char *letters, mode_t mode)
{
    char name[64], socket[96];
    snprintf(name, sizeof(name), "belfry-%d-%s", (int)pid, letters);
    snprintf(socket, sizeof(socket), "%s/" SOCKET, name);
    assert_int_equal(mkdir(path_in(name), 0700), 0);
    close(open(path_in(socket), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(chmod(path_in(name), mode), 0);
    return strdup(name);
}

static void make_and_remove(void)
{
    struct embedded_folder f = made();
    embedded_folder_remove(&f);
}

static bool survives(char *name)
{
    char socket[96];
    snprintf(socket, sizeof(socket), "%s/" SOCKET, name);
    bool there = is_there(socket);
    free(name);
    return there;
}

static void only_what_a_dead_belfry_left_is_removed(void **state)
{
    pid_t dead = dead_pid();
    char *stale = leave_folder(dead, "AAAAAA", 0700);
    char *of_an_earlier_run = leave_folder(getpid(), "AAAAAA", 0700);
    char *open_to_others = leave_folder(dead, "BBBBBB", 0755);
    char *of_a_living = leave_folder(getppid(), "CCCCCC", 0700);
    char *shorter = leave_folder(dead, "DDD", 0700);
    char *locked = leave_folder(dead, "EEEEEE", 0700);
    int lock = open(path_in(locked), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);

    make_and_remove();
    close(lock);
    assert_false(survives(stale));
    assert_false(survives(of_an_earlier_run));
    assert_true(survives(open_to_others));
    assert_true(survives(of_a_living));
    assert_true(survives(shorter));
    assert_true(survives(locked));
}

static void the_folder_of_another_user_is_let_alone(void **state)
{
    if (geteuid() != 0)
        skip();
    char *name = leave_folder(dead_pid(), "FFFFFF", 0700);
    assert_int_equal(chown(path_in(name), 65534, 65534), 0);
    make_and_remove();
    assert_true(survives(name));
}

static void the_folders_of_one_process_do_not_count_as_left(void **state)
{
    struct embedded_folder first = made(), second = made();
    assert_int_equal(access(first.path, F_OK), 0);
    embedded_folder_remove(&second);
    embedded_folder_remove(&first);
}

static void no_symbolic_link_is_followed(void **state)
{
    pid_t dead = dead_pid();
    char *target = leave_folder(dead, "precious", 0700), *stale = leave_folder(dead, "AAAAAA", 0700);
    char link[64], inner[128];
    snprintf(link, sizeof(link), "belfry-%d-GGGGGG", (int)dead);
    assert_int_equal(symlink(target, path_in(link)), 0);
    char *absolute = strdup(path_in(target));
    snprintf(inner, sizeof(inner), "%s/link", stale);
    assert_int_equal(symlink(absolute, path_in(inner)), 0);

    make_and_remove();
    assert_true(is_there(link));
    assert_false(is_there(stale));
    assert_true(survives(target));
    free(absolute);
    free(stale);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_is_private_and_goes_with_all_that_is_in_it),
        TEST(the_first_folder_that_can_be_used_is_taken),
        TEST(a_path_too_long_for_a_socket_is_told_with_the_variable),
        TEST(only_what_a_dead_belfry_left_is_removed),
        TEST(the_folder_of_another_user_is_let_alone),
        TEST(the_folders_of_one_process_do_not_count_as_left),
        TEST(no_symbolic_link_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
