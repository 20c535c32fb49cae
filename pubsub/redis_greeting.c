/* The first words on a connection to Redis: who we are, and whether this is a Redis that can be used. */
#include "pubsub/redis_conn_parts.h"
#include <stdio.h>

static void greeting_done(struct redis_conn *c)
{
    const char *reason;
    enum redis_fitness fit = redis_info_judge(&c->info, &reason);
    if (fit != REDIS_FIT) {
        redis_conn_lost(c, reason, fit == REDIS_UNFIT);
        return;
    }
    c->state = CONN_READY;
    c->callbacks->on_ready(c->data, &c->info);
}

static void fail_greeting(struct redis_conn *c, const char *what, const redisReply *reply)
{
    struct str s = redis_reply_str(reply);
    snprintf(c->failure_text, sizeof(c->failure_text), "%s: %.*s", what, (int)(s.n > 120 ? 120 : s.n), s.p);
    bool unfit = strcmp(what, "INFO") == 0 && s.n >= 6 && memcmp(s.p, "NOPERM", 6) == 0;
    redis_conn_lost(c, unfit ? "this user may not run INFO: add the ACL rule +info" : c->failure_text, unfit);
}

static void on_must_be_ok(void *data, redisReply *reply)
{
    struct redis_conn *c = data;
    if (reply != NULL && !c->closed && redis_reply_is_error(reply))
        fail_greeting(c, "AUTH or SELECT", reply);
}

static void on_info(void *data, redisReply *reply)
{
    struct redis_conn *c = data;
    if (reply == NULL || c->closed)
        return;
    if (reply->type != REDIS_REPLY_STRING) {
        fail_greeting(c, "INFO", reply);
        return;
    }
    redis_info_read(&c->info, redis_reply_str(reply));
    if (--c->greetings_due == 0)
        greeting_done(c);
}

static void greet_command(struct redis_conn *c, redis_reply_cb cb, int argc, const char **argv)
{
    size_t lens[3];
    for (int i = 0; i < argc; ++i)
        lens[i] = strlen(argv[i]);
    redis_conn_command(c, cb, c, argc, argv, lens);
}

void redis_conn_greet(struct redis_conn *c)
{
    static const char *const sections[] = {"server", "replication", "cluster"};
    const struct redis_target *t = c->target;
    if (t->user != NULL)
        greet_command(c, on_must_be_ok, 3, (const char *[]){"AUTH", t->user, t->password != NULL ? t->password : ""});
    else if (t->password != NULL)
        greet_command(c, on_must_be_ok, 2, (const char *[]){"AUTH", t->password});
    if (t->db != 0) {
        char db[12];
        snprintf(db, sizeof(db), "%u", t->db);
        greet_command(c, on_must_be_ok, 2, (const char *[]){"SELECT", db});
    }
    greet_command(c, NULL, 3, (const char *[]){"CLIENT", "SETNAME", c->client_name});
    c->greetings_due = 3;
    for (size_t i = 0; i < 3; ++i)
        greet_command(c, on_info, 2, (const char *[]){"INFO", sections[i]});
    redis_conn_flush(c);
}
