/* The worker's thread: its loop turn reads as a table of contents (worker_turn). */
#include "server/worker.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "server/acceptor.h"
#include "server/router.h"
#include <errno.h>
#include <fcntl.h>
#include <h2o/http1.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TICK_MS 50
/* How often a worker looks over all its connections for its counts. */
#define COUNT_MS 1000
/* For how long the longest turn is remembered, at least. */
#define LAG_MS 5000
/* Once the slots are over: how long clients may take to answer their close frame and requests to end. */
#define END_MS 4000
/* How long connections that were accepted last may take to bring their request. */
#define LAST_REQUEST_MS 300
#define CUT_MS 200
/* How long the end waits for Redis to hear of all connections that have ended. */
#define SETTLE_MS 2000

enum message_kind { MESSAGE_STOP, MESSAGE_HURRY, MESSAGE_TLS };

struct message {
    h2o_multithread_message_t super;
    enum message_kind kind;
    SSL_CTX *tls;
};

struct worker {
    struct process *process;
    unsigned index;
    pthread_t thread;
    sem_t ready; /* posted when the worker takes messages */
    h2o_context_t ctx;
    h2o_multithread_receiver_t receiver;
    struct acceptors acceptors;
    struct credentials_view credentials;
    struct limiter limiter;
    struct edge *edge;
    struct pubsub *pubsub;
    struct api *api;
    struct worker_parts parts;
    uint64_t started_ms, turn_ms, turn_before_ms; /* of the thread, of this turn and of the one before */
    uint64_t slept_ms;                            /* before this turn, at most */
    uint64_t lag_ms, lag_before_ms, lag_at_ms;    /* longest turns: of the present LAG_MS, of those before */
    uint64_t tick_at_ms, count_at_ms;
    uint64_t drain_by_ms, end_by_ms, shut_at_ms; /* 0: not draining; not ending; nothing to shut */
    _Atomic bool ended;
};

/* --- requests under way ---------------------------------------------------------------------------------------------
 */

static int shut_request(h2o_req_t *req, void *how)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    shutdown(h2o_socket_get_fd(sock), *(const int *)how);
    return 0;
}

/* Connections that wait for a request end by themselves: they read the end of their input. */
static void shut_http(struct worker *w, int how)
{
    h2o_globalconf_t *conf = w->process->globalconf;
    conf->http1.callbacks.foreach_request(&w->ctx, shut_request, &how);
}

static bool http_empty(struct worker *w)
{
    return h2o_linklist_is_empty(&w->ctx.http1._conns);
}

/* --- messages from the main thread ----------------------------------------------------------------------------------
 */

/* The first stage of a stop: clients are handed over one by one, listeners and REST go on. */
static void begin_drain(struct worker *w, uint64_t now_ms)
{
    w->drain_by_ms = now_ms + w->process->config->drain_ms;
    w->ctx.shutdown_requested = 1; /* answers from now on close their connection, so that callers move on too */
    edge_drain(w->edge, now_ms, w->process->config->drain_ms);
}

/* The second: listeners are emptied and closed, whoever is left is closed. */
static void begin_end(struct worker *w, uint64_t now_ms)
{
    w->end_by_ms = now_ms + END_MS;
    w->shut_at_ms = now_ms + LAST_REQUEST_MS;
    w->ctx.shutdown_requested = 1;
    acceptors_close(&w->acceptors);
    edge_end(w->edge, now_ms);
}

/* A second order to stop, or one that cannot wait, skips the stage it finds. */
static void on_stop(struct worker *w, bool hurry)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (w->end_by_ms != 0)
        w->end_by_ms = now_ms;
    else if (w->drain_by_ms != 0 || hurry)
        begin_end(w, now_ms);
    else
        begin_drain(w, now_ms);
}

static void advance_stop(struct worker *w, uint64_t now_ms)
{
    if (w->drain_by_ms != 0 && w->end_by_ms == 0 && (edge_empty(w->edge) || now_ms >= w->drain_by_ms))
        begin_end(w, now_ms);
    if (w->shut_at_ms != 0 && now_ms >= w->shut_at_ms) {
        shut_http(w, SHUT_RD);
        w->shut_at_ms = 0;
    }
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct worker *w = H2O_STRUCT_FROM_MEMBER(struct worker, receiver, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        struct message *m = H2O_STRUCT_FROM_MEMBER(struct message, super.link, messages->next);
        h2o_linklist_unlink(&m->super.link);
        if (m->kind != MESSAGE_TLS)
            on_stop(w, m->kind == MESSAGE_HURRY);
        else
            acceptors_set_tls(&w->acceptors, m->tls);
        free(m);
    }
}

