/* `belfry check`: validates the configuration, prints it with secrets masked, and warns of what is legal but unwise. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "server/redis_probe.h"
#include "server/settings.h"

#define DESCRIPTORS_ADVISED 10000
#define DESCRIPTORS_RESERVED 128 /* the reserve of 64, and what belfry itself opens */

/* Only the hard limit counts: belfry raises the soft one by itself. */
static void advise_on_descriptors(const struct config *c, struct buf *out)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY)
        return;
    if (c->max_connections != 0 && c->max_connections + DESCRIPTORS_RESERVED > limit.rlim_max)
        buf_printf(out,
                   "MAX_CONNECTIONS: is %" PRIu64 ", but the process may open %" PRIu64
                   " descriptors only (ulimit -Hn)\n",
                   c->max_connections, (uint64_t)limit.rlim_max);
    else if (c->max_connections == 0 && limit.rlim_max < DESCRIPTORS_ADVISED)
        buf_printf(out, "the process may open %" PRIu64 " descriptors only (ulimit -Hn), and needs one a connection\n",
                   (uint64_t)limit.rlim_max);
}

static int print_config(const struct settings *s)
{
    struct buf text = {0};

    config_print(&s->config, &s->env, &text);
    size_t written = fwrite(text.p, 1, text.n, stdout);
    bool ok = written == text.n && fflush(stdout) == 0;
    buf_free(&text);
    return ok ? 0 : 1;
}

int cmd_check(int argc, char **argv)
{
    struct settings s;
    bool bad = settings_load(&s) != 0;
    int code = 2;

    bad = settings_load_files(&s) != 0 || bad;
    if (!bad) {
        code = print_config(&s);
        config_advice(&s.config, &s.env, &s.report.warnings);
        advise_on_descriptors(&s.config, &s.report.warnings);
        redis_probe(&s.config, &s.report.warnings);
    }
    settings_complain(&s);
    settings_free(&s);
    return code;
}
