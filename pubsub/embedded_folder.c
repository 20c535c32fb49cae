/* Makes, locks and removes the folder of the embedded redis-server. */
#include "pubsub/embedded_folder.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_PREFIX "belfry-"
#define RANDOM_LETTERS 6
#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
/* A redis-server that somebody has told to persist makes one folder for its append-only files. */
#define DEPTH_MAX 2

/* Removes what is in the folder `fd`, which stays open. Follows no symbolic link. */
static void empty_folder(int fd, int depth)
{
    int again = openat(fd, ".", OPEN_FOLDER); /* closedir closes what it was given */
    DIR *dir = again != -1 ? fdopendir(again) : NULL;
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || depth == DEPTH_MAX)
            continue;
        int inner = openat(fd, entry->d_name, OPEN_FOLDER);
        if (inner == -1)
            continue;
        empty_folder(inner, depth + 1);
        close(inner);
        unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    if (dir != NULL)
        closedir(dir);
    else if (again != -1)
        close(again);
}

/* --- what killed belfrys have left -------------------------------------------------------------------------------- */

/* The process that made a folder `belfry-<pid>-XXXXXX`, or 0 if the name is not of that form. */
static pid_t folder_owner(const char *name)
{
    const char *digits = name + strlen(FOLDER_PREFIX);
    char *end;
    if (strncmp(name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0 || digits[0] < '1' || digits[0] > '9')
        return 0;
    errno = 0;
    long pid = strtol(digits, &end, 10);
    bool shaped = errno == 0 && pid <= INT32_MAX && end[0] == '-' && strlen(end) == 1 + RANDOM_LETTERS;
    return shaped ? (pid_t)pid : 0;
}

/* A process of another container that shares the folder is not seen from here; its lock is. The own id is that of the
 * one before where a container is started again. */
static bool is_stale(int fd, pid_t owner)
{
    struct stat st;
    if (owner != getpid() && (kill(owner, 0) == 0 || errno != ESRCH))
        return false;
    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0777) == 0700 &&
           flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_if_stale(int parent, const char *name)
{
    pid_t owner = folder_owner(name);
    int fd = owner != 0 ? openat(parent, name, OPEN_FOLDER) : -1;
    if (fd == -1)
        return;
    if (is_stale(fd, owner)) {
        empty_folder(fd, 0);
        unlinkat(parent, name, AT_REMOVEDIR);
    }
    close(fd);
}

static void remove_stale_folders(const char *parent)
{
    DIR *dir = opendir(parent);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        remove_if_stale(dirfd(dir), entry->d_name);
    if (dir != NULL)
        closedir(dir);
}

/* --- this one's --------------------------------------------------------------------------------------------------- */

static const char *choose_parent(const char **variable)
{
    static const char *const variables[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
    for (size_t i = 0; i < 2; ++i) {
        const char *path = getenv(variables[i]);
        *variable = variables[i];
        if (path != NULL && path[0] == '/' && access(path, W_OK | X_OK) == 0)
            return path;
    }
    return "/tmp";
}

int embedded_folder_make(struct embedded_folder *f, const char *name, struct buf *error)
{
    const char *variable, *parent = choose_parent(&variable);
    int n = snprintf(f->path, sizeof(f->path), "%s/" FOLDER_PREFIX "%ld-XXXXXX", parent, (long)getpid());
    if ((size_t)n + 1 + strlen(name) >= sizeof(f->path)) {
        buf_printf(error, "the path %s is too long for a Unix socket in it: set %s to a shorter one", parent, variable);
        return -1;
    }
    remove_stale_folders(parent);
    if (mkdtemp(f->path) == NULL) {
        buf_printf(error,
                   "cannot make a folder for the embedded Redis in %s: %s; set TMPDIR to another, or set REDIS_URL",
                   parent, strerror(errno));
        return -1;
    }
    f->lock = open(f->path, OPEN_FOLDER);
    if (f->lock == -1 || flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
        buf_printf(error, "cannot lock %s: %s", f->path, strerror(errno));
        embedded_folder_remove(f);
        return -1;
    }
    return 0;
}

void embedded_folder_remove(struct embedded_folder *f)
{
    if (f->lock != -1) {
        empty_folder(f->lock, 0);
        close(f->lock);
        f->lock = -1;
    }
    rmdir(f->path);
}
