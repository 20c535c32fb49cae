/* Many WebSocket clients in one process, and the publisher whose broadcasts they time.
 *
 *      clients PORT floor CONTROL_PORT
 *      clients PORT belfry PUBLISH_TOKEN TOKENS_FILE [PAYLOAD_BYTES]
 *
 * The i-th client brings the i-th line of TOKENS_FILE. It reads commands from stdin, one a line, and answers each by
 * one line of JSON; clients live, and answer pings, between commands:
 *
 *      connect N RATE       opens N more clients, RATE a second, and waits until all are welcomed
 *      broadcast N MS       publishes N times, every MS ms, and waits until each client has each event
 *      resume N POSITION    opens N clients at once that resume from POSITION, and waits until each has caught up
 *      report               percentiles of all since the last report: every delivery, and each event's last client
 *
 * An event is known by its place: the k-th that a client receives is the k-th published. */
#include "bench/client.h"
#include "bench/publisher.h"
#include "bench/samples.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 19500
#define BROADCASTS_MAX 100000
/* Connections under way at one time: below the listener's backlog. */
#define UNDER_WAY_MAX 256
#define PATIENCE_US 20000000
#define EVENTS 512

enum command { IDLE, CONNECT, BROADCAST, RESUME };

struct bench {
    int epoll;
    uint16_t port;
    struct publisher publisher;
    struct str *tokens;
    size_t tokens_n;
    struct client clients[CLIENTS_MAX];
    unsigned n, open, lost;
    uint64_t published, delivered; /* since the start */
    uint64_t owed;                 /* deliveries still to come */
    unsigned caught_up, resyncs;   /* clients that resumed */
    char position[64];             /* that they resume from; empty: none */
    uint64_t sent_us[BROADCASTS_MAX];
    uint32_t receivers[BROADCASTS_MAX]; /* of each broadcast, still to come */

    enum command command;
    uint64_t started_us, next_us, interval_us, until_us;
    unsigned goal; /* CONNECT: clients; BROADCAST: broadcasts; since the start */
    struct samples connects, deliveries, lasts;
};

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "clients: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- news of clients ------------------------------------------------------------------------------------------------
 */

static void on_event(struct bench *b, const struct client *c)
{
    uint64_t k = c->events - 1, us = now_us();
    ++b->delivered;
    if (b->command == RESUME)
        return;
    if (k >= b->published)
        die("more events have come than were published");
    samples_add(&b->deliveries, us - b->sent_us[k]);
    --b->owed;
    if (--b->receivers[k] == 0)
        samples_add(&b->lasts, us - b->sent_us[k]);
}

static void on_news(struct client *c, enum client_news news, void *data)
{
    struct bench *b = data;
    if (news == CLIENT_EVENT) {
        on_event(b, c);
    } else if (news == CLIENT_CAUGHT_UP) {
        ++b->caught_up;
        samples_add(&b->deliveries, now_us() - c->started_us);
    } else if (news == CLIENT_RESYNC) {
        ++b->resyncs;
    } else if (news == CLIENT_GONE) {
        b->open -= c->state == CLIENT_OPEN;
        ++b->lost;
    } else if (news == CLIENT_OPENED) {
        ++b->open;
        c->events = (uint32_t)b->published;
        samples_add(&b->connects, now_us() - c->started_us);
    }
}

static struct str token_of(const struct bench *b, size_t i)
{
    return b->tokens_n == 0 ? STR_NONE : b->tokens[i % b->tokens_n];
}

static void on_socket(struct bench *b, struct client *c, uint32_t ready)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (c->state == CLIENT_CONNECTING && (ready & EPOLLOUT) != 0) {
        struct str position = b->position[0] != '\0' ? str_of(b->position) : STR_NONE;
        client_send_request(c, token_of(b, (size_t)(c - b->clients)), position, on_news, b);
        if (c->state != CLIENT_LOST)
            epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &event);
    } else if (c->state != CLIENT_LOST) {
        client_read(c, on_news, b);
    }
}

/* --- commands -------------------------------------------------------------------------------------------------------
 */

static void answer(struct bench *b, const char *error)
{
    b->command = IDLE;
    printf("{\"clients\":%u,\"open\":%u,\"lost\":%u,\"published\":%llu,\"delivered\":%llu,\"refused\":%llu,"
           "\"caught_up\":%u,\"resyncs\":%u,\"seconds\":%.3f,\"error\":%s}\n",
           b->n, b->open, b->lost, (unsigned long long)b->published, (unsigned long long)b->delivered,
           (unsigned long long)b->publisher.refused, b->caught_up, b->resyncs, (double)(now_us() - b->started_us) / 1e6,
           error);
    fflush(stdout);
}

static void print_percentiles(const char *name, struct samples *s, const char *after)
{
    printf("\"%s\":{\"n\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}%s", name, s->n, samples_ms(s, 0.5),
           samples_ms(s, 0.99), samples_ms(s, 1), after);
    samples_clear(s);
}

static void report(struct bench *b)
{
    printf("{");
    print_percentiles("connect", &b->connects, ",");
    print_percentiles("delivery", &b->deliveries, ",");
    print_percentiles("last", &b->lasts, "}\n");
    fflush(stdout);
}

static void watch(struct bench *b, int fd, void *ptr)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = ptr};
    if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

