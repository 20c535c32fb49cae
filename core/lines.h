/* Reads key files line by line: trimmed, blank lines and lines beginning with # skipped, numbered for complaints. */
#ifndef CORE_LINES_H
#define CORE_LINES_H

#include "core/str.h"

/* Start with {.rest = text}; `number` is that of the line last handed out, from 1. */
struct lines {
    struct str rest;
    unsigned number;
};

/* The next line without its end (LF or CRLF) and without surrounding space and tab; false when there is none left. */
bool lines_next(struct lines *l, struct str *line);

/* True if the bytes hold an ASCII control character: in a key file a sign of binary data or of a damaged file. */
bool lines_has_control(struct str s);

#endif
