/* belfry serve: from the configuration to running workers, and back. */
#include "core/clock.h"
#include "core/log_writer.h"
#include "pubsub/embedded.h"
#include "server/commands.h"
#include "server/reload.h"
#include "server/router.h"
#include "server/settings.h"
#include "server/worker.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LISTEN_DESCRIPTORS_RESERVED 64
#define EMBEDDED_START_MS 10000
#define POLL_MS 200
/* How long the end waits for a stderr that takes nothing. */
#define LOG_FLUSH_MS 2000

struct server {
    struct settings settings;
    struct process process;
    struct listener listeners[SURFACES];
    h2o_globalconf_t globalconf;
    struct embedded_redis *redis; /* NULL: an external one */
    struct reload_targets reload_targets;
    struct reload *reload;
    struct worker **workers;
    unsigned started;
    int signals;
    bool hurry; /* no time for a hand-over */
    bool log_writer;
};

static int complain(const char *event, const struct buf *error)
{
    log_event(LOG_LEVEL_ERROR, event, LOG_S("reason", buf_str(error)));
    return 1;
}

/* --- what the process needs -----------------------------------------------------------------------------------------
 */

static int load_settings(struct server *s)
{
    int rc = settings_load(&s->settings);
    if (rc == 0)
        s->reload = reload_create(&s->settings.config, &s->reload_targets);
    if (settings_load_files(&s->settings) != 0)
        rc = -1;
    if (rc == 0)
        log_init(s->settings.config.log_level, s->settings.config.log_format);
    settings_complain(&s->settings);
    return rc == 0 ? 0 : 2;
}

static int start_redis(struct server *s)
{
    struct config *config = &s->settings.config;
    struct buf error = {0};
    if (config->redis.kind != REDIS_EMBEDDED)
        return 0;
    if (embedded_start(&s->redis, NULL, config->data_dir, EMBEDDED_START_MS, &error) != 0) {
        complain("embedded_redis_failed", &error);
        buf_free(&error);
        return 1;
    }
    free(config->redis.path);
    config->redis.path = str_dup(str_of(embedded_socket(s->redis)));
    log_event(LOG_LEVEL_INFO, "embedded_redis", LOG_I("pid", embedded_pid(s->redis)),
              LOG_Z("durability", config->data_dir != NULL
                                      ? "append-only file in DATA_DIR, on the disk within a second"
                                      : "none: its data end with this process; set DATA_DIR to keep them"));
    return 0;
}

/* All that the hard limit allows; descriptors in use now and the reserve are not for clients. */
static void size_descriptors(struct process *p)
{
    struct rlimit limit;
    uint64_t used = (uint64_t)dup(STDERR_FILENO);
    close((int)used);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t kept = used + 8u * p->config->workers + LISTEN_DESCRIPTORS_RESERVED;
    p->edge.descriptor_limit = limit.rlim_cur > kept + 16 ? limit.rlim_cur - kept : 16;
}

static int open_listeners(struct server *s)
{
    static const char *const names[SURFACES] = {"public", "api", "metrics"};
    struct config *config = &s->settings.config;
    const struct listen_address *where[SURFACES] = {&config->listen, &config->api_listen, &config->metrics_listen};
    struct buf error = {0};
    for (int i = 0; i < SURFACES; ++i) {
        if (where[i]->kind == LISTEN_UNSET || where[i]->kind == LISTEN_OFF)
            continue;
        if (listener_open(&s->listeners[i], where[i], config->workers, &error) != 0) {
            complain("listen_failed", &error);
            buf_free(&error);
            return 1;
        }
        s->process.listeners[i] = &s->listeners[i];
        s->process.hosts[i] =
            h2o_config_register_host(&s->globalconf, h2o_iovec_init(names[i], strlen(names[i])), 65535);
        router_register(s->process.hosts[i], (enum surface)(1 << i), config);
    }
    return 0;
}

static void configure_h2o(struct server *s)
{
    h2o_config_init(&s->globalconf);
    s->globalconf.server_name = h2o_iovec_init(H2O_STRLIT(""));
    s->globalconf.http1.upgrade_to_http2 = 0;
    s->globalconf.max_request_entity_size = s->settings.config.max_body_bytes;
}

static void prepare_process(struct server *s)
{
    struct process *p = &s->process;
    p->config = &s->settings.config;
    p->globalconf = &s->globalconf;
    p->credentials = credentials_create(s->settings.keyring, s->settings.api_keys);
    s->settings.keyring = NULL;
    s->settings.api_keys = NULL;
    p->tls = s->settings.tls;
    p->api.connections = &p->edge.connections;
    p->readiness.n = p->config->workers;
    p->readiness.workers = mem_zalloc(p->readiness.n * sizeof(*p->readiness.workers));
    p->readiness.seen = mem_zalloc((size_t)p->readiness.n * p->readiness.n * sizeof(*p->readiness.seen));
    p->metrics = (struct metrics_page){
        .workers = mem_zalloc(p->config->workers * sizeof(struct metrics)),
        .n = p->config->workers,
        .edge = &p->edge,
        .readiness = &p->readiness,
        .started_s = (double)clock_unix_ms() / 1000,
    };
    configure_h2o(s);
}

/* --- running --------------------------------------------------------------------------------------------------------
 */

static void on_tls(void *ctx, SSL_CTX *tls)
{
    struct server *s = ctx;
    for (unsigned i = 0; i < s->started; ++i) {
        SSL_CTX_up_ref(tls);
        worker_set_tls(s->workers[i], tls);
    }
    SSL_CTX_free(tls);
}