/* An idle connection may have been closed by the server since the last command. */
static void open_publisher(struct bench *b)
{
    if (b->publisher.fd >= 0)
        return;
    if (publisher_open(&b->publisher) != 0)
        die("the publisher");
    watch(b, b->publisher.fd, &b->publisher);
}

static void on_publisher(struct bench *b)
{
    if (publisher_read(&b->publisher) == 0)
        return;
    if (b->command == BROADCAST)
        die("the publisher's connection");
    publisher_close(&b->publisher);
}

static void start(struct bench *b, const char *line)
{
    unsigned n, pace;
    b->started_us = b->next_us = now_us();
    b->until_us = b->started_us + PATIENCE_US;
    if (sscanf(line, "connect %u %u", &n, &pace) == 2 && pace != 0 && b->n + n <= CLIENTS_MAX) {
        b->command = CONNECT;
        b->goal = b->n + n;
        b->interval_us = 1000000 / pace;
    } else if (sscanf(line, "broadcast %u %u", &n, &pace) == 2 && b->published + n <= BROADCASTS_MAX) {
        open_publisher(b);
        b->command = BROADCAST;
        b->goal = (unsigned)b->published + n;
        b->interval_us = (uint64_t)pace * 1000;
    } else if (sscanf(line, "resume %u %63s", &n, b->position) == 2 && b->n + n <= CLIENTS_MAX) {
        b->command = RESUME;
        b->goal = b->n + n;
        b->interval_us = 0;
    } else if (strcmp(line, "report") == 0) {
        report(b);
    } else {
        answer(b, "\"unknown command\"");
    }
}

static void open_client(struct bench *b)
{
    struct client *c = &b->clients[b->n];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (client_connect(c, b->n++, b->port, now_us()) != 0 || epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("connecting");
}

static void publish(struct bench *b)
{
    b->sent_us[b->published] = now_us();
    b->receivers[b->published++] = b->open;
    b->owed += b->open;
    if (publisher_send(&b->publisher) != 0)
        die("publishing");
}

/* All that is due by now. */
static void advance(struct bench *b, uint64_t us)
{
    bool connecting = b->command != BROADCAST;
    while (b->next_us <= us && (connecting ? b->n : b->published) < b->goal) {
        if (connecting && b->n - b->open - b->lost >= UNDER_WAY_MAX)
            return;
        (connecting ? open_client : publish)(b);
        b->next_us += b->interval_us;
        b->until_us = us + PATIENCE_US;
    }
}

static bool complete(const struct bench *b)
{
    if (b->command == CONNECT)
        return b->open + b->lost == b->goal;
    if (b->command == RESUME)
        return b->caught_up + b->resyncs + b->lost == b->goal;
    return b->published == b->goal && b->owed == 0;
}

/* Returns how long to sleep, in ms. */
static int step(struct bench *b)
{
    uint64_t us = now_us();
    if (b->command == IDLE)
        return -1;
    advance(b, us);
    if (complete(b)) {
        answer(b, b->lost == 0 ? "null" : "\"clients were lost\"");
        return -1;
    }
    if (us > b->until_us) {
        answer(b, "\"waited in vain\"");
        return -1;
    }
    return b->next_us > us ? (int)((b->next_us - us) / 1000) : 1;
}

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

static void on_stdin(struct bench *b)
{
    char line[128];
    ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);
    if (n <= 0)
        exit(0);
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    start(b, line);
}

static void run(struct bench *b)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(b->epoll, events, EVENTS, step(b));
        for (int i = 0; i < n; ++i) {
            void *what = events[i].data.ptr;
            if (what == b)
                on_stdin(b);
            else if (what != &b->publisher)
                on_socket(b, what, events[i].events);
            else
                on_publisher(b);
        }
    }
}

static void read_tokens(struct bench *b, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    if (file == NULL)
        die(path);
    b->tokens = mem_alloc(CLIENTS_MAX * sizeof(*b->tokens));
    while (b->tokens_n < CLIENTS_MAX && (n = getline(&line, &cap, file)) > 1) {
        size_t length = (size_t)n - (line[n - 1] == '\n');
        b->tokens[b->tokens_n++] = (struct str){str_dup((struct str){line, length}), length};
    }
    free(line);
    fclose(file);
    if (b->tokens_n == 0)
        die("no token");
}

int main(int argc, char **argv)
{
    static struct bench b;
    bool belfry = argc >= 5 && strcmp(argv[2], "belfry") == 0;
    if (!belfry && (argc != 4 || strcmp(argv[2], "floor") != 0)) {
        fprintf(stderr, "usage: clients PORT floor CONTROL_PORT\n"
                        "       clients PORT belfry PUBLISH_TOKEN TOKENS_FILE [PAYLOAD_BYTES]\n");
        return 2;
    }
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    b.port = (uint16_t)atoi(argv[1]);
    if (belfry)
        read_tokens(&b, argv[4]);
    if (belfry)
        publisher_init_http(&b.publisher, b.port, str_of(argv[3]), argc > 5 ? (size_t)atoi(argv[5]) : 200);
    else
        publisher_init_control(&b.publisher, (uint16_t)atoi(argv[3]));
    watch(&b, STDIN_FILENO, &b);
    run(&b);
    return 0;
}
