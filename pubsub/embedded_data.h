/* DATA_DIR: the folder in which the embedded redis-server keeps its data. One belfry at a time. */
#ifndef PUBSUB_EMBEDDED_DATA_H
#define PUBSUB_EMBEDDED_DATA_H

#include "core/str.h"

struct embedded_data {
    char *path; /* absolute */
    int lock;   /* of the folder itself; the server inherits it, so that nobody else comes while it still writes */
};

/* Makes the folder with mode 0700 where it is missing (not those above it), and locks it. Waits at most wait_ms for the
 * server of a killed belfry to end. 0, or -1 with the reason in *error; nothing is held then. */
int embedded_data_open(struct embedded_data *d, const char *path, uint64_t wait_ms, struct buf *error) MUST_CHECK;
/* Leaves the folder and what is in it. A second call, or one on a zeroed struct with lock -1, does nothing. */
void embedded_data_close(struct embedded_data *d);

#endif
