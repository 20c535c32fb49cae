/* `belfry token`: prints a JWT that the server with the same environment accepts. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/signature.h"
#include "core/token.h"
#include "core/units.h"
#include "server/file.h"
#include "server/keys.h"

#define DEFAULT_TTL_MS 3600000

struct order {
    const char *user, *key_file;
    struct buf scope;
    uint64_t ttl_ms;
};

static const char usage_text[] =
    "usage: belfry token --user U [--scope S]... [--ttl 1h] [--key private.pem]\n"
    "\n"
    "Prints a JSON Web Token for the user U that a server with the same environment accepts (SECRET_KEY or\n"
    "SECRET_KEY_FILE, ALGORITHM, JWT_ISSUER, JWT_AUDIENCE). Options take their value as the next word or after `=`.\n"
    "\n"
    "  --user U    the user id: 1 to 256 bytes of UTF-8 without control characters\n"
    "  --scope S   events:publish, events:read, connections:read or connections:write; receiving needs none\n"
    "  --ttl 1h    how long the token is valid, such as 90s, 15m or 1h\n"
    "  --key FILE  the private key in PEM: needed where ALGORITHM is RS*, ES* or EdDSA, and only there\n";

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "belfry: error: %s%s\n%s", why, what, usage_text);
    return 2;
}

static int take_scope(struct order *o, const char *value)
{
    struct str rest = str_of(value);
    while (rest.p != NULL) {
        struct str word = str_split(&rest, ' ');
        if (word.n != 0 && scope_from_word(word) == 0)
            return usage("unknown scope: ", value);
    }
    if (o->scope.n != 0)
        buf_append_char(&o->scope, ' ');
    buf_append(&o->scope, str_of(value));
    return 0;
}

static bool is_option(struct str name)
{
    return str_eq(name, STR_LIT("--user")) || str_eq(name, STR_LIT("--key")) || str_eq(name, STR_LIT("--scope")) ||
           str_eq(name, STR_LIT("--ttl"));
}

static int take_option(struct order *o, struct str name, const char *value)
{
    if (str_eq(name, STR_LIT("--user")))
        o->user = value;
    else if (str_eq(name, STR_LIT("--key")))
        o->key_file = value;
    else if (str_eq(name, STR_LIT("--scope")))
        return take_scope(o, value);
    else if (units_parse_duration(str_of(value), &o->ttl_ms) != 0 || o->ttl_ms < 1000)
        return usage("--ttl is no duration of a second or more: ", value);
    return 0;
}

static int read_order(struct order *o, int argc, char **argv)
{
    o->ttl_ms = DEFAULT_TTL_MS;
    for (int i = 1; i < argc; i++) {
        struct str value = str_of(argv[i]), name = str_split(&value, '=');
        if (!is_option(name))
            return usage("unknown option: ", argv[i]);
        if (value.p == NULL && ++i == argc)
            return usage(argv[i - 1], " needs a value");
        int code = take_option(o, name, value.p != NULL ? value.p : argv[i]);
        if (code != 0)
            return code;
    }
    if (o->user == NULL)
        return usage("--user is missing", "");
    if (!token_sub_valid(str_of(o->user)))
        return usage("--user is no user id: 1 to 256 bytes of UTF-8 without control characters", "");
    return 0;
}

static int mint(const struct order *o, const struct config *config, struct str key, const char *kid)
{
    struct token_rules rules = token_rules_of(config);
    struct buf token = {0}, scope = {0};
    const char *reason;
    buf_append(&scope, buf_str(&o->scope));
    buf_append_char(&scope, '\0');
    int rc = token_mint(&token, &rules, key, kid, o->user, o->scope.n != 0 ? scope.p : NULL, clock_unix_ms() / 1000,
                        o->ttl_ms / 1000, &reason);
    if (rc != 0)
        fprintf(stderr, "belfry: error: %s\n", reason);
    else
        rc = printf("%.*s\n", (int)token.n, token.p) < 0 || fflush(stdout) != 0 ? 1 : 0;
    buf_free(&token);
    buf_free(&scope);
    return rc < 0 ? 2 : rc;
}

/* The kid under which the server knows the key; *known is false if it does not know it at all. */
static const char *kid_of(const struct keyring *keyring, struct str pem, bool *known)
{
    const char *kid = NULL;
    EVP_PKEY *key = signature_read_private(pem);
    *known = key == NULL || keyring_find_public(keyring, key, &kid); /* a bad PEM is token_mint's to complain of */
    EVP_PKEY_free(key);
    return kid;
}

static int mint_with_file(const struct order *o, const struct config *config, const struct keyring *keyring)
{
    struct buf pem = {0}, error = {0};
    int code = 2;
    bool known;
    if (o->key_file == NULL) {
        fprintf(stderr, "belfry: error: ALGORITHM=%s signs with a private key: give it by --key private.pem\n",
                jwt_algorithm_name(config->algorithm));
    } else if (file_read(o->key_file, FILE_KEYS_MAX, &pem, &error) != 0) {
        fprintf(stderr, "belfry: error: --key: %.*s\n", (int)error.n, error.p);
    } else {
        const char *kid = kid_of(keyring, buf_str(&pem), &known);
        if (!known)
            fputs("belfry: error: --key: the server's keys do not have this one's public half\n", stderr);
        else
            code = mint(o, config, buf_str(&pem), kid);
    }
    file_forget(&pem);
    buf_free(&error);
    return code;
}

static int mint_with_config(const struct order *o, const struct config *config)
{
    struct buf error = {0};
    struct str secret;
    const char *kid;
    struct keyring *keyring = keys_load_keyring(config, &error);
    int code = 2;
    if (keyring == NULL)
        fprintf(stderr, "belfry: error: %.*s\n", (int)error.n, error.p);
    else if (!keyring_first_secret(keyring, &secret, &kid))
        code = mint_with_file(o, config, keyring);
    else if (o->key_file != NULL)
        code = usage("--key is for RS*, ES* and EdDSA; ALGORITHM is ", jwt_algorithm_name(config->algorithm));
    else
        code = mint(o, config, secret, kid);
    if (keyring != NULL)
        keyring_unref(keyring);
    buf_free(&error);
    return code;
}

/* Mistakes in variables that tokens have nothing to do with are the server's to complain of. */
static bool concerns_tokens(const struct config_report *report)
{
    static const char *const names[] = {"SECRET_KEY", "SECRET_KEY_FILE", "ALGORITHM", "JWT_ISSUER", "JWT_AUDIENCE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (config_report_names(report, names[i]))
            return true;
    return false;
}

int cmd_token(int argc, char **argv)
{
    struct order order = {0};
    struct config config;
    struct config_environment env = {environ, false, 1};
    struct config_report report = {{0}, {0}};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
    int code = read_order(&order, argc, argv);
    int rc = config_load(&config, &env, &report);
    if (code == 0 && rc != 0 && concerns_tokens(&report)) {
        fprintf(stderr, "%.*s", (int)report.errors.n, report.errors.p);
        code = 2;
    } else if (code == 0) {
        code = mint_with_config(&order, &config);
    }
    config_free(&config);
    config_report_free(&report);
    buf_free(&order.scope);
    return code;
}
