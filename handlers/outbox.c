/* What waits for one connection, and in which order it goes out:
 * the rest of a frame that is partly written, then answers and pings, then events: those on the tape up to where it may
 * read, and the others merged into them by their place: LIVE the targeted ones, CATCHING_UP those of its pages, while
 * the targeted ones wait behind. conn_plan and conn_written walk that order in the same way. */
#include "handlers/internal.h"
#include <stdlib.h>

static struct ws_outbox *outbox_of(struct ws_conn *c)
{
    if (c->outbox == NULL)
        c->outbox = mem_zalloc(sizeof(*c->outbox));
    return c->outbox;
}

static void drop_if_empty(struct ws_conn *c)
{
    struct ws_outbox *o = c->outbox;
    if (o != NULL && o->current == NULL && o->urgent == NULL && o->replay == NULL && o->events == NULL) {
        free(o);
        c->outbox = NULL;
    }
}

static struct ws_frame *frame_new(struct str header, struct str payload)
{
    struct ws_frame *f = mem_alloc(sizeof(*f) + header.n + payload.n);
    *f = (struct ws_frame){.len = (uint32_t)(header.n + payload.n)};
    memcpy(f->bytes, header.p, header.n);
    if (payload.n != 0)
        memcpy(f->bytes + header.n, payload.p, payload.n);
    return f;
}

static void set_cursor(struct ws_conn *c, uint64_t cursor)
{
    *(c->state == CONN_CATCHING_UP ? &c->catch_up->cursor : &c->cursor) = cursor;
}

/* What a waiting frame costs: many small ones are mostly overhead. */
static size_t cost(const struct ws_frame *f)
{
    return sizeof(*f) + f->len;
}

static void append(struct ws_frame **first, struct ws_frame **last, struct ws_frame *f)
{
    *(*first == NULL ? first : &(*last)->next) = f;
    *last = f;
}

static struct ws_frame *pop(struct ws_frame **first)
{
    struct ws_frame *f = *first;
    *first = f->next;
    return f;
}

static void say(struct ws_conn *c, struct str header, struct str payload)
{
    struct ws_outbox *o = outbox_of(c);
    struct ws_frame *f = frame_new(header, payload);
    append(&o->urgent, &o->urgent_last, f);
    o->urgent_bytes += cost(f);
    conn_mark_dirty(c);
}

void conn_say(struct ws_conn *c, struct buf *json)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t n = frame_header(header, FRAME_TEXT, json->n);
    if (c->state < CONN_CLOSING)
        say(c, (struct str){(char *)header, n}, buf_str(json));
    buf_free(json);
}

void conn_say_frames(struct ws_conn *c, struct str frames)
{
    say(c, frames, STR_LIT(""));
}

static struct ws_frame *event_frame(struct position id, struct str text, uint64_t place)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t n = frame_header(header, FRAME_TEXT, text.n);
    struct ws_frame *f = frame_new((struct str){(char *)header, n}, text);
    f->id = id;
    f->place = place;
    return f;
}

bool conn_queue_event(struct ws_conn *c, struct position id, struct str text)
{
    struct ws_outbox *o = outbox_of(c);
    if (o->events != NULL && o->events_bytes + text.n > OUTBOX_EVENTS_MAX)
        return false;
    struct ws_frame *f = event_frame(id, text, c->edge->tape.head);
    append(&o->events, &o->events_last, f);
    o->events_bytes += cost(f);
    return true;
}

void conn_queue_replay(struct ws_conn *c, struct position id, struct str text, uint64_t place)
{
    struct ws_outbox *o = outbox_of(c);
    append(&o->replay, &o->replay_last, event_frame(id, text, place));
}

size_t outbox_drop_replay(struct ws_conn *c)
{
    size_t n = 0;
    for (; c->outbox != NULL && c->outbox->replay != NULL; ++n)
        free(pop(&c->outbox->replay));
    drop_if_empty(c);
    return n;
}

void outbox_drop_events(struct ws_conn *c, struct position up_to)
{
    struct ws_outbox *o = c->outbox;
    while (o != NULL && o->events != NULL && position_cmp(o->events->id, up_to) <= 0) {
        struct ws_frame *f = pop(&o->events);
        o->events_bytes -= cost(f);
        free(f);
    }
    drop_if_empty(c);
}

void conn_leave_tape(struct ws_conn *c)
{
    const struct tape *t = &c->edge->tape;
    if (!conn_on_tape(c) || (c->outbox != NULL && c->outbox->current != NULL))
        return; /* not there, or the cursor stands at a boundary */
    uint64_t at = conn_cursor(c), end = tape_boundary(t, at);
    if (end == at)
        return;
    struct str pieces[2] = {STR_LIT(""), STR_LIT("")};
    tape_pieces(t, at, end, pieces);
    outbox_of(c)->current = frame_new(pieces[0], pieces[1]);
    c->outbox->current_off = 0;
    set_cursor(c, end);
}

bool conn_events_wait(const struct ws_conn *c)
{
    return c->outbox != NULL && c->outbox->events != NULL;
}

/* The events that are merged with the tape. */
static struct ws_frame *merged(const struct ws_conn *c)
{
    const struct ws_outbox *o = c->outbox;
    if (o == NULL)
        return NULL;
    return c->state == CONN_LIVE ? o->events : c->state == CONN_CATCHING_UP ? o->replay : NULL;
}

