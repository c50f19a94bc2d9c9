/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a kernels.lock, byte for byte as kernels 0.17 lays it out. Pure. */
#ifndef KNI_TRUST_LOCKFILE_TEXT_H
#define KNI_TRUST_LOCKFILE_TEXT_H

#include <kernels/common.h>

#include "base/text.h"

/* A kernel to be locked: at `version`, or at `revision` where that is not NULL. */
typedef struct kni_lock_entry {
    const char *repo_id;
    int64_t version;
    const char *revision;
    const char *commit;
} kni_lock_entry;

/* By repository, then versions by their numbers, then revisions. */
int kni_lock_entry_compare(const void *a, const void *b);

/* Appends the whole file; `entries` are sorted. */
void kni_lockfile_text(kni_lock_entry *entries, size_t count, kni_text *out);

#endif
