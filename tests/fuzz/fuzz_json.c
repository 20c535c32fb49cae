/* Fuzzes the JSON check, and walks through all that passes it. */
#include <stdlib.h>

#include "core/json.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool inside(struct str part, struct str whole)
{
    return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void walk(struct arena *a, struct json_value v, unsigned depth);

static void walk_object(struct arena *a, struct str object, unsigned depth)
{
    struct json_member *m;
    size_t n = json_members(a, object, &m);
    for (size_t i = 0; i < n; ++i) {
        require(utf8_valid(m[i].name) && inside(m[i].whole, object) && inside(m[i].value.raw, m[i].whole));
        require(i == 0 || m[i].whole.p > m[i - 1].whole.p + m[i - 1].whole.n);
        for (size_t j = 0; depth <= 2 && j < i && i < 64; ++j)
            require(!str_eq(m[i].name, m[j].name));
        walk(a, m[i].value, depth + 1);
    }
}

static void walk(struct arena *a, struct json_value v, unsigned depth)
{
    struct json_value *items;
    require(v.raw.n > 0 && json_check_limits(v.raw, (struct json_limits){JSON_DEPTH_MAX, 0}) == NULL);
    if (v.kind == JSON_OBJECT) {
        require(depth <= JSON_DEPTH_MAX);
        walk_object(a, v.raw, depth);
    } else if (v.kind == JSON_ARRAY) {
        require(depth <= JSON_DEPTH_MAX);
        size_t n = json_items(a, v.raw, &items);
        require(n == json_count(v.raw));
        for (size_t i = 0; i < n; ++i)
            walk(a, items[i], depth + 1);
    } else if (v.kind == JSON_STRING) {
        require(utf8_valid(json_string(a, v)));
    } else if (v.kind == JSON_NUMBER) {
        double d = json_number(v);
        require(d == d);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct str text = {(const char *)data, size};
    if (json_check(text) == NULL)
        walk(&a, json_value(text), 1);
    arena_free(&a);
    return 0;
}
