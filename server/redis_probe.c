/* Asks a Redis once whether it is there and fit, on a loop of its own. */
#include "server/redis_probe.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"
#include "pubsub/redis_advice.h"
#include "pubsub/redis_conn.h"
#include "pubsub/redis_info.h"

#define PROGRAM "redis-server"

static void warn_of(struct buf *out, struct str text)
{
    buf_lit(out, "REDIS_URL: ");
    buf_append(out, text);
    buf_lit(out, "\n");
}

static bool is_older_than_6_2(struct str version)
{
    uint64_t major, minor;
    struct str rest = version;

    if (units_parse_count(str_split(&rest, '.'), &major) != 0 || units_parse_count(str_split(&rest, '.'), &minor) != 0)
        return false; /* a version of another form is newer than this program */
    return major < 6 || (major == 6 && minor < 2);
}

void redis_probe_info(struct str info, struct buf *warnings)
{
    struct str version = redis_info_field(info, STR_LIT("redis_version"));
    struct buf unwise = {0};

    if (is_older_than_6_2(version))
        buf_printf(warnings, "REDIS_URL: Redis %.*s is older than 6.2, which belfry needs\n", (int)version.n,
                   version.p);
    if (str_eq(redis_info_field(info, STR_LIT("cluster_enabled")), STR_LIT("1")))
        warn_of(warnings, STR_LIT("this is a Redis Cluster, which belfry refuses at start: one order needs one node"));
    if (str_eq(redis_info_field(info, STR_LIT("role")), STR_LIT("slave")))
        warn_of(warnings, STR_LIT("this is a replica; belfry needs the master"));
    if (str_eq(redis_info_field(info, STR_LIT("loading")), STR_LIT("1")))
        warn_of(warnings, STR_LIT("Redis is still loading its data"));
    redis_advice(info, &unwise);
    for (struct str rest = buf_str(&unwise); rest.n != 0;)
        warn_of(warnings, str_split(&rest, '\n'));
    buf_free(&unwise);
}

static bool is_in_path(const char *program)
{
    const char *path = getenv("PATH");

    for (struct str rest = str_of(path); rest.p != NULL;) {
        struct str folder = str_split(&rest, ':');
        struct buf file = {0};
        buf_printf(&file, "%.*s/%s", (int)folder.n, folder.p, program);
        buf_append_char(&file, '\0');
        bool found = folder.n > 0 && access(file.p, X_OK) == 0;
        buf_free(&file);
        if (found)
            return true;
    }
    return false;
}

/* One connection, opened as `serve` opens its own, so that both stumble over the same. */
struct probe {
    struct redis_conn *conn; /* NULL: it has ended */
    struct buf *warnings;
    bool done;
};

static void on_info(void *data, redisReply *reply)
{
    struct probe *p = data;
    if (reply == NULL)
        return; /* on_closed has told why */
    if (reply->type == REDIS_REPLY_STRING)
        redis_probe_info(redis_reply_str(reply), p->warnings);
    p->done = true;
}

static void on_ready(void *ctx, const struct redis_info *info)
{
    struct probe *p = ctx;
    redis_conn_command(p->conn, on_info, p, 1, (const char *[]){"INFO"}, (size_t[]){4});
    redis_conn_flush(p->conn);
}

static void on_message(void *ctx, redisReply *reply)
{
}

static void on_closed(void *ctx, const char *reason, bool unfit)
{
    struct probe *p = ctx;
    buf_lit(p->warnings, "REDIS_URL: ");
    if (!unfit)
        buf_lit(p->warnings, "Redis cannot be used: ");
    for (const char *c = reason; *c != '\0'; ++c)
        buf_append_char(p->warnings, *c >= 0x20 && *c < 0x7f ? *c : '?');
    buf_lit(p->warnings, "\n");
    p->conn = NULL;
    p->done = true;
}

static const struct redis_conn_callbacks callbacks = {on_ready, on_message, on_closed};

static void try_to_connect(const struct config *c, struct buf *warnings)
{
    h2o_context_t ctx = {.loop = h2o_evloop_create()};
    struct sentinels *sentinels = sentinels_create(&c->redis);
    struct probe p = {.warnings = warnings};
    p.conn = redis_conn_open(&ctx, &c->redis, sentinels, c->redis_timeout_ms, "belfry-check", &callbacks, &p,
                             clock_monotonic_ms());
    while (!p.done) {
        redis_conn_tick(p.conn, clock_monotonic_ms());
        if (!p.done)
            h2o_evloop_run(ctx.loop, 10);
    }
    if (p.conn != NULL)
        redis_conn_close(p.conn);
    sentinels_destroy(sentinels);
    h2o_evloop_run(ctx.loop, 0); /* frees the sockets */
    h2o_evloop_destroy(ctx.loop);
}

void redis_probe(const struct config *c, struct buf *warnings)
{
    if (c->redis.kind != REDIS_EMBEDDED)
        try_to_connect(c, warnings);
    else if (!is_in_path(PROGRAM))
        warn_of(warnings, STR_LIT("the embedded Redis needs the program " PROGRAM ", which is not in PATH"));
}
