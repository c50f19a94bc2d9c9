/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read metadata share: the object, and how its fields are filled. */
#ifndef KNI_LOAD_METADATA_FIELDS_H
#define KNI_LOAD_METADATA_FIELDS_H

#include <kernels/metadata.h>

#include "base/alloc.h"
#include "codec/json.h"

/* What a message says to do about a broken file. */
#define KNI_METADATA_REBUILD \
    "build the kernel again with a current kernel-builder, or download it again"

typedef struct kni_text_list {
    char **items;
    size_t count;
    size_t capacity;
} kni_text_list;

typedef struct kni_depend_list {
    struct kni_depend {
        char *repo_id;
        char *revision;  /* NULL: `version` counts */
        int64_t version; /* -1: `revision` counts */
    } *items;
    size_t count;
    size_t capacity;
} kni_depend_list;

typedef struct kni_digest_list {
    kn_digest_algorithm algorithm;
    struct kni_digest_file {
        char *path;
        char *base64;
    } *items; /* sorted by path */
    size_t count;
    size_t capacity;
} kni_digest_list;

struct kn_metadata {
    const kn_alloc *alloc;
    char *id, *name, *module_name, *license, *kernels_minver, *backend, *upstream, *source;
    char *builder_version, *builder_commit, *kernel_commit;
    bool builder_dirty, kernel_dirty, has_archs;
    int64_t version;
    kni_text_list python_depends, archs;
    kni_depend_list kernel_depends;
    kni_digest_list digest;
};

#define KNI_METADATA_SHOWN 80 /* room for a piece of the file in a message */

/* `value` copied to *out where it is text, else *out stays; false when there is no memory. */
bool kni_metadata_copy_text(const kn_alloc *alloc, const kni_json *value, char **out);

/* Each reads one field of `document` into the metadata, and leaves what it has read so far there on
 * error, to be freed with the metadata. KN_ERR_VALUE where the field is malformed. */
kn_status kni_metadata_read_kernel_depends(kn_metadata *metadata, const kni_json *document,
                                           const char *origin, kn_error *err);
kn_status kni_metadata_read_digest(kn_metadata *metadata, const kni_json *document,
                                   const char *origin, kn_error *err);

/* False when there is no memory. */
bool kni_metadata_read_provenance(kn_metadata *metadata, const kni_json *document);

#endif
