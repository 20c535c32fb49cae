/* Puts a file of the source tree into the binary, NUL-terminated. The Makefile names the file as a prerequisite. */
#ifndef CORE_EMBED_H
#define CORE_EMBED_H

#include <stddef.h>
#include <stdint.h>

/* Defines `static const char name[]` and `name_end[]`; the length is name_end - name - 1. Paths are from the source
 * root. */
#define EMBED(name, path)                                                                                              \
    __asm__(".section .rodata\n.balign 16\n" #name ":\n.incbin \"" path "\"\n.byte 0\n" #name "_end:\n.previous\n");   \
    extern const char name[] __attribute__((visibility("hidden")));                                                    \
    extern const char name##_end[] __attribute__((visibility("hidden")))

#define EMBED_LEN(name) ((size_t)((uintptr_t)name##_end - (uintptr_t)name) - 1)

#endif
