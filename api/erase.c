/* DELETE /users/{user_id}/events: erases a user's log. */
#include <stdlib.h>
#include "api/internal.h"
#include "api/respond.h"

struct erasure {
    struct api_call *call; /* NULL once the request is gone */
};

static void answer(struct api_call *call, struct position id)
{
    struct buf body = {0};

    call->event_id_len = position_format(call->event_id, id);
    buf_printf(&body, "{\"event_id\":\"%.*s\",\"user_id\":", (int)call->event_id_len, call->event_id);
    buf_json_string(&body, call->param);
    buf_append_char(&body, '}');
    respond_json(call->req, 202, &body);
    buf_free(&body);
}

static void on_erased(void *data, enum publish_status status, const struct publish_result *results, size_t n)
{
    struct erasure *e = data;

    (void)n;
    if (e->call != NULL) {
        e->call->waiter = NULL;
        if (status == PUBLISH_OK)
            answer(e->call, results[0].id);
        else
            api_respond_unpublished(e->call->req, status);
    }
    free(e);
}

void api_erase(struct api_call *call)
{
    struct erasure *e = mem_alloc(sizeof(*e));

    *e = (struct erasure){.call = call};
    call->waiter = &e->call;
    pubsub_erase(call->api->pubsub, call->param, on_erased, e);
}
