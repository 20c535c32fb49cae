/* What the files of api/ know of each other. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"

struct api {
    const struct config *config;
    struct credentials_view *credentials;
    struct limiter *limiter;
    const struct api_shared *shared;
    struct pubsub *pubsub;
    struct token_rules rules;
};

#endif
