/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/engine.h>

#include <string.h>

#include "base/error.h"
#include "engine/config.h"
#include "engine/fetch.h"
#include "engine/host.h"
#include "os/files.h"
#include "os/library.h"

/* What an engine has before its first call. */
static void free_empty(kn_engine *engine) {
    kn_mapping_release(engine->mapping);
    kni_lock_free(engine->lock);
    kni_free(engine->alloc, engine->builtin_folder);
    kni_free(engine->alloc, engine->net_library);
    kni_free(engine->alloc, engine->tvm_ffi_library);
    kni_free(engine->alloc, engine->site_config);
    kni_config_free(engine->config);
    kni_free(engine->alloc, engine);
}

/* The folder of the first-party kernels: the one that is given, else that beside the library. */
static kn_status find_builtin(kn_engine *engine, const char *given, kn_error *err) {
    char *folder = NULL;
    if (!given) {
        kn_status status =
            kni_library_folder(engine->alloc, (kni_function)kn_engine_new, &folder, err);
        if (status) return status;
    }
    engine->builtin_folder = given ? kni_text_copy(engine->alloc, given)
                                   : kni_path_join(engine->alloc, folder, "kernels/builtin");
    kni_free(engine->alloc, folder);
    return engine->builtin_folder ? KN_OK : kni_no_memory(err, "starting the engine");
}

/* `given` as far as its program knows it: one that is older than a field has a smaller struct. */
static kn_engine_options complete(const kn_engine_options *given) {
    kn_engine_options options = {.size = 0};
    if (given) memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    return options;
}

kn_status kn_engine_new(const kn_engine_options *given, kn_engine **out, kn_error *err) {
    const kn_engine_options options = complete(given);
    const kn_alloc *alloc = kni_alloc_or_default(options.alloc);
    *out = NULL;
    kn_engine *engine = kni_new(alloc, sizeof *engine);
    if (!engine) return kni_no_memory(err, "starting the engine");
    engine->alloc = alloc;
    engine->lock = kni_lock_new(alloc);
    engine->transport_new = options.transport_new;
    engine->transport_ctx = options.transport_ctx;
    engine->log = options.log;
    engine->progress = options.progress;
    engine->sink_ctx = options.sink_ctx;
    engine->system = options.system;
    kni_machine(engine->arch, engine->os);
    kn_status status = find_builtin(engine, options.builtin_folder, err);
    if (!status && options.backend)
        status = kni_backend_read(options.backend, "kn_engine_options", engine->backend, err);
    engine->net_library = kni_text_copy(alloc, options.net_library);
    engine->site_config = kni_text_copy(alloc, options.site_config);
    if (!status) status = kn_mapping_extend(alloc, NULL, NULL, 0, &engine->mapping, err);
    if (!engine->lock || (options.net_library && !engine->net_library) ||
        (options.site_config && !engine->site_config)) {
        status = kni_no_memory(err, "starting the engine");
    }
    if (status) {
        free_empty(engine);
        return status;
    }
    *out = engine;
    return KN_OK;
}

static void kernel_release(const kn_engine *engine, const kn_host *host, kni_kernel *kernel) {
    for (size_t i = 0; i < kernel->count; i++) {
        host->release(kernel->layers[i].layer.handle);
        kni_free(engine->alloc, kernel->layers[i].name);
    }
    if (kernel->handle) host->release(kernel->handle);
    kni_free(engine->alloc, kernel->layers);
    kni_kernel_free(engine->alloc, kernel);
}

void kn_engine_free(kn_engine *engine, const kn_host *own) {
    if (!engine) return;
    kn_host completed;
    const kn_host *host = kni_host_complete(own, &completed);
    kni_engine_transports_free(engine);
    for (size_t i = 0; i < engine->root_count; i++) kn_plan_release(engine->roots[i].plan);
    for (size_t i = 0; i < engine->claim_count; i++)
        kni_claim_clear(engine->alloc, host, &engine->claims[i]);
    for (size_t i = 0; i < engine->binding_count; i++) {
        host->release(engine->bindings[i].forward);
        kni_free(engine->alloc, engine->bindings[i].repo);
    }
    for (size_t i = 0; i < engine->host_layer_count; i++) {
        host->release(engine->host_layers[i].layer.handle);
        kn_repo_release(engine->host_layers[i].repo);
    }
    kni_engine_free_known(engine);
    for (size_t i = 0; i < engine->kernel_count; i++)
        kernel_release(engine, host, engine->kernels[i]);
    for (size_t i = 0; i < engine->told_count; i++) kni_free(engine->alloc, engine->told[i]);
    void *arrays[] = {engine->roots, engine->claims,  engine->bindings, engine->host_layers,
                      engine->known, engine->kernels, engine->told};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) kni_free(engine->alloc, arrays[i]);
    free_empty(engine);
}

