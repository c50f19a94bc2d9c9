/* SPDX-License-Identifier: Apache-2.0 */
/* Where a kernel is on disk: the folder of the variant that fits this machine, and its metadata. */
#ifndef KNI_LOAD_SOURCE_H
#define KNI_LOAD_SOURCE_H

#include <kernels/metadata.h>
#include <kernels/variant.h>

#include "base/alloc.h"

/* One kernel as found in a directory. `alloc` must outlive it. */
typedef struct kni_kernel_source {
    const kn_alloc *alloc;
    char *folder;  /* absolute path of the variant's folder, without links: one kernel, one path */
    char *variant; /* the variant's name: that of the folder, or of the link to it */
    char *entry;   /* absolute path of the file to import: <folder>/__init__.py or
                      <folder>/<module>/__init__.py */
    kn_metadata *metadata;
} kni_kernel_source;

/* Builds of one kernel whose names fit, and that were looked at and cannot be loaded here. Zero is
 * an empty list. */
typedef struct kni_refused_builds {
    struct kni_refused_build {
        char *variant, *reason;
    } *items;
    size_t count, capacity;
    kn_status status; /* what the first one came to */
} kni_refused_builds;

kn_status kni_refused_add(const kn_alloc *alloc, kni_refused_builds *builds, const char *variant,
                          kn_status status, const char *reason, kn_error *err);
/* Why that variant was refused; NULL: it was not. Borrowed. */
const char *kni_refused_reason(const kni_refused_builds *builds, const char *variant);
void kni_refused_clear(const kn_alloc *alloc, kni_refused_builds *builds);
/* kn_variants_rank, with `refused` passed over. */
kn_status kni_builds_rank(const kn_alloc *alloc, char *const *names, size_t count,
                          const kn_system *system, const kni_refused_builds *refused,
                          kn_variants **out, kn_error *err);

/* Looks for variants in `path`, then in `path`/build; takes the best that fits `system`; failing
 * both, `path` itself where it holds a metadata.json (a path right to a variant). What is `refused`
 * is passed over; where nothing else is left, the status is theirs. KN_ERR_NOT_FOUND
 * when the path is not there, has no variant that fits (a sentence, then a line for each variant
 * with its reason), or the variant has no metadata.json or no module; KN_ERR_VALUE when the
 * metadata is broken. `out` is zero on error. */
kn_status kni_kernel_source_find(const kn_alloc *alloc, const char *path, const kn_system *system,
                                 const kni_refused_builds *refused, kni_kernel_source *out,
                                 kn_error *err);
/* The kernel in the folder of a variant that was chosen already. */
kn_status kni_kernel_source_read(const kn_alloc *alloc, const char *folder, const char *variant,
                                 kni_kernel_source *out, kn_error *err);
/* KN_ERR_NOT_FOUND, or what the first of `refused` came to: a sentence about the system, then a
 * line for each of `tried` (may be NULL) with its reason. `asked` and `where` are as the sentence
 * names what was looked for and where. */
kn_status kni_fail_without_variant(const kn_alloc *alloc, const kn_system *system,
                                   const char *asked, const char *where, const kn_variants *tried,
                                   const kni_refused_builds *refused, kn_error *err);
void kni_kernel_source_clear(kni_kernel_source *source);

/* The path for `repo_id` in the value of LOCAL_KERNELS ("org/name=path[:org/name=path…]"), copied
 * to *out; NULL when it is not in there. The last entry for a repository counts. KN_ERR_VALUE for
 * any entry without '=', repository or path. `value` may be NULL. */
kn_status kni_local_kernels_find(const kn_alloc *alloc, const char *value, const char *repo_id,
                                 char **out, kn_error *err);

#endif
