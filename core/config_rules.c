/* Rules over the whole configuration: what excludes or needs what, and names that mean nothing. */
#include "core/config_table.h"

#include "core/units.h"

static bool has_failed(const struct config_load_state *s, const char *name)
{
    return s->failed[config_variable_index(config_variable_find(str_of(name)))];
}

/* Begins the line of an error about a variable: its name as it was given, and a colon. */
static struct buf *error_of(struct config_load_state *s, const char *name)
{
    struct buf *errors = &s->report->errors;

    buf_append(errors, config_setting_of(s, name)->as);
    buf_lit(errors, ": ");
    return errors;
}

static void check_secret(struct config_load_state *s)
{
    const struct config_setting *key = config_setting_of(s, "SECRET_KEY"),
                                *file = config_setting_of(s, "SECRET_KEY_FILE");

    if (key->text.p != NULL && file->text.p != NULL)
        buf_printf(error_of(s, "SECRET_KEY"), "is set beside %.*s; set one of them\n", (int)file->as.n, file->as.p);
    else if (key->text.p == NULL && file->text.p == NULL)
        buf_lit(error_of(s, "SECRET_KEY"),
                "is required, or SECRET_KEY_FILE: what users' tokens are signed with; make one with: "
                "openssl rand -base64 48\n");
}

static bool is_default_prefix(const struct config *c)
{
    return strcmp(c->redis_prefix, config_variable_find(STR_LIT("REDIS_PREFIX"))->fallback) == 0;
}

static bool in_kubernetes(char *const *environ)
{
    static const struct str name = STR_LIT("KUBERNETES_SERVICE_HOST=");

    for (; environ != NULL && *environ != NULL; ++environ)
        if (str_starts_with(str_of(*environ), name) && strlen(*environ) > name.n)
            return true;
    return false;
}

static void check_redis(struct config_load_state *s)
{
    const struct redis_target *r = &s->config->redis;

    if (config_setting_of(s, "REDIS_URL")->text.p == NULL && in_kubernetes(s->env->environ))
        buf_lit(error_of(s, "REDIS_URL"),
                "is required inside Kubernetes: with a Redis of its own each pod would be an island "
                "that hears nothing of the others (a single pod may say embedded)\n");
    if (r->db != 0 && !has_failed(s, "REDIS_PREFIX") && is_default_prefix(s->config))
        buf_printf(
            error_of(s, "REDIS_URL"),
            "names database %u, but REDIS_PREFIX is the default: Pub/Sub ignores the database number, so everything "
            "with this prefix on that Redis would hear each other; set REDIS_PREFIX, or use database 0\n",
            r->db);
}

static void check_heartbeat(struct config_load_state *s)
{
    if (has_failed(s, "PING_INTERVAL") || has_failed(s, "PONG_TIMEOUT") ||
        s->config->pong_timeout_ms > s->config->ping_interval_ms)
        return;
    struct buf *errors = error_of(s, "PONG_TIMEOUT");
    buf_lit(errors, "is ");
    units_format_duration(errors, s->config->pong_timeout_ms);
    buf_lit(errors, ", but must be longer than PING_INTERVAL (");
    units_format_duration(errors, s->config->ping_interval_ms);
    buf_lit(errors, ")\n");
}

static void check_sizes(struct config_load_state *s)
{
    if (has_failed(s, "MAX_MESSAGE_BYTES") || has_failed(s, "MAX_BODY_BYTES") ||
        s->config->max_message_bytes <= s->config->max_body_bytes)
        return;
    struct buf *errors = error_of(s, "MAX_MESSAGE_BYTES");
    buf_lit(errors, "is ");
    units_format_size(errors, s->config->max_message_bytes);
    buf_lit(errors, ", but may be at most MAX_BODY_BYTES (");
    units_format_size(errors, s->config->max_body_bytes);
    buf_lit(errors, ")\n");
}

static void check_pair(struct config_load_state *s, const char *a, const char *b)
{
    bool has_a = config_setting_of(s, a)->text.p != NULL, has_b = config_setting_of(s, b)->text.p != NULL;

    if (has_a != has_b)
        buf_printf(error_of(s, has_a ? b : a), "is required, since %s is set\n", has_a ? a : b);
}

