/* SPDX-License-Identifier: Apache-2.0 */
/* Resolve and load: from a repository to a folder, an imported kernel, a layer, a forward. */
#include <string.h>

#include "base/error.h"
#include "engine/state.h"
#include "layers/repo.h"
#include "load/minver.h"
#include "os/files.h"

static kn_status run_system(kni_run *run, kn_error *err) {
    if (run->has_system) return KN_OK;
    run->system = (kn_system){.size = sizeof run->system};
    kn_status status = run->host->system(run->host->ctx, &run->system, err);
    run->has_system = status == KN_OK;
    return status;
}

/* "cuda" for "cu130", "rocm" for "rocm64", "cpu" for "cpu". */
static void backend_family(const char *backend, char *out, size_t capacity) {
    size_t length = strcspn(backend, "0123456789");
    if (length >= capacity) length = capacity - 1;
    memcpy(out, backend, length);
    out[length] = '\0';
    if (strcmp(out, "cu") == 0) memcpy(out, "cuda", sizeof "cuda");
}

#define BUILTIN_PREFIX "builtin/"

static bool is_builtin(const kn_repo_info *info) {
    return info->kind == KN_REPO_HUB && info->id &&
           strncmp(info->id, BUILTIN_PREFIX, strlen(BUILTIN_PREFIX)) == 0;
}

/* The backends to look for a variant of, the first that has one counts. Without one being named it
 * is the system's; a layer for the CPU is looked for among its own builds first, since a build of
 * torch for a GPU runs those as well, and a kernel that ships with the library is taken for the CPU
 * where it has nothing better. */
static kn_status choose_backends(kni_run *run, const kn_repo_info *info, kn_device_type device,
                                 const char *out[2], size_t *count, kn_error *err) {
    kn_status status = run_system(run, err);
    if (status) return status;
    char family[32];
    backend_family(run->system.backend, family, sizeof family);
    bool is_cpu = strcmp(family, "cpu") == 0;
    *count = 1;
    out[0] = run->system.backend;
    if (info->backend) {
        if (strcmp(info->backend, "cpu") == 0)
            out[0] = "cpu";
        else if (strcmp(info->backend, family) != 0) {
            return kni_fail(err, KN_ERR_VALUE,
                            "Invalid backend '%s', system supported backends: cpu%s%s",
                            info->backend, is_cpu ? "" : ", ", is_cpu ? "" : family);
        }
    } else if (!is_cpu && (device == KN_DEVICE_CPU || is_builtin(info))) {
        out[device == KN_DEVICE_CPU ? 0 : 1] = "cpu";
        if (device == KN_DEVICE_CPU) out[1] = run->system.backend;
        *count = 2;
    }
    return KN_OK;
}

static kn_status builtin_path(const kn_engine *engine, const char *repo_id, char **out,
                              kn_error *err) {
    const char *name = repo_id + strlen(BUILTIN_PREFIX);
    bool is_plain = *name && *name != '.' && !strchr(name, '/');
    if (!engine->builtin_folder || !is_plain) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "'%s': there is no first-party kernel of that name",
                        repo_id);
    }
    *out = kni_path_join(engine->alloc, engine->builtin_folder, name);
    if (!*out) return kni_no_memory(err, "finding a first-party kernel");
    if (kni_path_is_directory(*out)) return KN_OK;
    kni_free(engine->alloc, *out);
    *out = NULL;
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "'%s': there is no first-party kernel of that name; looked in '%s'", repo_id,
                    engine->builtin_folder);
}

/* A path that means the same after a change of the working directory, as a copy. */
static kn_status absolute_path(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    if (path[0] != '/') return kni_path_resolve(alloc, path, out, err);
    *out = kni_text_copy(alloc, path);
    return *out ? KN_OK : kni_no_memory(err, "finding a kernel");
}

/* The folder to look in for `info`, as a copy. */
static kn_status source_path(kni_run *run, const kn_repo_info *info, char **out, kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    *out = NULL;
    if (info->kind == KN_REPO_HOST || !info->id) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s is not a kernel that can be looked up: only its host can load it",
                        kni_repo_display(info));
    }
    if (info->kind == KN_REPO_LOCAL) return absolute_path(alloc, info->id, out, err);
    const char *overrides = kni_environment("LOCAL_KERNELS");
    char *override;
    kn_status status = kni_local_kernels_find(alloc, overrides, info->id, &override, err);
    if (status) return status;
    if (override) {
        status = absolute_path(alloc, override, out, err);
        kni_free(alloc, override);
        return status;
    }
    if (is_builtin(info)) return builtin_path(run->engine, info->id, out, err);
    return kni_fail(
        err, KN_ERR_NOT_FOUND,
        "kernel '%s' was not found: looked in LOCAL_KERNELS (%s) and among the first-party kernels "
        "(builtin/...); this version does not load from the Hub: name a directory that has it with "
        "LOCAL_KERNELS=%s=PATH, or use LocalLayerRepository",
        info->id, overrides ? overrides : "not set", info->id);
}