static int start_workers(struct server *s)
{
    static const char *const names[SURFACES] = {"public", "api", "metrics"};
    struct buf error = {0};
    unsigned n = s->settings.config.workers;
    s->workers = mem_zalloc(n * sizeof(*s->workers));
    for (; s->started < n; ++s->started) {
        s->workers[s->started] = worker_start(&s->process, s->started, &error);
        if (s->workers[s->started] == NULL) {
            complain("start_failed", &error);
            buf_free(&error);
            return 1;
        }
    }
    for (int i = 0; i < SURFACES; ++i)
        if (s->process.listeners[i] != NULL)
            log_event(LOG_LEVEL_INFO, "listening", LOG_Z("surface", names[i]),
                      LOG_Z("address", s->listeners[i].address), LOG_U("workers", n),
                      LOG_B("tls", s->process.tls != NULL && i < 2));
    return 0;
}

/* The signals that the main thread reads. Before any thread exists, so that all of them inherit the mask. */
static int open_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* To debug and back to LOG_LEVEL. */
static void switch_log_level(const struct config *config)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    enum log_level level = log_get_level() == LOG_LEVEL_DEBUG ? config->log_level : LOG_LEVEL_DEBUG;
    log_set_level(level);
    log_event(LOG_LEVEL_ERROR, "log_level", LOG_Z("set", names[level]), LOG_Z("by", "SIGUSR1"));
}

/* True if it is to end. */
static bool took_signal(struct server *s)
{
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof(info)) != sizeof(info))
        return false;
    if (info.ssi_signo == SIGUSR1) {
        switch_log_level(&s->settings.config);
        return false;
    }
    s->hurry = info.ssi_signo == SIGINT; /* somebody at a terminal waits */
    log_event(LOG_LEVEL_INFO, "stopping", LOG_Z("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"));
    return true;
}

/* Exit code of a process that cannot go on, or -1. */
static int lost(struct server *s)
{
    struct buf reason = {0};
    const char *fatal = atomic_load(&s->process.fatal);
    int code = -1;
    if (fatal != NULL) {
        log_event(LOG_LEVEL_ERROR, "redis_unfit", LOG_Z("reason", fatal));
        code = 2;
    } else if (s->redis != NULL && !embedded_poll(s->redis, &reason)) {
        code = complain("embedded_redis_died", &reason);
    }
    buf_free(&reason);
    return code;
}

static void wait_for_news(struct server *s)
{
    struct pollfd fds[2] = {{.fd = s->signals, .events = POLLIN},
                            {.fd = s->redis != NULL ? embedded_fd(s->redis) : -1, .events = POLLIN}};
    (void)poll(fds, 2, POLL_MS);
}

static int watch(struct server *s)
{
    for (;;) {
        wait_for_news(s);
        if (took_signal(s)) /* first: where all of a service gets SIGTERM, Redis may be gone already */
            return 0;
        int code = lost(s);
        if (code >= 0) {
            s->hurry = true;
            return code;
        }
        reload_poll(s->reload, clock_monotonic_ms());
    }
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

/* Joins the workers; a second signal hurries them. */
static void stop_workers(struct server *s)
{
    atomic_store(&s->process.readiness.draining, true);
    for (unsigned i = 0; i < s->started; ++i)
        worker_stop(s->workers[i], s->hurry);
    for (unsigned i = 0; i < s->started; ++i) {
        while (!worker_ended(s->workers[i])) {
            struct pollfd fd = {.fd = s->signals, .events = POLLIN};
            if (poll(&fd, 1, 20) > 0 && took_signal(s))
                for (unsigned k = i; k < s->started; ++k)
                    worker_stop(s->workers[k], true);
        }
        worker_join(s->workers[i]);
    }
    free(s->workers);
}

static void free_server(struct server *s)
{
    for (int i = 0; i < SURFACES; ++i)
        listener_dispose(&s->listeners[i]);
    if (s->process.globalconf != NULL)
        h2o_config_dispose(&s->globalconf);
    if (s->process.credentials != NULL)
        credentials_destroy(s->process.credentials);
    free(s->process.readiness.workers);
    free(s->process.readiness.seen);
    free(s->process.metrics.workers);
    if (s->reload != NULL)
        reload_destroy(s->reload);
    if (s->redis != NULL)
        embedded_stop(s->redis);
    settings_free(&s->settings);
    if (s->signals > 0)
        close(s->signals);
    free(s);
}

static int run(struct server *s)
{
    int code = load_settings(s);
    if (code != 0)
        return code;
    s->signals = open_signals();
    if ((code = start_redis(s)) != 0)
        return code;
    s->log_writer = log_writer_start() == 0;
    prepare_process(s);
    s->reload_targets = (struct reload_targets){.credentials = s->process.credentials, .on_tls = on_tls, .ctx = s};
    if ((code = open_listeners(s)) != 0)
        return code;
    size_descriptors(&s->process);
    if ((code = start_workers(s)) == 0)
        code = watch(s);
    stop_workers(s);
    return code;
}

int cmd_serve(void)
{
    struct server *s = mem_zalloc(sizeof(*s));
    int code = run(s);
    log_event(LOG_LEVEL_INFO, "stopped", LOG_I("code", code));
    if (s->log_writer)
        log_writer_stop(LOG_FLUSH_MS);
    free_server(s);
    return code;
}
