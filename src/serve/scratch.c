/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/scratch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES 4096
#define ALIGNMENT 16

struct kni_scratch_piece {
    struct kni_scratch_piece *next;
    size_t used, room;
    _Alignas(ALIGNMENT) char bytes[];
};

void kni_scratch_init(kni_scratch *scratch, const kn_alloc *alloc) {
    *scratch = (kni_scratch){.alloc = alloc};
}

void kni_scratch_clear(kni_scratch *scratch) {
    while (scratch->pieces) {
        struct kni_scratch_piece *gone = scratch->pieces;
        scratch->pieces = gone->next;
        kni_free(scratch->alloc, gone);
    }
    kni_scratch_init(scratch, scratch->alloc);
}

static struct kni_scratch_piece *add_piece(kni_scratch *scratch, size_t bytes) {
    size_t room = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;
    struct kni_scratch_piece *piece = kni_new(scratch->alloc, sizeof *piece + room);
    if (!piece) {
        scratch->failed = true;
        return NULL;
    }
    piece->room = room;
    piece->next = scratch->pieces;
    scratch->pieces = piece;
    return piece;
}

void *kni_scratch_take(kni_scratch *scratch, size_t bytes) {
    struct kni_scratch_piece *piece = scratch->pieces;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!piece || piece->room - piece->used < bytes) piece = add_piece(scratch, bytes);
    if (!piece) return NULL;
    void *taken = piece->bytes + piece->used;
    piece->used += bytes;
    return taken;
}

const char *kni_scratch_copy(kni_scratch *scratch, const char *text, size_t length) {
    char *copy = kni_scratch_take(scratch, length + 1);
    if (!copy) return "";
    memcpy(copy, text, length);
    return copy;
}

const char *kni_scratch_format(kni_scratch *scratch, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : kni_scratch_take(scratch, (size_t)length + 1);
    if (!text) {
        scratch->failed = true;
        return "";
    }
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