static kni_kernel *find_known(kn_engine *engine, const char *key) {
    kni_kernel *found = NULL;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->known_count && !found; i++) {
        if (strcmp(engine->known[i].key, key) == 0) found = engine->known[i].kernel;
    }
    kni_lock_drop(engine->lock);
    return found;
}

static void kernel_free(const kn_alloc *alloc, kni_kernel *kernel) {
    kni_kernel_source_clear(&kernel->source);
    kni_free(alloc, kernel);
}

/* Under the lock: the kernel of that folder, which is `kernel` (taken over) when it is new. NULL:
 * no memory. */
static kni_kernel *keep_kernel(kn_engine *engine, kni_kernel *kernel) {
    for (size_t i = 0; i < engine->kernel_count; i++) {
        if (strcmp(engine->kernels[i]->source.folder, kernel->source.folder) != 0) continue;
        kernel_free(engine->alloc, kernel);
        return engine->kernels[i];
    }
    if (!kni_reserve(engine->alloc, &engine->kernels, &engine->kernel_capacity,
                     engine->kernel_count + 1, sizeof *engine->kernels)) {
        kernel_free(engine->alloc, kernel);
        return NULL;
    }
    engine->kernels[engine->kernel_count++] = kernel;
    return kernel;
}

static kn_status remember_source(kn_engine *engine, char *key, kni_kernel *kernel, kni_kernel **out,
                                 kn_error *err) {
    kni_lock_take(engine->lock);
    *out = keep_kernel(engine, kernel);
    bool ok = *out && kni_reserve(engine->alloc, &engine->known, &engine->known_capacity,
                                  engine->known_count + 1, sizeof *engine->known);
    if (ok) engine->known[engine->known_count++] = (kni_known_source){key, *out};
    kni_lock_drop(engine->lock);
    if (ok) return KN_OK;
    kni_free(engine->alloc, key);
    *out = NULL;
    return kni_no_memory(err, "finding a kernel");
}

static kn_status find_on_disk(kni_run *run, const char *path, const kn_system *system,
                              kni_kernel **out, kn_error *err) {
    kni_kernel *kernel = kni_new(run->engine->alloc, sizeof *kernel);
    if (!kernel) return kni_no_memory(err, "finding a kernel");
    const kn_host *host = run->host;
    void *left = host->leave ? host->leave(host->ctx) : NULL;
    kn_status status =
        kni_kernel_source_find(run->engine->alloc, path, system, &kernel->source, err);
    if (host->enter) host->enter(host->ctx, left);
    if (status) {
        kni_free(run->engine->alloc, kernel);
        return status;
    }
    *out = kernel;
    return KN_OK;
}

/* The kernel in `path` for one backend. */
static kn_status resolve_for(kni_run *run, const char *path, const char *backend, kni_kernel **out,
                             kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    kn_system system = run->system;
    system.backend = backend;
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_addf(&text, "%s|%s", backend, path);
    char *key = kni_text_take(&text);
    if (!key) return kni_no_memory(err, "finding a kernel");
    *out = find_known(run->engine, key);
    kni_kernel *found = NULL;
    kn_status status = *out ? KN_OK : find_on_disk(run, path, &system, &found, err);
    if (*out || status) {
        kni_free(alloc, key);
        return status;
    }
    return remember_source(run->engine, key, found, out, err);
}

kn_status kni_engine_resolve(kni_run *run, const kn_repo_info *info, kn_device_type device,
                             kni_kernel **out, kn_error *err) {
    *out = NULL;
    const char *backends[2];
    size_t count;
    kn_status status = choose_backends(run, info, device, backends, &count, err);
    if (status) return status;
    char *path;
    status = source_path(run, info, &path, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
        status = resolve_for(run, path, backends[i], out, err);
        if (status != KN_ERR_NOT_FOUND) break;
    }
    kni_free(run->engine->alloc, path);
    return status;
}

