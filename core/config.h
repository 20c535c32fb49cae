/* The configuration: one struct, filled from environment variables by one table (core/config_table.c), from which
 * `belfry check`, `--help` and docs/configuration.md are made too. Read-only once the workers run. */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include "core/bucket.h"
#include "core/cidr.h"
#include "core/log.h"
#include "core/str.h"

/* Where to listen: a TCP address, a unix socket, or nowhere. */
struct listen_address {
    enum { LISTEN_UNSET, LISTEN_OFF, LISTEN_TCP, LISTEN_UNIX } kind;
    char *host;    /* LISTEN_TCP, without brackets: numeric address or name; "::" for [::] */
    uint16_t port; /* 0: any */
    char *path;    /* LISTEN_UNIX */
};

/* REDIS_URL, taken apart. */
struct redis_target {
    enum { REDIS_EMBEDDED, REDIS_TCP, REDIS_UNIX, REDIS_SENTINEL } kind;
    bool tls;                       /* REDIS_TCP: rediss:// */
    struct ssl_ctx_st *tls_context; /* with tls: the client's side, put here at the start by whoever reads the files;
                                     * not owned */
    char *user, *password;          /* NULL if none; percent-decoded */
    char *host;                     /* REDIS_TCP */
    uint16_t port;
    char *path; /* REDIS_UNIX */
    unsigned db;
    char *sentinels, *master; /* REDIS_SENTINEL: "h1:26379,h2:26379" (at most SENTINELS_MAX), "mymaster" */
};

enum jwt_algorithm {
    JWT_HS256,
    JWT_HS384,
    JWT_HS512,
    JWT_RS256,
    JWT_RS384,
    JWT_RS512,
    JWT_ES256,
    JWT_ES384,
    JWT_ES512,
    JWT_EDDSA
};

struct config {
    struct listen_address listen, api_listen, metrics_listen; /* api_listen LISTEN_UNSET: REST is on listen */
    char *base_path;                                          /* "" or "/push", no trailing slash */
    bool demo;
    unsigned workers;

    struct redis_target redis;
    char *redis_url_masked; /* for check and logs */
    char *redis_prefix;
    uint64_t redis_timeout_ms;
    unsigned redis_wait_replicas;
    char *redis_ca_file, *redis_cert_file, *redis_key_file;
    char *data_dir;

    char *secret_key, *secret_key_file; /* exactly one of them is set */
    enum jwt_algorithm algorithm;
    char *api_keys_file;
    char *jwt_issuer, *jwt_audience; /* NULL: not checked */
    uint64_t jwt_leeway_ms;
    bool query_token;
    char *token_cookie;     /* NULL: none */
    char **allowed_origins; /* NULL-terminated patterns; NULL: same host */
    struct cidr_list trusted_proxies;
    bool proxy_protocol;

    uint64_t ping_interval_ms, pong_timeout_ms;
    uint64_t replay_events, replay_user_events, replay_ttl_ms, idempotency_ttl_ms;
    uint64_t tape_bytes;
    uint64_t max_connections, max_connections_per_user, max_connections_per_address; /* 0: off */
    uint64_t max_message_bytes, max_body_bytes;
    struct rate client_rate, publish_rate;
    uint64_t drain_ms, max_connection_age_ms;
    char *tls_cert_file, *tls_key_file;
    bool compression;
    bool lifecycle;
    uint64_t presence_grace_ms;
    enum log_level log_level;
    enum log_format log_format;
};

/* A list of complaints, each naming its variable: "PONG_TIMEOUT: must be longer than PING_INTERVAL (30s)". */
struct config_report {
    struct buf errors;   /* one a line */
    struct buf warnings; /* one a line */
};

/* What the table needs to know of its surroundings, so that tests can pass any. */
struct config_environment {
    char **environ;     /* NAME=value, NULL-terminated */
    bool stderr_is_tty; /* default of LOG_FORMAT */
    unsigned cpus;      /* by affinity and cgroup cpu.max; default of WORKERS is min(cpus, 4) */
};

/* Fills *c from the environment. 0, or -1 with every mistake at once in report->errors. *c is always fit for
 * config_free. */
int config_load(struct config *c, const struct config_environment *env, struct config_report *report) MUST_CHECK;
void config_free(struct config *c);
void config_report_free(struct config_report *r);
/* True if one of the errors is about this variable, under either name. */
bool config_report_names(const struct config_report *r, const char *name);

/* Warnings of what is legal but unwise, one a line: only what the configuration itself shows. */
void config_advice(const struct config *c, const struct config_environment *env, struct buf *out);

/* CPUs this process may use: sched_getaffinity, cut by cgroup v2 cpu.max (rounded up), at least 1. */
unsigned config_cpus(void);
/* The quota in the text of a cpu.max file ("150000 100000" is 2), 0 if there is none. */
unsigned config_cpus_of_quota(struct str cpu_max);

/* What came from outside and shall be quoted in a complaint: at most 64 bytes, printable ASCII, others as `?`. */
void config_quote(struct buf *out, struct str s);

/* The effective configuration, `NAME=value  # meaning` a line, secrets masked, in the order of the table. */
void config_print(const struct config *c, const struct config_environment *env, struct buf *out);
/* The table for `--help` (text) and for docs/configuration.md (Markdown: | variable | default | meaning |). */
void config_help(struct buf *out);
void config_markdown(struct buf *out);

/* "HS256" and the like. */
const char *jwt_algorithm_name(enum jwt_algorithm a);

#endif
