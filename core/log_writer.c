/* The log's own thread: lines wait in one buffer that the loggers fill and the thread takes as a whole. */
#include "core/log_writer.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "core/log.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct buf waiting;
    uint64_t dropped;
    bool ending;
    pthread_t thread;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void hand_over(struct str line)
{
    pthread_mutex_lock(&writer.lock);
    if (writer.waiting.n + line.n > LOG_WAITING_MAX)
        writer.dropped++;
    else
        buf_append(&writer.waiting, line);
    pthread_cond_signal(&writer.news);
    pthread_mutex_unlock(&writer.lock);
}

/* Takes what waits into *lines, which is empty. False when there will be nothing more. */
static bool take(struct buf *lines, uint64_t *dropped)
{
    pthread_mutex_lock(&writer.lock);
    while (writer.waiting.n == 0 && !writer.ending)
        pthread_cond_wait(&writer.news, &writer.lock);
    struct buf swap = *lines;
    *lines = writer.waiting;
    writer.waiting = swap;
    *dropped = writer.dropped;
    pthread_mutex_unlock(&writer.lock);
    return lines->n != 0;
}

static void *run(void *arg)
{
    struct buf lines = {0};
    uint64_t dropped, told = 0;

    while (take(&lines, &dropped)) {
        log_write(buf_str(&lines));
        lines.n = 0;
        if (dropped != told)
            log_event(LOG_LEVEL_WARN, "log_lines_dropped", LOG_U("lines", dropped - told));
        told = dropped;
    }
    buf_free(&lines);
    return arg;
}

/* Signals are the main thread's. */
static int create_thread(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&writer.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int log_writer_start(void)
{
    writer.ending = false;
    int rc = create_thread();
    if (rc == 0)
        log_set_sink(hand_over);
    return rc;
}

void log_writer_stop(uint64_t timeout_ms)
{
    struct timespec until;

    log_set_sink(NULL);
    pthread_mutex_lock(&writer.lock);
    writer.ending = true;
    pthread_cond_signal(&writer.news);
    pthread_mutex_unlock(&writer.lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (pthread_timedjoin_np(writer.thread, NULL, &until) != 0) {
        pthread_detach(writer.thread); /* it hangs in a stderr that takes nothing; the process ends without it */
        return;
    }
    buf_free(&writer.waiting);
}

uint64_t log_writer_dropped(void)
{
    pthread_mutex_lock(&writer.lock);
    uint64_t dropped = writer.dropped;
    pthread_mutex_unlock(&writer.lock);
    return dropped;
}
