/* SPDX-License-Identifier: Apache-2.0 */
/* Native kernels: found and fetched as all kernels are, then opened and not imported. */
#include <kernels/native.h>
#include <kernels/object.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "load/gpus.h"
#include "load/native_library.h"
#include "load/tvm_ffi_place.h"
#include "native/failure.h"
#include "os/files.h"

#define BACKEND_VARIABLE "KERNELS_BACKEND"

/* ---- libtvm_ffi ---- */

kn_status kn_engine_use_tvm_ffi(kn_engine *engine, const char *path, kn_error *err) {
    char *copy = kni_text_copy(engine->alloc, path);
    if (path && !copy) return kni_no_memory(err, "naming libtvm_ffi");
    kni_lock_take(engine->lock);
    char *before = engine->tvm_ffi_library;
    engine->tvm_ffi_library = copy;
    kni_lock_drop(engine->lock);
    kni_free(engine->alloc, before);
    return KN_OK;
}

static kn_status find_place(kn_engine *engine, kni_tvm_ffi_place *out, kn_error *err) {
    out->path = NULL;
    kni_lock_take(engine->lock);
    char *said = kni_text_copy(engine->alloc, engine->tvm_ffi_library);
    bool ok = said || !engine->tvm_ffi_library;
    kni_lock_drop(engine->lock);
    if (!ok) return kni_no_memory(err, "looking for libtvm_ffi");
    kn_status status = kni_tvm_ffi_find(engine->alloc, said, out, err);
    kni_free(engine->alloc, said);
    return status;
}

static kn_status load_from(const kni_tvm_ffi_place *place, kni_ffi *out, kn_error *err) {
    if (place->path) return kni_ffi_load(place->path, out, err);
    if (kni_ffi_load(NULL, out, NULL) == KN_OK) return KN_OK;
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "libtvm_ffi.so is needed here and was not found: install it with 'pip install "
                    "apache-tvm-ffi' into the Python environment that VIRTUAL_ENV names or "
                    "python3 belongs to, or name the file with " KNI_TVM_FFI_VARIABLE);
}

/* The one of this process, which is loaded if there is none. */
static kn_status get_tvm_ffi(kn_engine *engine, kni_ffi *out, kn_error *err) {
    kni_lock_take(engine->lock);
    bool is_there = engine->has_tvm_ffi;
    *out = engine->tvm_ffi;
    kni_lock_drop(engine->lock);
    if (is_there) return KN_OK;
    if (!kni_ffi_find(out)) {
        kni_tvm_ffi_place place;
        kn_status status = find_place(engine, &place, err);
        if (!status) status = load_from(&place, out, err);
        kni_free(engine->alloc, place.path);
        if (status) return status;
    }
    kn_status status = kni_ffi_check(out, err);
    if (status) return status;
    kni_ffi_lend_memory();
    kni_lock_take(engine->lock);
    engine->tvm_ffi = *out;
    engine->has_tvm_ffi = true;
    kni_lock_drop(engine->lock);
    return KN_OK;
}

kn_status kn_engine_set_stream(kn_engine *engine, kn_tensor_device device, void *stream,
                               void **previous, kn_error *err) {
    kni_ffi ffi;
    if (previous) *previous = NULL;
    kn_status status = get_tvm_ffi(engine, &ffi, err);
    if (status) return status;
    if (ffi.set_stream(device.place, device.index, stream, previous) == 0) return KN_OK;
    kn_value error = kni_ffi_take_raised();
    return kni_native_failed("TVMFFIEnvSetStream", KN_ERR_RUNTIME, &error, err);
}

kn_status kn_engine_new_array(kn_engine *engine, const kn_value *items, int32_t count,
                              kn_value *out, kn_error *err) {
    kni_ffi ffi;
    *out = kn_value_none();
    kn_status status = get_tvm_ffi(engine, &ffi, err);
    return status ? status : kni_ffi_call_global("ffi.Array", items, count, out, err);
}