static void send_message(struct worker *w, enum message_kind kind, SSL_CTX *tls)
{
    struct message *m = mem_zalloc(sizeof(*m));
    m->kind = kind;
    m->tls = tls;
    h2o_multithread_send_message(&w->receiver, &m->super);
}

void worker_set_tls(struct worker *w, SSL_CTX *tls)
{
    send_message(w, MESSAGE_TLS, tls);
}

void worker_stop(struct worker *w, bool hurry)
{
    send_message(w, hurry ? MESSAGE_HURRY : MESSAGE_STOP, NULL);
}

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

/* The turn that ends here began when the loop was woken, by its clock, which is the wall's and may have been set since:
 * it is no longer than the time since the turn before began. What it came too late counts as lag as well. */
static void note_turn(struct worker *w, int32_t sleep_ms)
{
    uint64_t now_ms = clock_unix_ms(), woken_ms = h2o_now(w->ctx.loop);
    uint64_t turn_ms = now_ms > woken_ms ? now_ms - woken_ms : 0, late_ms = w->turn_ms - w->turn_before_ms;
    if (turn_ms > TICK_MS && turn_ms > clock_monotonic_ms() - w->turn_before_ms)
        turn_ms = clock_monotonic_ms() - w->turn_before_ms;
    metric_observe_us(METRIC_LOOP_SECONDS, turn_ms * 1000);
    if (turn_ms > w->lag_ms)
        w->lag_ms = turn_ms;
    if (late_ms > w->lag_ms + w->slept_ms)
        w->lag_ms = late_ms - w->slept_ms;
    w->turn_before_ms = w->turn_ms;
    w->slept_ms = (uint64_t)sleep_ms;
}

static void note_lag(struct worker *w, uint64_t now_ms)
{
    metric_set(METRIC_LOOP_LAG_NOW, w->lag_ms > w->lag_before_ms ? w->lag_ms : w->lag_before_ms);
    if (now_ms < w->lag_at_ms)
        return;
    w->lag_at_ms = now_ms + LAG_MS;
    w->lag_before_ms = w->lag_ms;
    w->lag_ms = 0;
}

static void note_redis(struct worker *w, const struct pubsub_state *state, uint64_t now_ms)
{
    bool heard = state->canary_age_ms != UINT64_MAX;
    metric_set(METRIC_REDIS_UP_NOW, state->commands_connected);
    metric_set(METRIC_PUBSUB_UP_NOW, state->subscriber_connected);
    metric_set(METRIC_CANARY_AGE_NOW, heard ? state->canary_age_ms : now_ms - w->started_ms);
}

static void tick(struct worker *w, uint64_t now_ms)
{
    w->tick_at_ms = now_ms + TICK_MS;
    acceptors_tick(&w->acceptors, now_ms);
    if (now_ms >= w->count_at_ms) {
        struct edge_counts counts = edge_counts(w->edge, now_ms);
        pubsub_set_counts(w->pubsub, counts.local, counts.dead);
        edge_note_metrics(w->edge, &counts);
        w->count_at_ms = now_ms + COUNT_MS;
        note_lag(w, now_ms);
    }
    advance_stop(w, now_ms);
    pubsub_tick(w->pubsub, now_ms);
    struct pubsub_state state = pubsub_state(w->pubsub, now_ms);
    readiness_note(&w->process->readiness.workers[w->index], &state);
    liveness_note(&w->process->readiness, w->index, now_ms);
    note_redis(w, &state, now_ms);
    pubsub_note_metrics(w->pubsub);
    if (state.fatal != NULL)
        atomic_store(&w->process->fatal, state.fatal);
}

/* Returns how long the loop may sleep. */
static int32_t worker_turn(struct worker *w)
{
    uint64_t now_ms = clock_monotonic_ms();
    w->turn_ms = now_ms;
    credentials_refresh(w->process->credentials, &w->credentials);
    if (now_ms >= w->tick_at_ms)
        tick(w, now_ms);
    edge_turn(w->edge, now_ms);
    pubsub_turn(w->pubsub);
    /* What was written here has completed. As after a timer, h2o has to hear so before it polls: a socket that it still
     * polls for writing by then would be notified twice, and abort the process. */
    h2o_timeout__do_post_callback(w->ctx.loop);
    return edge_busy(w->edge) ? 0 : (int32_t)(w->tick_at_ms > now_ms ? w->tick_at_ms - now_ms : 0);
}

static bool stopped(struct worker *w)
{
    if (w->end_by_ms == 0)
        return false;
    if (clock_monotonic_ms() >= w->end_by_ms)
        return true;
    return edge_empty(w->edge) && http_empty(w) && pubsub_acks_stored(w->pubsub);
}

