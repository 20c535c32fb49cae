/* Fuzzes publishing bodies. The first byte chooses the call: t, a, n, c (the flat ones), b (batch), anything else one
 * event. */
#include <stdlib.h>

#include "core/envelope.h"
#include "core/publication.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int read_body(struct arena *a, char call, struct str body, struct publication **events, size_t *n,
                     struct input_error *error)
{
    static const char calls[] = "tanc"; /* in the order of enum convenience_call */
    const struct publication_limits limits = {.max_message_bytes = 64 * 1024};
    const char *flat = call == '\0' ? NULL : strchr(calls, call);
    if (call == 'b')
        return publication_from_batch(a, body, &limits, events, n, error);
    *events = arena_alloc(a, sizeof(**events));
    *n = 1;
    if (flat != NULL)
        return publication_from_flat(a, (enum convenience_call)(flat - calls), STR_LIT("id"), body, &limits, *events,
                                     error);
    return publication_from_event(a, body, &limits, *events, error);
}

/* What is accepted here every receiver accepts. */
static void check_event(struct arena *a, const struct publication *p)
{
    struct buf out = {0};
    struct envelope e;
    envelope_head(&out, p->type);
    buf_lit(&out, "1762639200000-7");
    envelope_tail(&out, 1762639200123, STR_NONE, p->data);
    require(envelope_parse(a, buf_str(&out), &e) == NULL && e.own && str_eq(e.data, p->data));
    require(p->audience.kind == AUDIENCE_BROADCAST ||
            (p->audience.count >= 1 && p->audience.count <= AUDIENCE_USERS_MAX));
    out.n = 0;
    audience_json(&out, &p->audience);
    require(json_check(buf_str(&out)) == NULL);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct publication *events;
    struct input_error error;
    size_t n;
    if (size == 0)
        return 0;
    if (read_body(&a, (char)data[0], (struct str){(const char *)data + 1, size - 1}, &events, &n, &error) == 0)
        for (size_t i = 0; i < n; ++i)
            check_event(&a, &events[i]);
    else
        require(error.status >= 400 && utf8_valid(str_of(error.field)) && utf8_valid(str_of(error.detail)));
    arena_free(&a);
    return 0;
}
