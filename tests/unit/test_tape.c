/* core/tape.c: against a plain array of all frames there ever were, and its edges one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/tape.h"

#define MAX_BYTES (64 * 1024)

static struct position id_of(uint64_t seq)
{
    return (struct position){.epoch = 1, .seq = seq};
}

static int append(struct tape *t, uint64_t seq, size_t n, char fill)
{
    char *bytes = mem_alloc(n);
    memset(bytes, fill, n);
    int result = tape_append(t, id_of(seq), (struct str){bytes, n / 3}, (struct str){bytes + n / 3, n - n / 3});
    free(bytes);
    return result;
}

/* The model: every byte ever appended, and every frame. */
struct model {
    struct buf bytes; /* at absolute offsets; a cleared tape leaves one byte unused */
    struct tape_frame *frames;
    size_t n, first_kept;
    size_t max_bytes;
};

static uint64_t model_end(const struct model *m, size_t i)
{
    return i + 1 < m->n ? m->frames[i + 1].offset : m->bytes.n;
}

static uint64_t model_tail(const struct model *m)
{
    return m->first_kept < m->n ? m->frames[m->first_kept].offset : m->bytes.n;
}

static void model_append(struct model *m, struct position id, struct str header, struct str payload)
{
    m->frames = mem_realloc(m->frames, (m->n + 1) * sizeof(*m->frames));
    m->frames[m->n++] = (struct tape_frame){.id = id, .offset = m->bytes.n};
    buf_append(&m->bytes, header);
    buf_append(&m->bytes, payload);
    while (m->bytes.n - model_tail(m) > m->max_bytes)
        m->first_kept++;
}

static void model_clear(struct model *m)
{
    buf_append_char(&m->bytes, '!');
    m->first_kept = m->n;
}

static bool bytes_agree(const struct tape *t, const struct model *m, uint64_t from, uint64_t to)
{
    struct str pieces[2];
    int n = tape_pieces(t, from, to, pieces);
    size_t done = 0;

    for (int i = 0; i < n; i++) {
        if (pieces[i].n == 0 || memcmp(pieces[i].p, m->bytes.p + from + done, pieces[i].n) != 0)
            return false;
        done += pieces[i].n;
    }
    return done == to - from && (n == 2 || pieces[1].n == 0);
}

static uint64_t random_below(uint64_t n)
{
    return (((uint64_t)rand() << 31) ^ (uint64_t)rand()) % n;
}

/* Everything a cursor at `offset` may ask. */
static bool place_agrees(const struct tape *t, const struct model *m, uint64_t offset)
{
    size_t i = m->first_kept;
    struct tape_frame got;

    while (i < m->n && m->frames[i].offset < offset)
        i++;
    uint64_t boundary = i < m->n ? m->frames[i].offset : m->bytes.n;
    if (tape_boundary(t, offset) != boundary)
        return false;
    bool before = i > m->first_kept;
    if (tape_frame_before(t, boundary, &got) != before)
        return false;
    if (before && (got.offset != m->frames[i - 1].offset || position_cmp(got.id, m->frames[i - 1].id) != 0))
        return false;
    if (offset < m->bytes.n) {
        size_t holder = boundary == offset ? i : i - 1;
        got = tape_frame_at(t, offset);
        if (got.offset != m->frames[holder].offset || model_end(m, holder) <= offset)
            return false;
    }
    return true;
}

static bool seek_agrees(const struct tape *t, const struct model *m, struct position p)
{
    size_t i = m->first_kept;

    while (i < m->n && position_cmp(m->frames[i].id, p) <= 0)
        i++;
    return tape_seek(t, p) == (i < m->n ? m->frames[i].offset : m->bytes.n);
}

static size_t random_size(size_t max_bytes)
{
    switch (rand() % 20) {
    case 0:
        return 1 + random_below(max_bytes / 2);
    case 1:
        return 1;
    case 2:
        return max_bytes / 2;
    default:
        return 1 + random_below(2000);
    }
}

static void step_append(struct tape *t, struct model *m, struct position *id)
{
    static char noise[128 * 1024];
    size_t n = random_size(m->max_bytes), header = random_below(n + 1), at = random_below(sizeof(noise) - n);

    for (int i = 0; i < 64; i++)
        noise[random_below(sizeof(noise))] = (char)rand();
    if (rand() % 5 == 0)
        id->n++;
    else
        *id = (struct position){id->epoch + (rand() % 100 == 0), id->seq + 1 + random_below(4), 0};
    uint64_t tail = tape_tail_after(t, n);
    model_append(m, *id, (struct str){noise + at, header}, (struct str){noise + at + header, n - header});
    assert_int_equal(
        tape_append(t, *id, (struct str){noise + at, header}, (struct str){noise + at + header, n - header}), 0);
    assert_true(t->tail == tail);
}

