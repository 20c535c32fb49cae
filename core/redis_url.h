/* REDIS_URL, taken apart: which Redis, where, as whom, which database. */
#ifndef CORE_REDIS_URL_H
#define CORE_REDIS_URL_H

#include "core/config.h"

#define REDIS_DEFAULT_PORT 6379
#define SENTINEL_DEFAULT_PORT 26379
#define SENTINELS_MAX 16

/* The forms of REDIS_URL (docs/configuration.md):
 *   embedded
 *   redis://[user:pass@]host[:port][/db]   (rediss:// with TLS)
 *   unix://[user:pass@]/path[?db=N]
 *   redis+sentinel://[user:pass@]h1[:26379],h2…/mymaster[/db]
 * User and password are percent-decoded; the last @ ends them, so that a raw @ in a password does no harm.
 * NULL and *out filled (redis_target_dispose), or what is wrong: static text, since the URL holds a password. */
const char *redis_url_parse(struct str url, struct redis_target *out) MUST_CHECK;
void redis_target_dispose(struct redis_target *t);
/* The URL again, in full and with *** for the password. */
void redis_url_format_masked(struct buf *out, const struct redis_target *t);

#endif
