/* SPDX-License-Identifier: Apache-2.0 */
/* A Python environment as its files describe it: which torch and tvm-ffi are installed in it. They
 * are read as text, and nothing of it is run. Thread safe. */
#ifndef KERNELS_ENVIRONMENT_H
#define KERNELS_ENVIRONMENT_H

#include <kernels/variant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_environment kn_environment;

/* Borrowed texts, valid until kn_environment_free; NULL for what is not there. */
typedef struct kn_environment_info {
    size_t size;          /* sizeof(kn_environment_info) of the caller */
    const char *prefix;   /* absolute */
    const char *python;   /* "3.11" */
    const char *packages; /* the folder of packages that torch was found in, else the first one */
    const char *kernels;  /* the folder of the package `kernels` */
    const char *torch;    /* its version, "2.13.0+cu130" */
    const char *tvm_ffi;  /* its version */
    kn_system system;     /* its backend is that of torch; without torch "cpu" */
    const char *tvm_ffi_library; /* the file libtvm_ffi.so of tvm-ffi */
} kn_environment_info;

/* `python`: a prefix ("/home/me/.venv"), an interpreter ("/home/me/.venv/bin/python"), or the name
 * of one that PATH finds. KN_ERR_NOT_FOUND, with what was looked for, where there is no such
 * environment. Packages of the base installation count where pyvenv.cfg includes them. */
KN_API kn_status kn_environment_read(const kn_alloc *alloc, const char *python,
                                     kn_environment **out, kn_error *err);
/* As above for the prefix that a program in its "bin" folder belongs to: that of this program. */
KN_API kn_status kn_environment_read_own(const kn_alloc *alloc, kn_environment **out,
                                         kn_error *err);
KN_API void kn_environment_get(const kn_environment *environment, kn_environment_info *out);
KN_API void kn_environment_free(kn_environment *environment);

#ifdef __cplusplus
}
#endif

#endif
