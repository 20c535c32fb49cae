/* core/table.c: the table against a plain array, its growth in small steps, and its hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/table.h"

struct item {
    struct table_link link;
    unsigned id;
    bool inside;
    unsigned visits;
};

static struct item *item_of(const struct table_link *l)
{
    return (struct item *)((char *)(uintptr_t)l - offsetof(struct item, link));
}

static bool id_matches(const struct table_link *l, const void *key)
{
    return item_of(l)->id == *(const unsigned *)key;
}

static uint32_t hash_of(unsigned id)
{
    return table_hash(&id, sizeof(id));
}

static struct item *find(const struct table *t, unsigned id)
{
    struct table_link *l = table_find(t, hash_of(id), id_matches, &id);
    return l == NULL ? NULL : item_of(l);
}

static void an_empty_table_has_nothing(void **state)
{
    struct table t;
    struct item item = {.id = 1};

    table_init(&t);
    assert_null(find(&t, 1));
    table_remove(&t, &item.link);
    table_each(&t, NULL, NULL);
    assert_int_equal(t.count, 0);
    table_dispose(&t);
}

#define MANY 50000

/* The longest wait is what counts: the buckets that one call empties and the elements that it moves. */
static void no_insert_among_many_moves_more_than_a_few(void **state)
{
    struct item *items = calloc(MANY, sizeof(*items));
    struct table t;
    size_t growths = 0;

    table_init(&t);
    for (unsigned i = 0; i < MANY; i++) {
        struct table_link **old_before = t.old;
        size_t at_before = t.old_at, size_before = t.buckets == NULL ? 0 : t.mask + 1;

        items[i].id = i;
        table_add(&t, &items[i].link, hash_of(i));
        if (t.buckets != NULL && t.mask + 1 != size_before) {
            growths++;
            /* a doubling never waits for the one before it to end */
            assert_null(old_before);
            assert_true(t.mask + 1 == 2 * size_before || size_before == 0);
            at_before = 0;
        }
        if (t.old != NULL)
            assert_true(t.old_at - at_before <= 2);
        else if (old_before != NULL)
            assert_true(t.old_mask + 1 - at_before <= 2);
        assert_true(t.count <= t.mask + 1);
    }
    assert_int_equal(growths, 13); /* 16 to 65536 */
    for (unsigned i = 0; i < MANY; i++)
        assert_ptr_equal(find(&t, i), &items[i]);
    assert_null(find(&t, MANY));
    for (unsigned i = 0; i < MANY; i++)
        table_remove(&t, &items[i].link);
    assert_int_equal(t.count, 0);
    table_dispose(&t);
    free(items);
}

static void count_visit(struct table_link *l, void *data)
{
    item_of(l)->visits++;
    ++*(size_t *)data;
}

#define STEPS 20000
#define IDS 600

static void random_steps_agree_with_an_array(void **state)
{
    static struct item items[IDS];
    struct table t;

    for (unsigned seed = 1; seed <= 3; seed++) {
        size_t count = 0;
        table_init(&t);
        memset(items, 0, sizeof(items));
        srand(seed);
        for (int step = 0; step < STEPS; step++) {
            unsigned id = (unsigned)rand() % IDS;
            struct item *item = &items[id];
            item->id = id;
            if (find(&t, id) != (item->inside ? item : NULL))
                fail_msg("seed %u step %d: id %u is wrong", seed, step, id);
            if (item->inside)
                table_remove(&t, &item->link);
            else
                table_add(&t, &item->link, hash_of(id));
            item->inside = !item->inside;
            count += item->inside ? 1 : (size_t)-1;
            assert_int_equal(t.count, count);
        }
        size_t visits = 0;
        table_each(&t, count_visit, &visits);
        assert_int_equal(visits, count);
        for (unsigned i = 0; i < IDS; i++)
            assert_int_equal(items[i].visits, items[i].inside);
        table_dispose(&t);
    }
}

