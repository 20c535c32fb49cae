/* Asks sentinels where the master is.
 *
 *      DIALLING --> ASKING --address--> called back
 *         ^            |
 *         `------------'  the same one again with a login, or the next one; after the last: called back, with the
 * reasons
 *
 * A sentinel that wants a login is asked on a new connection, so that each carries one write and what answers it. */
#include "pubsub/sentinel.h"
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/clock.h"
#include "core/redis_url.h"
#include "core/units.h"
#include "pubsub/dial.h"
#include "pubsub/sentinel_reply.h"

enum login { LOGIN_NONE, LOGIN_USER, LOGIN_PASSWORD, LOGINS };

struct sentinel {
    char *host;
    uint16_t port;
    enum login login; /* the one that it accepted last */
};

struct sentinels {
    const struct redis_target *target;
    size_t n, first; /* whom a query begins with */
    struct sentinel entries[];
};

struct sentinel_query {
    h2o_loop_t *loop;
    struct sentinels *all;
    uint64_t timeout_ms, until_ms;
    sentinel_cb cb;
    void *data;
    size_t tried; /* those that have failed */
    enum login login;
    unsigned to_come;   /* replies; the last one is the answer */
    struct dial *dial;  /* DIALLING */
    h2o_socket_t *sock; /* ASKING */
    struct buf request, reasons;
};

/* --- those there are ------------------------------------------------------------------------------------------------
 */

static size_t count(const char *list)
{
    size_t n = 1;
    for (; *list != '\0'; ++list)
        n += *list == ',';
    return n;
}

struct sentinels *sentinels_create(const struct redis_target *target)
{
    if (target->kind != REDIS_SENTINEL)
        return NULL;
    size_t n = count(target->sentinels);
    struct sentinels *s = mem_zalloc(sizeof(*s) + n * sizeof(s->entries[0]));
    s->target = target;
    for (struct str rest = str_of(target->sentinels), host; s->n < n; ++s->n) {
        s->entries[s->n].port = SENTINEL_DEFAULT_PORT;
        if (units_parse_host_port(str_split(&rest, ','), &host, &s->entries[s->n].port) != NULL)
            abort(); /* redis_url_parse has seen it */
        s->entries[s->n].host = str_dup(host);
    }
    return s;
}

void sentinels_destroy(struct sentinels *s)
{
    for (size_t i = 0; s != NULL && i < s->n; ++i)
        free(s->entries[i].host);
    free(s);
}

void sentinels_distrust(struct sentinels *s)
{
    s->first = (s->first + 1) % s->n;
}

