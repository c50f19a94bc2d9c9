/* SPDX-License-Identifier: Apache-2.0 */
#include "native/failure.h"

#include <string.h>

#include "base/error.h"
#include "native/ffi_abi.h"
#include "native/runtime.h"

/* Where a status has several kinds, its first one is what callbacks raise. */
static const struct {
    kn_status status;
    const char *kind;
} kinds[] = {
    {KN_ERR_VALUE, "ValueError"},
    {KN_ERR_TYPE, "TypeError"},
    {KN_ERR_NOMEM, "MemoryError"},
    {KN_ERR_OS, "OSError"},
    {KN_ERR_UNSUPPORTED, "NotImplementedError"},
    {KN_ERR_NOT_FOUND, "FileNotFoundError"},
    {KN_ERR_TIMEOUT, "TimeoutError"},
    {KN_ERR_CANCELLED, "KeyboardInterrupt"},
    {KN_ERR_HOST, KNI_FFI_HOST_KIND},
    {KN_ERR_VALUE, "IndexError"},
    {KN_ERR_VALUE, "KeyError"},
    {KN_ERR_NOT_FOUND, "AttributeError"},
};

const char *kni_kind_of_status(kn_status status) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].status == status) return kinds[i].kind;
    }
    return "RuntimeError";
}

static bool is_kind(kn_bytes kind, const char *name) {
    size_t length = strlen(name);
    return length == kind.length && memcmp(name, kind.at, length) == 0;
}

static kn_status status_of_kind(kn_bytes kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (is_kind(kind, kinds[i].kind)) return kinds[i].status;
    }
    return KN_ERR_RUNTIME;
}

/* What a %.*s takes. */
static int shown(kn_bytes bytes) {
    return bytes.length < KN_ERROR_TEXT_MAX ? (int)bytes.length : KN_ERROR_TEXT_MAX;
}

kn_status kni_native_outcome(int returned, kn_value *result) {
    kn_native_error cause = {.size = sizeof cause};
    if (returned == 0) return KN_OK;
    kn_value_release(result);
    *result = kni_ffi_take_raised();
    if (!kn_value_as_error(result, &cause) || !is_kind(cause.kind, KNI_FFI_HOST_KIND))
        return KN_ERR_RUNTIME;
    kn_value_release(result);
    return KN_ERR_HOST;
}

kn_status kni_native_failed(const char *name, kn_status status, kn_value *error, kn_error *err) {
    kn_native_error cause = {.size = sizeof cause};
    if (status == KN_ERR_HOST) {
        kni_fail(err, status, "%s: a callback of the program failed", name);
    } else if (kn_value_as_error(error, &cause)) {
        status = kni_fail(err, status_of_kind(cause.kind), "%s: %.*s: %.*s", name,
                          shown(cause.kind), cause.kind.at, shown(cause.message), cause.message.at);
    } else {
        kni_fail(err, status,
                 "%s: the kernel says that it failed, and not why; it may need arguments of other "
                 "types or another number of them",
                 name);
    }
    kn_value_release(error);
    return status;
}
