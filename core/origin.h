/* Who may open a WebSocket from a browser: ALLOWED_ORIGINS, or the same host. */
#ifndef CORE_ORIGIN_H
#define CORE_ORIGIN_H

#include "core/str.h"

/* `origin` is the field's value, e.g. https://app.example.org:8443, or "null". With patterns (NULL-terminated; `*`
 * stands for any run of characters within scheme, host or port; `*` alone for any origin but null; `null` by name; a
 * pattern without scheme matches both http and https) any match will do. Without, Origin's host and port have to equal
 * `host` (Host, or a trusted X-Forwarded-Host): scheme ignored, case ignored, a missing port being the scheme's default
 * on both sides. */
bool origin_allowed(struct str origin, struct str host, char *const *patterns);
/* Whether an item of ALLOWED_ORIGINS can match at all: `*`, `null`, [scheme://]host[:port]; no path, no trailing slash.
 */
bool origin_pattern_valid(struct str pattern);

#endif
