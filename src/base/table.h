/* SPDX-License-Identifier: Apache-2.0 */
/* Hash tables. kni_index finds the number of an item in an array that the caller keeps, by hash and
 * the caller's comparison; kni_seen is a set of addresses. */
#ifndef KNI_BASE_TABLE_H
#define KNI_BASE_TABLE_H

#include "base/alloc.h"

#define KNI_NONE UINT32_MAX

typedef struct kni_index {
    const kn_alloc *alloc;
    struct kni_index_slot {
        uint32_t hash;
        uint32_t item; /* KNI_NONE: free */
    } *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
} kni_index;

/* Whether the caller's item number `item` has the key `key`. */
typedef bool (*kni_index_equal)(const void *ctx, uint32_t item, const void *key);

void kni_index_init(kni_index *index, const kn_alloc *alloc);
void kni_index_clear(kni_index *index);

/* The item's number, or KNI_NONE. */
uint32_t kni_index_find(const kni_index *index, uint64_t hash, const void *key,
                        kni_index_equal equal, const void *ctx);

/* Adds a number that is not in it yet; false when there is no memory, and nothing has changed. */
bool kni_index_add(kni_index *index, uint64_t hash, uint32_t item);

typedef struct kni_seen {
    const kn_alloc *alloc;
    uintptr_t *slots; /* 0: free */
    size_t capacity;
    size_t count;
} kni_seen;

void kni_seen_init(kni_seen *seen, const kn_alloc *alloc);
void kni_seen_clear(kni_seen *seen);

/* 1 when `address` (not NULL) is new and has been added, 0 when it was there, -1 when there is no
 * memory. */
int kni_seen_add(kni_seen *seen, const void *address);

#endif
