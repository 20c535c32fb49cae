/* Puts certificates and keys from files into a TLS context, and says in plain words which file will not do. */
#ifndef CORE_TLS_FILES_H
#define CORE_TLS_FILES_H

#include <openssl/ssl.h>
#include "core/str.h"

/* A file, and the variable that names it, for complaints. */
struct tls_file {
    const char *variable, *path;
};

/* The certificate chain and its private key, in PEM. 0; or -1 with one complaint in *error that begins with the
 * variable of the file at fault. The thread's error queue is left empty. */
int tls_files_use_pair(SSL_CTX *ctx, struct tls_file cert, struct tls_file key, struct buf *error) MUST_CHECK;
/* Whom to trust: all certificates in the file. Else as above. */
int tls_files_use_ca(SSL_CTX *ctx, struct tls_file ca, struct buf *error) MUST_CHECK;

#endif
