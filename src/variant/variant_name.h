/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a build-variant name. Pure, thread safe, allocates nothing. */
#ifndef KNI_VARIANT_NAME_H
#define KNI_VARIANT_NAME_H

#include <kernels/common.h>

typedef enum kni_framework {
    KNI_FRAMEWORK_STABLE_ABI, /* torch-stable-abiXY-<backend>-<arch>-<os> */
    KNI_FRAMEWORK_TORCH,      /* torchXY[-cxx11|-cxx98]-<backend>-<arch>-<os> */
    KNI_FRAMEWORK_TVM_FFI,    /* tvm-ffiXY-<backend>-<arch>-<os> */
    KNI_FRAMEWORK_NOARCH      /* torch-<backend name>, torch-universal */
} kni_framework;

typedef enum kni_backend_kind {
    KNI_BACKEND_CPU,
    KNI_BACKEND_METAL,
    KNI_BACKEND_NEURON,
    KNI_BACKEND_TPU,
    KNI_BACKEND_CUDA, /* this and those below have a version */
    KNI_BACKEND_ROCM,
    KNI_BACKEND_XPU,
    KNI_BACKEND_CANN
} kni_backend_kind;

typedef struct kni_version_pair {
    int major, minor;
} kni_version_pair;

typedef struct kni_backend {
    kni_backend_kind kind;
    kni_version_pair version; /* zero for those without */
} kni_backend;

/* A piece of the parsed text, borrowed from it; not NUL-terminated. */
typedef struct kni_part {
    const char *at;
    size_t length;
} kni_part;

typedef struct kni_variant_name {
    kni_framework framework;
    kni_version_pair version; /* of the framework; zero for noarch */
    int cxx11_abi;            /* 1, 0, or -1 without a tag */
    kni_backend backend;      /* not for noarch */
    kni_part arch, os;        /* not for noarch */
    kni_part noarch_backend;  /* for noarch only: any text, also an empty one, as upstream has it */
} kni_variant_name;

/* false when `name` is no build-variant name; then `*out` is undefined. The grammar is that of
 * upstream's kernels/variants.py: a framework's major version is one digit, a backend's minor
 * version the last one. Numbers of more than nine digits are no versions. */
bool kni_variant_name_parse(const char *name, kni_variant_name *out);

/* "cpu", "cu128", "rocm64", ... */
bool kni_backend_parse(const char *text, size_t length, kni_backend *out);

/* The name that noarch variants use: "cuda" for cu128, "npu" for cann83. Static text. */
const char *kni_backend_noarch_name(kni_backend_kind kind);

/* The name that arch variants use, without leading zeros: "cu128"; returns out. */
#define KNI_BACKEND_TEXT_MAX 40
char *kni_backend_text(kni_backend backend, char out[KNI_BACKEND_TEXT_MAX]);

bool kni_part_is(kni_part part, const char *text);

#endif
