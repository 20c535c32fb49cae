/* One line in the log for each request over HTTP. */
#ifndef SERVER_ACCESS_LOG_H
#define SERVER_ACCESS_LOG_H

#include <h2o.h>
#include "core/log.h"

/* Event "request": method, path (never the query, which may hold a token), status, duration_ms, and subject,
 * event_id and trace_id where there are any. Upgrades (101) are left to the edge. */
void access_log_register(h2o_pathconf_t *path, enum log_level level);

#endif
