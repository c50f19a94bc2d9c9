/* SPDX-License-Identifier: Apache-2.0 */
#include "load/tvm_ffi_place.h"

#include <kernels/environment.h>

#include "base/error.h"
#include "os/files.h"

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "looking for libtvm_ffi"); }

static kn_status take_given(const kn_alloc *alloc, const char *path, const char *by,
                            kni_tvm_ffi_place *out, kn_error *err) {
    if (!kni_path_is_file(path)) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "there is no libtvm_ffi '%s', which %s names; name the file libtvm_ffi.so "
                        "of the package apache-tvm-ffi, or nothing",
                        path, by);
    }
    out->path = kni_text_copy(alloc, path);
    return out->path ? KN_OK : no_memory(err);
}

/* An environment that cannot be read has none. `python` NULL: that of this program. */
static kn_status look_into(const kn_alloc *alloc, const char *python, kni_tvm_ffi_place *out,
                           kn_error *err) {
    kn_environment *environment;
    kn_environment_info info = {.size = sizeof info};
    kn_status status = python ? kn_environment_read(alloc, python, &environment, NULL)
                              : kn_environment_read_own(alloc, &environment, NULL);
    if (status) return status == KN_ERR_NOMEM ? no_memory(err) : KN_OK;
    kn_environment_get(environment, &info);
    if (info.tvm_ffi_library) {
        out->path = kni_text_copy(alloc, info.tvm_ffi_library);
        out->major = info.system.tvm_ffi_major;
        out->minor = info.system.tvm_ffi_minor;
        if (!out->path) status = no_memory(err);
    }
    kn_environment_free(environment);
    return status;
}

kn_status kni_tvm_ffi_find(const kn_alloc *alloc, const char *said, kni_tvm_ffi_place *out,
                           kn_error *err) {
    *out = (kni_tvm_ffi_place){.path = NULL, .major = -1, .minor = -1};
    const char *named = kni_environment(KNI_TVM_FFI_VARIABLE);
    if (named) return take_given(alloc, named, KNI_TVM_FFI_VARIABLE, out, err);
    if (said) return take_given(alloc, said, "the program", out, err);
    const char *const environments[] = {kni_environment("VIRTUAL_ENV"),
                                        kni_environment("CONDA_PREFIX")};
    kn_status status = KN_OK;
    for (size_t i = 0; i < 2 && !status && !out->path; i++)
        if (environments[i]) status = look_into(alloc, environments[i], out, err);
    if (!status && !out->path) status = look_into(alloc, NULL, out, err);
    if (!status && !out->path) status = look_into(alloc, "python3", out, err);
    return status;
}
