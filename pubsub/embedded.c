/* Starts, watches and ends the embedded redis-server. */
#include "pubsub/embedded.h"
#include "core/clock.h"
#include "core/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER_PREFIX "belfry-"
#define SOCKET_NAME "redis.sock"
#define LAST_WORDS 2048
#define STOP_MS 5000
#define EXIT_NOT_FOUND 127

struct embedded_redis {
    pid_t pid; /* 0 once it has been reaped */
    int status;
    int output; /* the reading end of its stdout and stderr */
    char folder[108], socket[128];
    struct buf words; /* what it said last */
};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* --- the folder -----------------------------------------------------------------------------------------------------
 */

static const char *parent_folder(void)
{
    const char *candidates[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    for (size_t i = 0; i < 3; ++i)
        if (candidates[i] != NULL && candidates[i][0] == '/' && access(candidates[i], W_OK | X_OK) == 0)
            return candidates[i];
    return "/tmp";
}

/* What redis-server may leave behind without persistence, then the folder itself. */
static void remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return;
    unlinkat(fd, SOCKET_NAME, 0);
    close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* The process that made a folder `belfry-<pid>-XXXXXX`, or 0 if the name is not of that form. */
static pid_t folder_owner(const char *name)
{
    char *end;
    if (strncmp(name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0)
        return 0;
    long pid = strtol(name + strlen(FOLDER_PREFIX), &end, 10);
    return pid > 0 && end[0] == '-' && strlen(end) == 7 ? (pid_t)pid : 0;
}

/* A belfry that was killed could not remove its folder; its redis-server died with it. */
static void remove_stale_folders(const char *parent)
{
    DIR *dir = opendir(parent);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat st;
        pid_t owner = folder_owner(entry->d_name);
        if (owner == 0 || kill(owner, 0) == 0 || errno != ESRCH)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
            st.st_uid == geteuid() && (st.st_mode & 0777) == 0700)
            remove_folder(dirfd(dir), entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
}

static int make_folder(struct embedded_redis *r, struct buf *error)
{
    const char *parent = parent_folder();
    remove_stale_folders(parent);
    int n = snprintf(r->folder, sizeof(r->folder), "%s/" FOLDER_PREFIX "%ld-XXXXXX", parent, (long)getpid());
    if (n + 1 + strlen(SOCKET_NAME) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        buf_printf(error, "the path of %s is too long for a Unix socket: set TMPDIR to a shorter one", parent);
        return -1;
    }
    if (mkdtemp(r->folder) == NULL) {
        buf_printf(error, "cannot make a folder in %s: %s", parent, strerror(errno));
        return -1;
    }
    snprintf(r->socket, sizeof(r->socket), "%s/" SOCKET_NAME, r->folder);
    return 0;
}

/* --- the child ------------------------------------------------------------------------------------------------------
 */

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; ++i)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. A group of its own: Ctrl-C in a terminal reaches belfry alone, which ends the server when it is done.
 */
static void become_server(const struct embedded_redis *r, const char *binary, int output, pid_t parent)
{
    reset_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* belfry died in between */
        _exit(1);
    setpgid(0, 0);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close_range(3, ~0U, 0);
    execlp(binary, binary, "--port", "0", "--unixsocket", r->socket, "--unixsocketperm", "700", "--save", "",
           "--appendonly", "no", "--maxmemory-policy", "noeviction", "--stream-node-max-bytes", "1024", "--dir",
           r->folder, "--daemonize", "no", "--loglevel", "warning", "--logfile", "", (char *)NULL);
    fprintf(stderr, "%s\n", strerror(errno));
    _exit(EXIT_NOT_FOUND);
}

static int spawn(struct embedded_redis *r, const char *binary, struct buf *error)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        buf_printf(error, "cannot make a pipe: %s", strerror(errno));
        return -1;
    }
    r->output = ends[0];
    r->pid = fork();
    if (r->pid == 0)
        become_server(r, binary, ends[1], parent);
    close(ends[1]);
    if (r->pid == -1) {
        r->pid = 0;
        buf_printf(error, "cannot fork: %s", strerror(errno));
        return -1;
    }
    return 0;
}

/* --- watching -------------------------------------------------------------------------------------------------------
 */

static void keep_last_words(struct embedded_redis *r, const char *p, size_t n)
{
    buf_append(&r->words, (struct str){p, n});
    if (r->words.n > LAST_WORDS) {
        size_t extra = r->words.n - LAST_WORDS;
        memmove(r->words.p, r->words.p + extra, LAST_WORDS);
        r->words.n = LAST_WORDS;
    }
}