kni_kernel *kni_engine_kernel(kn_engine *engine, const void *identity) {
    kni_kernel *found = NULL;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->kernel_count && !found; i++) {
        if (engine->kernels[i] == identity) found = engine->kernels[i];
    }
    kni_lock_drop(engine->lock);
    return found;
}

kn_status kni_engine_import(kni_run *run, kni_kernel *kernel, const char *repo, kn_error *err) {
    kn_engine *engine = run->engine;
    kni_lock_take(engine->lock);
    bool is_there = kernel->handle != NULL;
    kni_lock_drop(engine->lock);
    if (is_there) return KN_OK;

    kn_metadata_info metadata = {.size = sizeof metadata};
    kn_metadata_get(kernel->source.metadata, &metadata);
    kn_status status = kni_minver_check(&metadata, kernel->source.variant, err);
    if (status) return status;
    kn_kernel_info info = {
        .size = sizeof info,
        .folder = kernel->source.folder,
        .entry = kernel->source.entry,
        .id = metadata.id,
        .name = metadata.name,
        .module_name = metadata.module_name,
        .variant = kernel->source.variant,
        .repo = repo,
    };
    void *handle = NULL;
    run->user_code_ran = true;
    status = run->host->import_kernel(run->host->ctx, &info, &handle, err);
    if (status) return status;
    kni_lock_take(engine->lock);
    bool is_first = kernel->handle == NULL;
    if (is_first) kernel->handle = handle;
    kni_lock_drop(engine->lock);
    if (!is_first) run->host->release(handle);
    return KN_OK;
}

static bool find_layer(const kni_run *run, const kni_kernel *kernel, const char *name,
                       kn_layer *out) {
    bool found = false;
    kni_lock_take(run->engine->lock);
    for (size_t i = 0; i < kernel->count && !found; i++) {
        found = strcmp(kernel->layers[i].name, name) == 0;
        if (found) *out = kernel->layers[i].layer;
    }
    if (found) run->host->retain(out->handle);
    kni_lock_drop(run->engine->lock);
    return found;
}

kn_status kni_engine_layer(kni_run *run, kni_kernel *kernel, const char *name, const char *repo,
                           kn_layer *out, kn_error *err) {
    kn_engine *engine = run->engine;
    *out = (kn_layer){.size = sizeof *out};
    if (find_layer(run, kernel, name, out)) return KN_OK;
    run->user_code_ran = true;
    kn_status status = run->host->find_layer(run->host->ctx, kernel->handle, name, repo, out, err);
    if (status) return status;

    /* The host's code may have called us for the same layer: the first one stays. */
    kn_layer made = *out;
    if (find_layer(run, kernel, name, out)) {
        run->host->release(made.handle);
        return KN_OK;
    }
    char *copy = kni_text_copy(engine->alloc, name);
    kni_lock_take(engine->lock);
    bool ok = copy && kni_reserve(engine->alloc, &kernel->layers, &kernel->capacity,
                                  kernel->count + 1, sizeof *kernel->layers);
    if (ok) {
        kernel->layers[kernel->count++] = (kni_loaded_layer){copy, *out};
        run->host->retain(out->handle);
    }
    kni_lock_drop(engine->lock);
    if (ok) return KN_OK;
    kni_free(engine->alloc, copy);
    run->host->release(out->handle);
    out->handle = NULL;
    return kni_no_memory(err, "loading a layer");
}

/* What was loaded for the same object. */
static bool find_same_repo(const kni_run *run, const kn_repo *repo, kn_layer *out) {
    kn_engine *engine = run->engine;
    bool found = false;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->host_layer_count && !found; i++) {
        found = kni_repo_is_same(engine->host_layers[i].repo, repo);
        if (found) *out = engine->host_layers[i].layer;
    }
    if (found) run->host->retain(out->handle);
    kni_lock_drop(engine->lock);
    return found;
}

/* A repository that is equal to `repo` and was loaded before. Its comparison is user code, so it
 * runs unlocked. */
static kn_status find_host_layer(kni_run *run, const kn_repo *repo, uint64_t hash, bool *found,
                                 kn_layer *out, kn_error *err) {
    kn_engine *engine = run->engine;
    *found = false;
    for (size_t i = 0;; i++) {
        kn_repo *candidate = NULL;
        kni_lock_take(engine->lock);
        while (i < engine->host_layer_count && engine->host_layers[i].hash != hash) i++;
        if (i < engine->host_layer_count) {
            candidate = kn_repo_retain(engine->host_layers[i].repo);
            *out = engine->host_layers[i].layer;
            run->host->retain(out->handle);
        }
        kni_lock_drop(engine->lock);
        if (!candidate) return KN_OK;
        int equal = kni_repo_equal(candidate, repo);
        kn_repo_release(candidate);
        *found = equal == 1;
        if (*found) return KN_OK;
        run->host->release(out->handle);
        out->handle = NULL;
        if (equal < 0) return kni_fail(err, KN_ERR_HOST, "comparing repositories failed");
    }
}

