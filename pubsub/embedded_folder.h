/* The private folder of the embedded redis-server: made at its start, emptied and removed at its end, by the next
 * belfry if this one was killed. */
#ifndef PUBSUB_EMBEDDED_FOLDER_H
#define PUBSUB_EMBEDDED_FOLDER_H

#include "core/str.h"

struct embedded_folder {
    char path[108]; /* no longer than an AF_UNIX address, NUL-terminated */
    int lock;       /* of the folder itself: tells the belfrys to come that this one lives */
};

/* Makes `belfry-<pid>-XXXXXX` of mode 0700, locked, in the first of $XDG_RUNTIME_DIR, $TMPDIR and /tmp that is an
 * absolute path of a folder one may write to, and removes what killed belfrys have left there. 0, or -1 with the reason
 * in *error: it cannot be made, or the path of a file `name` in it would be too long for a Unix socket. */
int embedded_folder_make(struct embedded_folder *f, const char *name, struct buf *error) MUST_CHECK;

/* Removes it with all that is in it, and the lock. */
void embedded_folder_remove(struct embedded_folder *f);

#endif
