/* Lines of key files. */
#include "core/lines.h"

static struct str without_cr(struct str s)
{
    if (s.n > 0 && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

bool lines_next(struct lines *l, struct str *line)
{
    while (l->rest.n > 0) {
        *line = str_trim(without_cr(str_split(&l->rest, '\n')));
        l->number++;
        if (line->n > 0 && line->p[0] != '#')
            return true;
    }
    return false;
}

bool lines_has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}
