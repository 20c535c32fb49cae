/* Tests of core/credentials.c: how workers see keys change. */
#include "tests/unit/signing.h"

#include <pthread.h>
#include "core/credentials.h"

#define KEY_LINE "billing:0123456789abcdef0123456789abcdef:events:read"

static struct keyring *keyring(void)
{
    struct buf error = {0};
    struct keyring *k = keyring_parse(JWT_HS256, STR_LIT(SECRET_A), false, &error);

    assert_non_null(k);
    return k;
}

static struct api_keys *api_keys(void)
{
    struct buf error = {0};
    struct api_keys *k = api_keys_parse(STR_LIT(KEY_LINE), &error);

    assert_non_null(k);
    return k;
}

static void a_new_view_sees_what_is_there(void **state)
{
    struct keyring *k = keyring();
    struct credentials *c = credentials_create(k, NULL);
    struct credentials_view view = {0};

    credentials_refresh(c, &view);
    assert_ptr_equal(view.keyring, k);
    assert_null(view.api_keys);
    credentials_view_release(&view);
    assert_null(view.keyring);
    credentials_destroy(c);
}

static void a_view_sees_a_change_only_when_it_is_refreshed(void **state)
{
    struct keyring *old = keyring(), *new = keyring();
    struct api_keys *services = api_keys();
    struct credentials *c = credentials_create(old, NULL);
    struct credentials_view view = {0};

    credentials_refresh(c, &view);
    credentials_publish_keyring(c, new);
    assert_ptr_equal(view.keyring, old);
    assert_int_equal(keyring_verify(view.keyring, JWT_HS256, STR_NONE, STR_LIT("x"), STR_LIT("y")),
                     KEYRING_BAD_SIGNATURE);
    credentials_refresh(c, &view);
    assert_ptr_equal(view.keyring, new);
    credentials_publish_api_keys(c, services);
    assert_null(view.api_keys);
    credentials_refresh(c, &view);
    assert_ptr_equal(view.keyring, new);
    assert_ptr_equal(view.api_keys, services);
    credentials_view_release(&view);
    credentials_destroy(c);
}

static void nothing_new_leaves_the_view_alone(void **state)
{
    struct credentials *c = credentials_create(keyring(), api_keys());
    struct credentials_view view = {0}, before;

    credentials_refresh(c, &view);
    before = view;
    credentials_refresh(c, &view);
    assert_memory_equal(&view, &before, sizeof(view));
    credentials_view_release(&view);
    credentials_destroy(c);
}

static void a_view_outlives_the_credentials(void **state)
{
    struct credentials *c = credentials_create(keyring(), api_keys());
    struct credentials_view view = {0};
    struct api_key found;

    credentials_refresh(c, &view);
    credentials_destroy(c);
    assert_true(api_keys_find(view.api_keys, STR_LIT("0123456789abcdef0123456789abcdef"), &found));
    credentials_view_release(&view);
}

struct reader {
    struct credentials *credentials;
    unsigned wrong; /* read after the join: cmocka cannot fail on another thread */
};

static void *read_many_times(void *arg)
{
    struct reader *r = arg;
    struct credentials_view view = {0};

    for (int i = 0; i < 2000; i++) {
        credentials_refresh(r->credentials, &view);
        if (keyring_verify(view.keyring, JWT_HS256, STR_NONE, STR_LIT("x"), STR_LIT("y")) != KEYRING_BAD_SIGNATURE)
            r->wrong++;
    }
    credentials_view_release(&view);
    return NULL;
}

static void threads_read_while_another_publishes(void **state)
{
    struct credentials *c = credentials_create(keyring(), NULL);
    struct reader readers[2] = {{c, 0}, {c, 0}};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_many_times, &readers[i]), 0);
    for (int i = 0; i < 500; i++) {
        credentials_publish_keyring(c, keyring());
        credentials_publish_api_keys(c, api_keys());
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
    credentials_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_view_sees_what_is_there),
        cmocka_unit_test(a_view_sees_a_change_only_when_it_is_refreshed),
        cmocka_unit_test(nothing_new_leaves_the_view_alone),
        cmocka_unit_test(a_view_outlives_the_credentials),
        cmocka_unit_test(threads_read_while_another_publishes),
    };

    return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
