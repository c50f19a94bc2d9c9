/* SPDX-License-Identifier: Apache-2.0 */
/* What an installed torch says of itself, read as text. Pure. */
#ifndef KNI_LOAD_TORCH_TEXT_H
#define KNI_LOAD_TORCH_TEXT_H

#include <kernels/common.h>

#define KNI_TORCH_TEXT_MAX 64 /* of a value, NUL included */

/* The assignments of torch/version.py; "" for what is None, absent, or no plain text. */
typedef struct kni_torch_text {
    char version[KNI_TORCH_TEXT_MAX]; /* "2.13.0+cu130" */
    char cuda[KNI_TORCH_TEXT_MAX];    /* "13.0" */
    char hip[KNI_TORCH_TEXT_MAX];     /* "6.4.43482-0f2d60242" */
    char xpu[KNI_TORCH_TEXT_MAX];     /* "20250302" */
} kni_torch_text;

/* Reads `length` bytes; of two assignments of a name the last counts. `name`, with or without an
 * annotation, '=', and a string in either quotes, alone on its line. Everything else is left out.
 */
void kni_torch_text_read(const char *bytes, size_t length, kni_torch_text *out);

/* The backend that it was built for, as variants name it: "cu130", "rocm64", "xpu20253", else
 * "cpu". */
void kni_torch_backend(const kni_torch_text *torch, char out[KNI_TORCH_TEXT_MAX]);

/* 1 or 0 as TorchConfig.cmake has it in "_GLIBCXX_USE_CXX11_ABI="; -1 where it does not say. */
int kni_torch_cxx11_abi(const char *bytes, size_t length);

/* "2.13" of a version; false, and -1 for both, where it begins with no two numbers. */
bool kni_major_minor(const char *version, int *major, int *minor);

#endif
