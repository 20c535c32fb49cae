/* Random names. */
#include "core/random_id.h"

#include <openssl/rand.h>
#include <stdlib.h>

void random_id(char dst[RANDOM_ID_LEN])
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    unsigned char random[RANDOM_ID_LEN];

    if (RAND_bytes(random, sizeof(random)) != 1)
        abort();
    for (size_t i = 0; i < RANDOM_ID_LEN; i++)
        dst[i] = alphabet[random[i] & 63];
}