static bool step_agrees(const struct tape *t, const struct model *m, struct position last)
{
    uint64_t tail = model_tail(m), length = m->bytes.n - tail;
    uint64_t from = tail + random_below(length + 1), to = from + random_below(m->bytes.n - from + 1);
    struct position p = {last.epoch, last.seq - random_below(last.seq < 200 ? last.seq + 1 : 200), random_below(3)};

    return t->head == m->bytes.n && t->tail == tail && t->index_count == m->n - m->first_kept &&
           t->cap <= m->max_bytes && bytes_agree(t, m, from, to) && place_agrees(t, m, from) &&
           place_agrees(t, m, to) && place_agrees(t, m, tail) && place_agrees(t, m, t->head) && seek_agrees(t, m, p) &&
           seek_agrees(t, m, last);
}

#define STEPS 4000

static void walk(unsigned seed, size_t max_bytes)
{
    struct model m = {.max_bytes = max_bytes};
    struct position id = {1, 1, 0};
    struct tape t;

    srand(seed);
    tape_init(&t, max_bytes);
    for (int step = 0; step < STEPS; step++) {
        if (rand() % 1000 == 0) {
            tape_restart(&t, (struct position){0});
            model_clear(&m);
        } else {
            step_append(&t, &m, &id);
        }
        if (!step_agrees(&t, &m, id))
            fail_msg("seed %u, at most %zu bytes: step %d differs", seed, max_bytes, step);
        if (step % 500 == 499 && !bytes_agree(&t, &m, t.tail, t.head))
            fail_msg("seed %u, at most %zu bytes: the whole differs at step %d", seed, max_bytes, step);
    }
    tape_dispose(&t);
    buf_free(&m.bytes);
    free(m.frames);
}

static void random_frames_agree_with_an_array(void **state)
{
    for (unsigned seed = 1; seed <= 3; seed++)
        walk(seed, MAX_BYTES);
    walk(4, 2 * MAX_BYTES);
}

static void a_new_tape_is_small_and_empty(void **state)
{
    struct tape t;
    struct tape_frame f;
    struct str pieces[2];

    tape_init(&t, 16 * 1024 * 1024);
    assert_true(t.cap <= 64 * 1024);
    assert_int_equal(t.max_bytes, 16 * 1024 * 1024);
    assert_int_equal(t.head, t.tail);
    assert_int_equal(tape_pieces(&t, t.tail, t.head, pieces), 0);
    assert_int_equal(tape_boundary(&t, t.head), t.head);
    assert_false(tape_frame_before(&t, t.head, &f));
    assert_int_equal(tape_seek(&t, id_of(0)), t.head);
    tape_dispose(&t);
}

static void the_most_is_a_power_of_two_of_at_least_64_kb(void **state)
{
    static const size_t cases[][2] = {
        {0, 65536},      {1, 65536},       {65536, 65536},        {65537, 65536},
        {131071, 65536}, {131072, 131072}, {100000000, 67108864}, {SIZE_MAX, (size_t)1 << 63}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tape t;
        tape_init(&t, cases[i][0]);
        assert_true(t.max_bytes == cases[i][1]);
        tape_dispose(&t);
    }
}

static void memory_doubles_only_on_demand_and_nothing_is_lost_before_the_most(void **state)
{
    struct tape t;
    size_t doublings = 0;

    tape_init(&t, 1024 * 1024);
    for (uint64_t seq = 1; seq <= 1024; seq++) {
        size_t cap = t.cap;
        assert_int_equal(append(&t, seq, 1024, (char)seq), 0);
        assert_int_equal(t.tail, 0);
        assert_true(t.cap < 2 * t.head || t.cap == cap);
        doublings += t.cap != cap;
    }
    assert_int_equal(t.cap, 1024 * 1024);
    assert_int_equal(doublings, 6); /* 16K to 1M */
    assert_int_equal(append(&t, 1025, 1, 'x'), 0);
    assert_int_equal(t.tail, 1024);
    assert_int_equal(t.cap, 1024 * 1024);
    tape_dispose(&t);
}

static void what_cannot_be_appended_changes_nothing(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    assert_int_equal(append(&t, 5, 100, 'a'), 0);
    assert_int_equal(tape_tail_after(&t, MAX_BYTES / 2 + 1), 0);
    assert_int_equal(append(&t, 6, MAX_BYTES / 2 + 1, 'b'), -1);
    assert_int_equal(append(&t, 6, 0, 'b'), -1);
    assert_int_equal(append(&t, 5, 10, 'b'), -1);
    assert_int_equal(append(&t, 4, 10, 'b'), -1);
    assert_int_equal(t.head, 100);
    assert_int_equal(t.index_count, 1);
    assert_int_equal(append(&t, 6, MAX_BYTES / 2, 'b'), 0);
    tape_dispose(&t);
}

