/* /readyz: what makes the process unready, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "server/readiness.h"

static void assert_report(const struct process_readiness *p, bool ready, const char *expected)
{
    struct buf out = {0};

    assert_int_equal(readiness_report(p, &out), ready);
    buf_append_char(&out, '\0');
    assert_string_equal(out.p, expected);
    buf_free(&out);
}

static const struct pubsub_state good = {.commands_connected = true, .subscriber_connected = true, .ready = true};
static const struct pubsub_state away = {.away = true, .canary_age_ms = 600000};
static const struct pubsub_state deaf = {.commands_connected = true, .canary_age_ms = READINESS_CANARY_MS + 1};

static void readiness_waits_for_every_worker(void **state)
{
    struct worker_readiness workers[2] = {0};
    struct process_readiness p = {.workers = workers, .n = 2};

    (void)state;
    readiness_note(&workers[0], &good);
    assert_report(
        &p, false,
        "{\"status\":\"unready\",\"workers\":2,\"failing\":[\"worker 1: no subscription has been confirmed yet\"]}");
    readiness_note(&workers[1], &good);
    assert_report(&p, true, "{\"status\":\"ready\",\"workers\":2}");
}

static void readiness_survives_a_redis_that_is_away(void **state)
{
    struct worker_readiness worker = {0};
    struct process_readiness p = {.workers = &worker, .n = 1};

    (void)state;
    readiness_note(&worker, &away);
    assert_report(
        &p, false,
        "{\"status\":\"unready\",\"workers\":1,\"failing\":[\"worker 0: no subscription has been confirmed yet\"]}");
    readiness_note(&worker, &good);
    readiness_note(&worker, &away);
    assert_report(&p, true, "{\"status\":\"ready\",\"workers\":1}");
}

static void readiness_ends_when_redis_answers_and_the_canary_does_not_come(void **state)
{
    struct worker_readiness worker = {0};
    struct process_readiness p = {.workers = &worker, .n = 1};

    (void)state;
    readiness_note(&worker, &good);
    readiness_note(&worker, &deaf);
    assert_report(&p, false,
                  "{\"status\":\"unready\",\"workers\":1,\"failing\":[\"worker 0: Redis answers, but events do not "
                  "arrive: the last canary came back 15 s ago\"]}");
    readiness_note(&worker, &good);
    assert_report(&p, true, "{\"status\":\"ready\",\"workers\":1}");
}

static void readiness_ends_with_the_drain(void **state)
{
    struct worker_readiness worker = {0};
    struct process_readiness p = {.workers = &worker, .n = 1};

    (void)state;
    readiness_note(&worker, &good);
    atomic_store(&p.draining, true);
    assert_report(&p, false, "{\"status\":\"unready\",\"workers\":1,\"failing\":[\"draining\"]}");
}

static void assert_liveness(const struct process_readiness *p, unsigned worker, bool alive, const char *expected)
{
    struct buf out = {0};

    assert_int_equal(liveness_report(p, worker, &out), alive);
    buf_append_char(&out, '\0');
    assert_string_equal(out.p, expected);
    buf_free(&out);
}

/* Each worker that is in `turning` (a bit mask) turns every 50 ms, for `ms`. */
static void run(struct process_readiness *p, uint64_t *now_ms, unsigned turning, uint64_t ms)
{
    for (uint64_t end_ms = *now_ms + ms; *now_ms < end_ms;) {
        *now_ms += 50;
        for (unsigned i = 0; i < p->n; i++)
            if ((turning & 1u << i) != 0)
                liveness_note(p, i, *now_ms);
    }
}

#define ALIVE "{\"status\":\"alive\"}"

static void liveness_ends_when_a_loop_hangs(void **state)
{
    struct worker_readiness workers[3] = {0};
    struct liveness_seen seen[9] = {0};
    struct process_readiness p = {.workers = workers, .seen = seen, .n = 3};
    uint64_t now_ms = 5000;

    (void)state;
    assert_liveness(&p, 0, true, ALIVE);
    run(&p, &now_ms, 7, 60000);
    run(&p, &now_ms, 5, LIVENESS_MS);
    assert_liveness(&p, 0, true, ALIVE);
    run(&p, &now_ms, 5, 100);
    for (unsigned asked = 0; asked < 3; asked += 2)
        assert_liveness(&p, asked, false, "{\"status\":\"dead\",\"failing\":[\"worker 1: its loop hangs\"]}");
    run(&p, &now_ms, 1, LIVENESS_MS + 100);
    assert_liveness(&p, 0, false,
                    "{\"status\":\"dead\",\"failing\":[\"worker 1: its loop hangs\",\"worker 2: its loop hangs\"]}");
    liveness_note(&p, 1, now_ms); /* before the one that is asked has looked again */
    liveness_note(&p, 2, now_ms);
    assert_liveness(&p, 0, true, ALIVE);
}

static void liveness_does_not_mind_a_suspended_process(void **state)
{
    struct worker_readiness workers[2] = {0};
    struct liveness_seen seen[4] = {0};
    struct process_readiness p = {.workers = workers, .seen = seen, .n = 2};
    uint64_t now_ms = 5000;

    (void)state;
    run(&p, &now_ms, 3, 1000);
    now_ms += 3600000;
    assert_liveness(&p, 0, true, ALIVE); /* asked before anybody has turned again */
    run(&p, &now_ms, 1, 50);             /* and when only the one that is asked has */
    assert_liveness(&p, 0, true, ALIVE);
    run(&p, &now_ms, 1, LIVENESS_MS - 2000);
    assert_liveness(&p, 0, true, ALIVE);
    run(&p, &now_ms, 1, 2100);
    assert_liveness(&p, 0, false, "{\"status\":\"dead\",\"failing\":[\"worker 1: its loop hangs\"]}");
}

static void liveness_does_not_mind_a_worker_that_has_ended(void **state)
{
    struct worker_readiness workers[2] = {0};
    struct liveness_seen seen[4] = {0};
    struct process_readiness p = {.workers = workers, .seen = seen, .n = 2};
    uint64_t now_ms = 5000;

    (void)state;
    run(&p, &now_ms, 3, 1000);
    liveness_note(&p, 1, UINT64_MAX);
    run(&p, &now_ms, 1, 3 * LIVENESS_MS);
    assert_liveness(&p, 0, true, ALIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_waits_for_every_worker),
        cmocka_unit_test(readiness_survives_a_redis_that_is_away),
        cmocka_unit_test(readiness_ends_when_redis_answers_and_the_canary_does_not_come),
        cmocka_unit_test(readiness_ends_with_the_drain),
        cmocka_unit_test(liveness_ends_when_a_loop_hangs),
        cmocka_unit_test(liveness_does_not_mind_a_suspended_process),
        cmocka_unit_test(liveness_does_not_mind_a_worker_that_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
