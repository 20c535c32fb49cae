/* core/cursors.c: each cursor is stored at most once in 5 s, at once when its connection closes, and never backwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/cursors.h"

#define ALICE STR_LIT("alice")
#define NAME CURSOR_DEFAULT

static struct position at(uint64_t epoch, uint64_t seq)
{
    return (struct position){.epoch = epoch, .seq = seq};
}

static void assert_at(struct position p, uint64_t epoch, uint64_t seq)
{
    assert_true(p.epoch == epoch && p.seq == seq && p.n == 0);
}

/* The only one that is due. */
static struct cursor *take_one(struct cursors *c)
{
    struct cursor *taken[2];

    assert_int_equal(cursors_take(c, taken, 2), 1);
    return taken[0];
}

static void assert_none_due(struct cursors *c)
{
    struct cursor *taken[1];

    assert_int_equal(cursors_take(c, taken, 1), 0);
}

static int setup(void **state)
{
    static struct cursors c;

    cursors_init(&c);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    cursors_dispose(*state);
    return 0;
}

static void the_first_ack_is_due_at_once_and_a_thousand_are_one(void **state)
{
    struct cursors *c = *state;

    assert_true(cursors_settled(c));
    for (uint64_t seq = 1; seq <= 1000; seq++)
        cursors_ack(c, ALICE, NAME, at(7, seq));
    assert_false(cursors_settled(c));
    struct cursor *one = take_one(c);
    assert_at(one->taken, 7, 1000);
    assert_true(str_eq(cursor_user(one), ALICE) && str_eq(cursor_name(one), NAME));
    assert_false(cursors_settled(c));
    cursors_done(c, one, true, 100);
    assert_true(cursors_settled(c));
}

static void it_rests_before_it_is_stored_again(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(7, 1));
    cursors_done(c, take_one(c), true, 100);
    cursors_ack(c, ALICE, NAME, at(7, 2));
    cursors_tick(c, 100 + CURSOR_REST_MS - 1);
    assert_none_due(c);
    cursors_ack(c, ALICE, NAME, at(7, 3));
    cursors_tick(c, 100 + CURSOR_REST_MS);
    assert_at(take_one(c)->taken, 7, 3);
}

static void one_that_has_not_moved_is_forgotten_after_its_rest(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(7, 1));
    cursors_done(c, take_one(c), true, 100);
    assert_at(cursors_acked(c, ALICE, NAME), 7, 1);
    cursors_tick(c, 100 + CURSOR_REST_MS);
    assert_int_equal(c->count, 0);
    assert_at(cursors_acked(c, ALICE, NAME), 0, 0);
}

static void what_is_older_or_equal_changes_nothing(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(9, 5));
    cursors_ack(c, ALICE, NAME, at(8, 100)); /* an older epoch, whatever its seq */
    cursors_ack(c, ALICE, NAME, (struct position){.epoch = 9, .seq = 5, .n = 3});
    assert_at(cursors_acked(c, ALICE, NAME), 9, 5);
    cursors_done(c, take_one(c), true, 0);
    cursors_ack(c, ALICE, NAME, at(9, 4));
    cursors_closed(c, ALICE, NAME);
    assert_none_due(c);
    cursors_ack(c, ALICE, NAME, at(10, 1));
    assert_at(cursors_acked(c, ALICE, NAME), 10, 1);
}

static void names_and_users_are_cursors_of_their_own(void **state)
{
    struct cursors *c = *state;
    struct cursor *taken[4];

    cursors_ack(c, ALICE, NAME, at(7, 1));
    cursors_ack(c, ALICE, STR_LIT("phone"), at(7, 2));
    cursors_ack(c, STR_LIT("bob"), NAME, at(7, 3));
    cursors_ack(c, STR_LIT("alicep"), STR_LIT("hone"), at(7, 4));
    assert_int_equal(cursors_take(c, taken, 4), 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_at(taken[i]->taken, 7, i + 1);
}

static void closing_ends_the_rest_of_what_has_moved(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(7, 1));
    cursors_done(c, take_one(c), true, 100);
    cursors_closed(c, ALICE, NAME);
    assert_none_due(c);
    cursors_ack(c, ALICE, NAME, at(7, 2));
    cursors_closed(c, ALICE, NAME);
    cursors_closed(c, ALICE, STR_LIT("unheard of"));
    assert_at(take_one(c)->taken, 7, 2);
}

static void closing_while_it_is_being_stored_stores_the_rest_at_once(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(7, 1));
    struct cursor *one = take_one(c);
    cursors_ack(c, ALICE, NAME, at(7, 2));
    cursors_closed(c, ALICE, NAME);
    assert_none_due(c);
    cursors_done(c, one, true, 100);
    assert_at(take_one(c)->taken, 7, 2);
}

static void a_refused_one_is_tried_again_after_a_rest_and_an_unsent_one_at_once(void **state)
{
    struct cursors *c = *state;

    cursors_ack(c, ALICE, NAME, at(7, 1));
    struct cursor *one = take_one(c);
    cursors_closed(c, ALICE, NAME);
    cursors_done(c, one, false, 100);
    assert_none_due(c); /* also where the connection has closed: Redis has just said no */
    cursors_tick(c, 100 + CURSOR_REST_MS);
    one = take_one(c);
    cursors_return(c, one);
    assert_false(cursors_settled(c));
    assert_ptr_equal(take_one(c), one);
    assert_at(one->taken, 7, 1);
}

static void those_that_have_waited_longest_are_taken_first(void **state)
{
    struct cursors *c = *state;
    struct cursor *taken[CURSOR_RESTING + 2];

    for (uint64_t i = 1; i <= 5; i++) {
        char name = (char)('a' + i);
        cursors_ack(c, ALICE, (struct str){&name, 1}, at(7, i));
    }
    assert_int_equal(cursors_take(c, taken, 2), 2);
    assert_at(taken[0]->taken, 7, 1);
    assert_at(taken[1]->taken, 7, 2);
    cursors_return(c, taken[1]);
    assert_int_equal(cursors_take(c, taken + 1, 3), 3);
    assert_at(taken[3]->taken, 7, 5);
    assert_at(take_one(c)->taken, 7, 2);
}

static void beyond_its_limit_it_forgets_new_cursors_only(void **state)
{
    struct cursors *c = *state;
    char user[16];

    for (int i = 0; i < CURSORS_MAX; i++) {
        int n = snprintf(user, sizeof(user), "%d", i);
        cursors_ack(c, (struct str){user, (size_t)n}, NAME, at(7, 1));
    }
    cursors_ack(c, ALICE, NAME, at(7, 1));
    assert_at(cursors_acked(c, ALICE, NAME), 0, 0);
    cursors_ack(c, STR_LIT("17"), NAME, at(7, 2));
    assert_at(cursors_acked(c, STR_LIT("17"), NAME), 7, 2);
    assert_int_equal(c->count, CURSORS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_ack_is_due_at_once_and_a_thousand_are_one),
        TEST(it_rests_before_it_is_stored_again),
        TEST(one_that_has_not_moved_is_forgotten_after_its_rest),
        TEST(what_is_older_or_equal_changes_nothing),
        TEST(names_and_users_are_cursors_of_their_own),
        TEST(closing_ends_the_rest_of_what_has_moved),
        TEST(closing_while_it_is_being_stored_stores_the_rest_at_once),
        TEST(a_refused_one_is_tried_again_after_a_rest_and_an_unsent_one_at_once),
        TEST(those_that_have_waited_longest_are_taken_first),
        TEST(beyond_its_limit_it_forgets_new_cursors_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
