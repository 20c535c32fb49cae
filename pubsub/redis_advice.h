/* What in the configuration of a Redis may cost events: told at start, and by `belfry check`. */
#ifndef PUBSUB_REDIS_ADVICE_H
#define PUBSUB_REDIS_ADVICE_H

#include "core/str.h"

/* Reads the answer to INFO (at least its sections memory and persistence) and appends what is unwise, one a line;
 * nothing if all is well, or if the fields are not there. INFO and not CONFIG GET, which would need an ACL rule that
 * shows passwords too. */
void redis_advice(struct str info, struct buf *out);

#endif
