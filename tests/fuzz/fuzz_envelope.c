/* Fuzzes what comes from Redis: whatever passes is fit for a client. */
#include <stdlib.h>

#include "core/envelope.h"
#include "core/publication.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* As a foreign event it is still an envelope, with the id that it was given. */
static void check_foreign(struct arena *a, const struct envelope *e)
{
    struct buf out = {0};
    struct envelope again;
    buf_append_char(&out, ' '); /* the id alone keeps it from looking own */
    envelope_foreign(&out, e, (struct position){7, 8, 9}, 1762639200123);
    require(out.n > ENVELOPE_FOREIGN_MAX || envelope_parse(a, buf_str(&out), &again) == NULL);
    if (out.n <= ENVELOPE_FOREIGN_MAX)
        require(!again.own && str_eq(again.event_id, STR_LIT("7-8.9")) && str_eq(again.type, e->type) &&
                str_eq(again.data, e->data) && str_eq(again.traceparent, e->traceparent));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct envelope e;
    if (envelope_parse(&a, (struct str){(const char *)data, size}, &e) == NULL) {
        require(event_type_valid(e.type) && e.data.n >= 2 && e.data.p[0] == '{');
        require(json_check(e.text) == NULL && e.text.p[0] == '{');
        require(!e.own || (data[0] == ' ' && e.id.n == 0));
        check_foreign(&a, &e);
    }
    arena_free(&a);
    return 0;
}
