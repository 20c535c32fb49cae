/* Loads configuration and files, and tells what is wrong with them. */
#include "server/settings.h"

#include <stdio.h>
#include <unistd.h>

#include "pubsub/redis_tls.h"
#include "server/keys.h"
#include "server/tls.h"

int settings_load(struct settings *s)
{
    *s = (struct settings){.env = {environ, isatty(STDERR_FILENO) == 1, config_cpus()}};
    return config_load(&s->config, &s->env, &s->report);
}

static void load_keyring(struct settings *s)
{
    bool one_is_set = (s->config.secret_key != NULL) != (s->config.secret_key_file != NULL);

    if (!one_is_set || config_report_names(&s->report, "ALGORITHM"))
        return;
    s->keyring = keys_load_keyring(&s->config, &s->report.errors);
    if (s->keyring == NULL)
        buf_append_char(&s->report.errors, '\n');
}

static void load_tls(struct settings *s)
{
    if (s->config.tls_cert_file == NULL || s->config.tls_key_file == NULL)
        return;
    s->tls = tls_create(s->config.tls_cert_file, s->config.tls_key_file, &s->report.errors);
    if (s->tls == NULL)
        buf_append_char(&s->report.errors, '\n');
}

static void load_redis_tls(struct settings *s)
{
    if (!s->config.redis.tls)
        return;
    s->redis_tls = s->config.redis.tls_context = redis_tls_context(&s->config, &s->report.errors);
    if (s->redis_tls == NULL)
        buf_append_char(&s->report.errors, '\n');
}

int settings_load_files(struct settings *s)
{
    load_keyring(s);
    if (keys_load_api_keys(&s->config, &s->api_keys, &s->report.errors) != 0)
        buf_append_char(&s->report.errors, '\n');
    load_tls(s);
    load_redis_tls(s);
    return s->report.errors.n == 0 ? 0 : -1;
}

static void print_lines(const char *kind, const struct buf *lines)
{
    for (struct str rest = buf_str(lines); rest.n > 0;) {
        struct str line = str_split(&rest, '\n');
        fprintf(stderr, "belfry: %s: %.*s\n", kind, (int)line.n, line.p);
    }
}

void settings_complain(const struct settings *s)
{
    print_lines("warning", &s->report.warnings);
    print_lines("error", &s->report.errors);
}

void settings_free(struct settings *s)
{
    keyring_unref(s->keyring);
    api_keys_unref(s->api_keys);
    SSL_CTX_free(s->tls);
    SSL_CTX_free(s->redis_tls);
    config_free(&s->config);
    config_report_free(&s->report);
}
