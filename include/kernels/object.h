/* SPDX-License-Identifier: Apache-2.0 */
/* The shared objects of a build, as their files describe themselves: what they need and whether
 * they can be loaded by this process. Nothing of them is run. Thread safe. */
#ifndef KERNELS_OBJECT_H
#define KERNELS_OBJECT_H

#include <kernels/variant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_objects kn_objects;

/* Borrowed texts, valid until kn_objects_free. */
typedef struct kn_object_info {
    size_t size;                  /* sizeof(kn_object_info) of the caller */
    const char *path;             /* below the folder */
    const char *problem;          /* why this process cannot load it; NULL: nothing is known */
    const char *machine;          /* "x86_64"; NULL: unknown */
    int glibc_major, glibc_minor; /* the oldest glibc that will do; -1: not known */
    size_t needed_count;          /* libraries that it needs, see kn_objects_needed */
    size_t arch_count;            /* CUDA architectures that it has code for, see kn_objects_arch */
    bool has_other_code;          /* code for CUDA devices in a form that is not known, besides */
} kn_object_info;

/* Every shared object (*.so, *.so.*) below `folder`, by path; what cannot be read is left out.
 * KN_ERR_OS where the folder cannot be read. */
KN_API kn_status kn_objects_read(const kn_alloc *alloc, const char *folder, kn_objects **out,
                                 kn_error *err);
KN_API size_t kn_objects_count(const kn_objects *objects);
/* `index` < count. */
KN_API void kn_objects_get(const kn_objects *objects, size_t index, kn_object_info *out);
/* "libcudart.so.13"; `number` < needed_count. */
KN_API const char *kn_objects_needed(const kn_objects *objects, size_t index, size_t number);
/* As kn_archs_support takes it: "9.0a", "9.0+PTX"; `number` < arch_count. */
KN_API const char *kn_objects_arch(const kn_objects *objects, size_t index, size_t number);
KN_API void kn_objects_free(kn_objects *objects);

/* Whether the build in `folder` can be loaded by this process, and has code for `gpu` (NULL:
 * unknown), as far as that is certain. KN_ERR_INTEGRITY where a shared object is cut off, or all
 * are none; KN_ERR_NOT_FOUND where not one of them can be loaded here; KN_ERR_RUNTIME where they
 * have code for CUDA devices, and none for this one. `name` and `variant` are for the message. */
KN_API kn_status kn_objects_check(const kn_alloc *alloc, const char *folder, const char *name,
                                  const char *variant, const kn_gpu *gpu, kn_error *err);

/* What to do about a shared object that the system's loader did not take, by its words (dlerror's,
 * or those of Python's ImportError): a sentence without its end, static; NULL where they are not
 * known. Pure. */
KN_API const char *kn_loader_advice(const char *words);

#ifdef __cplusplus
}
#endif

#endif
