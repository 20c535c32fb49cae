/* Tests of server/file.c and server/keys.c: keys from variables and from files. */
#include "tests/unit/signing.h"

#include <unistd.h>
#include "server/file.h"
#include "server/keys.h"

#define API_LINE "billing:0123456789abcdef0123456789abcdef:events:read\n"

static char folder[] = "/tmp/belfry-keys-XXXXXX", path[64];

static int make_folder(void **state)
{
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void put(struct str text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

static void assert_error(struct buf *error, const char *expected)
{
    buf_append_char(error, '\0');
    if (strstr(error->p, expected) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", expected, error->p);
    buf_free(error);
}

static void a_file_is_read_whole_up_to_its_limit(void **state)
{
    struct buf text = {0}, error = {0};

    put(STR_LIT("12345678"));
    buf_lit(&text, "0");
    assert_int_equal(file_read(path, 8, &text, &error), 0);
    assert_true(str_eq(buf_str(&text), STR_LIT("012345678")));
    file_forget(&text);
    assert_null(text.p);
    assert_int_equal(file_read(path, 7, &text, &error), -1);
    assert_error(&error, "/file: longer than 7 bytes");
    file_forget(&text);
}

static void what_cannot_be_read_is_named(void **state)
{
    struct buf text = {0}, error = {0};

    assert_int_equal(file_read("/nonexistent", 8, &text, &error), -1);
    assert_error(&error, "/nonexistent: No such file or directory");
    assert_int_equal(file_read(folder, 8, &text, &error), -1);
    assert_error(&error, ": Is a directory");
    file_forget(&text);
}

static void a_keyring_comes_from_the_variable_or_from_the_file(void **state)
{
    struct config variable = {.secret_key = (char *)SECRET_A}, file = {.secret_key_file = path};
    struct buf error = {0};
    struct keyring *k;
    const char *kid;
    struct str secret;

    buf_lit(&error, "before");
    assert_non_null(k = keys_load_keyring(&variable, &error));
    keyring_unref(k);
    put(STR_LIT("new:" SECRET_B "\n"));
    assert_non_null(k = keys_load_keyring(&file, &error));
    assert_true(keyring_first_secret(k, &secret, &kid));
    assert_string_equal(kid, "new");
    keyring_unref(k);
    assert_true(str_eq(buf_str(&error), STR_LIT("before")));
    buf_free(&error);
}

static void a_bad_keyring_is_blamed_on_its_variable(void **state)
{
    struct config variable = {.secret_key = (char *)"sesame"}, file = {.secret_key_file = path},
                  absent = {.secret_key_file = (char *)"/nonexistent"};
    struct buf error = {0};

    assert_null(keys_load_keyring(&variable, &error));
    assert_error(&error, "SECRET_KEY: HS256 needs at least 32 bytes");
    put(STR_LIT("\nsesame\n"));
    assert_null(keys_load_keyring(&file, &error));
    assert_error(&error, "SECRET_KEY_FILE: line 2: HS256 needs at least 32 bytes");
    assert_null(keys_load_keyring(&absent, &error));
    assert_error(&error, "SECRET_KEY_FILE: /nonexistent: No such file");
}

static void api_keys_are_there_only_if_configured(void **state)
{
    struct config none = {0}, file = {.api_keys_file = path};
    struct api_keys *k = NULL;
    struct buf error = {0};

    assert_int_equal(keys_load_api_keys(&none, &k, &error), 0);
    assert_null(k);
    put(STR_LIT(API_LINE));
    assert_int_equal(keys_load_api_keys(&file, &k, &error), 0);
    assert_non_null(k);
    api_keys_unref(k);
    put(STR_LIT("junk"));
    assert_int_equal(keys_load_api_keys(&file, &k, &error), -1);
    assert_null(k);
    assert_error(&error, "API_KEYS_FILE: line 1: the line is name:secret:scope");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_up_to_its_limit),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_keyring_comes_from_the_variable_or_from_the_file),
        cmocka_unit_test(a_bad_keyring_is_blamed_on_its_variable),
        cmocka_unit_test(api_keys_are_there_only_if_configured),
    };

    return cmocka_run_group_tests_name("keys", tests, make_folder, remove_folder);
}
