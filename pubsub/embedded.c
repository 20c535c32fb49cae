/* Starts, watches and ends the embedded redis-server. */
#include "pubsub/embedded.h"
#include "core/clock.h"
#include "core/log.h"
#include "pubsub/embedded_data.h"
#include "pubsub/embedded_folder.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_NAME "redis.sock"
#define STOP_MS 5000
#define LAST_WORDS 400 /* a log line shows 512 bytes of a reason */
#define LINE_MAX_BYTES 1024
#define CHUNKS_PER_POLL 64
/* What a killed belfry's server, which the kernel ends with it, may take to let go of DATA_DIR. */
#define DATA_WAIT_MS 2000
#define INHERITED 4 /* the descriptor of DATA_DIR's lock in the server */

struct embedded_redis {
    pid_t pid; /* 0 once it has been reaped */
    int status;
    int output; /* the reading end of its stdout and stderr; -1 once that has ended */
    struct embedded_folder folder;
    struct embedded_data data; /* lock -1: nothing is kept */
    struct sockaddr_un address;
    struct buf words; /* what it said last */
    struct buf line;  /* what it said and is not logged yet */
};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* --- the child ---------------------------------------------------------------------------------------------------- */

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; ++i)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Nothing of belfry's but where to speak to (0 to 2), until the exec where to say why it failed (3), and the lock (4).
 * First out of the way of those numbers: belfry may have been started without its own 0 to 2. */
static void arrange_descriptors(int output, int verdict, int lock)
{
    output = fcntl(output, F_DUPFD, INHERITED + 1);
    verdict = fcntl(verdict, F_DUPFD, INHERITED + 1);
    if (lock != -1)
        lock = fcntl(lock, F_DUPFD, INHERITED + 1);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close(STDIN_FILENO);
    if (open("/dev/null", O_RDONLY) != STDIN_FILENO) /* the lowest number that is free */
        _exit(1);
    dup3(verdict, 3, O_CLOEXEC);
    if (lock != -1)
        dup2(lock, INHERITED);
    closefrom(lock != -1 ? INHERITED + 1 : INHERITED);
}

/* In the child, of which `parent` is the parent. In a session of its own: Ctrl-C in a terminal reaches belfry alone,
 * which ends the server when it is done. */
static void become_server(const struct embedded_redis *r, const char *binary, int output, int verdict, pid_t parent)
{
    setsid();
    reset_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* belfry died in between */
        _exit(1);
    arrange_descriptors(output, verdict, r->data.lock);
    bool kept = r->data.path != NULL;
    execlp(binary, binary, "--port", "0", "--unixsocket", r->address.sun_path, "--unixsocketperm", "700", "--save", "",
           "--appendonly", kept ? "yes" : "no", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
           "--stream-node-max-bytes", "1024", "--dir", kept ? r->data.path : r->folder.path, "--daemonize", "no",
           "--loglevel", "warning", "--logfile", "", (char *)NULL);
    int code = errno;
    (void)!write(3, &code, sizeof(code));
    _exit(1);
}

static void reap(struct embedded_redis *r)
{
    while (waitpid(r->pid, &r->status, 0) == -1 && errno == EINTR)
        ;
    r->pid = 0;
}

/* Waits until the child has become the server, or has said why it cannot. */
static int await_exec(struct embedded_redis *r, const char *binary, int verdict, struct buf *error)
{
    int code;
    ssize_t n;
    while ((n = read(verdict, &code, sizeof(code))) == -1 && errno == EINTR)
        ;
    if (n != sizeof(code))
        return 0; /* the exec closed it */
    reap(r);
    if (code == ENOENT)
        buf_printf(error, "%s is not installed: apt-get install redis-server, or set REDIS_URL", binary);
    else
        buf_printf(error, "cannot run %s: %s", binary, strerror(code));
    return -1;
}

