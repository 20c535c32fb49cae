/* core/config_doc.c: what `belfry check`, `--help` and the documentation show of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/config_table.h"
#include "tests/unit/config_fixture.h"

static void assert_printed(const struct buf *b, const char *text)
{
    if (!has_text(b, text))
        fail_msg("\"%s\" is not in:\n%.*s", text, (int)b->n, b->p);
}

static void every_variable_is_printed_with_its_value_and_source(void **state)
{
    struct fixture f;
    struct buf out = {0};

    load_good(&f, SECRET, "BELFRY_PING_INTERVAL=10", "TRUSTED_PROXIES=10.0.0.0/8,2001:db8::/32,unix",
              "PROXY_PROTOCOL=v1", "ALLOWED_ORIGINS=a, b", "MAX_CONNECTIONS_PER_USER=off", "API_LISTEN=unix:/a", NULL);
    config_print(&f.c, &f.env, &out);
    assert_int_equal(count_lines(&out), config_table_len);
    assert_printed(&out, "LISTEN=[::]:8000  # default: address of /ws");
    assert_printed(&out, "\nAPI_LISTEN=unix:/a  # from API_LISTEN: ");
    assert_printed(&out, "\nPING_INTERVAL=10s  # from BELFRY_PING_INTERVAL: heartbeat\n");
    assert_printed(&out, "\nTRUSTED_PROXIES=10.0.0.0/8,2001:db8::/32,unix  # ");
    assert_printed(&out, "\nPROXY_PROTOCOL=v1  # ");
    assert_printed(&out, "\nALLOWED_ORIGINS=a,b  # ");
    assert_printed(&out, "\nMAX_CONNECTIONS_PER_USER=0  # ");
    assert_printed(&out, "\nCLIENT_RATE=20/s burst 40  # ");
    assert_printed(&out, "\nWORKERS=2  # ");
    assert_printed(&out, "\nDATA_DIR=  # ");
    buf_free(&out);
    dispose(&f);
}

static void secrets_are_printed_masked(void **state)
{
    struct fixture f;
    struct buf out = {0};

    load_good(&f, SECRET, "REDIS_URL=redis://user:hunter2@redis", NULL);
    config_print(&f.c, &f.env, &out);
    assert_printed(&out, "\nSECRET_KEY=***  # ");
    assert_printed(&out, "\nREDIS_URL=redis://user:***@redis:6379/0  # ");
    assert_false(has_text(&out, "0123456789abcdef"));
    assert_false(has_text(&out, "hunter2"));
    buf_free(&out);
    dispose(&f);
}

static void what_is_printed_loads_to_the_same_configuration(void **state)
{
    struct fixture f, again = {0};
    struct buf first = {0}, second = {0};
    size_t n = 0;

    load_good(&f, SECRET, "REDIS_URL=unix:///run/r.sock?db=1", "REDIS_PREFIX=x:", "TRUSTED_PROXIES=127.0.0.1,::1",
              NULL);
    config_print(&f.c, &f.env, &first);
    for (struct str rest = buf_str(&first); rest.n > 0;) {
        struct str line = str_split(&rest, '\n');
        line.n = (size_t)((const char *)memmem(line.p, line.n, "  # ", 4) - line.p);
        again.entries[n++] = str_dup(line);
    }
    again.env = surroundings;
    again.env.environ = again.entries;
    assert_int_equal(config_load(&again.c, &again.env, &again.report), 0);
    config_print(&again.c, &f.env, &second);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
    buf_free(&first);
    buf_free(&second);
    dispose(&f);
    dispose(&again);
}

static void the_help_has_every_variable_within_80_columns(void **state)
{
    struct buf out = {0};

    config_help(&out);
    for (size_t i = 0; i < config_table_len; ++i)
        assert_printed(&out, config_table[i].name);
    assert_printed(&out, "  PING_INTERVAL (30s)\n      heartbeat; 100ms to 1h\n");
    for (struct str rest = buf_str(&out); rest.n > 0;)
        assert_true(str_split(&rest, '\n').n <= 80);
    assert_false(has_text(&out, "`"));
    buf_free(&out);
}

static void the_markdown_has_one_row_of_three_cells_a_variable(void **state)
{
    struct buf out = {0};

    config_markdown(&out);
    assert_int_equal(count_lines(&out), config_table_len + 2);
    for (struct str rest = buf_str(&out); rest.n > 0;) {
        struct str line = str_split(&rest, '\n');
        size_t cells = 0;
        for (size_t i = 0; i < line.n; ++i)
            cells += line.p[i] == '|' && (i == 0 || line.p[i - 1] != '\\');
        assert_int_equal(cells, 4);
    }
    assert_printed(&out, "| `LOG_LEVEL` | `info` | to stderr; `debug`, `info`, `warn`, `error` |\n");
    assert_printed(&out, "| `BASE_PATH` | – | ");
    buf_free(&out);
}

static void names_in_the_table_are_unique_and_defaults_load(void **state)
{
    for (size_t i = 0; i < config_table_len; ++i)
        assert_ptr_equal(config_variable_find(str_of(config_table[i].name)), &config_table[i]);
    assert_null(config_variable_find(STR_LIT("NONE")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variable_is_printed_with_its_value_and_source),
        cmocka_unit_test(secrets_are_printed_masked),
        cmocka_unit_test(what_is_printed_loads_to_the_same_configuration),
        cmocka_unit_test(the_help_has_every_variable_within_80_columns),
        cmocka_unit_test(the_markdown_has_one_row_of_three_cells_a_variable),
        cmocka_unit_test(names_in_the_table_are_unique_and_defaults_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
