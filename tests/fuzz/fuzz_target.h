/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_FUZZ_TARGET_H
#define TEST_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libFuzzer and replay_main.c call. It does not keep `data` and always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program when a promise of the library is broken. */
#define FUZZ_CHECK(promise)                                    \
    do {                                                       \
        if (!(promise)) {                                      \
            fprintf(stderr, "broken promise: %s\n", #promise); \
            abort();                                           \
        }                                                      \
    } while (0)

/* The input as text, with a NUL behind it; freed with free. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* Cuts `text` behind its first line and returns the rest, which is empty where there is none. */
static inline char *fuzz_second_part(char *text) {
    char *end = text + strcspn(text, "\n");
    if (*end) *end++ = '\0';
    return end;
}

#endif
