/* Host names: one detached thread for each question, which shares the answer with whoever asked. */
#include "pubsub/lookup.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/str.h"

/* A thread in getaddrinfo cannot be called back, so those that DNS leaves hanging are counted. */
#define UNDER_WAY_MAX 16
#define STACK_BYTES (256 * 1024)

struct lookup {
    _Atomic int holders; /* the thread and whoever asked: the last one frees */
    _Atomic bool done;
    int error; /* of getaddrinfo; this and `found` may be read once it is done */
    struct addrinfo *found;
    char port[8];
    char host[];
};

static _Atomic int under_way;

void lookup_drop(struct lookup *l)
{
    if (atomic_fetch_sub(&l->holders, 1) != 1)
        return;
    if (l->found != NULL)
        freeaddrinfo(l->found);
    free(l);
}

static void *look_up(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_protocol = IPPROTO_TCP,
                             .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    l->error = getaddrinfo(l->host, l->port, &hints, &l->found);
    if (l->error != 0)
        l->found = NULL;
    atomic_fetch_sub(&under_way, 1);
    atomic_store(&l->done, true);
    lookup_drop(l);
    return NULL;
}

static bool start_thread(struct lookup *l)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int rc = pthread_create(&thread, &attributes, look_up, l);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}

struct lookup *lookup_start(const char *host, uint16_t port)
{
    size_t n = strlen(host) + 1;
    if (atomic_fetch_add(&under_way, 1) >= UNDER_WAY_MAX) {
        atomic_fetch_sub(&under_way, 1);
        return NULL;
    }
    struct lookup *l = mem_zalloc(sizeof(*l) + n);
    memcpy(l->host, host, n);
    snprintf(l->port, sizeof(l->port), "%u", port);
    atomic_store(&l->holders, 2);
    if (start_thread(l))
        return l;
    atomic_fetch_sub(&under_way, 1);
    free(l);
    return NULL;
}

enum lookup_state lookup_poll(const struct lookup *l, struct addrinfo **found, const char **reason)
{
    if (!atomic_load(&l->done))
        return LOOKUP_PENDING;
    if (l->error == 0) {
        *found = l->found;
        return LOOKUP_FOUND;
    }
    *reason = gai_strerror(l->error);
    return LOOKUP_FAILED;
}
