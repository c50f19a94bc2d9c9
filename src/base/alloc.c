/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void *default_resize(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    if (bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, bytes);
}

static const kn_alloc default_alloc = {sizeof(kn_alloc), NULL, default_resize};

const kn_alloc *kni_alloc_or_default(const kn_alloc *alloc) {
    return alloc ? alloc : &default_alloc;
}

void *kni_new(const kn_alloc *alloc, size_t bytes) {
    void *ptr = alloc->resize(alloc->ctx, NULL, bytes);
    if (ptr) memset(ptr, 0, bytes);
    return ptr;
}

void kni_free(const kn_alloc *alloc, void *ptr) {
    if (ptr) alloc->resize(alloc->ctx, ptr, 0);
}

char *kni_text_copy_n(const kn_alloc *alloc, const char *text, size_t length) {
    char *copy = text ? alloc->resize(alloc->ctx, NULL, length + 1) : NULL;
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *kni_text_copy(const kn_alloc *alloc, const char *text) {
    return text ? kni_text_copy_n(alloc, text, strlen(text)) : NULL;
}

bool kni_reserve(const kn_alloc *alloc, void *items, size_t *capacity, size_t need,
                 size_t item_size) {
    if (need <= *capacity) return true;
    size_t wanted = *capacity ? *capacity : 16;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2 / item_size) return false;
        wanted *= 2;
    }
    void *old;
    memcpy(&old, items, sizeof old); /* the caller's pointer has another type */
    void *grown = alloc->resize(alloc->ctx, old, wanted * item_size);
    if (!grown) return false;
    memcpy(items, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}
