/* Loads the keys that the configuration names: for serve, check, token, and whenever their files change. */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include "core/api_keys.h"
#include "core/config.h"
#include "core/keyring.h"
#include "core/token.h"

/* From SECRET_KEY or SECRET_KEY_FILE. NULL with one complaint in *error that begins with the variable's name and holds
 * no secret. The reference is the caller's. */
struct keyring *keys_load_keyring(const struct config *config, struct buf *error) MUST_CHECK;
/* From API_KEYS_FILE: 0 and *out (NULL if the variable is unset), or -1 with a complaint likewise. */
int keys_load_api_keys(const struct config *config, struct api_keys **out, struct buf *error) MUST_CHECK;

#endif
