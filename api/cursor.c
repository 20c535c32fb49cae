/* GET /users/{user_id}/cursor: how far a user's devices have acknowledged. */
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"
#include "core/audience.h"
#include "core/cursors.h"

struct question {
    struct api_call *call; /* NULL once the request is gone */
    struct str name;       /* in the request's pool */
};

static void answer(struct api_call *call, struct str name, struct position at)
{
    struct buf body = {0};
    char text[POSITION_MAX];

    buf_lit(&body, "{\"user_id\":");
    buf_json_string(&body, call->param);
    buf_lit(&body, ",\"name\":");
    buf_json_string(&body, name);
    if (at.epoch == 0)
        buf_lit(&body, ",\"position\":null}");
    else
        buf_printf(&body, ",\"position\":\"%.*s\"}", (int)position_format(text, at), text);
    respond_json(call->req, 200, &body);
    buf_free(&body);
}

static void on_cursor(void *data, bool known, struct position at)
{
    struct question *q = data;

    if (q->call != NULL) {
        q->call->waiter = NULL;
        if (known)
            answer(q->call, q->name, at);
        else
            respond_unread(q->call->req);
    }
    free(q);
}

void api_cursor(struct api_call *call)
{
    struct str name;

    if (!query_param(call, "name", &name))
        return;
    if (name.p == NULL)
        name = CURSOR_DEFAULT;
    if (!id_valid(name, CURSOR_NAME_MAX)) {
        query_refuse(call, "name", "a cursor's name has 1 to 64 bytes of UTF-8 without control characters");
        return;
    }
    struct question *q = mem_alloc(sizeof(*q));
    *q = (struct question){.call = call, .name = name};
    call->waiter = &q->call;
    pubsub_read_cursor(call->api->pubsub, call->param, name, on_cursor, q);
}