static void log_lines(struct str text)
{
    while (text.p != NULL) {
        struct str line = str_trim(str_split(&text, '\n'));
        if (line.n != 0)
            log_event(LOG_LEVEL_WARN, "embedded_redis_says", LOG_S("line", line));
    }
}

static void read_output(struct embedded_redis *r, bool log)
{
    char chunk[1024];
    ssize_t n;
    while ((n = read(r->output, chunk, sizeof(chunk))) > 0) {
        keep_last_words(r, chunk, (size_t)n);
        if (log)
            log_lines((struct str){chunk, (size_t)n});
    }
}

static bool has_died(struct embedded_redis *r)
{
    if (r->pid != 0 && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
        r->pid = 0;
    return r->pid == 0;
}

static void describe_death(const struct embedded_redis *r, struct buf *out)
{
    struct str words = str_trim(buf_str(&r->words));
    if (WIFEXITED(r->status) && WEXITSTATUS(r->status) == EXIT_NOT_FOUND) {
        buf_lit(out, "redis-server cannot be run: install it (apt-get install redis-server) or set REDIS_URL");
    } else if (WIFSIGNALED(r->status)) {
        buf_printf(out, "redis-server was ended by signal %d (%s)", WTERMSIG(r->status),
                   strsignal(WTERMSIG(r->status)));
    } else {
        buf_printf(out, "redis-server ended with exit code %d", WEXITSTATUS(r->status));
    }
    if (words.n != 0)
        buf_printf(out, "; it said: %.*s", (int)words.n, words.p);
}

bool embedded_poll(struct embedded_redis *r, struct buf *reason)
{
    read_output(r, true);
    if (!has_died(r))
        return true;
    read_output(r, true);
    describe_death(r, reason);
    return false;
}

/* --- starting -------------------------------------------------------------------------------------------------------
 */

static bool answers_ping(const struct embedded_redis *r)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char reply[8] = "";
    memcpy(sun.sun_path, r->socket, strlen(r->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    bool pong = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 && write(fd, "PING\r\n", 6) == 6 &&
                read(fd, reply, sizeof(reply)) > 0 && memcmp(reply, "+PONG", 5) == 0;
    close(fd);
    return pong;
}

static int await_pong(struct embedded_redis *r, uint64_t timeout_ms, struct buf *error)
{
    uint64_t until_ms = clock_monotonic_ms() + timeout_ms;
    while (!answers_ping(r)) {
        read_output(r, false);
        if (has_died(r)) {
            read_output(r, false);
            describe_death(r, error);
            return -1;
        }
        if (clock_monotonic_ms() >= until_ms) {
            struct str words = str_trim(buf_str(&r->words));
            buf_printf(error, "redis-server did not answer within %llu ms; it said: %.*s",
                       (unsigned long long)timeout_ms, (int)words.n, words.n != 0 ? words.p : "");
            return -1;
        }
        pause_ms(5);
    }
    return 0;
}

int embedded_start(struct embedded_redis **out, const char *server_binary, uint64_t timeout_ms, struct buf *error)
{
    struct embedded_redis *r = mem_zalloc(sizeof(*r));
    r->output = -1;
    if (make_folder(r, error) != 0) {
        free(r);
        return -1;
    }
    if (spawn(r, server_binary != NULL ? server_binary : "redis-server", error) != 0 ||
        await_pong(r, timeout_ms, error) != 0) {
        embedded_stop(r);
        return -1;
    }
    read_output(r, false); /* what it says of its start is worth nothing now */
    *out = r;
    return 0;
}

const char *embedded_socket(const struct embedded_redis *r)
{
    return r->socket;
}

pid_t embedded_pid(const struct embedded_redis *r)
{
    return r->pid;
}

int embedded_fd(const struct embedded_redis *r)
{
    return r->output;
}

/* --- ending ---------------------------------------------------------------------------------------------------------
 */

static void end_server(struct embedded_redis *r)
{
    uint64_t until_ms = clock_monotonic_ms() + STOP_MS;
    if (has_died(r))
        return;
    kill(r->pid, SIGTERM);
    while (!has_died(r) && clock_monotonic_ms() < until_ms) {
        read_output(r, false);
        pause_ms(5);
    }
    if (r->pid != 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, &r->status, 0);
    }
}

void embedded_stop(struct embedded_redis *r)
{
    end_server(r);
    if (r->output != -1)
        close(r->output);
    remove_folder(AT_FDCWD, r->folder);
    buf_free(&r->words);
    free(r);
}