static struct sentinel *present(const struct sentinel_query *q)
{
    return &q->all->entries[(q->all->first + q->tried) % q->all->n];
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static void hang_up(struct sentinel_query *q)
{
    if (q->dial != NULL)
        dial_drop(q->dial);
    if (q->sock != NULL)
        h2o_socket_close(q->sock);
    q->dial = NULL;
    q->sock = NULL;
}

void sentinel_drop(struct sentinel_query *q)
{
    hang_up(q);
    if (q->request.p != NULL)
        explicit_bzero(q->request.p, q->request.cap); /* it may hold the password */
    buf_free(&q->request);
    buf_free(&q->reasons);
    free(q);
}

static void found(struct sentinel_query *q, const struct sentinel_reply *r)
{
    struct sentinel *s = present(q);
    s->login = q->login;
    q->all->first = (size_t)(s - q->all->entries);
    hang_up(q);
    q->cb(q->data, r->host, r->port, NULL);
    sentinel_drop(q);
}

static void nobody_knows(struct sentinel_query *q)
{
    struct buf reason = {0};
    buf_printf(&reason, "no sentinel names the master %.64s: ", q->all->target->master);
    buf_append(&reason, buf_str(&q->reasons));
    buf_append_char(&reason, '\0');
    q->cb(q->data, NULL, 0, reason.p);
    buf_free(&reason);
    sentinel_drop(q);
}

/* --- one after the other --------------------------------------------------------------------------------------------
 */

static void on_dialled(void *data, h2o_socket_t *sock, const char *reason);

static void dial_present(struct sentinel_query *q, uint64_t now_ms)
{
    hang_up(q);
    q->dial = dial_host(q->loop, present(q)->host, present(q)->port, q->timeout_ms, now_ms, on_dialled, q);
}

/* Goes on to the next one, or ends the query. */
static void skip(struct sentinel_query *q)
{
    hang_up(q);
    if (++q->tried == q->all->n) {
        nobody_knows(q);
        return;
    }
    q->login = present(q)->login;
    dial_present(q, clock_monotonic_ms());
}

static void note(struct sentinel_query *q, const char *reason)
{
    buf_printf(&q->reasons, "%s%.200s", q->reasons.n == 0 ? "" : "; ", reason);
}

static void give_up(struct sentinel_query *q, const char *what, struct str reply)
{
    const struct sentinel *s = present(q);
    char reason[200];
    snprintf(reason, sizeof(reason), strchr(s->host, ':') != NULL ? "[%.60s]:%u %s%.*s" : "%.60s:%u %s%.*s", s->host,
             s->port, what, (int)(reply.n > 80 ? 80 : reply.n), reply.p != NULL ? reply.p : "");
    note(q, reason);
    skip(q);
}

/* --- one ------------------------------------------------------------------------------------------------------------
 */

static void append_command(struct buf *out, int argc, const char **argv)
{
    char *text;
    int n = redisFormatCommandArgv(&text, argc, argv, NULL);
    if (n < 0)
        abort(); /* only when memory is out */
    buf_append(out, (struct str){text, (size_t)n});
    explicit_bzero(text, (size_t)n);
    redisFreeCommand(text);
}

/* The login that may help where `login` did not; LOGINS if there is none. */
static enum login next_login(const struct redis_target *t, enum login login)
{
    if (login == LOGIN_NONE && t->user != NULL)
        return LOGIN_USER;
    return login != LOGIN_PASSWORD && t->password != NULL ? LOGIN_PASSWORD : LOGINS;
}

/* It has refused, or wants a login. */
static void try_another_login(struct sentinel_query *q, struct str error)
{
    enum login login = next_login(q->all->target, q->login);
    if (login != LOGINS) {
        q->login = login;
        dial_present(q, clock_monotonic_ms());
        return;
    }
    present(q)->login = LOGIN_NONE; /* its rules may have changed: from the beginning next time */
    give_up(q, "refuses: ", error);
}

static bool wants_login(struct str error)
{
    return str_starts_with(error, STR_LIT("NOAUTH")) || str_starts_with(error, STR_LIT("NOPERM"));
}

/* Deals with one reply; false if the query went on elsewhere, or is gone. */
static bool take(struct sentinel_query *q, const struct sentinel_reply *r)
{
    bool is_answer = q->to_come == 1;
    if (r->kind == SENTINEL_ERROR && (!is_answer || wants_login(r->text))) {
        try_another_login(q, r->text);
    } else if (r->kind == SENTINEL_OK && !is_answer) {
        --q->to_come;
        return true;
    } else if (r->kind == SENTINEL_ADDRESS && is_answer) {
        found(q, r);
    } else if (r->kind == SENTINEL_UNKNOWN && is_answer) {
        give_up(q, "does not know it", STR_NONE);
    } else {
        give_up(q, r->kind == SENTINEL_ERROR ? "answers: " : "does not answer as a sentinel does", r->text);
    }
    return false;
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct sentinel_query *q = sock->data;
    struct sentinel_reply r;
    if (err != NULL) {
        give_up(q, "closed the connection", STR_NONE);
        return;
    }
    do {
        r = sentinel_reply_read((struct str){sock->input->bytes, sock->input->size});
        if (r.kind == SENTINEL_MORE || !take(q, &r))
            return;
        h2o_buffer_consume(&sock->input, r.n);
    } while (sock->input->size != 0);
}

/* Where it failed reading will tell. */
static void on_written(h2o_socket_t *sock, const char *err)
{
    (void)sock;
    (void)err;
}

static void on_dialled(void *data, h2o_socket_t *sock, const char *reason)
{
    struct sentinel_query *q = data;
    const struct redis_target *t = q->all->target;
    q->dial = NULL;
    if (sock == NULL) {
        note(q, reason);
        skip(q);
        return;
    }
    q->sock = sock;
    sock->data = q;
    q->until_ms = clock_monotonic_ms() + q->timeout_ms;
    q->request.n = 0;
    if (q->login == LOGIN_USER)
        append_command(&q->request, 3, (const char *[]){"AUTH", t->user, t->password});
    else if (q->login == LOGIN_PASSWORD)
        append_command(&q->request, 2, (const char *[]){"AUTH", t->password});
    append_command(&q->request, 3, (const char *[]){"SENTINEL", "get-master-addr-by-name", t->master});
    q->to_come = q->login == LOGIN_NONE ? 1 : 2;
    h2o_socket_read_start(sock, on_read);
    h2o_iovec_t iov = {q->request.p, q->request.n};
    h2o_socket_write(sock, &iov, 1, on_written);
}

/* --- the query ------------------------------------------------------------------------------------------------------
 */

struct sentinel_query *sentinel_ask(h2o_loop_t *loop, struct sentinels *s, uint64_t timeout_ms, uint64_t now_ms,
                                    sentinel_cb cb, void *data)
{
    struct sentinel_query *q = mem_zalloc(sizeof(*q));
    q->loop = loop;
    q->all = s;
    q->timeout_ms = timeout_ms;
    q->cb = cb;
    q->data = data;
    q->login = present(q)->login;
    dial_present(q, now_ms);
    return q;
}

void sentinel_tick(struct sentinel_query *q, uint64_t now_ms)
{
    if (q->dial != NULL)
        dial_tick(q->dial, now_ms);
    else if (now_ms > q->until_ms)
        give_up(q, "does not answer within REDIS_TIMEOUT", STR_NONE);
}
