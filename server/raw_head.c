/* The raw head of an HTTP/1 request. */
#include "server/raw_head.h"

struct str raw_head(struct str input)
{
    const char *p, *end;

    if (str_starts_with(input, STR_LIT("\r\n")))
        input = (struct str){input.p + 2, input.n - 2};
    end = input.p + input.n;
    for (p = input.p; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        struct str after = {p + 1, (size_t)(end - p - 1)};
        if (str_starts_with(after, STR_LIT("\n")))
            return (struct str){input.p, (size_t)(p + 2 - input.p)};
        if (str_starts_with(after, STR_LIT("\r\n")))
            return (struct str){input.p, (size_t)(p + 3 - input.p)};
    }
    return STR_NONE;
}

bool raw_head_is_chunked(struct str head)
{
    const struct str name = STR_LIT("\ntransfer-encoding:");

    return memmem(head.p, head.n, name.p, name.n) != NULL;
}

struct str raw_target_path(struct str target)
{
    const char *slash;
    size_t scheme = 0;

    if (target.n > 7 && str_ieq((struct str){target.p, 7}, STR_LIT("http://")))
        scheme = 7;
    else if (target.n > 8 && str_ieq((struct str){target.p, 8}, STR_LIT("https://")))
        scheme = 8;
    else
        return target;
    slash = memchr(target.p + scheme, '/', target.n - scheme);
    return slash == NULL ? STR_LIT("/") : (struct str){slash, target.n - (size_t)(slash - target.p)};
}
