/* Reading of small files, with a limit and without leaving copies. */
#include "server/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

static int fail(struct buf *error, const char *path, const char *why)
{
    buf_printf(error, "%s: %s", path, why);
    return -1;
}

/* Reads up to `max` + 1 bytes, to tell a file that is too long. -1 and errno, or 0. */
static int read_all(int fd, size_t max, struct buf *out)
{
    char *at = buf_reserve(out, max + 1);
    size_t n = 0;

    while (n <= max) {
        ssize_t got = read(fd, at + n, max + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    out->n += n;
    return 0;
}

int file_read(const char *path, size_t max, struct buf *out, struct buf *error)
{
    size_t start = out->n;
    int fd = open(path, O_RDONLY | O_CLOEXEC), result;

    if (fd < 0)
        return fail(error, path, strerror(errno));
    result = read_all(fd, max, out) == 0 ? 0 : fail(error, path, strerror(errno));
    close(fd);
    if (result == 0 && out->n - start > max) {
        buf_printf(error, "%s: longer than %zu bytes", path, max);
        result = -1;
    }
    return result;
}

void file_forget(struct buf *b)
{
    if (b->p != NULL)
        OPENSSL_cleanse(b->p, b->cap);
    buf_free(b);
}
