/* `belfry status`: shows the server that runs with the same environment, by its /metrics. */
#include "server/commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"
#include "server/http_probe.h"
#include "server/status_view.h"

#define TIMEOUT_MS 5000
#define APART_MS 1000
#define WATCH_MS 2000
#define PAGE_MAX ((size_t)8 * 1024 * 1024)
#define CLEAR_SCREEN "\033[H\033[2J"

/* There is nothing to be put in order, and no reason to wait for a server that hangs. */
static void on_interrupt(int number)
{
    (void)number;
    _exit(0);
}

struct answer {
    struct buf text;
    uint64_t at_ms;
};

static int complain(const struct config *config, const struct buf *why)
{
    return probe_complain("no status", &config->metrics_listen, buf_str(why));
}

/* 0, or 1 after a complaint; the answer then stays as it was. */
static int ask(const struct config *config, struct answer *out)
{
    struct buf error = {0}, body = {0};
    int status = http_get(&config->metrics_listen, "/metrics", TIMEOUT_MS, PAGE_MAX, &body, &error), code = 0;

    if (status >= 0 && status != 200)
        buf_printf(&error, "/metrics answers %d", status);
    else if (status == 200 && memmem(body.p, body.n, "\nbelfry_build_info{", 19) == NULL)
        buf_lit(&error, "what answers there is no belfry");
    if (error.n != 0) {
        code = complain(config, &error);
        buf_free(&body);
    } else {
        buf_free(&out->text);
        *out = (struct answer){body, clock_monotonic_ms()};
    }
    buf_free(&error);
    return code;
}

static int show(const struct config *config, const struct answer *before, const struct answer *now, bool clear)
{
    struct buf page = {0}, where = {0};

    listen_address_format(&where, &config->metrics_listen);
    buf_append_char(&where, '\0');
    if (clear)
        buf_lit(&page, CLEAR_SCREEN);
    status_view(&page, where.p, &(struct status_sample){buf_str(&before->text), before->at_ms},
                &(struct status_sample){buf_str(&now->text), now->at_ms});
    bool ok = fwrite(page.p, 1, page.n, stdout) == page.n && fflush(stdout) == 0;
    buf_free(&page);
    buf_free(&where);
    return ok ? 0 : 1;
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

/* Until SIGINT, or until nobody reads. A server that goes away meanwhile may come back. */
static int watch(const struct config *config, struct answer *before, struct answer *now)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    int code = show(config, before, now, terminal);

    while (code == 0) {
        pause_ms(WATCH_MS);
        struct answer swap = *before;
        *before = *now;
        *now = swap;
        if (ask(config, now) != 0) {
            *now = (struct answer){{0}, before->at_ms};
            buf_append(&now->text, buf_str(&before->text));
            buf_free(&swap.text);
            continue;
        }
        if (!terminal)
            puts("");
        code = show(config, before, now, terminal);
    }
    return code;
}

static int run(const struct config *config, bool watching)
{
    struct answer before = {0}, now = {0};
    int code = ask(config, &before);

    if (code == 0) {
        pause_ms(APART_MS);
        code = ask(config, &now);
    }
    if (code == 0)
        code = watching ? watch(config, &before, &now) : show(config, &before, &now, false);
    buf_free(&before.text);
    buf_free(&now.text);
    return code;
}

int cmd_status(int argc, char **argv)
{
    struct buf error = {0};
    struct config config;
    bool watching = argc == 2 && strcmp(argv[1], "--watch") == 0;

    if (argc > 1 && !watching) {
        fputs("belfry: usage: belfry status [--watch]\n", stderr);
        return 2;
    }
    if (watching)
        signal(SIGINT, on_interrupt);
    int code = probe_target(&config, &error) ? run(&config, watching) : complain(&config, &error);
    config_free(&config);
    buf_free(&error);
    return code;
}
