/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_TORCH_ABI_H
#define KB_TORCH_ABI_H

#include <stdbool.h>
#include <stdint.h>

#include "kb_parallel.h"

/*
 * The functions of torch's stable C ABI (aoti_torch/c/shim.h and stable/c/shim.h) that are used
 * here. torch's own headers are C++, so the prototypes stand here. All exist since torch 2.10,
 * except those marked weak. A non-zero return is an error whose text torch has already logged.
 */
typedef uint64_t kb_word; /* StableIValue: a Tensor handle, int, float or bool in one word */
typedef struct AtenTensorOpaque *kb_handle;
typedef struct TorchLibraryOpaque *kb_library;
typedef void (*kb_boxed_kernel)(kb_word *stack, uint64_t argument_count, uint64_t output_count);

extern int32_t aoti_torch_device_type_cpu(void);
extern int32_t aoti_torch_device_type_cuda(void);
extern int32_t aoti_torch_dtype_float32(void);
extern int32_t aoti_torch_dtype_bfloat16(void);
extern int32_t aoti_torch_dtype_float16(void);
extern int32_t aoti_torch_dtype_int64(void);
extern bool aoti_torch_grad_mode_is_enabled(void);

extern int32_t aoti_torch_delete_tensor_object(kb_handle tensor);
extern int32_t aoti_torch_get_data_ptr(kb_handle tensor, void **data);
extern int32_t aoti_torch_get_dim(kb_handle tensor, int64_t *dim);
extern int32_t aoti_torch_get_sizes(kb_handle tensor, int64_t **sizes);
extern int32_t aoti_torch_get_strides(kb_handle tensor, int64_t **strides);
extern int32_t aoti_torch_get_dtype(kb_handle tensor, int32_t *dtype);
extern int32_t aoti_torch_get_device_type(kb_handle tensor, int32_t *device_type);
extern int32_t aoti_torch_get_device_index(kb_handle tensor, int32_t *device_index);
extern int32_t aoti_torch_empty_strided(int64_t ndim, const int64_t *sizes, const int64_t *strides,
                                        int32_t dtype, int32_t device_type, int32_t device_index,
                                        kb_handle *tensor);
/* Of libtorch_cuda: only for what is built with KB_HAS_CUDA. */
extern int32_t aoti_torch_get_current_cuda_stream(int32_t device_index, void **stream);

extern int32_t aoti_torch_copy_(kb_handle self, kb_handle source, int32_t non_blocking);

extern int32_t aoti_torch_library_init_fragment(const char *name_space, const char *file,
                                                uint32_t line, kb_library *library);
extern int32_t aoti_torch_library_init_impl(const char *name_space, const char *key,
                                            const char *file, uint32_t line, kb_library *library);
extern int32_t aoti_torch_library_def(kb_library library, const char *schema);
extern int32_t torch_library_impl(kb_library library, const char *name, kb_boxed_kernel kernel,
                                  uint64_t extension_build_version);

extern int32_t torch_parallel_for(int64_t begin, int64_t end, int64_t grain_size,
                                  kb_range_kernel kernel, void *context);

/* Throws a C++ exception (a Python RuntimeError in the end) when `condition` is false. */
extern void aoti_torch_check(bool condition, const char *function, const char *file, uint32_t line,
                             const char *message);

/* An optional argument arrives as a word on the heap, made with C++ new. torch 2.13 offers a
 * function to free it; before, the stable C++ headers call operator delete, and so do we. */
extern int32_t torch_delete_stable_ivalue(kb_word *word) __attribute__((weak));
extern void kb_operator_delete(void *memory) __asm__("_ZdlPv") __attribute__((weak));

/* The torch version whose ABI this is built for: 2.10. */
#define KB_TORCH_ABI_VERSION (((uint64_t)2 << 56) | ((uint64_t)10 << 48))

#endif
