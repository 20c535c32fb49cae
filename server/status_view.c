/* The page of `belfry status`: a table of what is, by worker, then what happens in a second, then Redis. */
#include "server/status_view.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "core/clock.h"
#include "core/metrics_text.h"

#define WORKERS_SHOWN 6
#define NAME_WIDTH 22
#define CELL_WIDTH 12

struct view {
    struct buf *out;
    struct str before, now;
    double seconds; /* between the two */
    unsigned workers;
};

/* --- cells ----------------------------------------------------------------------------------------------------------
 */

enum unit { COUNT, SECONDS, BYTES, UP };

static void format_bytes(char *dst, size_t n, double bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t i = 0;

    for (; bytes >= 1024 && i < 4; i++)
        bytes /= 1024;
    snprintf(dst, n, i == 0 ? "%.0f %s" : "%.1f %s", bytes, units[i]);
}

static void format(char *dst, size_t n, enum unit unit, double value)
{
    if (isnan(value))
        snprintf(dst, n, "-");
    else if (unit == BYTES)
        format_bytes(dst, n, value);
    else if (unit == SECONDS)
        snprintf(dst, n, "%.3f s", value);
    else if (unit == UP)
        snprintf(dst, n, value == 0 ? "DOWN" : "up");
    else
        snprintf(dst, n, "%.0f", value);
}

static void cell(const struct view *v, enum unit unit, double value)
{
    char text[32];

    format(text, sizeof(text), unit, value);
    buf_printf(v->out, "%*s", CELL_WIDTH, text);
}

static bool shows_workers(const struct view *v)
{
    return v->workers > 1 && v->workers <= WORKERS_SHOWN;
}

static double of_worker(const struct view *v, const char *name, const char *label, const char *value, unsigned worker)
{
    char number[12];

    snprintf(number, sizeof(number), "%u", worker);
    return metrics_text_cell(v->now, name, label, value, "worker", number);
}

/* The whole: of counts and bytes the sum, of seconds the greatest, of what is up or down the worst. */
static double whole(const struct view *v, enum unit unit, const char *name, const char *label, const char *value)
{
    if (unit == SECONDS)
        return metrics_text_max(v->now, name);
    double sum = metrics_text_sum(v->now, name, label, value);
    return unit == UP && !isnan(sum) ? sum == v->workers : sum;
}

static void row(const struct view *v, const char *title, enum unit unit, const char *name, const char *label,
                const char *value)
{
    buf_printf(v->out, "%-*s", NAME_WIDTH, title);
    cell(v, unit, whole(v, unit, name, label, value));
    for (unsigned i = 0; shows_workers(v) && i < v->workers; i++)
        cell(v, unit, of_worker(v, name, label, value, i));
    buf_lit(v->out, "\n");
}

/* --- what is --------------------------------------------------------------------------------------------------------
 */

static const char *state_of(const struct view *v)
{
    if (metrics_text_sum(v->now, "belfry_draining", NULL, NULL) == 1)
        return "draining";
    return metrics_text_sum(v->now, "belfry_ready", NULL, NULL) == 1 ? "ready" : "NOT READY, /readyz tells why";
}

