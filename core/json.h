/* Strict JSON: yajl with what it lacks. RFC 8259 text in strict UTF-8, at most JSON_DEPTH_MAX deep, no lone surrogate
 * escape, no duplicate member in an object that is looked at, nothing after the value. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/str.h"

#define JSON_DEPTH_MAX 32

enum json_kind { JSON_ABSENT, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value in the text it came from. */
struct json_value {
    enum json_kind kind;
    struct str raw; /* its bytes as they stand, e.g. {"a":1.50} or "x\n" with quotes */
};

struct json_member {
    struct str name; /* decoded; in the arena */
    struct json_value value;
    struct str whole; /* `"name" : value` as it stands */
};

/* Memory for decoded strings and member lists: one free for all. Zero-initialise. What is taken from it while a text is
 * read is bounded by a multiple of the text's length, which the caller has limited. */
struct arena {
    struct arena_block *blocks;
};
/* Aligned for anything, not zeroed. */
void *arena_alloc(struct arena *a, size_t n);
struct str arena_copy(struct arena *a, struct str s);
void arena_free(struct arena *a);

/* Checks that the whole text is one strict JSON value. NULL, or what is wrong ("not JSON", "not UTF-8", "nested deeper
 * than 32", "lone surrogate escape", "duplicate member \"x\""): valid until the thread's next call. Duplicates are
 * looked for in the top two levels. */
const char *json_check(struct str text) MUST_CHECK;

/* The same with other limits: arrays and objects at most `depth` deep, duplicates looked for in the `unique_levels`
 * uppermost of them (at most JSON_UNIQUE_LEVELS_MAX). */
#define JSON_UNIQUE_LEVELS_MAX 4
struct json_limits {
    unsigned depth, unique_levels;
};
const char *json_check_limits(struct str text, struct json_limits limits) MUST_CHECK;

/* Members of an object / items of an array whose text passed json_check; arrays live in the arena. */
size_t json_members(struct arena *a, struct str object, struct json_member **out);
size_t json_items(struct arena *a, struct str array, struct json_value **out);
/* How many items an array has; takes no memory, so that a limit on their number can be checked first. */
size_t json_count(struct str array);
/* The one value of a text that passed json_check, without the white space around it. */
struct json_value json_value(struct str text);
/* The member of that name, or one of kind JSON_ABSENT. */
struct json_value json_get(const struct json_member *members, size_t n, const char *name);

/* Decodes a JSON_STRING value; without escapes the result points into the text. */
struct str json_string(struct arena *a, struct json_value v);
/* JSON_NUMBER as double (for range checks only: numbers are passed on as they were written). */
double json_number(struct json_value v);
/* The value of four hexadecimal digits, as they stand behind \u. */
unsigned json_hex4(const char *digits);

#endif