static void elements_of_one_hash_are_told_apart(void **state)
{
    struct item items[20];
    struct table t;

    table_init(&t);
    for (unsigned i = 0; i < 20; i++) {
        items[i] = (struct item){.id = i};
        table_add(&t, &items[i].link, 77);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_ptr_equal(table_find(&t, 77, id_matches, &i), &items[i].link);
        assert_null(table_find(&t, 78, id_matches, &i));
    }
    table_remove(&t, &items[7].link);
    table_remove(&t, &items[7].link);
    assert_int_equal(t.count, 19);
    unsigned gone = 7;
    assert_null(table_find(&t, 77, id_matches, &gone));
    table_dispose(&t);
}

struct removal {
    struct table *t;
    size_t visits;
};

static void remove_and_free_odd(struct table_link *l, void *data)
{
    struct removal *r = data;

    r->visits++;
    if (item_of(l)->id % 2 == 1) {
        table_remove(r->t, l);
        free(item_of(l));
    }
}

static void remove_and_free(struct table_link *l, void *data)
{
    struct removal *r = data;

    r->visits++;
    table_remove(r->t, l);
    free(item_of(l));
}

static void a_visit_may_remove_its_element_while_the_table_grows(void **state)
{
    struct table t;
    struct removal r = {&t, 0};

    table_init(&t);
    for (unsigned i = 0; i < 1026; i++) {
        struct item *item = calloc(1, sizeof(*item));
        item->id = i;
        table_add(&t, &item->link, hash_of(i));
    }
    assert_non_null(t.old);
    table_each(&t, remove_and_free_odd, &r);
    assert_int_equal(r.visits, 1026);
    assert_int_equal(t.count, 513);
    for (unsigned i = 0; i < 1026; i++)
        assert_int_equal(find(&t, i) != NULL, i % 2 == 0);
    table_each(&t, remove_and_free, &r);
    assert_int_equal(r.visits, 1026 + 513);
    assert_int_equal(t.count, 0);
    table_dispose(&t);
}

/* The expected values are CPython's: hash(bytes(range(n))) with PYTHONHASHSEED=0, whose key is zero. */
static void the_hash_is_siphash13(void **state)
{
    static const struct {
        size_t n;
        uint64_t expected;
    } cases[] = {
        {1, 0x68a914128e01e473},  {3, 0x4d4c9a4a8ef6e0ad},   {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
        {9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea},  {16, 0x8972188433a5c5b7}, {63, 0x385d3e39e5f37359},
        {64, 0x75e05fd5bbc870c6}, {200, 0x7176378efd9e8a23},
    };
    const uint64_t zero[2] = {0, 0}, other[2] = {0, 1};
    unsigned char bytes[200];

    for (int i = 0; i < 200; i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(table_siphash13(zero, bytes, cases[i].n) == cases[i].expected);
        assert_true(table_siphash13(other, bytes, cases[i].n) != cases[i].expected);
    }
}

static void the_hash_is_stable_and_of_this_process(void **state)
{
    const uint64_t zero[2] = {0, 0};

    assert_int_equal(table_hash("abc", 3), table_hash("abc", 3));
    assert_int_not_equal(table_hash("abc", 3), table_hash("abd", 3));
    assert_int_not_equal(table_hash("a", 1), table_hash("a\0", 2));
    /* once in 2^64 runs this fails by chance */
    assert_false(table_hash("abc", 3) == (uint32_t)table_siphash13(zero, "abc", 3) &&
                 table_hash("abd", 3) == (uint32_t)table_siphash13(zero, "abd", 3));
    table_hash(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(no_insert_among_many_moves_more_than_a_few),
        cmocka_unit_test(random_steps_agree_with_an_array),
        cmocka_unit_test(elements_of_one_hash_are_told_apart),
        cmocka_unit_test(a_visit_may_remove_its_element_while_the_table_grows),
        cmocka_unit_test(the_hash_is_siphash13),
        cmocka_unit_test(the_hash_is_stable_and_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
