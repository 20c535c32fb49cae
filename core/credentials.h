/* Keys of users and of services, shared by all workers and replaced as a whole when their files change.
 *
 * The main thread publishes; each worker holds a view of its own with a reference to what it uses, and looks once a
 * loop turn whether there is something newer: one relaxed atomic load. Only then is the mutex taken. */
#ifndef CORE_CREDENTIALS_H
#define CORE_CREDENTIALS_H

#include "core/api_keys.h"
#include "core/keyring.h"

struct credentials;

struct credentials_view {
    struct keyring *keyring;
    struct api_keys *api_keys; /* NULL: none are configured */
    uint64_t generation;
};

/* Both takes over the caller's references; api_keys may be NULL. */
struct credentials *credentials_create(struct keyring *keyring, struct api_keys *api_keys);
void credentials_destroy(struct credentials *c);
void credentials_publish_keyring(struct credentials *c, struct keyring *keyring);
void credentials_publish_api_keys(struct credentials *c, struct api_keys *api_keys);

/* Brings the view (zero-initialised at first) up to date. */
void credentials_refresh(struct credentials *c, struct credentials_view *view);
void credentials_view_release(struct credentials_view *view);

#endif
