/* Reads of the logs: one MULTI/EXEC on the command connection, with the history of that moment in front. */
#include "pubsub/internal.h"
#include "pubsub/log_reply.h"
#include <stdlib.h>

/* An entry's payload as long as nothing is known: a first page is not the place for 100 large ones. */
#define MEAN_FIRST (16 * 1024)
#define WORDS_MAX 8

static void command(struct pubsub *p, redis_reply_cb cb, void *data, const struct str *words, int n)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    for (int i = 0; i < n; i++) {
        argv[i] = words[i].p;
        lens[i] = words[i].n;
    }
    redis_conn_command(p->commands.conn, cb, data, n, argv, lens);
}

static void put_key(const struct pubsub *p, struct buf *out, const char *word, struct str id)
{
    buf_append(out, str_of(p->config->redis_prefix));
    buf_append(out, str_of(word));
    buf_append(out, id);
}

bool log_read_possible(const struct pubsub *p)
{
    return p->commands.up && p->canary.answered;
}

void log_read_begin(struct pubsub *p)
{
    struct buf head = {0}, epochs = {0};
    put_key(p, &head, "head", STR_LIT(""));
    put_key(p, &epochs, "epochs", STR_LIT(""));
    command(p, NULL, NULL, &STR_LIT("MULTI"), 1);
    command(p, NULL, NULL,
            (struct str[]){STR_LIT("HMGET"), buf_str(&head), STR_LIT("epoch"), STR_LIT("seq"), STR_LIT("floor"),
                           STR_LIT("last")},
            6);
    command(p, NULL, NULL, (struct str[]){STR_LIT("HGETALL"), buf_str(&epochs)}, 2);
    buf_free(&head);
    buf_free(&epochs);
}

void log_read_range(struct pubsub *p, const char *xrange, struct event_log_ref log, struct str from, struct str to,
                    unsigned count)
{
    static const char *const words[] = {
        [EVENT_LOG_BROADCAST] = "log:broadcast", [EVENT_LOG_USER] = "log:user:", [EVENT_LOG_CONNECTION] = "log:conn:"};
    struct buf key = {0}, number = {0};
    put_key(p, &key, words[log.kind], log.kind == EVENT_LOG_BROADCAST ? STR_LIT("") : log.id);
    buf_printf(&number, "%u", count);
    command(p, NULL, NULL, (struct str[]){str_of(xrange), buf_str(&key), from, to, STR_LIT("COUNT"), buf_str(&number)},
            6);
    buf_free(&key);
    buf_free(&number);
}

void log_read_end(struct pubsub *p, redis_reply_cb cb, void *data)
{
    command(p, cb, data, &STR_LIT("EXEC"), 1);
}

struct str log_read_error(const redisReply *reply, size_t parts)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return redis_reply_str(reply);
    for (size_t i = 0; i < reply->elements; i++) {
        if (redis_reply_is_error(reply->element[i]))
            return redis_reply_str(reply->element[i]);
    }
    return reply->elements == 2 + parts ? STR_NONE : STR_LIT("an answer of another form");
}

struct str log_bound(char dst[LOG_BOUND_MAX], struct position p)
{
    /* Redis refuses to begin after its greatest id. Nothing comes after it anyway, nor after the one before it. */
    if (p.epoch == UINT64_MAX && p.seq == UINT64_MAX)
        p.seq--;
    p.n = 0;
    dst[0] = '(';
    return (struct str){dst, 1 + position_format(dst + 1, p)};
}

unsigned log_read_count(const struct pubsub *p, enum event_log kind, size_t bytes, unsigned most)
{
    uint64_t mean = p->log_mean[kind] != 0 ? p->log_mean[kind] : MEAN_FIRST;
    uint64_t count = bytes / mean;
    if (count > most)
        count = most;
    return count != 0 ? (unsigned)count : 1;
}

void log_read_note(struct pubsub *p, enum event_log kind, size_t bytes, size_t entries)
{
    if (entries == 0)
        return;
    uint64_t mean = bytes / entries + 1, half = p->log_mean[kind] != 0 ? p->log_mean[kind] / 2 : MEAN_FIRST / 2;
    p->log_mean[kind] = mean > half ? mean : half;
}