static int fork_server(struct embedded_redis *r, const char *binary, int output, const int verdict[2],
                       struct buf *error)
{
    pid_t parent = getpid();
    signal(SIGCHLD, SIG_DFL);
    pid_t pid = fork();
    if (pid == 0)
        become_server(r, binary, output, verdict[1], parent);
    close(verdict[1]);
    if (pid == -1) {
        buf_printf(error, "cannot start %s: %s", binary, strerror(errno));
        return -1;
    }
    r->pid = pid;
    return await_exec(r, binary, verdict[0], error);
}

/* The pipe does not block: rather than wait for a belfry that is busy the server loses a line. */
static int spawn(struct embedded_redis *r, const char *binary, struct buf *error)
{
    int output[2], verdict[2];
    if (pipe2(output, O_CLOEXEC | O_NONBLOCK) != 0) {
        buf_printf(error, "cannot make a pipe: %s", strerror(errno));
        return -1;
    }
    r->output = output[0];
    if (pipe2(verdict, O_CLOEXEC) != 0) {
        buf_printf(error, "cannot make a pipe: %s", strerror(errno));
        close(output[1]);
        return -1;
    }
    int rc = fork_server(r, binary, output[1], verdict, error);
    close(output[1]);
    close(verdict[0]);
    return rc;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

static void keep_last(struct buf *b, size_t n)
{
    if (b->n > n) {
        memmove(b->p, b->p + b->n - n, n);
        b->n = n;
    }
}

static void log_line(struct str line)
{
    line = str_trim(line);
    if (line.n != 0)
        log_event(LOG_LEVEL_WARN, "embedded_redis_says", LOG_S("line", line));
}

/* Logs the lines that are complete, and with `all` or beyond a limit the rest too. */
static void log_lines(struct embedded_redis *r, bool all)
{
    struct str rest = buf_str(&r->line);
    const char *end;
    while (rest.n != 0 && (end = memchr(rest.p, '\n', rest.n)) != NULL)
        log_line(str_split(&rest, '\n'));
    if (all || rest.n > LINE_MAX_BYTES) {
        log_line(rest);
        rest.n = 0;
    }
    keep_last(&r->line, rest.n);
}

static void take_words(struct embedded_redis *r, struct str said, bool log)
{
    buf_append(&r->words, said);
    keep_last(&r->words, LAST_WORDS);
    if (!log)
        return;
    buf_append(&r->line, said);
    log_lines(r, false);
}

static void read_output(struct embedded_redis *r, bool log)
{
    char chunk[1024];
    for (int i = 0; i < CHUNKS_PER_POLL && r->output != -1; ++i) {
        ssize_t n = read(r->output, chunk, sizeof(chunk));
        if (n > 0) {
            take_words(r, (struct str){chunk, (size_t)n}, log);
        } else if (n == 0) {
            close(r->output); /* an end of file would make every poll(2) return at once */
            r->output = -1;
        } else if (errno != EINTR) {
            return;
        }
    }
}

static bool has_died(struct embedded_redis *r)
{
    if (r->pid != 0) {
        pid_t pid = waitpid(r->pid, &r->status, WNOHANG);
        if (pid == r->pid || (pid == -1 && errno == ECHILD))
            r->pid = 0;
    }
    return r->pid == 0;
}

static void append_last_words(const struct embedded_redis *r, struct buf *out)
{
    struct str words = buf_str(&r->words);
    while (words.n != 0 && strchr(" \t\r\n", words.p[words.n - 1]) != NULL)
        --words.n;
    if (words.n != 0)
        buf_lit(out, "; it said: ");
    buf_append(out, words);
}

static void describe_death(const struct embedded_redis *r, struct buf *out)
{
    int sig = WIFSIGNALED(r->status) ? WTERMSIG(r->status) : 0;
    if (sig == 0)
        buf_printf(out, "redis-server ended with exit code %d", WEXITSTATUS(r->status));
    else
        buf_printf(out, "redis-server was ended by signal %d (%s%s)", sig, strsignal(sig),
                   sig == SIGKILL ? ": was memory out?" : "");
    append_last_words(r, out);
}

bool embedded_poll(struct embedded_redis *r, struct buf *reason)
{
    read_output(r, true);
    if (!has_died(r))
        return true;
    read_output(r, true); /* it may have spoken in between */
    log_lines(r, true);
    describe_death(r, reason);
    return false;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

/* A server that still reads its data has started: belfry is not ready until it has, but can be asked and stopped. */
static bool answers_ping(const struct embedded_redis *r, uint64_t patience_ms)
{
    char reply[8] = "";
    struct timeval patience = {.tv_sec = (time_t)(patience_ms / 1000),
                               .tv_usec = (suseconds_t)(patience_ms % 1000 * 1000)};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* bounds connect too */
    bool answered = connect(fd, (const struct sockaddr *)&r->address, sizeof(r->address)) == 0 &&
                    send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, 7, MSG_WAITALL) == 7 &&
                    (memcmp(reply, "+PONG\r\n", 7) == 0 || memcmp(reply, "-LOADIN", 7) == 0);
    close(fd);
    return answered;
}

static int await_pong(struct embedded_redis *r, uint64_t timeout_ms, struct buf *error)
{
    uint64_t now_ms = clock_monotonic_ms(), until_ms = now_ms + timeout_ms;
    for (; now_ms < until_ms; now_ms = clock_monotonic_ms()) {
        if (answers_ping(r, until_ms - now_ms))
            return 0;
        read_output(r, false);
        if (has_died(r)) {
            read_output(r, false);
            describe_death(r, error);
            return -1;
        }
        pause_ms(5);
    }
    buf_printf(error, "redis-server did not answer within %llu ms", (unsigned long long)timeout_ms);
    append_last_words(r, error);
    return -1;
}

int embedded_start(struct embedded_redis **out, const char *server_binary, const char *data_dir, uint64_t timeout_ms,
                   struct buf *error)
{
    struct embedded_redis *r = mem_zalloc(sizeof(*r));
    r->output = r->data.lock = -1;
    if ((data_dir != NULL && embedded_data_open(&r->data, data_dir, DATA_WAIT_MS, error) != 0) ||
        embedded_folder_make(&r->folder, SOCKET_NAME, error) != 0) {
        embedded_data_close(&r->data);
        free(r);
        return -1;
    }
    r->address.sun_family = AF_UNIX;
    snprintf(r->address.sun_path, sizeof(r->address.sun_path), "%.96s/" SOCKET_NAME, r->folder.path);
    if (spawn(r, server_binary != NULL ? server_binary : "redis-server", error) != 0 ||
        await_pong(r, timeout_ms, error) != 0) {
        embedded_stop(r);
        return -1;
    }
    read_output(r, false); /* what it says of its start is worth nothing now */
    r->words.n = 0;
    *out = r;
    return 0;
}

const char *embedded_socket(const struct embedded_redis *r)
{
    return r->address.sun_path;
}

pid_t embedded_pid(const struct embedded_redis *r)
{
    return r->pid;
}

int embedded_fd(const struct embedded_redis *r)
{
    return r->output;
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void end_server(struct embedded_redis *r)
{
    uint64_t until_ms = clock_monotonic_ms() + STOP_MS;
    if (has_died(r))
        return;
    kill(r->pid, SIGTERM);
    while (!has_died(r) && clock_monotonic_ms() < until_ms)
        pause_ms(5);
    if (r->pid != 0) {
        kill(r->pid, SIGKILL);
        reap(r);
    }
}

void embedded_stop(struct embedded_redis *r)
{
    end_server(r);
    if (r->output != -1)
        close(r->output);
    embedded_folder_remove(&r->folder);
    embedded_data_close(&r->data);
    buf_free(&r->words);
    buf_free(&r->line);
    free(r);
}
