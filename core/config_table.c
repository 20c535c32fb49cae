/* The table of all configuration variables: `belfry check`, `--help` and docs/configuration.md are made from it. */
#include "core/config_table.h"

#define KB 1024ull
#define MB (1024 * KB)
#define GB (1024 * MB)
#define SECONDS 1000ull
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define TEXT_MAX 4095
#define LIST_MAX (32 * KB)
#define MANY 100000000ull

#define FIELD(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)

/* One short constructor per kind of row. N: the fallback is what the help shows, the field is computed or stays empty.
 */
#define CHOICE(name, field, fallback, choices, flags, help)                                                            \
    {                                                                                                                  \
        name, &config_type_choice, fallback, FIELD(field), 0, 0, choices, flags, help                                  \
    }
#define NUMBER(type, name, field, fallback, min, max, flags, help)                                                     \
    {                                                                                                                  \
        name, &config_type_##type, fallback, FIELD(field), min, max, NULL, flags, help                                 \
    }
#define TEXT(type, name, field, fallback, max, flags, help)                                                            \
    {                                                                                                                  \
        name, &config_type_##type, fallback, FIELD(field), 0, max, NULL, flags, help                                   \
    }

/* clang-format off */
const struct config_variable config_table[] = {
    TEXT(listen, "LISTEN", listen, "[::]:8000", TEXT_MAX, 0,
         "address of `/ws` and of REST; `unix:/path` too (mode 0660); port 0 picks one, and the log line `listening` names it. "
         "Without IPv6 `[::]` means 0.0.0.0"),
    TEXT(listen, "API_LISTEN", api_listen, "same as `LISTEN`", TEXT_MAX, CONFIG_EXPLICIT,
         "REST for services on an address of its own (same forms); then `LISTEN` serves `/ws`, `/ws/health`, the two API "
         "documents and the demo page (its REST forms hidden) only"),
    TEXT(listen, "METRICS_LISTEN", metrics_listen, "[::]:9464", TEXT_MAX, CONFIG_OFF,
         "internal: `/metrics`, `/livez`, `/readyz` (same forms); `off`. On `LISTEN` those paths are 404"),
    TEXT(base_path, "BASE_PATH", base_path, NULL, 256, CONFIG_EXPLICIT,
         "e.g. `/push`: everything on `LISTEN` and `API_LISTEN` lives below it"),
    CHOICE("DEMO", demo, "on with the embedded Redis, else off", config_on_off, CONFIG_EXPLICIT, "the demo page at `GET /`"),
    NUMBER(count, "WORKERS", workers, "CPUs, at most 4", 1, 256, CONFIG_EXPLICIT,
           "worker threads; CPUs are counted by affinity and cgroup `cpu.max`"),

    TEXT(redis_url, "REDIS_URL", redis, "embedded", TEXT_MAX, CONFIG_EXPLICIT,
         "`embedded` (a private redis-server that belfry starts and stops), `redis://[user:pass@]host:port/db`, `rediss://…` "
         "(TLS), `unix:///path[?db=N]`, `redis+sentinel://[user:pass@]h1:26379,h2:26379/mymaster/0`. Unset inside "
         "Kubernetes is an error: the pods would be islands that hear nothing of each other"),
    TEXT(prefix, "REDIS_PREFIX", redis_prefix, "ws:", 64, 0,
         "first part of every key and channel; may hold a hash tag. Pub/Sub ignores the database number, so a database other "
         "than 0 with the default prefix is an error"),
    NUMBER(duration, "REDIS_TIMEOUT", redis_timeout_ms, "2s", 50, 1 * MINUTES, 0, "connect, and the longest wait for a reply"),
    NUMBER(count, "REDIS_WAIT_REPLICAS", redis_wait_replicas, "0", 0, 16, CONFIG_OFF,
           "a 2xx waits until this many replicas hold the event"),
    TEXT(path, "REDIS_CA_FILE", redis_ca_file, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "with `rediss://`: the CA certificates (PEM) of which one has signed Redis' certificate; unset: the system's"),
    TEXT(path, "REDIS_CERT_FILE", redis_cert_file, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "with `rediss://`: belfry's own certificate (PEM, with its chain), where Redis asks for one"),
    TEXT(path, "REDIS_KEY_FILE", redis_key_file, NULL, TEXT_MAX, CONFIG_EXPLICIT, "its key; both or neither"),
    TEXT(path, "DATA_DIR", data_dir, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "where the embedded Redis keeps its data (AOF); unset: nothing survives, and a new epoch says so"),

    TEXT(secret, "SECRET_KEY", secret_key, "this or the next is required", LIST_MAX, CONFIG_EXPLICIT | CONFIG_SECRET,
         "verifies users' tokens: an HMAC secret (HS256/384/512 need 32/48/64 bytes; `openssl rand -base64 48` makes one) or a "
         "public PEM"),
    TEXT(path, "SECRET_KEY_FILE", secret_key_file, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "the same in a file: one `[kid:]secret` a line or several PEM blocks, at most 8. It is read again when it changes, so "
         "keys rotate without a restart. A token whose `kid` names a key is checked against that one only, with an unnamed "
         "kid against the keys without kid, without kid against all"),
    CHOICE("ALGORITHM", algorithm, "HS256", config_algorithms, 0,
           "the one accepted algorithm; a token that names another is refused"),
    TEXT(path, "API_KEYS_FILE", api_keys_file, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "credentials of services, one `name:secret:scope scope…` a line, read again when it changes; REST accepts them as "
         "`X-API-Key` beside JWTs"),
    TEXT(string, "JWT_ISSUER", jwt_issuer, NULL, 1024, CONFIG_EXPLICIT, "the `iss` that tokens must have; checked when set"),
    TEXT(string, "JWT_AUDIENCE", jwt_audience, NULL, 1024, CONFIG_EXPLICIT,
         "the `aud` that tokens must have; checked when set"),
    NUMBER(duration, "JWT_LEEWAY", jwt_leeway_ms, "5s", 0, 1 * HOURS, CONFIG_OFF,
           "how far clocks may differ at `exp` and `nbf`"),
    CHOICE("QUERY_TOKEN", query_token, "on", config_on_off, 0,
           "whether `?token=` is accepted; URLs end up in the logs of proxies"),
    TEXT(cookie, "TOKEN_COOKIE", token_cookie, NULL, 128, CONFIG_EXPLICIT,
         "the name of a cookie that may bring the token (Origin is then always checked)"),
    TEXT(origins, "ALLOWED_ORIGINS", allowed_origins, "same host", LIST_MAX, CONFIG_EXPLICIT,
         "comma list, `*` wildcards, `null` by name; checked when a request carries Origin. Default: Origin's host and port "
         "equal Host's (or X-Forwarded-Host's from `TRUSTED_PROXIES`), scheme ignored"),
    TEXT(cidrs, "TRUSTED_PROXIES", trusted_proxies, NULL, LIST_MAX, CONFIG_EXPLICIT,
         "comma list of addresses, CIDRs and the word `unix`: whose X-Forwarded-For (last untrusted hop), else X-Real-IP, and "
         "X-Forwarded-Host are believed"),
    CHOICE("PROXY_PROTOCOL", proxy_protocol, "off", config_proxy_protocols, 0,
           "takes the client's address from a PROXY protocol line; only on a port that nothing else reaches"),

    NUMBER(duration, "PING_INTERVAL", ping_interval_ms, "30s", 100, 1 * HOURS, 0, "heartbeat"),
    NUMBER(duration, "PONG_TIMEOUT", pong_timeout_ms, "60s", 100, 2 * HOURS, 0,
           "a client that is silent for so long is disconnected; must be longer than `PING_INTERVAL`"),
    NUMBER(count, "REPLAY_EVENTS", replay_events, "10000", 1, MANY, 0, "how many events the broadcast log keeps"),
    NUMBER(count, "REPLAY_USER_EVENTS", replay_user_events, "500", 1, MANY, 0, "how many events each user's log keeps"),
    NUMBER(duration, "REPLAY_TTL", replay_ttl_ms, "24h", 1 * SECONDS, 8760 * HOURS, 0, "how long both keep them"),
    NUMBER(duration, "IDEMPOTENCY_TTL", idempotency_ttl_ms, "1h", 1 * SECONDS, 720 * HOURS, 0,
           "how long a caller's Idempotency-Key is remembered"),
    NUMBER(size, "TAPE_BYTES", tape_bytes, "16M", 64 * KB, 4 * GB, 0, "in-memory log of each worker, grown on demand"),

    NUMBER(count, "MAX_CONNECTIONS", max_connections, "0", 1, MANY, CONFIG_OFF, "connections per process"),
    NUMBER(count, "MAX_CONNECTIONS_PER_USER", max_connections_per_user, "64", 1, MANY, CONFIG_OFF,
           "connections per user and worker"),
    NUMBER(count, "MAX_CONNECTIONS_PER_ADDRESS", max_connections_per_address, "0", 1, MANY, CONFIG_OFF,
           "connections per client address and worker"),
    NUMBER(size, "MAX_MESSAGE_BYTES", max_message_bytes, "64K", 256, 1 * MB, 0,
           "one event or client message; at most `MAX_BODY_BYTES`"),
    NUMBER(size, "MAX_BODY_BYTES", max_body_bytes, "1M", 256, 64 * MB, 0, "one REST body"),
    NUMBER(rate, "CLIENT_RATE", client_rate, "20/s burst 40", 0, 0, 0, "messages per connection, or `off`"),
    NUMBER(rate, "PUBLISH_RATE", publish_rate, "off", 0, 0, 0,
           "events per token subject and worker, REST and WebSocket together, such as `100/s burst 1000`"),
    NUMBER(duration, "DRAIN_SECONDS", drain_ms, "20s", 1, 10 * MINUTES, CONFIG_OFF,
           "how long clients are handed over after SIGTERM"),
    NUMBER(duration, "MAX_CONNECTION_AGE", max_connection_age_ms, "0", 1 * SECONDS, 8760 * HOURS, CONFIG_OFF,
           "a client is asked to reconnect after about this long (± 20 %), so that new pods fill"),

    TEXT(path, "TLS_CERT_FILE", tls_cert_file, NULL, TEXT_MAX, CONFIG_EXPLICIT,
         "serve wss/https with this certificate (PEM, with its chain); read again when it changes"),
    TEXT(path, "TLS_KEY_FILE", tls_key_file, NULL, TEXT_MAX, CONFIG_EXPLICIT, "its key; read again when it changes"),
    CHOICE("COMPRESSION", compression, "on", config_on_off, 0, "permessage-deflate; not negotiated yet"),
    CHOICE("LIFECYCLE", lifecycle, "off", config_on_off, 0,
           "the stream `ws:lifecycle` of connected, disconnected, online, offline for backends"),
    NUMBER(duration, "PRESENCE_GRACE", presence_grace_ms, "10s", 1, 24 * HOURS, CONFIG_OFF,
           "how long a user may be away before offline"),
    CHOICE("LOG_LEVEL", log_level, "info", config_log_levels, 0, "to stderr"),
    CHOICE("LOG_FORMAT", log_format, "`text` on a terminal, else `json`", config_log_formats, CONFIG_EXPLICIT, "one line an event"),
};
/* clang-format on */

const size_t config_table_len = sizeof(config_table) / sizeof(config_table[0]);

const struct config_variable *config_variable_find(struct str name)
{
    for (size_t i = 0; i < config_table_len; ++i)
        if (str_eq(name, str_of(config_table[i].name)))
            return &config_table[i];
    return NULL;
}
