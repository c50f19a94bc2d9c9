/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_OS_LOCK_H
#define KNI_OS_LOCK_H

#include "base/alloc.h"

/* A mutex that is held briefly and never while the host is called. A child that is forked while
 * another thread holds it finds it free, and what it guards whole. */
typedef struct kni_lock kni_lock;

kni_lock *kni_lock_new(const kn_alloc *alloc); /* NULL: no memory */
void kni_lock_free(kni_lock *lock);
void kni_lock_take(kni_lock *lock);
void kni_lock_drop(kni_lock *lock);

/* Reference counts that threads share. kni_count_drop returns true for the last one. */
typedef struct kni_count {
    size_t value;
} kni_count;

size_t kni_count_get(const kni_count *count);
void kni_count_add(kni_count *count);
bool kni_count_drop(kni_count *count);

/* A flag that any thread, and a signal handler, may set. */
typedef struct kni_flag {
    bool value;
} kni_flag;

bool kni_flag_is_set(const kni_flag *flag);
void kni_flag_set(kni_flag *flag, bool value);

#endif
