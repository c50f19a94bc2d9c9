/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_DLPACK_H
#define KB_DLPACK_H

#include <stdint.h>

/*
 * The parts of the DLPack C ABI, version 1, that are used here, written from the specification
 * (https://dmlc.github.io/dlpack/latest/c_api.html). Names are ours, layout is DLPack's.
 */
enum {
    KB_DL_CPU = 1,
    KB_DL_CUDA = 2,
    KB_DL_INT = 0,
    KB_DL_FLOAT = 2,
    KB_DL_BFLOAT = 4,
    KB_DL_MAJOR_VERSION = 1
};

typedef struct kb_dl_tensor {
    void *data;
    struct {
        int32_t type;
        int32_t id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code;
        uint8_t bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape;
    int64_t *strides; /* in elements */
    uint64_t byte_offset;
} kb_dl_tensor;

/* DLPackExchangeAPI: what `torch.Tensor.__dlpack_c_exchange_api__` points to. */
typedef struct kb_dl_exchange_api {
    struct {
        uint32_t major;
        uint32_t minor;
    } version;
    struct kb_dl_exchange_api *previous;
    void *managed_tensor_allocator;
    void *managed_tensor_from_py_object_no_sync;
    void *managed_tensor_to_py_object_no_sync;
    /* Fills `out` with a borrowed description; -1 and a Python error where it cannot. May be NULL.
     */
    int (*dltensor_from_py_object_no_sync)(void *py_object, kb_dl_tensor *out);
    void *current_work_stream;
} kb_dl_exchange_api;

#endif
