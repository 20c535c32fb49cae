/* pubsub/link.c: how long a lost connection waits before it tries again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pubsub/link.h"

static void the_delay_doubles_from_50_ms_up_to_2_s(void **state)
{
    static const uint64_t least[] = {0, 37, 75, 150, 300, 600, 1200, 1500, 1500, 1500};
    for (unsigned n = 1; n < sizeof(least) / sizeof(least[0]); ++n)
        assert_in_range(link_backoff_ms(n, 0), least[n], least[n] + 1);
}

static void jitter_is_a_quarter_to_either_side(void **state)
{
    static const uint64_t middle[] = {0, 50, 100, 200, 400, 800, 1600, 2000, 2000};
    for (unsigned n = 1; n < sizeof(middle) / sizeof(middle[0]); ++n) {
        for (uint32_t r = 0; r < 1 << 16; r += 257)
            assert_in_range(link_backoff_ms(n, r), middle[n] * 3 / 4, middle[n] * 5 / 4);
        assert_true(link_backoff_ms(n, 0) < middle[n]);
        assert_true(link_backoff_ms(n, 0xffff) > middle[n]);
    }
}

static void the_upper_half_of_the_random_number_does_not_matter(void **state)
{
    assert_int_equal(link_backoff_ms(5, 0xffff1234), link_backoff_ms(5, 0x1234));
}

static void a_thousand_failures_do_not_overflow(void **state)
{
    for (unsigned n = 8; n < 1000; ++n)
        assert_in_range(link_backoff_ms(n, 0x8000), 1990, 2010);
    assert_in_range(link_backoff_ms(UINT32_MAX, UINT32_MAX), 1500, 2500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_delay_doubles_from_50_ms_up_to_2_s),
        cmocka_unit_test(jitter_is_a_quarter_to_either_side),
        cmocka_unit_test(the_upper_half_of_the_random_number_does_not_matter),
        cmocka_unit_test(a_thousand_failures_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
