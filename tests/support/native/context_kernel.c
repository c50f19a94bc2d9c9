/* SPDX-License-Identifier: Apache-2.0 */
/* A native kernel that does not name libtvm_ffi and yet wants to know what holds its functions. */
#include <kernels/native.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT void *__tvm_ffi__library_ctx = NULL;

EXPORT int __tvm_ffi_has_context(void *self, const kn_value *args, int32_t count, kn_value *result);

int __tvm_ffi_has_context(void *self, const kn_value *args, int32_t count, kn_value *result) {
    (void)self, (void)args, (void)count;
    *result = kn_value_bool(__tvm_ffi__library_ctx != NULL);
    return 0;
}
