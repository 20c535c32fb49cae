/* The words that some configuration variables choose from. */
#include "core/config_table.h"

const struct config_choice config_on_off[] = {{"on", true}, {"off", false}, {NULL}};

const struct config_choice config_proxy_protocols[] = {{"off", false}, {"v1", true}, {NULL}};

const struct config_choice config_log_levels[] = {
    {"debug", LOG_LEVEL_DEBUG}, {"info", LOG_LEVEL_INFO}, {"warn", LOG_LEVEL_WARN}, {"error", LOG_LEVEL_ERROR}, {NULL}};

const struct config_choice config_log_formats[] = {{"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON}, {NULL}};

const struct config_choice config_algorithms[] = {{"HS256", JWT_HS256},
                                                  {"HS384", JWT_HS384},
                                                  {"HS512", JWT_HS512},
                                                  {"RS256", JWT_RS256},
                                                  {"RS384", JWT_RS384},
                                                  {"RS512", JWT_RS512},
                                                  {"ES256", JWT_ES256},
                                                  {"ES384", JWT_ES384},
                                                  {"ES512", JWT_ES512},
                                                  {"EdDSA", JWT_EDDSA},
                                                  {NULL}};

const char *jwt_algorithm_name(enum jwt_algorithm a)
{
    for (const struct config_choice *c = config_algorithms; c->word != NULL; ++c)
        if (c->value == a)
            return c->word;
    return NULL;
}
