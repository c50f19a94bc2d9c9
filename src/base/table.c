/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <string.h>

void kni_index_init(kni_index *index, const kn_alloc *alloc) {
    *index = (kni_index){.alloc = alloc};
}

void kni_index_clear(kni_index *index) {
    kni_free(index->alloc, index->slots);
    kni_index_init(index, index->alloc);
}

static uint32_t fold(uint64_t hash) { return (uint32_t)(hash ^ (hash >> 32)); }

uint32_t kni_index_find(const kni_index *index, uint64_t hash, const void *key,
                        kni_index_equal equal, const void *ctx) {
    if (!index->capacity) return KNI_NONE;
    size_t mask = index->capacity - 1;
    uint32_t folded = fold(hash);
    for (size_t at = folded & mask; index->slots[at].item != KNI_NONE; at = (at + 1) & mask) {
        if (index->slots[at].hash == folded && equal(ctx, index->slots[at].item, key))
            return index->slots[at].item;
    }
    return KNI_NONE;
}

static void put(struct kni_index_slot *slots, size_t mask, uint32_t folded, uint32_t item) {
    size_t at = folded & mask;
    while (slots[at].item != KNI_NONE) at = (at + 1) & mask;
    slots[at] = (struct kni_index_slot){folded, item};
}

static bool index_grow(kni_index *index) {
    size_t capacity = index->capacity ? index->capacity * 2 : 16;
    struct kni_index_slot *slots =
        index->alloc->resize(index->alloc->ctx, NULL, capacity * sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < capacity; i++) slots[i] = (struct kni_index_slot){0, KNI_NONE};
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->slots[i].item != KNI_NONE)
            put(slots, capacity - 1, index->slots[i].hash, index->slots[i].item);
    }
    kni_free(index->alloc, index->slots);
    index->slots = slots;
    index->capacity = capacity;
    return true;
}

bool kni_index_add(kni_index *index, uint64_t hash, uint32_t item) {
    if ((index->count + 1) * 4 > index->capacity * 3 && !index_grow(index)) return false;
    put(index->slots, index->capacity - 1, fold(hash), item);
    index->count++;
    return true;
}

void kni_seen_init(kni_seen *seen, const kn_alloc *alloc) { *seen = (kni_seen){.alloc = alloc}; }

void kni_seen_clear(kni_seen *seen) {
    kni_free(seen->alloc, seen->slots);
    kni_seen_init(seen, seen->alloc);
}

/* Addresses are multiples of 16 and come in runs: the low bits are dropped, the rest spread by a
 * product. */
static size_t seen_place(uintptr_t key, size_t mask) {
    return (size_t)(((uint64_t)key >> 4) * 0x9E3779B97F4A7C15u >> 20) & mask;
}

static bool seen_grow(kni_seen *seen) {
    size_t capacity = seen->capacity ? seen->capacity * 2 : 1024;
    uintptr_t *slots = kni_new(seen->alloc, capacity * sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < seen->capacity; i++) {
        if (!seen->slots[i]) continue;
        size_t at = seen_place(seen->slots[i], capacity - 1);
        while (slots[at]) at = (at + 1) & (capacity - 1);
        slots[at] = seen->slots[i];
    }
    kni_free(seen->alloc, seen->slots);
    seen->slots = slots;
    seen->capacity = capacity;
    return true;
}

int kni_seen_add(kni_seen *seen, const void *address) {
    if ((seen->count + 1) * 4 > seen->capacity * 3 && !seen_grow(seen)) return -1;
    uintptr_t key = (uintptr_t)address;
    size_t mask = seen->capacity - 1, at = seen_place(key, mask);
    while (seen->slots[at]) {
        if (seen->slots[at] == key) return 0;
        at = (at + 1) & mask;
    }
    seen->slots[at] = key;
    seen->count++;
    return 1;
}
