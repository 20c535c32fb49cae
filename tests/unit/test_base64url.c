/* Tests of core/base64url.c. */
#include "tests/unit/signing.h"

#include "core/base64url.h"

static int decode(struct str in, char *out, size_t *n)
{
    return base64url_decode(in, out, n);
}

static void every_length_and_byte_comes_back(void **state)
{
    char bytes[300], back[BASE64URL_DECODED_MAX(400)];
    struct buf text = {0}, expected = {0};

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + 250);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        size_t back_n = 9999;
        text.n = expected.n = 0;
        base64url_encode(&text, (struct str){bytes, n});
        signing_base64url(&expected, bytes, n);
        assert_true(str_eq(buf_str(&text), buf_str(&expected)));
        assert_int_equal(decode(buf_str(&text), back, &back_n), 0);
        assert_int_equal(back_n, n);
        assert_memory_equal(back, bytes, n);
    }
    buf_free(&text);
    buf_free(&expected);
}

static void what_is_no_base64url_is_refused(void **state)
{
    static const struct str bad[] = {
        STR_LIT("A"),
        STR_LIT("AAAAA"),
        STR_LIT("AA=="),
        STR_LIT("AAA="),
        STR_LIT("AA+A"),
        STR_LIT("AA/A"),
        STR_LIT("AA A"),
        STR_LIT("AAA\n"),
        STR_LIT("AA\0A"),
        STR_LIT("AA.A"),
        STR_LIT("\xc3\xa9"
                "AA"),
    };
    char out[64];
    size_t n;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(decode(bad[i], out, &n), -1);
}

static void a_second_spelling_of_the_same_bytes_is_refused(void **state)
{
    char out[64];
    size_t n;

    assert_int_equal(decode(STR_LIT("AQ"), out, &n), 0);
    assert_int_equal(decode(STR_LIT("AR"), out, &n), -1);
    assert_int_equal(decode(STR_LIT("AAE"), out, &n), 0);
    assert_int_equal(decode(STR_LIT("AAF"), out, &n), -1);
    assert_int_equal(decode(STR_LIT("AAG"), out, &n), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_and_byte_comes_back),
        cmocka_unit_test(what_is_no_base64url_is_refused),
        cmocka_unit_test(a_second_spelling_of_the_same_bytes_is_refused),
    };

    return cmocka_run_group_tests_name("base64url", tests, NULL, NULL);
}
