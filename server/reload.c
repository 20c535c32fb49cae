/* Watches files by stat(2): it works on every file system, and a look at four files a second costs nothing. */
#include "server/reload.h"

#include <stdlib.h>
#include <sys/stat.h>
#include "core/log.h"
#include "server/keys.h"
#include "server/tls.h"

/* What tells one state of a file from another. The change time is there for a file that only becomes readable. */
struct stamp {
    bool there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

/* One or two files that are loaded together. */
struct watch {
    const char *variable;
    const char *paths[2];
    struct stamp loaded[2], seen[2];
    int (*load)(struct reload *r, struct buf *error);
};

struct reload {
    const struct config *config;
    const struct reload_targets *targets;
    uint64_t next_ms;
    size_t n;
    struct watch watches[3];
};

static bool time_eq(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool stamp_eq(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           time_eq(a->modified, b->modified) && time_eq(a->changed, b->changed);
}

static struct stamp stamp_of(const char *path)
{
    struct stat st;

    /* A pipe can be read once, at the start; opening it again could wait for ever. */
    if (path == NULL || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return (struct stamp){0};
    return (struct stamp){true, st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

static int load_keyring(struct reload *r, struct buf *error)
{
    struct keyring *keyring = keys_load_keyring(r->config, error);

    if (keyring == NULL)
        return -1;
    credentials_publish_keyring(r->targets->credentials, keyring);
    return 0;
}

static int load_api_keys(struct reload *r, struct buf *error)
{
    struct api_keys *keys;

    if (keys_load_api_keys(r->config, &keys, error) != 0)
        return -1;
    credentials_publish_api_keys(r->targets->credentials, keys);
    return 0;
}

static int load_tls(struct reload *r, struct buf *error)
{
    SSL_CTX *tls = tls_create(r->config->tls_cert_file, r->config->tls_key_file, error);

    if (tls == NULL)
        return -1;
    r->targets->on_tls(r->targets->ctx, tls);
    return 0;
}

static void add_watch(struct reload *r, const char *variable, const char *first, const char *second,
                      int (*load)(struct reload *, struct buf *))
{
    struct watch *w;

    if (first == NULL)
        return;
    w = &r->watches[r->n++];
    *w = (struct watch){.variable = variable, .paths = {first, second}, .load = load};
    for (int i = 0; i < 2; i++)
        w->loaded[i] = w->seen[i] = stamp_of(w->paths[i]);
}

struct reload *reload_create(const struct config *config, const struct reload_targets *targets)
{
    struct reload *r = mem_zalloc(sizeof(*r));

    r->config = config;
    r->targets = targets;
    add_watch(r, "SECRET_KEY_FILE", config->secret_key_file, NULL, load_keyring);
    add_watch(r, "API_KEYS_FILE", config->api_keys_file, NULL, load_api_keys);
    add_watch(r, "TLS_CERT_FILE", config->tls_cert_file, config->tls_key_file, load_tls);
    return r;
}

void reload_destroy(struct reload *r)
{
    free(r);
}

/* True once the files differ from what was loaded and have not changed since the last look. */
static bool watch_settled(struct watch *w)
{
    bool differs = false, moving = false;

    for (int i = 0; i < 2; i++) {
        struct stamp now = stamp_of(w->paths[i]);
        differs |= !stamp_eq(&now, &w->loaded[i]);
        moving |= !stamp_eq(&now, &w->seen[i]);
        w->seen[i] = now;
    }
    return differs && !moving;
}

static bool watch_readable(const struct watch *w)
{
    return w->seen[0].there && (w->paths[1] == NULL || w->seen[1].there);
}

static void watch_load(struct reload *r, struct watch *w)
{
    struct buf error = {0};

    /* The stamps are older than what is read now: a change in between is seen at the next look. */
    memcpy(w->loaded, w->seen, sizeof(w->loaded));
    if (!watch_readable(w))
        log_event(LOG_LEVEL_ERROR, "reload_failed", LOG_Z("variable", w->variable),
                  LOG_Z("reason", "a file is gone; what it held stays in use"));
    else if (w->load(r, &error) != 0)
        log_event(LOG_LEVEL_ERROR, "reload_failed", LOG_Z("variable", w->variable), LOG_S("reason", buf_str(&error)));
    else
        log_event(LOG_LEVEL_INFO, "reloaded", LOG_Z("variable", w->variable));
    buf_free(&error);
}

void reload_poll(struct reload *r, uint64_t now_ms)
{
    if (now_ms < r->next_ms)
        return;
    r->next_ms = now_ms + RELOAD_INTERVAL_MS;
    for (size_t i = 0; i < r->n; i++)
        if (watch_settled(&r->watches[i]))
            watch_load(r, &r->watches[i]);
}
