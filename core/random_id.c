/* Random names. */
#include "core/random_id.h"

#include <openssl/rand.h>
#include <stdlib.h>

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

void random_id(char dst[RANDOM_ID_LEN])
{
    unsigned char random[RANDOM_ID_LEN];

    if (RAND_bytes(random, sizeof(random)) != 1)
        abort();
    for (size_t i = 0; i < RANDOM_ID_LEN; i++)
        dst[i] = alphabet[random[i] & 63];
}

bool random_id_valid(struct str s)
{
    if (s.n != RANDOM_ID_LEN)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (memchr(alphabet, s.p[i], sizeof(alphabet) - 1) == NULL)
            return false;
    return true;
}
