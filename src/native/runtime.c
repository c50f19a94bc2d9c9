/* SPDX-License-Identifier: Apache-2.0 */
#include "native/runtime.h"

#include <string.h>

#include "base/error.h"
#include "native/memory.h"
#include "native/object.h"
#include "os/library.h"

/* The functions, by the names that c_api.h and c_env_api.h of tvm-ffi give them. */
typedef void (*get_version)(kni_ffi_version *out);
typedef void (*take_raised)(void **out);
typedef void (*set_raised)(const char *kind, const char *message);
typedef void (*set_error)(void *ctx, const char *kind, const char *message);
typedef int (*allocator)(kn_tensor *prototype, kn_managed_tensor **out, void *ctx,
                         set_error failed);
typedef allocator (*get_allocator)(void);
typedef int (*set_allocator)(allocator used, int for_all_threads, allocator *previous);
typedef int (*get_global)(const kn_bytes *name, void **out);
typedef int (*set_stream)(int32_t device_type, int32_t device_id, void *stream, void **previous);

static kn_status take_functions(kni_library *library, const char *path, kni_ffi *out,
                                kn_error *err) {
    kni_function version, stream;
    *out = (kni_ffi){.set_stream = NULL};
    kn_status status = kni_library_function(library, path, "TVMFFIGetVersion", &version, err);
    if (!status) status = kni_library_function(library, path, "TVMFFIEnvSetStream", &stream, err);
    if (status) return status;
    ((get_version)version)(&out->version);
    out->set_stream = (set_stream)stream;
    return KN_OK;
}

bool kni_ffi_find(kni_ffi *out) {
    kni_library *library = kni_library_loaded(KNI_FFI_LIBRARY);
    return library && !take_functions(library, KNI_FFI_LIBRARY, out, NULL);
}

kn_status kni_ffi_load(const char *path, kni_ffi *out, kn_error *err) {
    kni_library *library;
    kn_status status = path ? kni_library_open_shared(path, &library, err)
                            : kni_library_search(KNI_FFI_LIBRARY, &library, err);
    if (status) return status;
    return take_functions(library, path ? path : KNI_FFI_LIBRARY, out, err);
}

kn_status kni_ffi_check(const kni_ffi *ffi, kn_error *err) {
    if (ffi->version.major == KNI_FFI_MAJOR && ffi->version.minor == KNI_FFI_MINOR) return KN_OK;
    return kni_fail(err, KN_ERR_UNSUPPORTED,
                    "the libtvm_ffi here is of tvm-ffi %u.%u.%u, and native kernels are called by "
                    "the ABI of %d.%d: install apache-tvm-ffi %d.%d (pip install "
                    "'apache-tvm-ffi==%d.%d.*'), or name its libtvm_ffi.so with "
                    "KERNELS_TVM_FFI_LIBRARY",
                    ffi->version.major, ffi->version.minor, ffi->version.patch, KNI_FFI_MAJOR,
                    KNI_FFI_MINOR, KNI_FFI_MAJOR, KNI_FFI_MINOR, KNI_FFI_MAJOR, KNI_FFI_MINOR);
}

/* Looked up where a call has failed, so that calls need no state. */
static kni_function find_function(const char *name) {
    kni_library *library = kni_library_loaded(KNI_FFI_LIBRARY);
    kni_function function = NULL;
    if (library) kni_library_function(library, KNI_FFI_LIBRARY, name, &function, NULL);
    return function;
}

kn_value kni_ffi_take_raised(void) {
    kni_function take = find_function("TVMFFIErrorMoveFromRaised");
    void *object = NULL;
    if (take) ((take_raised)take)(&object);
    return kni_value_of(object);
}

kn_status kni_ffi_call_global(const char *name, const kn_value *args, int32_t count,
                              kn_value *result, kn_error *err) {
    *result = kn_value_none();
    kni_function get = find_function("TVMFFIFunctionGetGlobal");
    const kn_bytes key = {name, strlen(name)};
    void *object = NULL;
    if (!get || ((get_global)get)(&key, &object) || !object) {
        return kni_fail(err, KN_ERR_UNSUPPORTED,
                        "this kernel needs the function '%s' of libtvm_ffi, which is not there: "
                        "install apache-tvm-ffi %d.%d or later",
                        name, KNI_FFI_MAJOR, KNI_FFI_MINOR);
    }
    kn_value function = kni_value_of(object);
    kn_status status = kn_value_call(&function, args, count, result, err);
    kn_value_release(&function);
    return status;
}

void kni_ffi_raise(const char *kind, const char *message) {
    kni_function set = find_function("TVMFFIErrorSetRaisedFromCStr");
    if (set) ((set_raised)set)(kind, message);
}

/* The global one counts where a thread has none of its own (src/ffi/extra/env_context.cc of
 * tvm-ffi); that of this thread, which is set along, is taken back. */
void kni_ffi_lend_memory(void) {
    kni_function get = find_function("TVMFFIEnvGetDLPackManagedTensorAllocator");
    kni_function set = find_function("TVMFFIEnvSetDLPackManagedTensorAllocator");
    if (!get || !set || ((get_allocator)get)()) return;
    ((set_allocator)set)(kni_native_allocate, 1, NULL);
    ((set_allocator)set)(NULL, 0, NULL);
}
