/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two lock files. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "trust/lockfile_parts.h"
#include "trust/lockfile_text.h"

struct kn_lock_changes {
    const kn_alloc *alloc;
    kn_lock_change *items;
    size_t count;
};

static kni_lock_entry entry_of(const kni_locked *item) {
    return (kni_lock_entry){item->repo_id, item->version, item->revision, item->commit};
}

static int compare_items(const void *a, const void *b) {
    kni_lock_entry x = entry_of(*(const kni_locked *const *)a);
    kni_lock_entry y = entry_of(*(const kni_locked *const *)b);
    return kni_lock_entry_compare(&x, &y);
}

/* The kernels of a file in order; `file` NULL: none. */
static void sort_items(const kn_lockfile *file, const kni_locked **out) {
    size_t count = file ? file->count : 0;
    for (size_t i = 0; i < count; i++) out[i] = &file->items[i];
    if (count) qsort((void *)out, count, sizeof *out, compare_items);
}

static bool has_same_digests(const kn_lockfile *before, const kn_lockfile *after,
                             const kni_locked *item) {
    const kni_locked_digests *a = kni_locked_digests_find(before, item->repo_id, item->commit);
    const kni_locked_digests *b = kni_locked_digests_find(after, item->repo_id, item->commit);
    if (!a || !b) return a == b;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->files[i].path, b->files[i].path) != 0 ||
            strcmp(a->files[i].oid, b->files[i].oid) != 0)
            return false;
    }
    return true;
}

static void add_change(kn_lock_changes *changes, kn_lock_change_kind kind, const kni_locked *named,
                       const char *before, const char *after) {
    changes->items[changes->count++] = (kn_lock_change){
        .size = sizeof(kn_lock_change),
        .kind = kind,
        .repo_id = named->repo_id,
        .version = named->version,
        .revision = named->revision,
        .before = before,
        .after = after,
    };
}

static void compare_sorted(const kn_lockfile *before, const kn_lockfile *after,
                           const kni_locked *const *old, const kni_locked *const *new,
                           kn_lock_changes *changes) {
    size_t old_count = before ? before->count : 0, i = 0, k = 0;
    while (i < old_count || k < after->count) {
        int order = i == old_count ? 1 : k == after->count ? -1 : compare_items(&old[i], &new[k]);
        if (order < 0) {
            add_change(changes, KN_LOCK_REMOVED, old[i], old[i]->commit, NULL);
            i++;
        } else if (order > 0) {
            add_change(changes, KN_LOCK_ADDED, new[k], NULL, new[k]->commit);
            k++;
        } else {
            if (strcmp(old[i]->commit, new[k]->commit) != 0)
                add_change(changes, KN_LOCK_MOVED, new[k], old[i]->commit, new[k]->commit);
            else if (!has_same_digests(before, after, new[k]))
                add_change(changes, KN_LOCK_DIGESTS, new[k], old[i]->commit, new[k]->commit);
            i++;
            k++;
        }
    }
}

kn_status kn_lockfile_compare(const kn_alloc *alloc, const kn_lockfile *before,
                              const kn_lockfile *after, kn_lock_changes **out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    size_t old_count = before ? before->count : 0;
    kn_lock_changes *changes = kni_new(alloc, sizeof *changes);
    const kni_locked **sorted =
        kni_new(alloc, (old_count + after->count + 1) * sizeof(kni_locked *));
    *out = NULL;
    if (changes) {
        changes->alloc = alloc;
        changes->items = kni_new(alloc, (old_count + after->count + 1) * sizeof *changes->items);
    }
    if (!sorted || !changes || !changes->items) {
        kni_free(alloc, (void *)sorted);
        kn_lock_changes_free(changes);
        return kni_no_memory(err, "comparing lock files");
    }
    sort_items(before, sorted);
    sort_items(after, sorted + old_count);
    compare_sorted(before, after, sorted, sorted + old_count, changes);
    kni_free(alloc, (void *)sorted);
    *out = changes;
    return KN_OK;
}

size_t kn_lock_changes_count(const kn_lock_changes *changes) { return changes->count; }

void kn_lock_changes_get(const kn_lock_changes *changes, size_t index, kn_lock_change *out) {
    kn_lock_change made = changes->items[index];
    made.size = out->size;
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

void kn_lock_changes_free(kn_lock_changes *changes) {
    if (!changes) return;
    kni_free(changes->alloc, changes->items);
    kni_free(changes->alloc, changes);
}
