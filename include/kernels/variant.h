/* SPDX-License-Identifier: Apache-2.0 */
/* Build variants: which of a kernel's builds runs on a machine, and why the others do not. Pure,
 * thread safe. Names: torchXY[-cxx11|-cxx98]-<backend>-<arch>-<os>,
 * torch-stable-abiXY-<backend>-<arch>-<os>, tvm-ffiXY-<backend>-<arch>-<os>, torch-<backend> and
 * torch-universal. */
#ifndef KERNELS_VARIANT_H
#define KERNELS_VARIANT_H

#include <kernels/common.h>

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
} kn_system;

/* The ranking of a kernel's variants on a system: what fits first, best first; then the rest by
 * name. */
typedef struct kn_variants kn_variants;

typedef struct kn_variant {
    size_t size; /* sizeof(kn_variant) of the caller */
    const char *name;
    bool accepted;
    const char *reason; /* why it was refused, a sentence without its name; NULL when accepted */
} kn_variant;

/* Ranks `names` (copied; those that are no variant names are left out). */
KN_API kn_status kn_variants_rank(const kn_alloc *alloc, const char *const *names, size_t count,
                                  const kn_system *system, kn_variants **out, kn_error *err);
KN_API size_t kn_variants_count(const kn_variants *variants);
/* Borrowed texts, valid until kn_variants_free. `index` < count. */
KN_API void kn_variants_get(const kn_variants *variants, size_t index, kn_variant *out);
KN_API void kn_variants_free(kn_variants *variants);

/* Whether `name` is a build-variant name at all. */
KN_API bool kn_variant_name_is_valid(const char *name);

#ifdef __cplusplus
}
#endif

#endif