static void check_addresses(struct config_load_state *s)
{
    struct config *c = s->config;

    if (listen_address_eq(&c->metrics_listen, &c->listen))
        buf_lit(error_of(s, "METRICS_LISTEN"), "must differ from LISTEN: what it serves is internal\n");
    if (listen_address_eq(&c->metrics_listen, &c->api_listen))
        buf_lit(error_of(s, "METRICS_LISTEN"), "must differ from API_LISTEN: what it serves is internal\n");
}

void config_check_rules(struct config_load_state *s)
{
    check_secret(s);
    check_redis(s);
    check_heartbeat(s);
    check_sizes(s);
    check_pair(s, "TLS_CERT_FILE", "TLS_KEY_FILE");
    check_pair(s, "REDIS_CERT_FILE", "REDIS_KEY_FILE");
    check_addresses(s);
}

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

/* A Service named belfry, or belfry-something, makes Kubernetes inject BELFRY_[SOMETHING_]SERVICE_HOST, …SERVICE_PORT,
 * …SERVICE_PORT_<NAME>, …PORT (a URL: a bare number is somebody's mistake) and …PORT_8000_TCP[_PROTO|_PORT|_ADDR]. */
static bool is_kubernetes_service(struct str name, struct str value)
{
    static const struct str protocols[] = {STR_LIT("_TCP"), STR_LIT("_UDP"), STR_LIT("_SCTP")};

    if (ends_with(name, STR_LIT("_SERVICE_HOST")) || ends_with(name, STR_LIT("_SERVICE_PORT")) ||
        memmem(name.p, name.n, "_SERVICE_PORT_", 14) != NULL)
        return true;
    if (ends_with(name, STR_LIT("_PORT")) && memmem(value.p, value.n, "://", 3) != NULL)
        return true;
    const char *port = memmem(name.p, name.n, "_PORT_", 6);
    if (port == NULL)
        return false;
    struct str rest = {port + 6, name.n - (size_t)(port - name.p) - 6};
    size_t digits = strspn(rest.p, "0123456789");
    rest = (struct str){rest.p + digits, digits <= rest.n ? rest.n - digits : 0};
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); ++i)
        if (digits > 0 && str_starts_with(rest, protocols[i]))
            return true;
    return false;
}

#define NAME_MAX_COMPARED 40

/* Edits that make a from b: insert, delete, replace, and swap of neighbours. */
static unsigned edit_distance(struct str a, struct str b)
{
    unsigned rows[3][NAME_MAX_COMPARED + 1];

    for (unsigned j = 0; j <= b.n; ++j)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.n; ++i) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; ++j) {
            unsigned best = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.n % 3][b.n];
}

/* The variable whose name is at most a quarter of its length away, and at most three edits. */
static const char *nearest_name(struct str name)
{
    const char *nearest = NULL;
    unsigned least = 4;

    if (name.n > NAME_MAX_COMPARED)
        return NULL;
    for (size_t i = 0; i < config_table_len; ++i) {
        struct str candidate = str_of(config_table[i].name);
        unsigned distance = edit_distance(name, candidate);
        if (distance < least && distance <= (candidate.n + 3) / 4) {
            least = distance;
            nearest = config_table[i].name;
        }
    }
    return nearest;
}

void config_check_unknown(struct config_load_state *s)
{
    for (char *const *entry = s->env->environ; entry != NULL && *entry != NULL; ++entry) {
        struct str value = str_of(*entry), full = str_split(&value, '=');
        if (!str_starts_with(full, STR_LIT("BELFRY_")) || value.n == 0)
            continue;
        struct str name = {full.p + 7, full.n - 7};
        if (config_variable_find(name) != NULL || is_kubernetes_service(full, value))
            continue;
        config_quote(&s->report->warnings, full);
        buf_lit(&s->report->warnings, ": is not a variable of belfry, and has no effect");
        const char *nearest = nearest_name(name);
        if (nearest != NULL)
            buf_printf(&s->report->warnings, "; did you mean BELFRY_%s?", nearest);
        buf_lit(&s->report->warnings, "\n");
    }
}

void config_quote(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n && i < 64; ++i)
        buf_append_char(out, s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
    if (s.n > 64)
        buf_lit(out, "…");
}
