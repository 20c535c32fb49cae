/* Fuzzes clients' messages: what is accepted for publishing every receiver accepts, and every answer is JSON. */
#include <stdlib.h>

#include "core/envelope.h"
#include "core/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_event(struct arena *a, const struct client_message *m)
{
    struct buf out = {0};
    struct envelope e;
    envelope_head(&out, m->event.type);
    buf_lit(&out, "1762639200000-7");
    envelope_tail(&out, 1762639200123, m->traceparent, m->event.data);
    require(envelope_parse(a, buf_str(&out), &e) == NULL && e.own);
    out.n = 0;
    audience_json(&out, &m->event.audience);
    require(json_check(buf_str(&out)) == NULL);
    buf_free(&out);
}

static void check_answer(const struct client_error *error)
{
    struct buf out = {0};
    message_error(&out, (struct position){1, 2, 0}, 1762639200123, error->code, str_of(error->detail), error->ref,
                  str_of(error->field));
    require(json_check(buf_str(&out)) == NULL);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct publication_limits limits = {.max_message_bytes = 64 * 1024};
    struct arena a = {0};
    struct client_message m;
    struct client_error error;
    if (client_message_parse(&a, (struct str){(const char *)data, size}, &limits, &m, &error) != 0)
        check_answer(&error);
    else if (m.kind == CLIENT_EVENT)
        check_event(&a, &m);
    else
        require(m.kind != CLIENT_ACK || m.acked_from != NULL);
    arena_free(&a);
    return 0;
}
