/* core/hub.c: channels come, gather members and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/hub.h"

static void a_channel_is_made_once_and_found_again(void **state)
{
    struct hub h;

    hub_init(&h);
    assert_null(hub_find(&h, HUB_USER, STR_LIT("u1")));
    struct hub_channel *c = hub_get(&h, HUB_USER, STR_LIT("u1"));
    assert_ptr_equal(hub_get(&h, HUB_USER, STR_LIT("u1")), c);
    assert_ptr_equal(hub_find(&h, HUB_USER, STR_LIT("u1")), c);
    assert_true(str_eq(hub_channel_id(c), STR_LIT("u1")));
    assert_int_equal(c->kind, HUB_USER);
    assert_int_equal(c->count, 0);
    assert_int_equal(c->state, 0);
    assert_int_equal(h.channels.count, 1);
    hub_dispose(&h);
}

static void a_user_and_a_connection_of_the_same_name_are_two(void **state)
{
    struct hub h;

    hub_init(&h);
    struct hub_channel *user = hub_get(&h, HUB_USER, STR_LIT("same"));
    struct hub_channel *connection = hub_get(&h, HUB_CONNECTION, STR_LIT("same"));
    assert_ptr_not_equal(user, connection);
    hub_drop(&h, user);
    assert_null(hub_find(&h, HUB_USER, STR_LIT("same")));
    assert_ptr_equal(hub_find(&h, HUB_CONNECTION, STR_LIT("same")), connection);
    hub_dispose(&h);
}

static void ids_are_any_bytes_up_to_the_limit(void **state)
{
    static char longest[UINT16_MAX];
    struct hub h;

    memset(longest, 'x', sizeof(longest));
    hub_init(&h);
    struct hub_channel *c = hub_get(&h, HUB_USER, (struct str){longest, sizeof(longest)});
    assert_int_equal(hub_channel_id(c).n, sizeof(longest));
    assert_ptr_not_equal(hub_get(&h, HUB_USER, (struct str){longest, sizeof(longest) - 1}), c);
    assert_ptr_not_equal(hub_get(&h, HUB_USER, STR_LIT("a\0b")), hub_get(&h, HUB_USER, STR_LIT("a\0c")));
    assert_ptr_equal(hub_get(&h, HUB_USER, STR_LIT("")), hub_get(&h, HUB_USER, STR_NONE));
    hub_dispose(&h);
}

/* Which of the members are in the list, as bits; checks the links both ways. */
static unsigned members_of(const struct hub_channel *c, const struct hub_member *all)
{
    unsigned bits = 0, n = 0;
    const struct hub_member *prev = NULL;

    for (const struct hub_member *m = c->members; m != NULL; m = m->next) {
        assert_ptr_equal(m->prev, prev);
        assert_ptr_equal(m->channel, c);
        bits |= 1u << (m - all);
        n++;
        prev = m;
    }
    assert_int_equal(n, c->count);
    return bits;
}

static void members_join_and_leave_in_any_order(void **state)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (int i = 0; i < 6; i++) {
        struct hub h;
        struct hub_member m[3] = {{0}};
        unsigned expected = 7;

        hub_init(&h);
        struct hub_channel *c = hub_get(&h, HUB_USER, STR_LIT("u"));
        for (int j = 0; j < 3; j++)
            hub_join(c, &m[j]);
        assert_int_equal(members_of(c, m), 7);
        for (int j = 0; j < 3; j++) {
            hub_leave(&m[orders[i][j]]);
            expected &= ~(1u << orders[i][j]);
            assert_int_equal(members_of(c, m), expected);
            assert_null(m[orders[i][j]].channel);
        }
        assert_ptr_equal(hub_find(&h, HUB_USER, STR_LIT("u")), c);
        hub_drop(&h, c);
        hub_dispose(&h);
    }
}

static void who_left_may_join_another_channel(void **state)
{
    struct hub h;
    struct hub_member m = {0};

    hub_init(&h);
    struct hub_channel *a = hub_get(&h, HUB_USER, STR_LIT("a")), *b = hub_get(&h, HUB_USER, STR_LIT("b"));
    hub_join(a, &m);
    hub_leave(&m);
    hub_join(b, &m);
    assert_int_equal(a->count, 0);
    assert_null(a->members);
    assert_int_equal(members_of(b, &m), 1);
    hub_leave(&m);
    hub_dispose(&h);
}

struct fan {
    struct hub *hub;
    size_t visits, members;
};

static void drop_empty(struct hub_channel *c, void *data)
{
    struct fan *fan = data;

    fan->visits++;
    fan->members += c->count;
    if (c->count == 0)
        hub_drop(fan->hub, c);
}

#define MEMBERS 60000
#define USERS 20000

static void tens_of_thousands_of_members_keep_their_channels(void **state)
{
    struct hub_member *m = calloc(MEMBERS, sizeof(*m));
    struct hub h;
    char id[16];

    hub_init(&h);
    for (int i = 0; i < MEMBERS; i++) {
        int n = snprintf(id, sizeof(id), "user%d", i % USERS);
        hub_join(hub_get(&h, HUB_USER, (struct str){id, (size_t)n}), &m[i]);
    }
    assert_int_equal(h.channels.count, USERS);
    for (int i = 0; i < MEMBERS; i++) {
        assert_int_equal(m[i].channel->count, 3);
        assert_ptr_equal(m[i].channel, m[i % USERS].channel);
    }
    /* every second user goes away */
    for (int i = 0; i < MEMBERS; i++) {
        if (i % 2 == 0)
            hub_leave(&m[i]);
    }
    struct fan fan = {&h, 0, 0};
    hub_each(&h, drop_empty, &fan);
    assert_int_equal(fan.visits, USERS);
    assert_int_equal(fan.members, MEMBERS / 2);
    assert_int_equal(h.channels.count, USERS / 2);
    assert_null(hub_find(&h, HUB_USER, STR_LIT("user0")));
    assert_ptr_equal(hub_find(&h, HUB_USER, STR_LIT("user1")), m[1].channel);
    for (int i = 1; i < MEMBERS; i += 2)
        hub_leave(&m[i]);
    hub_dispose(&h);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_is_made_once_and_found_again),
        cmocka_unit_test(a_user_and_a_connection_of_the_same_name_are_two),
        cmocka_unit_test(ids_are_any_bytes_up_to_the_limit),
        cmocka_unit_test(members_join_and_leave_in_any_order),
        cmocka_unit_test(who_left_may_join_another_channel),
        cmocka_unit_test(tens_of_thousands_of_members_keep_their_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
