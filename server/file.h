/* Reads the small files that belfry is configured with. */
#ifndef SERVER_FILE_H
#define SERVER_FILE_H

#include "core/str.h"

#define FILE_KEYS_MAX 65536 /* SECRET_KEY_FILE, API_KEYS_FILE, private keys */

/* Appends the whole file to *out, which is best empty: it is grown once, so that no copy of a secret is left behind. 0,
 * or -1 with "<path>: <why>" in *error (not readable, or longer than `max` bytes). */
int file_read(const char *path, size_t max, struct buf *out, struct buf *error) MUST_CHECK;
/* buf_free for what held secrets. */
void file_forget(struct buf *b);

#endif
