/* Asks a Redis, blocking and once, whether it is there and fit. */
#include "server/redis_probe.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/units.h"
#include "pubsub/redis_advice.h"
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

static redisContext *connect_to(const struct config *c)
{
    struct timeval timeout = {(time_t)(c->redis_timeout_ms / 1000), (suseconds_t)(c->redis_timeout_ms % 1000 * 1000)};
    redisContext *ctx = c->redis.kind == REDIS_UNIX ? redisConnectUnixWithTimeout(c->redis.path, timeout)
                                                    : redisConnectWithTimeout(c->redis.host, c->redis.port, timeout);

    if (ctx != NULL && ctx->err == 0)
        (void)redisSetTimeout(ctx, timeout);
    return ctx;
}

/* The reply, if it is none of an error; else what went wrong is appended after `what`. */
static redisReply *ask(redisContext *ctx, const char *what, struct buf *warnings, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(ctx, argc, argv, NULL);

    if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        return reply;
    buf_printf(warnings, "REDIS_URL: %s: ", what);
    config_quote(warnings, reply != NULL ? (struct str){reply->str, reply->len} : str_of(ctx->errstr));
    buf_lit(warnings, "\n");
    if (reply != NULL)
        freeReplyObject(reply);
    return NULL;
}

static bool authenticate(redisContext *ctx, const struct redis_target *t, struct buf *warnings)
{
    const char *argv[3] = {"AUTH", t->user != NULL ? t->user : t->password, t->password};
    redisReply *reply;

    if (t->password == NULL)
        return true;
    reply = ask(ctx, "authentication failed", warnings, t->user != NULL ? 3 : 2, argv);
    if (reply == NULL)
        return false;
    freeReplyObject(reply);
    return true;
}

static void ask_info(redisContext *ctx, struct buf *warnings)
{
    redisReply *pong = ask(ctx, "Redis does not answer PING", warnings, 1, (const char *[]){"PING"});

    if (pong == NULL)
        return;
    freeReplyObject(pong);
    redisReply *info =
        ask(ctx, "INFO is refused, which belfry needs (ACL: +info)", warnings, 1, (const char *[]){"INFO"});
    if (info == NULL)
        return;
    if (info->type == REDIS_REPLY_STRING)
        redis_probe_info((struct str){info->str, info->len}, warnings);
    freeReplyObject(info);
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

void redis_probe(const struct config *c, struct buf *warnings)
{
    if (c->redis.kind == REDIS_EMBEDDED) {
        if (!is_in_path(PROGRAM))
            warn_of(warnings, STR_LIT("the embedded Redis needs the program " PROGRAM ", which is not in PATH"));
        return;
    }
    redisContext *ctx = connect_to(c);
    if (ctx == NULL || ctx->err != 0) {
        buf_printf(warnings, "REDIS_URL: Redis cannot be reached: %s\n", ctx == NULL ? "out of memory" : ctx->errstr);
    } else if (authenticate(ctx, &c->redis, warnings)) {
        ask_info(ctx, warnings);
    }
    if (ctx != NULL)
        redisFree(ctx);
}
