/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_TENSOR_H
#define KB_TENSOR_H

/*
 * Tensors inside an op, through torch's stable C ABI. Whatever fails here throws a C++ exception
 * (these files are compiled with -fexceptions), so a kb_tensor is declared KB_OWNED: then its
 * handle is released on every way out.
 */
#include "kb_device.h"
#include "kb_layout.h"
#include "kb_parallel.h"
#include "kb_scalar.h"
#include "kb_torch_abi.h"

typedef struct kb_tensor {
    kb_handle handle; /* owned; NULL: no tensor */
    void *data;
    int64_t ndim;
    const int64_t *sizes; /* borrowed from the tensor */
    const int64_t *strides;
    kb_dtype type;
    kb_device device;
} kb_tensor;

#define KB_OWNED __attribute__((cleanup(kb_tensor_drop)))

/* Throws. */
_Noreturn void kb_fail(const char *message);

/* Throws `message` unless `condition` holds. */
static inline void kb_require(bool condition, const char *message) {
    if (!condition) kb_fail(message);
}

void kb_tensor_drop(kb_tensor *tensor);

/* Takes the handle in a stack word. Only float32, bfloat16 or float16, on the CPU or, where that is
 * built in, a CUDA device. */
kb_tensor kb_tensor_take(kb_word word);

/* The same for a contiguous tensor of int64, whose `type` says nothing. */
kb_tensor kb_tensor_take_indices(kb_word word);

/* The same for an optional argument: no tensor where it is None. */
kb_tensor kb_tensor_take_optional(kb_word word);

/* Gives the handle to the stack; `tensor` no longer owns it. */
kb_word kb_tensor_give(kb_tensor *tensor);

/* Uninitialized. */
kb_tensor kb_tensor_new(kb_device device, int64_t ndim, const int64_t *sizes,
                        const int64_t *strides, kb_dtype type);
kb_tensor kb_tensor_new_contiguous(kb_device device, int64_t ndim, const int64_t *sizes,
                                   kb_dtype type);

/* Replaces `tensor` by a copy with these strides. */
void kb_tensor_copy_as(kb_tensor *tensor, const int64_t *strides);

/* The same unless it has these strides already. */
void kb_tensor_make_strides(kb_tensor *tensor, const int64_t *strides);

/* The strides that torch.empty_like(tensor) has: the tensor's order of dimensions, without gaps. */
void kb_strides_preserved(const kb_tensor *tensor, int64_t *strides);

bool kb_tensor_is_contiguous(const kb_tensor *tensor);

/*
 * The tensor as rows of its last `inner` dimensions: the distance from row to row in elements.
 * Copies the tensor first where a row is not contiguous or the rows are not evenly spaced.
 */
int64_t kb_tensor_as_rows(kb_tensor *tensor, int64_t inner);

typedef struct kb_op {
    const char *name;
    const char *schema;
    kb_boxed_kernel kernel;
} kb_op;

/* Whether two tensors have the same device, type and sizes. */
bool kb_tensor_is_like(const kb_tensor *a, const kb_tensor *b);

/* Defines `count` ops with kernels for each device in `name_space`; they stay for the life of the
 * process. Returns 0, or -1 when torch refused. */
int kb_ops_register(const char *name_space, const kb_op *ops, int count);

#endif