static void append_uptime(const struct view *v)
{
    double up = (double)clock_unix_ms() / 1000 - metrics_text_sum(v->now, "process_start_time_seconds", NULL, NULL);
    unsigned long s = up > 0 ? (unsigned long)up : 0;

    if (s >= 86400)
        buf_printf(v->out, "%lu d %lu h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        buf_printf(v->out, "%lu h %lu min", s / 3600, s / 60 % 60);
    else
        buf_printf(v->out, "%lu min %lu s", s / 60, s % 60);
}

static void append_version(const struct view *v)
{
    struct str rest = v->now;
    struct metric_sample s;

    while (metric_sample_next(&rest, &s))
        if (str_eq(s.name, STR_LIT("belfry_build_info")))
            buf_append(v->out, metric_sample_label(&s, STR_LIT("version")));
}

static void head(const struct view *v, const char *address)
{
    buf_lit(v->out, "belfry ");
    append_version(v);
    buf_printf(v->out, " at %s: %s, up ", address, state_of(v));
    append_uptime(v);
    buf_printf(v->out, ", %u worker%s\n\n", v->workers, v->workers == 1 ? "" : "s");
}

static void what_is(const struct view *v)
{
    static const char *const states[] = {"handshaking", "subscribing", "catching_up", "live", "closing"};
    char title[32];

    buf_printf(v->out, "%-*s%*s", NAME_WIDTH, "", CELL_WIDTH, "all");
    for (unsigned i = 0; shows_workers(v) && i < v->workers; i++)
        buf_printf(v->out, "%*s%u", CELL_WIDTH - (i < 10 ? 1 : 2), "worker ", i);
    buf_lit(v->out, "\n");
    row(v, "connections", COUNT, "belfry_connections", NULL, NULL);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        snprintf(title, sizeof(title), "  %s", states[i]);
        row(v, title, COUNT, "belfry_connections", "state", states[i]);
    }
    row(v, "slow clients", COUNT, "belfry_slow_connections", NULL, NULL);
    row(v, "loop lag", SECONDS, "belfry_loop_lag_seconds", NULL, NULL);
    row(v, "canary came back ago", SECONDS, "belfry_canary_age_seconds", NULL, NULL);
    row(v, "Redis connection", UP, "belfry_redis_up", NULL, NULL);
    row(v, "channels are read", UP, "belfry_pubsub_up", NULL, NULL);
    row(v, "publishes waiting", COUNT, "belfry_publishes_pending", NULL, NULL);
    row(v, "pages waiting", COUNT, "belfry_pages_pending", NULL, NULL);
    row(v, "tape", BYTES, "belfry_tape_bytes", NULL, NULL);
    row(v, "  reaches back", SECONDS, "belfry_tape_age_seconds", NULL, NULL);
}

/* --- what happens ---------------------------------------------------------------------------------------------------
 */

/* In a second; NAN where a counter has begun anew. */
static double rate(const struct view *v, const char *name, const char *label, const char *value)
{
    double before = metrics_text_sum(v->before, name, label, value);
    double now = metrics_text_sum(v->now, name, label, value);

    return v->seconds > 0 && now >= before ? (now - before) / v->seconds : NAN;
}

static void say_rate(const struct view *v, const char *title, double value)
{
    buf_printf(v->out, "%-*s", NAME_WIDTH, title);
    if (isnan(value))
        buf_printf(v->out, "%*s\n", CELL_WIDTH, "-");
    else
        buf_printf(v->out, "%*.1f\n", CELL_WIDTH, value);
}

static void say_byte_rate(const struct view *v, const char *title, const char *name)
{
    buf_printf(v->out, "%-*s", NAME_WIDTH, title);
    cell(v, BYTES, rate(v, name, NULL, NULL));
    buf_lit(v->out, "\n");
}

/* Of what was observed between the two: the bound below which that share lies. */
static double quantile(const struct view *v, const char *buckets, double share)
{
    double total = rate(v, buckets, "le", "+Inf");
    struct str rest = v->now;
    struct metric_sample s;

    while (total > 0 && metric_sample_next(&rest, &s)) {
        char le[16];
        struct str bound = metric_sample_label(&s, STR_LIT("le"));
        if (!str_eq(s.name, str_of(buckets)) || bound.n == 0 || bound.n >= sizeof(le))
            continue;
        memcpy(le, bound.p, bound.n);
        le[bound.n] = '\0';
        double seconds = 0;
        if (rate(v, buckets, "le", le) >= total * share)
            return sscanf(le, "%lf", &seconds) == 1 ? seconds : NAN; /* +Inf reads as infinite */
    }
    return NAN;
}

static void say_quantiles(const struct view *v, const char *title, const char *buckets)
{
    double half = quantile(v, buckets, 0.5), most = quantile(v, buckets, 0.99);

    buf_printf(v->out, "%-*s", NAME_WIDTH, title);
    if (isnan(half))
        buf_printf(v->out, "%*s\n", CELL_WIDTH, "-");
    else
        buf_printf(v->out, "  half within %.4g s, 99 %% within %.4g s\n", half, most);
}

