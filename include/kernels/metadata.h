/* SPDX-License-Identifier: Apache-2.0 */
/* `metadata.json` of a kernel's build variant. Fields that are missing or newer than this library
 * never make a kernel unloadable: only `id` and `name` are needed. */
#ifndef KERNELS_METADATA_H
#define KERNELS_METADATA_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_metadata kn_metadata;

/* Borrowed texts, valid until kn_metadata_free; NULL or -1 for what the file does not say. */
typedef struct kn_metadata_info {
    size_t size;      /* sizeof(kn_metadata_info) of the caller */
    const char *id;   /* unique to kernel, version and backend: the name that the module is imported
                         under */
    const char *name; /* matches ^[a-z][-a-z0-9]*[a-z0-9]$ */
    const char *module_name; /* `name` with dashes as underscores */
    int64_t version;
    const char *license;
    const char *kernels_minver;
    const char *backend; /* "cpu", "cuda", ... */
} kn_metadata_info;

/* Parses `length` bytes of JSON. `origin` names the file in messages. KN_ERR_VALUE for what is not
 * JSON, has no id or name, or has them malformed. At most 16 MiB, 64 levels. */
KN_API kn_status kn_metadata_parse(const kn_alloc *alloc, const char *bytes, size_t length,
                                   const char *origin, kn_metadata **out, kn_error *err);
KN_API void kn_metadata_get(const kn_metadata *metadata, kn_metadata_info *out);

/* The lists: Python dependencies by the names of the build tool, and architectures of the build.
 * Borrowed. */
KN_API size_t kn_metadata_python_depends_count(const kn_metadata *metadata);
KN_API const char *kn_metadata_python_depends(const kn_metadata *metadata, size_t index);
KN_API size_t kn_metadata_archs_count(const kn_metadata *metadata);
KN_API const char *kn_metadata_archs(const kn_metadata *metadata, size_t index);
KN_API void kn_metadata_free(kn_metadata *metadata);

#ifdef __cplusplus
}
#endif

#endif
