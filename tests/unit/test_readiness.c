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

static void liveness_ends_when_a_loop_hangs(void **state)
{
    struct worker_readiness workers[3] = {0};
    struct process_readiness p = {.workers = workers, .n = 3};

    (void)state;
    assert_liveness(&p, 0, true, "{\"status\":\"alive\"}");
    for (unsigned i = 0; i < 3; i++)
        liveness_note(&workers[i], 1000);
    liveness_note(&workers[0], 1000 + LIVENESS_MS);
    assert_liveness(&p, 0, true, "{\"status\":\"alive\"}");
    liveness_note(&workers[0], 1001 + LIVENESS_MS);
    liveness_note(&workers[2], 500 + LIVENESS_MS);
    assert_liveness(&p, 0, false, "{\"status\":\"dead\",\"failing\":[\"worker 1: its loop hangs\"]}");
    liveness_note(&workers[1], 1001 + LIVENESS_MS);
    assert_liveness(&p, 0, true, "{\"status\":\"alive\"}");
}

static void liveness_does_not_mind_a_suspended_process_nor_an_ended_worker(void **state)
{
    struct worker_readiness workers[2] = {0};
    struct process_readiness p = {.workers = workers, .n = 2};

    (void)state;
    liveness_note(&workers[0], 100000);
    liveness_note(&workers[1], 50000);
    assert_liveness(&p, 1, true, "{\"status\":\"alive\"}"); /* its own clock stands as well */
    liveness_note(&workers[1], UINT64_MAX);
    assert_liveness(&p, 0, true, "{\"status\":\"alive\"}");
    assert_liveness(&p, 1, true, "{\"status\":\"alive\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_waits_for_every_worker),
        cmocka_unit_test(readiness_survives_a_redis_that_is_away),
        cmocka_unit_test(readiness_ends_when_redis_answers_and_the_canary_does_not_come),
        cmocka_unit_test(readiness_ends_with_the_drain),
        cmocka_unit_test(liveness_ends_when_a_loop_hangs),
        cmocka_unit_test(liveness_does_not_mind_a_suspended_process_nor_an_ended_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
