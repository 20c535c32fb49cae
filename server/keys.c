/* Loads keyring and API keys from variables and files. */
#include "server/keys.h"

#include "server/file.h"

struct keyring *keys_load_keyring(const struct config *config, struct buf *error)
{
    struct keyring *keyring = NULL;
    size_t before = error->n;
    struct buf text = {0};

    if (config->secret_key_file == NULL) {
        buf_lit(error, "SECRET_KEY: ");
        keyring = keyring_parse((int)config->algorithm, str_of(config->secret_key), false, error);
    } else {
        buf_lit(error, "SECRET_KEY_FILE: ");
        if (file_read(config->secret_key_file, FILE_KEYS_MAX, &text, error) == 0)
            keyring = keyring_parse((int)config->algorithm, buf_str(&text), true, error);
    }
    file_forget(&text);
    if (keyring != NULL)
        error->n = before;
    return keyring;
}

int keys_load_api_keys(const struct config *config, struct api_keys **out, struct buf *error)
{
    size_t before = error->n;
    struct buf text = {0};

    *out = NULL;
    if (config->api_keys_file == NULL)
        return 0;
    buf_lit(error, "API_KEYS_FILE: ");
    if (file_read(config->api_keys_file, FILE_KEYS_MAX, &text, error) == 0)
        *out = api_keys_parse(buf_str(&text), error);
    file_forget(&text);
    if (*out == NULL)
        return -1;
    error->n = before;
    return 0;
}