bool conn_has_output(const struct ws_conn *c)
{
    const struct ws_outbox *o = c->outbox;
    if (o != NULL && (o->current != NULL || o->urgent != NULL))
        return true;
    return merged(c) != NULL || (conn_on_tape(c) && conn_cursor(c) != conn_limit(c));
}

bool conn_replay_written(const struct ws_conn *c)
{
    return merged(c) == NULL && !conn_on_tape(c);
}

/* --- the order of bytes ---------------------------------------------------------------------------------------------
 */

static bool plan_add(struct write_plan *plan, const char *p, size_t n)
{
    if (n > FLUSH_MAX - plan->bytes)
        n = FLUSH_MAX - plan->bytes;
    if (n != 0) {
        plan->iov[plan->n++] = (struct iovec){(void *)p, n};
        plan->bytes += n;
    }
    return plan->n < PLAN_MAX - 1 && plan->bytes < FLUSH_MAX; /* -1: a stretch of tape may be two pieces */
}

static bool plan_tape(const struct tape *t, struct write_plan *plan, uint64_t from, uint64_t to)
{
    struct str pieces[2];
    bool room = plan->n < PLAN_MAX - 1 && plan->bytes < FLUSH_MAX;
    if (from == to || !room)
        return room;
    int n = tape_pieces(t, from, to, pieces);
    for (int i = 0; i < n; ++i)
        room = plan_add(plan, pieces[i].p, pieces[i].n);
    return room;
}

static bool plan_frames(struct write_plan *plan, const struct ws_frame *f)
{
    bool room = true;
    for (; f != NULL && room; f = f->next)
        room = plan_add(plan, f->bytes, f->len);
    return room;
}

/* Tape and other events merged, from the frame boundary `at`. */
static void plan_events(const struct ws_conn *c, struct write_plan *plan, uint64_t at)
{
    const struct tape *t = &c->edge->tape;
    for (const struct ws_frame *f = merged(c); f != NULL; f = f->next) {
        uint64_t place = f->place > at ? f->place : at;
        if (!plan_tape(t, plan, at, place) || !plan_add(plan, f->bytes, f->len))
            return;
        at = place;
    }
    plan_tape(t, plan, at, conn_limit(c));
}

void conn_plan(const struct ws_conn *c, struct write_plan *plan)
{
    const struct ws_outbox *o = c->outbox;
    const struct tape *t = &c->edge->tape;
    uint64_t at = conn_cursor(c);
    plan->n = 0;
    plan->bytes = 0;
    if (o != NULL && o->current != NULL) {
        if (!plan_add(plan, o->current->bytes + o->current_off, o->current->len - o->current_off))
            return;
    } else if (o != NULL && conn_on_tape(c)) {
        at = tape_boundary(t, at);
        if (!plan_tape(t, plan, conn_cursor(c), at))
            return;
    }
    bool room = o == NULL || plan_frames(plan, o->urgent);
    if (room && (c->state == CONN_LIVE || c->state == CONN_CATCHING_UP))
        plan_events(c, plan, at);
}

/* The next waiting frame becomes the one that is being written. False if only the tape is left. */
static bool take_next_frame(struct ws_conn *c)
{
    struct ws_outbox *o = c->outbox;
    const struct ws_frame *event = merged(c);
    if (o->urgent != NULL) {
        o->current = pop(&o->urgent);
        o->urgent_bytes -= cost(o->current);
    } else if (event != NULL && event->place <= conn_cursor(c)) {
        o->current = pop(c->state == CONN_LIVE ? &o->events : &o->replay);
        o->events_bytes -= c->state == CONN_LIVE ? cost(o->current) : 0;
        c->sent = o->current->id;
        measure_event(c, o->current);
    } else {
        return false;
    }
    o->current_off = 0;
    return true;
}

static size_t written_frame(struct ws_outbox *o, size_t n)
{
    size_t left = o->current->len - o->current_off;
    if (n < left) {
        o->current_off += n;
        return n;
    }
    free(o->current);
    o->current = NULL;
    return left;
}

static size_t written_tape(struct ws_conn *c, uint64_t to, size_t n)
{
    uint64_t at = conn_cursor(c);
    if (n > to - at)
        n = (size_t)(to - at);
    struct tape_stretch written = tape_stretch(&c->edge->tape, at, at + n);
    set_cursor(c, at + n);
    c->sent = written.last;
    c->edge->measures.events += written.n;
    return n;
}

void conn_written(struct ws_conn *c, size_t n)
{
    const struct tape *t = &c->edge->tape;
    conn_count_bytes(&c->out, n);
    c->edge->measures.bytes += n;
    while (n != 0) {
        struct ws_outbox *o = c->outbox;
        uint64_t boundary;
        if (o == NULL) {
            n -= written_tape(c, conn_limit(c), n);
            continue;
        }
        if (o->current != NULL)
            n -= written_frame(o, n);
        else if (conn_on_tape(c) && (boundary = tape_boundary(t, conn_cursor(c))) != conn_cursor(c))
            n -= written_tape(c, boundary, n);
        else if (!take_next_frame(c))
            n -= written_tape(c, merged(c) != NULL ? merged(c)->place : conn_limit(c), n);
        drop_if_empty(c);
    }
}

void outbox_free(struct ws_conn *c)
{
    struct ws_outbox *o = c->outbox;
    if (o == NULL)
        return;
    free(o->current);
    while (o->urgent != NULL)
        free(pop(&o->urgent));
    while (o->replay != NULL)
        free(pop(&o->replay));
    while (o->events != NULL)
        free(pop(&o->events));
    free(o);
    c->outbox = NULL;
}
