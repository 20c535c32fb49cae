/* Patterns of paths. */
#include "core/route.h"

bool route_match(const char *pattern, const struct str *segments, size_t n, struct str *param)
{
    struct str rest = str_of(pattern + 1), found = STR_NONE;
    size_t i = 0;

    for (; rest.n != 0; i++) {
        struct str want = str_split(&rest, '/');
        if (i == n)
            return false;
        if (want.n != 0 && want.p[0] == '{') {
            if (segments[i].n == 0)
                return false;
            found = segments[i];
        } else if (!str_eq(want, segments[i])) {
            return false;
        }
    }
    if (i != n)
        return false;
    *param = found;
    return true;
}