kn_status kni_engine_host_layer(kni_run *run, kn_repo *repo, kn_layer *out, kn_error *err) {
    kn_engine *engine = run->engine;
    *out = (kn_layer){.size = sizeof *out};
    if (find_same_repo(run, repo, out)) return KN_OK;
    uint64_t hash;
    run->user_code_ran = true;
    if (!kni_repo_hash(repo, &hash))
        return kni_fail(err, KN_ERR_HOST, "hashing a repository failed");
    bool found;
    kn_status status = find_host_layer(run, repo, hash, &found, out, err);
    if (status || found) return status;

    status = run->host->load(run->host->ctx, kn_repo_object(repo), out, err);
    if (status) return status;
    kn_layer made = *out;
    if (find_same_repo(run, repo, out)) { /* as in kni_engine_layer */
        run->host->release(made.handle);
        return KN_OK;
    }
    kni_lock_take(engine->lock);
    bool ok = kni_reserve(engine->alloc, &engine->host_layers, &engine->host_layer_capacity,
                          engine->host_layer_count + 1, sizeof *engine->host_layers);
    if (ok) {
        run->host->retain(out->handle);
        engine->host_layers[engine->host_layer_count++] =
            (kni_host_layer){kn_repo_retain(repo), hash, *out};
    }
    kni_lock_drop(engine->lock);
    if (ok) return KN_OK;
    run->host->release(out->handle);
    out->handle = NULL;
    return kni_no_memory(err, "loading a layer");
}

static void *find_binding(const kni_run *run, const void *layer, const void *class_handle,
                          const char *repo) {
    kn_engine *engine = run->engine;
    void *forward = NULL;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->binding_count && !forward; i++) {
        const kni_binding *b = &engine->bindings[i];
        bool is_it =
            b->layer == layer && b->class_handle == class_handle && strcmp(b->repo, repo) == 0;
        if (is_it) forward = b->forward;
    }
    if (forward) run->host->retain(forward);
    kni_lock_drop(engine->lock);
    return forward;
}

static const kni_binding *binding_of(const kn_engine *engine, const void *forward) {
    for (size_t i = 0; i < engine->binding_count; i++) {
        if (engine->bindings[i].forward == forward) return &engine->bindings[i];
    }
    return NULL;
}

bool kni_engine_is_same_forward(const kn_engine *engine, const void *a, const void *b) {
    if (a == b || !a || !b) return a == b;
    const kni_binding *of_a = binding_of(engine, a), *of_b = binding_of(engine, b);
    return of_a && of_b && of_a->layer == of_b->layer && of_a->class_handle == of_b->class_handle;
}

kn_status kni_engine_bind(kni_run *run, void *layer, void *class_handle,
                          const kn_forward_info *info, void **out, kn_error *err) {
    kn_engine *engine = run->engine;
    *out = find_binding(run, layer, class_handle, info->repo);
    if (*out) return KN_OK;
    run->user_code_ran = true;
    kn_status status = run->host->bind(run->host->ctx, layer, class_handle, info, out, err);
    if (status) return status;
    if (!run->host->watch(run->host->ctx, class_handle)) return KN_OK;
    void *first = find_binding(run, layer, class_handle, info->repo);
    if (first) { /* as in kni_engine_layer */
        run->host->release(*out);
        *out = first;
        return KN_OK;
    }
    char *repo = kni_text_copy(engine->alloc, info->repo);
    kni_lock_take(engine->lock);
    bool ok = repo && kni_reserve(engine->alloc, &engine->bindings, &engine->binding_capacity,
                                  engine->binding_count + 1, sizeof *engine->bindings);
    if (ok) {
        run->host->retain(*out);
        engine->bindings[engine->binding_count++] = (kni_binding){layer, class_handle, repo, *out};
    }
    kni_lock_drop(engine->lock);
    if (ok) return KN_OK;
    kni_free(engine->alloc, repo);
    run->host->release(*out);
    *out = NULL;
    return kni_no_memory(err, "binding a layer");
}