static void what_happens(const struct view *v)
{
    double published = rate(v, "belfry_publishes_total", NULL, NULL);
    double ok = rate(v, "belfry_publishes_total", "result", "ok");
    double asked = rate(v, "belfry_handshakes_total", NULL, NULL);
    double accepted = rate(v, "belfry_handshakes_total", "result", "accepted");

    buf_printf(v->out, "\n%-*s%*s  (%.1f s)\n", NAME_WIDTH, "", CELL_WIDTH, "a second", v->seconds);
    say_rate(v, "connections opened", accepted);
    say_rate(v, "  refused", asked - accepted);
    say_rate(v, "  ended", rate(v, "belfry_closes_total", NULL, NULL));
    say_rate(v, "events published", ok);
    say_rate(v, "  not accepted", published - ok);
    say_rate(v, "events heard", rate(v, "belfry_events_heard_total", NULL, NULL));
    say_rate(v, "deliveries", rate(v, "belfry_messages_sent_total", "type", "event"));
    say_byte_rate(v, "sent", "belfry_sent_bytes_total");
    say_byte_rate(v, "received", "belfry_received_bytes_total");
    say_rate(v, "told to resync", rate(v, "belfry_resyncs_total", NULL, NULL));
    say_quantiles(v, "event to socket", "belfry_delivery_seconds_bucket");
    say_quantiles(v, "publish to success", "belfry_publish_seconds_bucket");
}

/* --- Redis and memory -----------------------------------------------------------------------------------------------
 */

static void append_policy(const struct view *v)
{
    struct str rest = v->now;
    struct metric_sample s;

    while (metric_sample_next(&rest, &s))
        if (str_eq(s.name, STR_LIT("belfry_redis_eviction_policy")) && s.value == 1) {
            struct str policy = metric_sample_label(&s, STR_LIT("policy"));
            buf_lit(v->out, ", policy ");
            buf_append(v->out, policy);
            if (!str_eq(policy, STR_LIT("noeviction")))
                buf_lit(v->out, ": MAY LOSE EVENTS, set noeviction");
        }
}

static void memory(const struct view *v)
{
    char used[32], max[32], own[32];
    double limit = metrics_text_sum(v->now, "belfry_redis_memory_max_bytes", NULL, NULL);

    format(used, sizeof(used), BYTES, metrics_text_sum(v->now, "belfry_redis_memory_bytes", NULL, NULL));
    format(max, sizeof(max), BYTES, limit);
    format(own, sizeof(own), BYTES, metrics_text_sum(v->now, "process_resident_memory_bytes", NULL, NULL));
    buf_printf(v->out, "\n%-*s  %s of memory, %s%s", NAME_WIDTH, "Redis", used, limit > 0 ? "at most " : "",
               limit > 0 ? max : "no limit");
    append_policy(v);
    buf_printf(v->out, "\n%-*s  %s of memory, %.0f sockets, at most %.0f\n", NAME_WIDTH, "this process", own,
               metrics_text_sum(v->now, "belfry_descriptors", NULL, NULL),
               metrics_text_sum(v->now, "belfry_descriptors_max", NULL, NULL));
}

static unsigned count_workers(struct str text)
{
    struct metric_sample s;
    unsigned n = 0;

    while (metric_sample_next(&text, &s))
        n += str_eq(s.name, STR_LIT("belfry_redis_up"));
    return n;
}

void status_view(struct buf *out, const char *address, const struct status_sample *before,
                 const struct status_sample *now)
{
    struct view v = {
        .out = out,
        .before = before->text,
        .now = now->text,
        .seconds = (double)(now->at_ms - before->at_ms) / 1000,
        .workers = count_workers(now->text),
    };

    head(&v, address);
    what_is(&v);
    what_happens(&v);
    memory(&v);
}
