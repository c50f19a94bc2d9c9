/* SPDX-License-Identifier: Apache-2.0 */
/* A mapping says which repository serves (layer name, device type, capability, mode). It is an
 * immutable snapshot: it is changed by making another one from it, which shares what did not
 * change. Reading needs no lock; retain and release are thread safe. */
#ifndef KERNELS_MAPPING_H
#define KERNELS_MAPPING_H

#include <kernels/device.h>
#include <kernels/mode.h>
#include <kernels/repo.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_mapping kn_mapping;

typedef struct kn_mode_repo {
    kn_mode mode;
    kn_repo *repo;
} kn_mode_repo;

/* The repositories, by mode, for one layer on one device type and range of capabilities. Later
 * entries replace earlier ones of the same (layer, device, range) as a whole. */
typedef struct kn_mapping_entry {
    const char *layer;         /* copied */
    kn_device_type device;     /* not KN_DEVICE_OTHER */
    kn_capability_range range; /* must be {0, KN_CAPABILITY_MAX} where the device has no
                                  capabilities */
    const kn_mode_repo *modes; /* copied, each repository retained; later ones replace earlier ones
                                  of a mode */
    size_t mode_count;         /* may be 0 */
} kn_mapping_entry;

/* A snapshot with the entries of `base` (NULL: none) and then `entries`. On error `*out` is NULL.
 * The time does not depend on how much `base` holds. `alloc` NULL: that of `base`, or malloc. */
KN_API kn_status kn_mapping_extend(const kn_alloc *alloc, kn_mapping *base,
                                   const kn_mapping_entry *entries, size_t count, kn_mapping **out,
                                   kn_error *err);

/* One more reference, and one less: the last one frees it. NULL is fine for the latter. */
KN_API kn_mapping *kn_mapping_retain(kn_mapping *mapping);
KN_API void kn_mapping_release(kn_mapping *mapping);

/* What a look into a mapping comes to. */
typedef enum kn_mapping_answer {
    KN_MAPPING_FOUND = 0,
    KN_MAPPING_NO_LAYER = 1,      /* the layer name is not mapped */
    KN_MAPPING_NO_DEVICE = 2,     /* it is, but not for this device type */
    KN_MAPPING_NO_PROPERTIES = 3, /* it is, but not for this capability, or the capability is
                                     unknown */
    KN_MAPPING_NO_MODE = 4        /* it is, but not for a mode that serves the request */
} kn_mapping_answer;

/* The modes for `layer` on `device` at `capability` (ignored where the device has none): of the
 * ranges that hold it the smallest, of equally wide ones the one registered last. Borrowed: valid
 * while `mapping` is. */
KN_API kn_mapping_answer kn_mapping_modes(const kn_mapping *mapping, const char *layer,
                                          kn_device_type device, int64_t capability,
                                          const kn_mode_repo **out, size_t *count);

/* The repository for a requested mode: the first of kn_mode_candidates that is there. */
KN_API kn_mapping_answer kn_mapping_find(const kn_mapping *mapping, const char *layer,
                                         kn_device_type device, int64_t capability, kn_mode mode,
                                         kn_mode_repo *out);

#define KN_MAPPING_TEXT_MAX 1024

/* As kn_mapping_find, with the reason as a sentence in `message`, cut at its end. */
KN_API kn_mapping_answer kn_mapping_explain(const kn_mapping *mapping, const char *layer,
                                            kn_device_type device, int64_t capability, kn_mode mode,
                                            kn_mode_repo *out, char message[KN_MAPPING_TEXT_MAX]);

/* Whether what `layer` gets on `device` depends on the capability. */
KN_API bool kn_mapping_has_ranges(const kn_mapping *mapping, const char *layer,
                                  kn_device_type device);

/* Calls `visit` for every entry, in no order that is promised, until it returns false. Layers that
 * a later snapshot replaced are not visited again. The entry is borrowed for the call. */
typedef bool (*kn_mapping_visit)(void *ctx, const kn_mapping_entry *entry);
KN_API void kn_mapping_each(const kn_mapping *mapping, kn_mapping_visit visit, void *ctx);

/* Calls `visit` for each repository that is reachable from this handle alone: for a host with a
 * collector of cycles, which may count only references that nobody else shares. */
typedef int (*kn_mapping_repo_visit)(void *ctx, void *object);
KN_API int kn_mapping_each_owned(const kn_mapping *mapping, kn_mapping_repo_visit visit, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
