/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that calls malloc and free. Every object keeps the allocator that it was made
 * with. */
#ifndef KNI_BASE_ALLOC_H
#define KNI_BASE_ALLOC_H

#include <kernels/common.h>

/* `alloc`, or the one over malloc when it is NULL. */
const kn_alloc *kni_alloc_or_default(const kn_alloc *alloc);

/* `bytes` > 0 zeroed bytes, or NULL. */
void *kni_new(const kn_alloc *alloc, size_t bytes);
void kni_free(const kn_alloc *alloc, void *ptr);

/* Copies of text; NULL when there is no memory, or when `text` is NULL. */
char *kni_text_copy(const kn_alloc *alloc, const char *text);
char *kni_text_copy_n(const kn_alloc *alloc, const char *text, size_t length);

/* Makes room for `need` items of `item_size` bytes in *items, growing by doubling; false when there
 * is no memory, and *items stays. `*items` is a pointer to the array (any object pointer type,
 * passed as void *). */
bool kni_reserve(const kn_alloc *alloc, void *items, size_t *capacity, size_t need,
                 size_t item_size);

#endif
