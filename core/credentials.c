/* Publishes keys to the workers: a mutex, a generation, and references. */
#include "core/credentials.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct credentials {
    pthread_mutex_t mutex; /* guards the two pointers; generation is written under it and read without */
    struct keyring *keyring;
    struct api_keys *api_keys;
    _Atomic uint64_t generation; /* from 1: a zero-initialised view is always old */
};

struct credentials *credentials_create(struct keyring *keyring, struct api_keys *api_keys)
{
    struct credentials *c = mem_zalloc(sizeof(*c));

    if (pthread_mutex_init(&c->mutex, NULL) != 0)
        abort();
    c->keyring = keyring;
    c->api_keys = api_keys;
    atomic_init(&c->generation, 1);
    return c;
}

void credentials_destroy(struct credentials *c)
{
    if (c == NULL)
        return;
    keyring_unref(c->keyring);
    api_keys_unref(c->api_keys);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void credentials_publish_keyring(struct credentials *c, struct keyring *keyring)
{
    struct keyring *old;

    pthread_mutex_lock(&c->mutex);
    old = c->keyring;
    c->keyring = keyring;
    atomic_fetch_add_explicit(&c->generation, 1, memory_order_relaxed);
    pthread_mutex_unlock(&c->mutex);
    keyring_unref(old);
}

void credentials_publish_api_keys(struct credentials *c, struct api_keys *api_keys)
{
    struct api_keys *old;

    pthread_mutex_lock(&c->mutex);
    old = c->api_keys;
    c->api_keys = api_keys;
    atomic_fetch_add_explicit(&c->generation, 1, memory_order_relaxed);
    pthread_mutex_unlock(&c->mutex);
    api_keys_unref(old);
}

void credentials_refresh(struct credentials *c, struct credentials_view *view)
{
    struct credentials_view old = *view;

    if (atomic_load_explicit(&c->generation, memory_order_relaxed) == view->generation)
        return;
    pthread_mutex_lock(&c->mutex);
    view->keyring = keyring_ref(c->keyring);
    view->api_keys = api_keys_ref(c->api_keys);
    view->generation = atomic_load_explicit(&c->generation, memory_order_relaxed);
    pthread_mutex_unlock(&c->mutex);
    credentials_view_release(&old);
}

void credentials_view_release(struct credentials_view *view)
{
    keyring_unref(view->keyring);
    api_keys_unref(view->api_keys);
    *view = (struct credentials_view){0};
}
