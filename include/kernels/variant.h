/* SPDX-License-Identifier: Apache-2.0 */
/* Build variants: which of a kernel's builds runs on a machine, and why the others do not. Pure,
 * thread safe. Names: torchXY[-cxx11|-cxx98]-<backend>-<arch>-<os>,
 * torch-stable-abiXY-<backend>-<arch>-<os>, tvm-ffiXY-<backend>-<arch>-<os>, torch-<backend> and
 * torch-universal. */
#ifndef KERNELS_VARIANT_H
#define KERNELS_VARIANT_H

#include <kernels/common.h>
#include <kernels/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The machine that a variant must fit. Texts are borrowed for the call. */
typedef struct kn_system {
    size_t size;                      /* sizeof(kn_system) */
    int torch_major, torch_minor;     /* -1: there is no torch */
    int torch_cxx11_abi;              /* 1, 0, or -1 where it does not apply */
    int tvm_ffi_major, tvm_ffi_minor; /* -1: there is no tvm-ffi */
    const char *backend; /* "cpu", "cu130", "rocm64", "xpu20252", "cann83", "metal", "neuron", "tpu"
                          */
    const char *arch;    /* "x86_64" */
    const char *os;      /* "linux" */
    bool free_threaded;  /* CPython without the GIL and before 3.15: no arch variants */
    const char *python;  /* its version, "3.11"; NULL: the host is no Python */
    bool native;         /* a native kernel is wanted: only tvm-ffi builds will do */
    bool elsewhere;      /* it is not this machine: builds are judged by their names alone */
} kn_system;

/* The ranking of a kernel's variants on a system: what fits first, best first; then what would have
 * fit and was passed over (kn_variants_refuse), best first; then the rest by name. */
typedef struct kn_variants kn_variants;

typedef struct kn_variant {
    size_t size; /* sizeof(kn_variant) of the caller */
    const char *name;
    bool accepted;
    const char *reason;  /* why it was refused, a sentence without its name; NULL when accepted */
    const char *backend; /* what it was built for, without a version: "cuda", "cpu", "universal" */
    bool is_passed_over; /* refused by kn_variants_refuse */
} kn_variant;

/* Ranks `names` (copied; those that are no variant names are left out). */
KN_API kn_status kn_variants_rank(const kn_alloc *alloc, const char *const *names, size_t count,
                                  const kn_system *system, kn_variants **out, kn_error *err);

/* The GPU of a machine, as far as it is known. The text is borrowed for the call. */
typedef struct kn_gpu {
    size_t size;          /* sizeof(kn_gpu) */
    int64_t capability;   /* CUDA's, major * 10 + minor, or KN_CAPABILITY_UNKNOWN */
    const char *gcn_arch; /* ROCm's, as in "gfx90a:sramecc+:xnack-", or NULL */
} kn_gpu;

/* A build of a kernel, as its folder and its metadata.json describe it. */
typedef struct kn_build {
    const char *name; /* of the variant */
    const char *const *archs;
    size_t arch_count; /* 0: unknown */
} kn_build;

/* As kn_variants_rank; besides, builds for CUDA or ROCm whose archs do not support `gpu` (may be
 * NULL: unknown) are refused. */
KN_API kn_status kn_variants_rank_builds(const kn_alloc *alloc, const kn_build *builds,
                                         size_t count, const kn_system *system, const kn_gpu *gpu,
                                         kn_variants **out, kn_error *err);
/* Passes the variant `name`, if it is there, over for what was found when its files were looked at:
 * `reason` (copied) is told of it as of the others. */
KN_API kn_status kn_variants_refuse(kn_variants *variants, const char *name, const char *reason,
                                    kn_error *err);
KN_API size_t kn_variants_count(const kn_variants *variants);
/* Borrowed texts, valid until kn_variants_free. `index` < count. */
KN_API void kn_variants_get(const kn_variants *variants, size_t index, kn_variant *out);
KN_API void kn_variants_free(kn_variants *variants);

/* Whether `name` is a build-variant name at all. */
KN_API bool kn_variant_name_is_valid(const char *name);

/* Whether a build for `backend` ("cuda", "rocm") with code for `archs` runs on `gpu`. CUDA: "9.0"
 * supports capabilities 9.0 and up to the next generation, "9.0a" 9.0 only, "9.0f" the same as
 * "9.0", "9.0+PTX" 9.0 and all above; archs of other formats support nothing, but where all are
 * such, nothing can be told and it is true. ROCm: the name without its features is among them. True
 * for other backends, without archs, and for a GPU that is unknown. */
KN_API bool kn_archs_support(const char *backend, const char *const *archs, size_t count,
                             const kn_gpu *gpu);

#ifdef __cplusplus
}
#endif

#endif
