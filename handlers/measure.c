/* Measuring the edge of one worker: what has been written, how long events and fan-outs take, and its gauges.
 * Deliveries are added up in the edge and told once a turn, and times are samples, so that a delivery looks at no
 * clock. */
#include "handlers/internal.h"
#include "core/clock.h"
#include "core/envelope.h"
#include "core/metrics.h"

/* Since the event's timestamp; nothing if that is 0 (unknown) or ahead of this machine's clock. */
static void observe_delivery(uint64_t timestamp_ms)
{
    uint64_t now_ms = clock_unix_ms();
    if (timestamp_ms != 0 && now_ms >= timestamp_ms)
        metric_observe_us(METRIC_DELIVERY_SECONDS, (now_ms - timestamp_ms) * 1000);
}

void measure_event(struct ws_conn *c, const struct ws_frame *f)
{
    ++c->edge->measures.events;
    if (c->state == CONN_LIVE)
        observe_delivery(envelope_timestamp((struct str){f->bytes, f->len}));
}

void measure_broadcast(struct edge *e, struct str text)
{
    struct edge_measures *m = &e->measures;
    m->timestamp_ms = envelope_timestamp(text);
    if (m->fanout_left != 0)
        return; /* one of those that overlap */
    m->fanout_left = e->conns.n;
    m->fanout_since_ms = clock_monotonic_ms();
}

static void fanout_done(struct edge_measures *m)
{
    m->fanout_left = 0;
    metric_observe_us(METRIC_FANOUT_SECONDS, (clock_monotonic_ms() - m->fanout_since_ms) * 1000);
}

void measure_slice(struct edge *e, size_t visited, const struct ws_conn *last)
{
    struct edge_measures *m = &e->measures;
    if (last != NULL && last->state == CONN_LIVE && last->cursor == e->tape.head)
        observe_delivery(m->timestamp_ms);
    if (m->fanout_left > visited && e->sweep_left != 0)
        m->fanout_left -= visited;
    else if (m->fanout_left != 0)
        fanout_done(m);
}

void measure_tell(struct edge *e)
{
    struct edge_measures *m = &e->measures;
    if (m->bytes == 0)
        return;
    metric_add(METRIC_SENT_BYTES_TOTAL, m->bytes);
    metric_add(METRIC_SENT_EVENT, m->events);
    m->bytes = m->events = 0;
}

/* Since the oldest broadcast on the tape was published. */
static uint64_t tape_age_ms(const struct tape *t)
{
    char start[FRAME_HEADER_MAX + ENVELOPE_TIMESTAMP_WITHIN];
    struct str pieces[2], text = {start, 0};
    uint64_t end = t->head - t->tail < sizeof(start) ? t->head : t->tail + sizeof(start), now_ms = clock_unix_ms();
    if (t->head == t->tail)
        return 0;
    int n = tape_pieces(t, t->tail, end, pieces);
    for (int i = 0; i < n; ++i) {
        memcpy(start + text.n, pieces[i].p, pieces[i].n);
        text.n += pieces[i].n;
    }
    uint64_t timestamp_ms = envelope_timestamp(text);
    return timestamp_ms != 0 && now_ms > timestamp_ms ? now_ms - timestamp_ms : 0;
}

void edge_note_metrics(const struct edge *e, const struct edge_counts *counts)
{
    metric_set(METRIC_SLOW_NOW, counts->slow);
    metric_set(METRIC_TAPE_BYTES_NOW, e->tape.head - e->tape.tail);
    metric_set(METRIC_TAPE_AGE_NOW, tape_age_ms(&e->tape));
}