/* ---- the machine ---- */

kn_status kni_engine_tvm_ffi_version(kn_engine *engine, int *major, int *minor, kn_error *err) {
    kni_ffi ffi;
    kni_tvm_ffi_place place = {.path = NULL, .major = -1};
    *major = KNI_FFI_MAJOR;
    *minor = KNI_FFI_MINOR;
    bool found = kni_ffi_find(&ffi);
    kn_status status = found ? KN_OK : find_place(engine, &place, err);
    if (!status && !found && place.major < 0) {
        status = place.path ? kni_ffi_load(place.path, &ffi, err) : KN_OK;
        found = place.path ? !status : !kni_ffi_load(NULL, &ffi, NULL);
    }
    if (found) {
        *major = (int)ffi.version.major;
        *minor = (int)ffi.version.minor;
    } else if (place.major >= 0) {
        *major = place.major;
        *minor = place.minor;
    }
    kni_free(engine->alloc, place.path);
    return status;
}

kn_status kni_backend_read(const char *text, const char *by, char out[KNI_BACKEND_TEXT_MAX],
                           kn_error *err) {
    kni_backend backend;
    if (!kni_backend_parse(text, strlen(text), &backend))
        return kni_fail(err, KN_ERR_VALUE,
                        "%s names the backend '%s': expected cpu, cuNNN, rocmNN, xpuNNNNN, cannNN, "
                        "metal, neuron or tpu",
                        by, text);
    kni_backend_text(backend, out);
    return KN_OK;
}

/* Asked for once, and not under the lock: the driver takes its time to start. */
static kn_status find_backend(kn_engine *engine, kn_error *err) {
    char found[KNI_BACKEND_TEXT_MAX] = "cpu";
    kni_lock_take(engine->lock);
    bool is_known = engine->backend[0];
    kni_lock_drop(engine->lock);
    if (is_known) return KN_OK;
    const char *named = kni_environment(BACKEND_VARIABLE);
    int cuda = named ? 0 : kni_gpus_cuda();
    if (cuda) snprintf(found, sizeof found, "cu%d", cuda);
    kn_status status = named ? kni_backend_read(named, BACKEND_VARIABLE, found, err) : KN_OK;
    if (status) return status;
    kni_lock_take(engine->lock);
    if (!engine->backend[0]) memcpy(engine->backend, found, sizeof found);
    kni_lock_drop(engine->lock);
    return KN_OK;
}

kn_status kn_engine_native_system(kn_engine *engine, kn_system *out, kn_error *err) {
    *out = (kn_system){.size = sizeof *out,
                       .torch_major = -1,
                       .torch_minor = -1,
                       .torch_cxx11_abi = -1,
                       .backend = engine->backend,
                       .arch = engine->arch,
                       .os = engine->os};
    kn_status status = find_backend(engine, err);
    if (status) return status;
    return kni_engine_tvm_ffi_version(engine, &out->tvm_ffi_major, &out->tvm_ffi_minor, err);
}

/* ---- kernels ---- */

/* Whether the file says that it needs libtvm_ffi. `name`: of the library, below `folder`. */
static kn_status names_tvm_ffi(const kn_alloc *alloc, const char *folder, const char *name,
                               bool *out, kn_error *err) {
    kn_objects *objects;
    *out = false;
    kn_status status = kn_objects_read(alloc, folder, &objects, err);
    if (status) return status;
    for (size_t i = 0; i < kn_objects_count(objects); i++) {
        kn_object_info info = {.size = sizeof info};
        kn_objects_get(objects, i, &info);
        if (strcmp(info.path, name) != 0) continue;
        for (size_t j = 0; j < info.needed_count && !*out; j++)
            *out = strcmp(kn_objects_needed(objects, i, j), KNI_FFI_LIBRARY) == 0;
    }
    kn_objects_free(objects);
    return KN_OK;
}

