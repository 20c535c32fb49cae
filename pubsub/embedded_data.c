/* Makes and locks the folder that the embedded redis-server keeps its data in. */
#include "pubsub/embedded_data.h"
#include "core/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(struct embedded_data *d, const char *path, const char *what, struct buf *error)
{
    buf_printf(error, "DATA_DIR %s %s", path, what);
    embedded_data_close(d);
    return -1;
}

static int fail_errno(struct embedded_data *d, const char *path, const char *what, struct buf *error)
{
    buf_printf(error, "DATA_DIR %s %s: %s", path, what, strerror(errno));
    embedded_data_close(d);
    return -1;
}

static bool lock_within(int fd, uint64_t wait_ms)
{
    uint64_t until_ms = clock_monotonic_ms() + wait_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (clock_monotonic_ms() >= until_ms)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return true;
}

int embedded_data_open(struct embedded_data *d, const char *path, uint64_t wait_ms, struct buf *error)
{
    *d = (struct embedded_data){.lock = -1};
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_errno(d, path, "cannot be made", error);
    d->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->lock == -1)
        return fail_errno(d, path, "cannot be opened", error);
    if (faccessat(d->lock, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return fail_errno(d, path, "cannot be written to", error);
    if (!lock_within(d->lock, wait_ms))
        return fail(d, path, "is in use by another belfry", error);
    d->path = realpath(path, NULL);
    if (d->path == NULL)
        return fail_errno(d, path, "cannot be found", error);
    return 0;
}

void embedded_data_close(struct embedded_data *d)
{
    if (d->lock != -1)
        close(d->lock);
    d->lock = -1;
    free(d->path);
    d->path = NULL;
}
