/* The publishing script for `belfry script`: exactly what belfry runs itself, so that Redis keeps it once. */
#include "pubsub/pubsub.h"
#include "pubsub/scripts.h"

struct str pubsub_script_text(void)
{
    return script_text(SCRIPT_PUBLISH);
}