/* Compilers that do not name what they need leave it to the loader to miss it. */
static bool misses_tvm_ffi(kn_status status, const kn_error *cause) {
    return status == KN_ERR_OS && strstr(cause->message, "TVMFFI");
}

/* The one place where a kernel's code comes into the process without Python. */
static kn_status open_library(kn_engine *engine, const char *folder, const char *path,
                              kni_library **out, kn_error *err) {
    kni_ffi ffi;
    kn_error cause;
    kn_error_init(&cause);
    bool needs;
    kn_status status = names_tvm_ffi(engine->alloc, folder, path + strlen(folder) + 1, &needs, err);
    if (!status && (needs || kni_ffi_find(&ffi))) status = get_tvm_ffi(engine, &ffi, err);
    if (status) return status;
    status = kni_library_open(path, out, &cause);
    bool misses = misses_tvm_ffi(status, &cause);
    if (status && !misses) return kni_fail(err, status, "%s", cause.message);
    if (!misses && !kni_native_has_modules(*out)) return KN_OK;
    status = get_tvm_ffi(engine, &ffi, err);
    return !status && misses ? kni_library_open(path, out, err) : status;
}

/* What the loader said, with which kernel that was about and what to do. */
static kn_status fail_unloadable(const kni_kernel *kernel, const char *name, const kn_error *cause,
                                 kn_error *err) {
    const char *advice = kn_loader_advice(cause->message);
    const char *repo = kernel->repo, *revision = kernel->revision;
    return kni_fail(err, cause->status, "kernel '%s' variant '%s'%s%s%s%s%s: %s%s%s", name,
                    kernel->source.variant, repo ? " (" : "", repo ? repo : "", repo ? " at " : "",
                    repo ? revision : "", repo ? ")" : "", cause->message, advice ? "; " : "",
                    advice ? advice : "");
}

static kn_status open_kernel(kn_engine *engine, const kni_kernel *kernel, kn_native **out,
                             kn_error *err) {
    kn_metadata_info metadata = {.size = sizeof metadata};
    kn_metadata_get(kernel->source.metadata, &metadata);
    char *path;
    kni_library *library = NULL;
    kn_status status = kni_native_library_find(engine->alloc, &kernel->source, &path, err);
    if (status) return status;
    const kni_native_about about = {metadata.name, kernel->source.variant, kernel->source.folder,
                                    path};
    kn_error cause;
    kn_error_init(&cause);
    status = open_library(engine, kernel->source.folder, path, &library, &cause);
    if (status) status = fail_unloadable(kernel, metadata.name, &cause, err);
    if (!status) status = kni_native_new(engine->alloc, &about, library, out, err);
    kni_free(engine->alloc, path);
    return status;
}

/* The one that was opened first counts. */
static kn_native *keep(kn_engine *engine, kni_kernel *kernel, kn_native *made) {
    kni_lock_take(engine->lock);
    kn_native *before = kernel->native;
    if (!before) kernel->native = made;
    kni_lock_drop(engine->lock);
    if (before) kni_native_free(made);
    return before ? before : made;
}

static kn_status get_native(kni_run *run, const kn_repo_info *info, kn_native **out,
                            kn_error *err) {
    kni_kernel *kernel;
    kn_status status = kni_engine_resolve_one(run, info, &kernel, err);
    if (status) return status;
    kni_lock_take(run->engine->lock);
    *out = kernel->native;
    kni_lock_drop(run->engine->lock);
    if (*out) return KN_OK;
    kn_native *made;
    status = kni_engine_check_kernel(run, kernel, info->any_arch, err);
    if (!status) status = open_kernel(run->engine, kernel, &made, err);
    if (!status) *out = keep(run->engine, kernel, made);
    return status;
}

kn_status kn_engine_get_native(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                               kn_native **out, kn_error *err) {
    *out = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    run.native = true;
    kn_status status = get_native(&run, info, out, err);
    kni_run_clear(&run);
    return status;
}
