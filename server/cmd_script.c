/* `belfry script`: prints the publishing script with its arguments explained. */
#include "server/commands.h"

#include <stdio.h>

#include "pubsub/pubsub.h"

int cmd_script(int argc, char **argv)
{
    struct str text = pubsub_script_text();

    return fwrite(text.p, 1, text.n, stdout) == text.n && fflush(stdout) == 0 ? 0 : 1;
}
