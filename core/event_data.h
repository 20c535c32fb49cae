/* The four event types whose data is validated field by field, and the names that the protocol keeps for itself. */
#ifndef CORE_EVENT_DATA_H
#define CORE_EVENT_DATA_H

#include "core/input_error.h"
#include "core/json.h"

/* Checks the known members of data of a known type; other types and other members pass. null counts as absent where the
 * member is optional. 0, or -1 and *error (422) with the field below data. */
int event_data_check(struct arena *a, struct str type, const struct json_member *members, size_t n,
                     struct input_error *error) MUST_CHECK;

#endif
