/* Writes log lines from a thread of its own, so that a stderr that nobody reads holds up no worker. What waits is
 * bounded: beyond LOG_WAITING_MAX bytes whole lines are dropped, counted, and told of once there is room again. */
#ifndef CORE_LOG_WRITER_H
#define CORE_LOG_WRITER_H

#include <stdint.h>

#define LOG_WAITING_MAX (1024 * 1024)

/* From here on log_event only hands its lines over to the thread. 0, or an errno if there is no thread to be had: then
 * lines go on being written by whoever logs them. */
int log_writer_start(void);
/* Ends the thread once it has written what waits; what is not written within timeout_ms stays unwritten. Whoever logs
 * afterwards writes for himself. */
void log_writer_stop(uint64_t timeout_ms);
/* Lines dropped since the start. */
uint64_t log_writer_dropped(void);

#endif
