/* Names that nobody can guess: of connections and of nodes. */
#ifndef CORE_RANDOM_ID_H
#define CORE_RANDOM_ID_H

#include "core/str.h"

#define RANDOM_ID_LEN 22 /* of 64 letters each: 132 bits */

/* Writes RANDOM_ID_LEN characters of [0-9a-zA-Z_-], without a NUL. Without randomness it aborts. */
void random_id(char dst[RANDOM_ID_LEN]);
/* Whether it has the form of one. */
bool random_id_valid(struct str s);

#endif