static void a_cursor_knows_beforehand_that_it_will_be_overtaken(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    for (uint64_t seq = 1; seq <= 64; seq++)
        assert_int_equal(append(&t, seq, 1024, 'x'), 0);
    assert_int_equal(tape_tail_after(&t, 0), 0);
    assert_int_equal(tape_tail_after(&t, 1), 1024);
    assert_int_equal(tape_tail_after(&t, 1024), 1024);
    assert_int_equal(tape_tail_after(&t, 1025), 2048);
    assert_int_equal(append(&t, 65, 1025, 'y'), 0);
    assert_int_equal(t.tail, 2048);
    tape_dispose(&t);
}

/* Only then does it grow while it is wrapped. */
static void a_tape_that_grows_after_it_was_cleared_keeps_its_bytes(void **state)
{
    struct model m = {.max_bytes = 1024 * 1024};
    struct tape t;
    char bytes[999];

    tape_init(&t, m.max_bytes);
    for (uint64_t seq = 1; seq <= 900; seq++) {
        if (seq == 10 || seq == 11 || seq == 50) {
            tape_restart(&t, (struct position){0});
            model_clear(&m);
        }
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(seq * 31 + i * 7);
        struct str header = {bytes, 10}, payload = {bytes + 10, sizeof(bytes) - 10};
        model_append(&m, id_of(seq), header, payload);
        assert_int_equal(tape_append(&t, id_of(seq), header, payload), 0);
        assert_true(bytes_agree(&t, &m, t.tail, t.head));
    }
    assert_int_equal(t.cap, m.max_bytes);
    tape_dispose(&t);
    buf_free(&m.bytes);
    free(m.frames);
}

static void a_cleared_tape_has_overtaken_every_cursor(void **state)
{
    struct tape t;
    struct tape_frame f;

    tape_init(&t, MAX_BYTES);
    assert_int_equal(append(&t, 50, 100, 'x'), 0);
    uint64_t at_head = t.head;
    tape_restart(&t, (struct position){0});
    assert_true(at_head < t.tail);
    assert_int_equal(t.head, t.tail);
    assert_false(tape_frame_before(&t, t.head, &f));
    assert_int_equal(append(&t, 3, 10, 'y'), 0);
    assert_int_equal(tape_seek(&t, id_of(2)), t.tail);
    assert_int_equal(tape_seek(&t, id_of(3)), t.head);
    tape_dispose(&t);
}

static void it_ends_where_its_last_frame_or_what_it_lost_says(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    assert_int_equal(position_cmp(tape_end(&t), (struct position){0}), 0);
    assert_int_equal(append(&t, 7, 10, 'x'), 0);
    assert_int_equal(position_cmp(tape_end(&t), id_of(7)), 0);
    tape_restart(&t, id_of(5));
    assert_int_equal(position_cmp(tape_end(&t), id_of(5)), 0);
    assert_false(tape_reaches(&t, id_of(4)));
    assert_true(tape_reaches(&t, id_of(5)));
    assert_int_equal(append(&t, 5, 10, 'x'), -1);
    assert_int_equal(append(&t, 6, 10, 'x'), 0);
    assert_int_equal(position_cmp(tape_end(&t), id_of(6)), 0);
    tape_dispose(&t);
}

/* Epoch 1 ended at `end`. */
static size_t cut(struct tape *t, uint64_t end)
{
    struct history_end ends[] = {{1, end}};
    struct history h = {.head = {2, end, 0}, .ends = ends, .n = 1};

    return tape_cut(t, &h);
}

static void frames_past_the_end_of_a_lost_history_are_cut_off(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    for (uint64_t seq = 11; seq <= 20; seq++)
        assert_int_equal(append(&t, seq, 100, 'a'), 0);
    uint64_t tail = t.tail;
    assert_int_equal(cut(&t, 25), 0);
    assert_int_equal(cut(&t, 20), 0);
    assert_int_equal(cut(&t, 19), 1);
    assert_int_equal(position_cmp(tape_stretch(&t, tail + 500, tail + 503).last, id_of(16)), 0);
    assert_int_equal(cut(&t, 15), 4);
    assert_int_equal(t.head - tail, 500);
    assert_true(t.tail == tail);
    assert_int_equal(position_cmp(tape_end(&t), id_of(15)), 0);
    assert_int_equal(tape_seek(&t, id_of(15)), t.head);
    /* What comes now takes their place. */
    struct position next = {2, 16, 0};
    assert_int_equal(tape_append(&t, next, STR_LIT("b"), STR_LIT("cd")), 0);
    assert_int_equal(t.head - tail, 503);
    assert_int_equal(position_cmp(tape_frame_at(&t, t.head - 3).id, next), 0);
    assert_int_equal(position_cmp(tape_frame_at(&t, t.head - 4).id, id_of(15)), 0);
    assert_int_equal(position_cmp(tape_stretch(&t, tail + 500, tail + 503).last, next), 0);
    tape_dispose(&t);
}

