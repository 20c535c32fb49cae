/* The program: finds the subcommand, and prints help and version. */
#include <stdio.h>
#include <string.h>

#include "core/config.h"
#include "core/metrics.h"
#include "server/commands.h"

static int run_serve(int argc, char **argv)
{
    return cmd_serve();
}

static int print(struct buf *text)
{
    bool ok = fwrite(text->p, 1, text->n, stdout) == text->n && fflush(stdout) == 0;

    buf_free(text);
    return ok ? 0 : 1;
}

static int run_version(int argc, char **argv)
{
    struct buf text = {0};

    buf_lit(&text, "belfry " BELFRY_VERSION "\n");
    return print(&text);
}

static int run_markdown(int argc, char **argv)
{
    struct buf text = {0};

    config_markdown(&text);
    return print(&text);
}

static int run_metrics_markdown(int argc, char **argv)
{
    struct buf text = {0};

    metrics_markdown(&text);
    return print(&text);
}

static int run_help(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    bool takes_arguments;
    const char *help; /* NULL: not shown */
} commands[] = {
    {"serve", run_serve, false, "serve; so does belfry without a command"},
    {"token", cmd_token, true, "print a token: --user U [--scope S]... [--ttl 1h] [--key private.pem]"},
    {"check", cmd_check, false, "validate the configuration, print it with secrets masked, warn of the unwise"},
    {"script", cmd_script, false, "print the Lua script for services that publish straight into Redis"},
    {"health", cmd_health, false, "ask /livez of the server that runs here; exit 0 or 1"},
    {"status", cmd_status, true, "show the server that runs here; --watch: every 2 s, until Ctrl-C"},
    {"--help", run_help, false, "this text"},
    {"-h", run_help, false, NULL},
    {"--version", run_version, false, "the version"},
    {"--help-markdown", run_markdown, false, NULL},            /* what docs/configuration.md is made from */
    {"--metrics-markdown", run_metrics_markdown, false, NULL}, /* and docs/metrics.md */
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int run_help(int argc, char **argv)
{
    struct buf text = {0};

    buf_lit(&text,
            "belfry " BELFRY_VERSION ": holds browsers' WebSockets, and delivers to them what services publish.\n\n"
            "Usage: belfry [command]\n\n");
    for (size_t i = 0; i < COMMANDS; ++i)
        if (commands[i].help != NULL)
            buf_printf(&text, "  %-10s %s\n", commands[i].name, commands[i].help);
    buf_lit(&text, "\nExit codes: 0 clean stop, 1 failed while running, 2 bad configuration or arguments.\n\n"
                   "Configuration: environment variables, each also as BELFRY_<NAME>, which wins. Durations take\n"
                   "ms, s, m, h (bare: seconds), sizes K, M, G (bare: bytes). An empty variable counts as unset.\n\n");
    config_help(&text);
    return print(&text);
}

static int usage_error(const char *what, const char *argument)
{
    struct buf quoted = {0};

    config_quote(&quoted, str_of(argument));
    fprintf(stderr, "belfry: %s: %.*s\nbelfry --help lists the commands; settings are environment variables.\n", what,
            (int)quoted.n, quoted.p);
    buf_free(&quoted);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return cmd_serve();
    for (size_t i = 0; i < COMMANDS; ++i) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (argc > 2 && !commands[i].takes_arguments)
            return usage_error("unexpected argument", argv[2]);
        return commands[i].run(argc - 1, argv + 1);
    }
    return usage_error(argv[1][0] == '-' ? "unknown option" : "unknown command", argv[1]);
}
