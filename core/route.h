/* Patterns of paths, e.g. /tasks/{task_id}/broadcast-update, and the segments of a request's path. */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "core/str.h"

/* True if the n decoded segments (core/http_request.h, path_split) are of the pattern, a path that begins with a slash
 * and has at most one `{name}`, which stands for one segment that is not empty. "/" has no segment. *param is what
 * stands there, or STR_NONE; it is written on success only. */
bool route_match(const char *pattern, const struct str *segments, size_t n, struct str *param);

#endif
