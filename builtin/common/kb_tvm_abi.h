/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_TVM_ABI_H
#define KB_TVM_ABI_H

#include <stddef.h>
#include <stdint.h>

#include "kb_dlpack.h"

/*
 * The parts of tvm-ffi's C ABI, version 0.1, that are used here, written from its documentation
 * (https://tvm.apache.org/ffi/concepts/abi_overview.html) and compared by a test with
 * tvm/ffi/c_api.h of the installed package. Names are ours, layout is tvm-ffi's.
 */
typedef enum kb_any_type {
    KB_ANY_NONE = 0,
    KB_ANY_INT = 1,
    KB_ANY_BOOL = 2,
    KB_ANY_FLOAT = 3,
    KB_ANY_DL_TENSOR = 7,   /* a pointer to a DLTensor */
    KB_ANY_RAW_TEXT = 8,    /* ends with a zero */
    KB_ANY_SMALL_TEXT = 11, /* up to 7 bytes in the value itself */
    KB_ANY_TEXT = 65,       /* an object: kb_object, then kb_bytes */
    KB_ANY_TENSOR = 70      /* an object: kb_object, then the DLTensor */
} kb_any_type;

typedef struct kb_object {
    uint64_t references;
    int32_t type;
    uint32_t padding;
    union {
        void (*deleter)(void *self, int flags);
        int64_t alignment;
    };
} kb_object;

typedef struct kb_any {
    int32_t type;
    uint32_t small_length;
    union {
        int64_t integer;
        double number;
        void *pointer;
        const char *text;
        kb_object *object;
        char bytes[8];
    };
} kb_any;

typedef struct kb_bytes {
    const char *data;
    size_t size;
} kb_bytes;

/* What a library exports as __tvm_ffi_<name>. Returns 0, or -1 after an error was raised. */
typedef int (*kb_safe_call)(void *self, const kb_any *arguments, int32_t count, kb_any *result);

/* Of libtvm_ffi, which whoever loads a library has loaded. */
extern void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
extern void *TVMFFIEnvGetStream(int32_t device_type, int32_t device_index);

#endif