void kn_engine_cancel(kn_engine *engine, bool cancel) { kni_flag_set(&engine->cancelled, cancel); }

kn_mapping *kn_engine_mapping(kn_engine *engine) {
    kni_lock_take(engine->lock);
    kn_mapping *mapping = kn_mapping_retain(engine->mapping);
    kni_lock_drop(engine->lock);
    return mapping;
}

/* Extends what is there and puts it in place, unless somebody else was faster: then once more. */
kn_status kn_engine_register(kn_engine *engine, const kn_mapping_entry *entries, size_t count,
                             bool inherit, kn_error *err) {
    for (;;) {
        kn_mapping *base = kn_engine_mapping(engine), *made;
        kn_status status =
            kn_mapping_extend(engine->alloc, inherit ? base : NULL, entries, count, &made, err);
        if (status) {
            kn_mapping_release(base);
            return status;
        }
        kni_lock_take(engine->lock);
        bool is_current = engine->mapping == base;
        if (is_current) engine->mapping = made;
        kni_lock_drop(engine->lock);
        kn_mapping_release(base); /* the caller's */
        kn_mapping_release(is_current ? base : made);
        if (is_current) return KN_OK;
    }
}

bool kni_engine_tell_once(kn_engine *engine, const char *what) {
    bool is_new = true;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->told_count && is_new; i++)
        is_new = strcmp(engine->told[i], what) != 0;
    char *copy = is_new ? kni_text_copy(engine->alloc, what) : NULL;
    if (copy && kni_reserve(engine->alloc, &engine->told, &engine->told_capacity,
                            engine->told_count + 1, sizeof *engine->told)) {
        engine->told[engine->told_count++] = copy;
        copy = NULL;
    }
    kni_lock_drop(engine->lock);
    kni_free(engine->alloc, copy);
    return is_new;
}

/* Under the lock. */
static kni_root *find_root(kn_engine *engine, const void *model) {
    for (size_t i = 0; i < engine->root_count; i++) {
        if (engine->roots[i].model == model) return &engine->roots[i];
    }
    return NULL;
}

void kni_engine_remember(kni_run *run) {
    kn_engine *engine = run->engine;
    kni_lock_take(engine->lock);
    bool is_known = find_root(engine, run->model) != NULL;
    kni_lock_drop(engine->lock);
    if (!is_known && !run->host->watch(run->host->ctx, run->model)) return;
    kn_plan *replaced = NULL;
    kni_lock_take(engine->lock);
    kni_root *root = find_root(engine, run->model);
    if (root) {
        replaced = root->plan;
        root->plan = kn_plan_retain(run->plan);
    } else if (kni_reserve(engine->alloc, &engine->roots, &engine->root_capacity,
                           engine->root_count + 1, sizeof *engine->roots)) {
        engine->roots[engine->root_count++] = (kni_root){run->model, kn_plan_retain(run->plan)};
    }
    kni_lock_drop(engine->lock);
    kn_plan_release(replaced);
}

kn_plan *kni_engine_recall(kn_engine *engine, const void *model) {
    kni_lock_take(engine->lock);
    const kni_root *root = find_root(engine, model);
    kn_plan *plan = root ? kn_plan_retain(root->plan) : NULL;
    kni_lock_drop(engine->lock);
    return plan;
}

void kni_engine_forget_plan(kn_engine *engine, const void *model) {
    kni_lock_take(engine->lock);
    kni_root *root = find_root(engine, model);
    kn_plan *plan = root ? root->plan : NULL;
    if (root) *root = engine->roots[--engine->root_count];
    kni_lock_drop(engine->lock);
    kn_plan_release(plan);
}

/* Takes one binding of the class out; false when there is none left. */
static bool take_binding(kn_engine *engine, const void *class_handle, kni_binding *out) {
    bool found = false;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->binding_count && !found; i++) {
        if (engine->bindings[i].class_handle != class_handle) continue;
        found = true;
        *out = engine->bindings[i];
        engine->bindings[i] = engine->bindings[--engine->binding_count];
    }
    kni_lock_drop(engine->lock);
    return found;
}

void kn_engine_forget(kn_engine *engine, const kn_host *own, const void *object) {
    kn_host completed;
    const kn_host *host = kni_host_complete(own, &completed);
    kni_binding binding;
    while (take_binding(engine, object, &binding)) {
        host->release(binding.forward);
        kni_free(engine->alloc, binding.repo);
    }
    kni_engine_forget_plan(engine, object);
    kni_engine_release_claims(engine, host, object);
}
