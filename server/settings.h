/* Everything that belfry is told at its start: the configuration, and the files that it names. For serve and for check,
 * so that both find the same mistakes. */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include <openssl/ssl.h>
#include "core/api_keys.h"
#include "core/config.h"
#include "core/keyring.h"

struct settings {
    struct config config;
    struct config_environment env;
    struct config_report report; /* errors of variables and of files */
    struct keyring *keyring;     /* the caller may take these three over and leave NULL here */
    struct api_keys *api_keys;   /* NULL: none are configured */
    SSL_CTX *tls;                /* NULL: no TLS */
    SSL_CTX *redis_tls;          /* towards Redis, NULL: no TLS; the config refers to it */
};

/* Reads the process's environment. 0, or -1 with errors in s->report; call settings_load_files all the same, so that
 * every mistake is named at once. */
int settings_load(struct settings *s);
/* Reads keys, API keys and TLS files, where the variables that name them are good. -1 if there is any error by now. */
int settings_load_files(struct settings *s);
/* Warnings and errors on stderr, one a line, as `belfry: error: PING_INTERVAL: …`. */
void settings_complain(const struct settings *s);
void settings_free(struct settings *s);

#endif
