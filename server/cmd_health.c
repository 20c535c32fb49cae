/* `belfry health`: asks /livez of the server that runs with the same environment. */
#include "server/commands.h"

#include <stdio.h>
#include <unistd.h>

#include "core/units.h"
#include "server/http_probe.h"

#define HEALTH_TIMEOUT_MS 2000

static int unhealthy(const struct listen_address *address, struct str why)
{
    struct buf where = {0};

    listen_address_format(&where, address);
    fprintf(stderr, "belfry: unhealthy: METRICS_LISTEN (%.*s): %.*s\n", (int)where.n, where.p, (int)why.n, why.p);
    buf_free(&where);
    return 1;
}

static int ask(const struct listen_address *address)
{
    struct buf error = {0};

    if (address->kind == LISTEN_OFF)
        return unhealthy(address, STR_LIT("there is nobody to ask"));
    if (address->kind == LISTEN_TCP && address->port == 0)
        return unhealthy(address, STR_LIT("with port 0 the port is not known here"));
    int status = http_probe(address, "/livez", HEALTH_TIMEOUT_MS, &error);
    if (status >= 0 && status != 200)
        buf_printf(&error, "/livez answers %d", status);
    int code = status == 200 ? 0 : unhealthy(address, buf_str(&error));
    buf_free(&error);
    return code;
}

/* Only METRICS_LISTEN matters here: a probe need not know the secrets of the server. */
int cmd_health(int argc, char **argv)
{
    struct config c;
    struct config_environment env = {environ, false, 1};
    struct config_report report = {{0}, {0}};
    bool known = config_load(&c, &env, &report) == 0 || !config_report_names(&report, "METRICS_LISTEN");
    int code = known ? ask(&c.metrics_listen) : 1;

    if (!known)
        fputs("belfry: unhealthy: METRICS_LISTEN is no address; `belfry check` tells more\n", stderr);
    config_free(&c);
    config_report_free(&report);
    return code;
}
