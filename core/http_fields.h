/* Values of HTTP fields that REST calls bring: what they mean, checked without a server. */
#ifndef CORE_HTTP_FIELDS_H
#define CORE_HTTP_FIELDS_H

#include "core/str.h"

#define IDEMPOTENCY_KEY_MAX 255
#define TRACEPARENT_LEN 55

/* True for application/json, in any case of letters, with parameters in the form of RFC 9110 5.6.6; a charset has to be
 * utf-8, since JSON is nothing else (RFC 8259 8.1). */
bool content_type_is_json(struct str value);

/* An Idempotency-Key, bare (visible ASCII without quotes) or quoted (a string of RFC 8941 3.3.3): 1 to 255 characters,
 * and `abc` is the same key as `"abc"`. 0, the key in storage; -1 if it is neither. */
int idempotency_key_parse(struct str value, char storage[IDEMPOTENCY_KEY_MAX], struct str *out) MUST_CHECK;

/* True for a traceparent of W3C Trace Context: lower-case hex, version not ff, neither id all zero; version 00 is
 * exactly 55 characters, a later one may go on after a dash. Such a longer one is passed on by its first 55. */
bool traceparent_valid(struct str value);
/* Its trace id, 32 hex digits inside it; STR_NONE of STR_NONE. `value` is valid. */
struct str traceparent_trace_id(struct str value);

/* The token of `Bearer <token>` (RFC 6750 2.1; the scheme in any case). False for any other scheme or an empty token.
 */
bool authorization_bearer(struct str value, struct str *token);

#endif