static void a_stretch_tells_what_begins_and_what_ends_there(void **state)
{
    struct tape t;
    struct tape_stretch s;

    tape_init(&t, MAX_BYTES);
    for (uint64_t seq = 1; seq <= 5; seq++)
        assert_int_equal(append(&t, seq, 100, 'a'), 0);
    for (uint64_t from = t.tail; from < t.head; from += 25) {
        for (uint64_t to = from + 25; to <= t.head; to += 25) {
            s = tape_stretch(&t, from, to);
            assert_int_equal(s.n, (to - t.tail + 99) / 100 - (from - t.tail + 99) / 100);
            assert_int_equal(s.last.seq, (to - t.tail + 99) / 100);
        }
    }
    /* The head moves on, and so does what is asked. */
    uint64_t from = t.head;
    assert_int_equal(append(&t, 6, 100, 'a'), 0);
    assert_int_equal(tape_stretch(&t, from, t.head).n, 1);
    assert_int_equal(append(&t, 7, 100, 'a'), 0);
    assert_int_equal(tape_stretch(&t, from, t.head).n, 2);
    assert_int_equal(tape_stretch(&t, from, t.head).last.seq, 7);
    tape_dispose(&t);
}

static void a_foreign_frame_lives_as_long_as_its_seq(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    assert_int_equal(append(&t, 11, 100, 'a'), 0);
    assert_int_equal(tape_append(&t, (struct position){1, 11, 1}, STR_LIT(""), STR_LIT("f")), 0);
    assert_int_equal(tape_append(&t, (struct position){1, 12, 1}, STR_LIT(""), STR_LIT("f")), 0);
    assert_int_equal(cut(&t, 11), 1);
    assert_int_equal(position_cmp(tape_end(&t), (struct position){1, 11, 1}), 0);
    tape_dispose(&t);
}

static void where_a_tape_begins_outlives_its_frames_unless_it_is_lost_too(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    tape_restart(&t, id_of(10));
    assert_int_equal(append(&t, 12, 100, 'a'), 0);
    assert_int_equal(append(&t, 13, 100, 'a'), 0);
    assert_int_equal(cut(&t, 10), 2);
    assert_int_equal(t.head, t.tail);
    assert_int_equal(position_cmp(tape_end(&t), id_of(10)), 0);
    assert_int_equal(append(&t, 12, 100, 'a'), 0);
    assert_int_equal(cut(&t, 9), 1);
    assert_int_equal(position_cmp(tape_end(&t), (struct position){0}), 0);
    assert_int_equal(t.index_count, 0);
    tape_dispose(&t);
}

static void what_a_tape_keeps_is_kept_whatever_became_of_its_beginning(void **state)
{
    struct tape t;

    tape_init(&t, MAX_BYTES);
    tape_restart(&t, (struct position){0, 5, 0}); /* of an epoch that is forgotten */
    assert_int_equal(append(&t, 12, 100, 'a'), 0);
    assert_int_equal(cut(&t, 12), 0);
    assert_int_equal(position_cmp(tape_end(&t), id_of(12)), 0);
    assert_false(tape_reaches(&t, (struct position){0, 4, 0}));
    tape_dispose(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_where_its_last_frame_or_what_it_lost_says),
        cmocka_unit_test(frames_past_the_end_of_a_lost_history_are_cut_off),
        cmocka_unit_test(a_stretch_tells_what_begins_and_what_ends_there),
        cmocka_unit_test(a_foreign_frame_lives_as_long_as_its_seq),
        cmocka_unit_test(where_a_tape_begins_outlives_its_frames_unless_it_is_lost_too),
        cmocka_unit_test(what_a_tape_keeps_is_kept_whatever_became_of_its_beginning),
        cmocka_unit_test(a_new_tape_is_small_and_empty),
        cmocka_unit_test(the_most_is_a_power_of_two_of_at_least_64_kb),
        cmocka_unit_test(memory_doubles_only_on_demand_and_nothing_is_lost_before_the_most),
        cmocka_unit_test(what_cannot_be_appended_changes_nothing),
        cmocka_unit_test(a_cursor_knows_beforehand_that_it_will_be_overtaken),
        cmocka_unit_test(a_cleared_tape_has_overtaken_every_cursor),
        cmocka_unit_test(a_tape_that_grows_after_it_was_cleared_keeps_its_bytes),
        cmocka_unit_test(random_frames_agree_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
