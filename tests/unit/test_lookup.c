/* pubsub/lookup.c: names that are found, that are not, and questions that nobody waits for any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "pubsub/lookup.h"

/* Looks in until there is an answer, as a loop's tick does. */
static enum lookup_state answer(struct lookup *l, struct addrinfo **found, const char **reason)
{
    enum lookup_state state;
    while ((state = lookup_poll(l, found, reason)) == LOOKUP_PENDING)
        poll(NULL, 0, 1);
    return state;
}

static void a_known_name_is_found_with_its_port(void **state)
{
    struct addrinfo *found = NULL;
    const char *reason;
    struct lookup *l = lookup_start("localhost", 6379);
    assert_non_null(l);
    assert_int_equal(answer(l, &found, &reason), LOOKUP_FOUND);
    assert_non_null(found);
    assert_int_equal(found->ai_socktype, SOCK_STREAM);
    in_port_t port = found->ai_family == AF_INET ? ((struct sockaddr_in *)found->ai_addr)->sin_port
                                                 : ((struct sockaddr_in6 *)found->ai_addr)->sin6_port;
    assert_int_equal(ntohs(port), 6379);
    lookup_drop(l);
}

static void what_cannot_be_a_name_fails_with_a_reason(void **state)
{
    struct addrinfo *found = NULL;
    const char *reason = NULL;
    struct lookup *l = lookup_start("a..b", 1);
    assert_non_null(l);
    assert_int_equal(answer(l, &found, &reason), LOOKUP_FAILED);
    assert_non_null(reason);
    assert_true(reason[0] != '\0');
    lookup_drop(l);
}

/* Whichever of the two is later frees: a sanitizer sees it where neither or both do. */
static void a_question_may_be_dropped_at_any_moment(void **state)
{
    for (int i = 0; i < 200; ++i) {
        struct lookup *l = lookup_start("localhost", 6379);
        if (i % 2 == 0 && l != NULL) {
            struct addrinfo *found;
            const char *reason;
            answer(l, &found, &reason);
        }
        if (l != NULL)
            lookup_drop(l);
    }
}

static void places_come_back(void **state)
{
    struct lookup *held[100];
    struct addrinfo *found;
    const char *reason;
    for (size_t n = 0; n < 100; ++n)
        while ((held[n] = lookup_start("localhost", 1)) == NULL)
            poll(NULL, 0, 1);
    for (size_t n = 0; n < 100; ++n) {
        assert_int_equal(answer(held[n], &found, &reason), LOOKUP_FOUND);
        lookup_drop(held[n]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_name_is_found_with_its_port),
        cmocka_unit_test(what_cannot_be_a_name_fails_with_a_reason),
        cmocka_unit_test(a_question_may_be_dropped_at_any_moment),
        cmocka_unit_test(places_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