/* Runs the loop until the last request has been answered, or until a moment has passed. */
static void await_requests(struct worker *w)
{
    uint64_t until_ms = clock_monotonic_ms() + CUT_MS;
    while (!http_empty(w) && clock_monotonic_ms() < until_ms) {
        pubsub_turn(w->pubsub);
        h2o_timeout__do_post_callback(w->ctx.loop);
        h2o_evloop_run(w->ctx.loop, 10);
    }
}

/* So that their identities can be resumed elsewhere at once; what is not said within the time the others reap. */
static void await_settled(struct worker *w)
{
    uint64_t until_ms = clock_monotonic_ms() + SETTLE_MS;
    pubsub_turn(w->pubsub);
    while (!pubsub_settled(w->pubsub) && clock_monotonic_ms() < until_ms) {
        h2o_timeout__do_post_callback(w->ctx.loop);
        h2o_evloop_run(w->ctx.loop, 10);
        pubsub_turn(w->pubsub);
    }
}

/* pubsub_close answers whoever waited for Redis: a moment for the answers to go out, then the cut. */
static void parts_destroy(struct worker *w)
{
    edge_cut(w->edge);
    await_settled(w);
    pubsub_close(w->pubsub);
    await_requests(w);
    shut_http(w, SHUT_RDWR);
    await_requests(w);
    edge_destroy(w->edge);
    pubsub_destroy(w->pubsub);
    api_destroy(w->api);
    limiter_dispose(&w->limiter);
    credentials_view_release(&w->credentials);
}

static void parts_create(struct worker *w)
{
    struct process *p = w->process;
    credentials_refresh(p->credentials, &w->credentials);
    limiter_init(&w->limiter, p->config->publish_rate);
    w->edge = edge_create(&w->ctx, p->config, &p->edge, &w->credentials, &w->limiter);
    w->pubsub = pubsub_create(&w->ctx, p->config, edge_hub(w->edge), &edge_pubsub_callbacks, w->edge, w->index);
    edge_attach(w->edge, w->pubsub);
    w->api = api_create(p->config, &w->credentials, &w->limiter, &p->api);
    api_attach(w->api, w->pubsub);
    w->parts = (struct worker_parts){
        .api = w->api, .edge = w->edge, .readiness = &p->readiness, .metrics = &p->metrics, .index = w->index};
    router_bind(&w->ctx, &w->parts);
}

/* All on the worker's own thread: h2o's buffers belong to the thread that makes their sockets. */
static void worker_init(struct worker *w)
{
    h2o_context_init(&w->ctx, h2o_evloop_create(), w->process->globalconf);
    h2o_multithread_register_receiver(w->ctx.queue, &w->receiver, on_messages);
    parts_create(w);
    acceptors_open(&w->acceptors, w->process, &w->ctx, w->index);
    sem_post(&w->ready);
}

static void worker_dispose(struct worker *w)
{
    parts_destroy(w);
    h2o_multithread_unregister_receiver(w->ctx.queue, &w->receiver);
    h2o_context_dispose(&w->ctx);
    h2o_evloop_run(w->ctx.loop, 0); /* frees the sockets that were closed in the last turn */
    h2o_evloop_destroy(w->ctx.loop);
    acceptors_dispose(&w->acceptors);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "worker-%u", w->index); /* for top -H */
    pthread_setname_np(pthread_self(), name);
    metrics_mine = &w->process->metrics.workers[w->index];
    w->started_ms = w->turn_before_ms = clock_monotonic_ms();
    worker_init(w);
    while (!stopped(w)) {
        int32_t sleep_ms = worker_turn(w);
        note_turn(w, sleep_ms);
        h2o_evloop_run(w->ctx.loop, sleep_ms);
    }
    liveness_note(&w->process->readiness, w->index, UINT64_MAX);
    worker_dispose(w);
    atomic_store(&w->ended, true);
    return NULL;
}

/* --- life, from the main thread -------------------------------------------------------------------------------------
 */

struct worker *worker_start(struct process *p, unsigned index, struct buf *error)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    w->process = p;
    w->index = index;
    sem_init(&w->ready, 0, 0);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc != 0) {
        buf_printf(error, "cannot start a thread: %s", strerror(rc));
        free(w);
        return NULL;
    }
    while (sem_wait(&w->ready) != 0)
        ; /* interrupted */
    return w;
}

bool worker_ended(const struct worker *w)
{
    return atomic_load(&w->ended);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    sem_destroy(&w->ready);
    free(w);
}
