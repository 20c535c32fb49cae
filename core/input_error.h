/* What is wrong with a body or a message: an HTTP status, the field at fault, a sentence. */
#ifndef CORE_INPUT_ERROR_H
#define CORE_INPUT_ERROR_H

#include "core/str.h"

struct input_error {
    int status;      /* 400 not JSON, 413 one event over the limit, 422 a field */
    char field[160]; /* JSON pointer (RFC 6901), "" for the whole; cut at a character if it is longer */
    char detail[200];
};

/* Fills *e with an empty field and returns -1. */
int input_fail(struct input_error *e, int status, const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* Puts one more reference token before the field, escaped: `title` and then `data` make /data/title. Returns -1, so
 * that the way out of nested readers is `return input_at(e, …)`. */
int input_at(struct input_error *e, struct str token);
int input_at_index(struct input_error *e, size_t index);

#endif
