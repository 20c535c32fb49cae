/* Tests of core/scope.c. */
#include "tests/unit/signing.h"

#include "core/token.h"

static void each_scope_has_a_word_and_a_bit(void **state)
{
    for (unsigned bit = 1; bit <= SCOPE_CONNECTIONS_WRITE; bit <<= 1)
        assert_int_equal(scope_from_word(str_of(scope_name((enum scope)bit))), bit);
}

static void unknown_words_are_no_scope(void **state)
{
    assert_int_equal(scope_from_word(STR_LIT("events")), 0);
    assert_int_equal(scope_from_word(STR_LIT("events:publish ")), 0);
    assert_int_equal(scope_from_word(STR_LIT("EVENTS:PUBLISH")), 0);
    assert_int_equal(scope_from_word(STR_NONE), 0);
}

static void a_text_of_words_becomes_bits(void **state)
{
    assert_int_equal(scopes_from_text(STR_LIT("")), 0);
    assert_int_equal(scopes_from_text(STR_LIT("events:read")), SCOPE_EVENTS_READ);
    assert_int_equal(scopes_from_text(STR_LIT("  openid events:publish  connections:write ")),
                     SCOPE_EVENTS_PUBLISH | SCOPE_CONNECTIONS_WRITE);
    assert_int_equal(scopes_from_text(STR_LIT("events:publish,events:read")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scope_has_a_word_and_a_bit),
        cmocka_unit_test(unknown_words_are_no_scope),
        cmocka_unit_test(a_text_of_words_becomes_bits),
    };

    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
