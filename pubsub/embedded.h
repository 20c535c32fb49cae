/* The private redis-server that belfry starts as its child where REDIS_URL is unset: in a private folder, on a Unix
 * socket. It keeps its data in DATA_DIR by an append-only file, or nowhere. It ends with belfry, however belfry ends.
 * Main thread only: the kernel's parent-death signal follows the thread that forked. */
#ifndef PUBSUB_EMBEDDED_H
#define PUBSUB_EMBEDDED_H

#include "core/str.h"
#include <sys/types.h>

struct embedded_redis;

/* Starts `server_binary` (NULL: redis-server; a name without a slash is found by PATH), with its data in `data_dir`
 * (NULL: nothing is kept; else made where missing, and locked), and waits at most timeout_ms until it answers PING, be
 * it by LOADING. Removes folders that a killed belfry of the same user has left. 0 and *out, or -1 with the
 * reason, which holds the server's last words, in *error; nothing is left then. Before the first worker thread. Gives
 * SIGCHLD its default back: where it is ignored nobody learns how a child ended. */
int embedded_start(struct embedded_redis **out, const char *server_binary, const char *data_dir, uint64_t timeout_ms,
                   struct buf *error) MUST_CHECK;
/* The path of its socket; lives until embedded_stop. */
const char *embedded_socket(const struct embedded_redis *r);
/* 0 once its death has been noticed. */
pid_t embedded_pid(const struct embedded_redis *r);
/* A descriptor that becomes readable when the server says something or dies; to be asked for before each poll(2). -1
 * once the server has closed its side: then only embedded_poll tells. */
int embedded_fd(const struct embedded_redis *r);
/* Logs what the server has said. False once it has died, with the reason in *reason. Does not wait. */
bool embedded_poll(struct embedded_redis *r, struct buf *reason);
/* Ends it (SIGTERM, after 5 s SIGKILL), removes its folder, frees. */
void embedded_stop(struct embedded_redis *r);

#endif
