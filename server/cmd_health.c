/* `belfry health`: asks /livez of the server that runs with the same environment. */
#include "server/commands.h"

#include "server/http_probe.h"

#define HEALTH_TIMEOUT_MS 2000

static int unhealthy(const struct listen_address *address, struct str why)
{
    return probe_complain("unhealthy", address, why);
}

static int ask(const struct listen_address *address)
{
    struct buf error = {0};
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
    struct buf error = {0};
    int code = probe_target(&c, &error) ? ask(&c.metrics_listen) : unhealthy(&c.metrics_listen, buf_str(&error));

    config_free(&c);
    buf_free(&error);
    return code;
}
