/* SPDX-License-Identifier: Apache-2.0 */
#include "native/kernel.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "native/failure.h"
#include "native/object.h"
#include "native/runtime.h"
#include "os/lock.h"

struct kn_function {
    kni_ffi_call call;
    void *self; /* its first argument */
    kn_native *native;
    char *name;
    kn_value object; /* what owns `self`; none: it is a symbol of the library */
    kn_function *next;
};

struct kn_native {
    const kn_alloc *alloc;
    char *name, *variant, *folder, *path;
    kni_library *library;
    kn_value module; /* tvm-ffi's, which finds the functions; none: they are symbols */
    kni_lock *lock;  /* of `functions` */
    kn_function *functions;
};

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "loading a native kernel"); }

/* ---- the library ---- */

static bool has_symbol(kni_library *library, const char *name) {
    kni_function symbol;
    return kni_library_function(library, "", name, &symbol, NULL) == KN_OK;
}

bool kni_native_has_modules(kni_library *library) {
    return has_symbol(library, KNI_FFI_CONTEXT) || has_symbol(library, KNI_FFI_BINARY);
}

/* What is more than functions is tvm-ffi's own business: its loader deals with it. */
static kn_status open_module(kn_native *native, kn_error *err) {
    if (!kni_native_has_modules(native->library)) return KN_OK;
    const kn_value path = kn_value_text(native->path);
    return kni_ffi_call_global("ffi.ModuleLoadFromFile", &path, 1, &native->module, err);
}

kn_status kni_native_new(const kn_alloc *alloc, const kni_native_about *about, kni_library *library,
                         kn_native **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kn_native *native = kni_new(alloc, sizeof *native);
    if (!native) return no_memory(err);
    native->alloc = alloc;
    native->library = library;
    native->lock = kni_lock_new(alloc);
    native->name = kni_text_copy(alloc, about->name);
    native->variant = kni_text_copy(alloc, about->variant);
    native->folder = kni_text_copy(alloc, about->folder);
    native->path = kni_text_copy(alloc, about->path);
    bool ok = native->lock && native->name && native->variant && native->folder && native->path;
    kn_status status = ok ? open_module(native, err) : no_memory(err);
    if (status)
        kni_native_free(native);
    else
        *out = native;
    return status;
}

static void free_function(const kn_alloc *alloc, kn_function *function) {
    kn_value_release(&function->object);
    kni_free(alloc, function->name);
    kni_free(alloc, function);
}

void kni_native_free(kn_native *native) {
    if (!native) return;
    for (kn_function *function = native->functions; function;) {
        kn_function *next = function->next;
        free_function(native->alloc, function);
        function = next;
    }
    kn_value_release(&native->module);
    kni_lock_free(native->lock);
    kni_free(native->alloc, native->name);
    kni_free(native->alloc, native->variant);
    kni_free(native->alloc, native->folder);
    kni_free(native->alloc, native->path);
    kni_free(native->alloc, native);
}

void kn_native_get(const kn_native *native, kn_native_info *out) {
    kn_native_info info = {.size = out->size,
                           .name = native->name,
                           .variant = native->variant,
                           .folder = native->folder,
                           .library = native->path};
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

/* ---- functions ---- */

/* Under the lock. */
static kn_function *find_known(const kn_native *native, const char *name) {
    kn_function *function = native->functions;
    while (function && strcmp(function->name, name) != 0) function = function->next;
    return function;
}

static kn_status fail_unknown(const kn_native *native, const char *name, kn_error *err) {
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "the kernel '%s' (%s) has no function '%s': there is no symbol " KNI_FFI_PREFIX
                    "%s in '%s'",
                    native->name, native->variant, name, name, native->path);
}

static kn_status find_symbol(kn_native *native, kn_function *function, kn_error *err) {
    kni_text text;
    kni_text_init(&text, native->alloc);
    kni_text_addf(&text, KNI_FFI_PREFIX "%s", function->name);
    char *symbol = kni_text_take(&text);
    if (!symbol) return no_memory(err);
    kni_function address;
    kn_status status = kni_library_function(native->library, native->path, symbol, &address, NULL);
    kni_free(native->alloc, symbol);
    if (status) return fail_unknown(native, function->name, err);
    function->call = (kni_ffi_call)address;
    return KN_OK;
}

static kn_status find_in_module(kn_native *native, kn_function *function, kn_error *err) {
    const kn_value args[] = {native->module, kn_value_text(function->name), kn_value_bool(true)};
    kn_status status =
        kni_ffi_call_global("ffi.ModuleGetFunction", args, 3, &function->object, err);
    if (status) return status;
    if (function->object.type != KN_VALUE_FUNCTION)
        return fail_unknown(native, function->name, err);
    function->self = function->object.as.object;
    function->call = ((const kni_ffi_function *)function->self)->call;
    return KN_OK;
}

static kn_status new_function(kn_native *native, const char *name, kn_function **out,
                              kn_error *err) {
    kn_function *function = kni_new(native->alloc, sizeof *function);
    if (!function) return no_memory(err);
    function->native = native;
    function->name = kni_text_copy(native->alloc, name);
    kn_status status = !function->name ? no_memory(err)
                       : native->module.type == KN_VALUE_MODULE
                           ? find_in_module(native, function, err)
                           : find_symbol(native, function, err);
    if (status)
        free_function(native->alloc, function);
    else
        *out = function;
    return status;
}

/* The lock is not held while the kernel is asked: that may run its code. */
kn_status kn_native_find(kn_native *native, const char *name, const kn_function **out,
                         kn_error *err) {
    kni_lock_take(native->lock);
    *out = find_known(native, name);
    kni_lock_drop(native->lock);
    if (*out) return KN_OK;
    kn_function *made = NULL;
    kn_status status = new_function(native, name, &made, err);
    if (!made) return status;
    kni_lock_take(native->lock);
    *out = find_known(native, name);
    if (!*out) {
        made->next = native->functions;
        native->functions = made;
        *out = made;
        made = NULL;
    }
    kni_lock_drop(native->lock);
    if (made) free_function(native->alloc, made);
    return KN_OK;
}

/* ---- calls ---- */

kn_status kn_function_try(const kn_function *function, const kn_value *args, int32_t count,
                          kn_value *result) {
    *result = kn_value_none();
    return kni_native_outcome(function->call(function->self, args, count, result), result);
}

kn_status kn_function_call(const kn_function *function, const kn_value *args, int32_t count,
                           kn_value *result, kn_error *err) {
    kn_status status = kn_function_try(function, args, count, result);
    return status ? kni_native_failed(function->name, status, result, err) : KN_OK;
}

/* A symbol is called as by tvm-ffi itself, with the null pointer (library_module.cc there), and not
 * with the object that a function value is. */
kn_status kn_function_value(const kn_function *function, kn_value *out, kn_error *err) {
    if (function->object.type == KN_VALUE_FUNCTION) {
        *out = kn_value_retain(&function->object);
        return KN_OK;
    }
    return kni_value_new_passing(function->native->alloc, function->call, NULL, out, err);
}
