/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, imported and bound in this process: kernels, their layers, forwards. */
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "engine/host.h"
#include "layers/repo.h"
#include "load/archs.h"
#include "load/minver.h"
#include "load/provenance.h"
#include "load/python_depends.h"
#include "os/clock.h"

kn_status kni_run_system(kni_run *run, kn_error *err) {
    if (run->has_system) return KN_OK;
    run->system = (kn_system){.size = sizeof run->system};
    kn_system *system = &run->system;
    kn_status status = kni_host_system(run->engine, run->host, system, err);
    system->native = run->native;
    if (!status && run->native && system->tvm_ffi_major < 0)
        status = kni_engine_tvm_ffi_version(run->engine, &system->tvm_ffi_major,
                                            &system->tvm_ffi_minor, err);
    run->has_system = status == KN_OK;
    return status;
}

/* ---- kernels that were found ---- */

void kni_kernel_free(const kn_alloc *alloc, kni_kernel *kernel) {
    kni_kernel_source_clear(&kernel->source);
    kni_free(alloc, kernel->repo);
    kni_free(alloc, kernel->revision);
    kni_free(alloc, kernel->commit);
    kni_free(alloc, kernel->depends);
    kni_native_free(kernel->native);
    kni_free(alloc, kernel);
}

kni_kernel *kni_engine_find_known(kn_engine *engine, const char *key, int64_t *valid_until_s,
                                  char **note) {
    kni_kernel *found = NULL;
    *note = NULL;
    int64_t now = kni_clock_seconds();
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->known_count && !found; i++) {
        if (strcmp(engine->known[i].key, key) != 0) continue;
        if (now >= engine->known[i].valid_until_s) break;
        if (engine->known[i].kernel->is_forgotten) break;
        found = engine->known[i].kernel;
        *valid_until_s = engine->known[i].valid_until_s;
        *note = kni_text_copy(engine->alloc, engine->known[i].note);
    }
    kni_lock_drop(engine->lock);
    return found;
}

/* Under the lock. */
static kni_kernel *keep_kernel(kn_engine *engine, kni_kernel *kernel) {
    for (size_t i = 0; i < engine->kernel_count; i++) {
        kni_kernel *known = engine->kernels[i];
        if (known->is_forgotten || strcmp(known->source.folder, kernel->source.folder) != 0)
            continue;
        kni_kernel_free(engine->alloc, kernel);
        return known;
    }
    if (!kni_reserve(engine->alloc, &engine->kernels, &engine->kernel_capacity,
                     engine->kernel_count + 1, sizeof *engine->kernels)) {
        kni_kernel_free(engine->alloc, kernel);
        return NULL;
    }
    engine->kernels[engine->kernel_count++] = kernel;
    return kernel;
}

kni_kernel *kni_engine_keep_kernel(kn_engine *engine, kni_kernel *kernel) {
    kni_lock_take(engine->lock);
    kni_kernel *kept = keep_kernel(engine, kernel);
    kni_lock_drop(engine->lock);
    return kept;
}

void kni_engine_free_known(kn_engine *engine) {
    for (size_t i = 0; i < engine->known_count; i++) {
        kni_free(engine->alloc, engine->known[i].key);
        kni_free(engine->alloc, engine->known[i].note);
    }
    engine->known_count = 0;
}

/* It may be in use: it stays until the engine goes. */
void kn_engine_forget_kernels(kn_engine *engine, const char *folder) {
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->kernel_count; i++) {
        kni_kernel *kernel = engine->kernels[i];
        if (!folder || strcmp(kernel->source.folder, folder) == 0) kernel->is_forgotten = true;
    }
    kni_engine_free_known(engine);
    kni_lock_drop(engine->lock);
}

/* Remembers what a request came to. */
static kn_status remember(kn_engine *engine, const kni_want *w, kn_error *err) {
    char *key = kni_text_copy(engine->alloc, w->key), *note = kni_text_copy(engine->alloc, w->note);
    if (!key || (w->note && !note)) {
        kni_free(engine->alloc, key);
        kni_free(engine->alloc, note);
        return kni_no_memory(err, "finding a kernel");
    }
    kni_lock_take(engine->lock);
    size_t at = 0;
    while (at < engine->known_count && strcmp(engine->known[at].key, key) != 0) at++;
    bool is_new = at == engine->known_count;
    bool ok = !is_new || kni_reserve(engine->alloc, &engine->known, &engine->known_capacity,
                                     engine->known_count + 1, sizeof *engine->known);
    if (ok && is_new) {
        engine->known_count++;
        engine->known[at] = (kni_known_source){.key = key};
        key = NULL;
    }
    if (ok) {
        char *before = engine->known[at].note;
        engine->known[at].note = note;
        note = before;
        engine->known[at].kernel = w->kernel;
        engine->known[at].valid_until_s = w->valid_until_s;
    }
    kni_lock_drop(engine->lock);
    kni_free(engine->alloc, key);
    kni_free(engine->alloc, note);
    return ok ? KN_OK : kni_no_memory(err, "finding a kernel");
}

/* ---- from requests to kernels ---- */

/* Gives a kernel what it depends on; the first to do so counts. */
static kn_status link_kernel(kn_engine *engine, const kni_batch *batch, const kni_want *w,
                             kn_error *err) {
    kni_kernel **depends = NULL;
    if (w->depend_count) {
        depends = kni_new(engine->alloc, w->depend_count * sizeof(kni_kernel *));
        if (!depends) return kni_no_memory(err, "finding a kernel");
        for (size_t i = 0; i < w->depend_count; i++)
            depends[i] = batch->wants[w->depends[i]]->kernel;
    }
    kni_lock_take(engine->lock);
    bool is_first = !w->kernel->is_linked;
    if (is_first) {
        w->kernel->depends = depends;
        w->kernel->depend_count = w->depend_count;
        w->kernel->is_linked = true;
    }
    kni_lock_drop(engine->lock);
    if (!is_first) kni_free(engine->alloc, depends);
    return KN_OK;
}

static kn_status collect(kni_batch *batch, kni_sought *sought, const size_t *numbers, size_t count,
                         kn_error *err) {
    kn_status status = kni_batch_link(batch, err);
    for (size_t i = 0; i < batch->count && !status; i++) {
        const kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_DONE) continue;
        if (!batch->run->native) status = link_kernel(batch->engine, batch, w, err);
        if (!status) status = remember(batch->engine, w, err);
    }
    for (size_t i = 0; i < count && !status; i++) {
        if (sought[i].status) continue; /* it was no request at all */
        const kni_want *w = batch->wants[numbers[i]];
        sought[i].status = w->status;
        sought[i].kernel = w->kernel;
        if (w->status) kni_fail(&sought[i].err, w->status, "%s", w->err.message);
    }
    return status;
}

/* Whether every one of them was found before. */
static bool all_known(const kni_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->wants[i]->step != KNI_WANT_DONE) return false;
    }
    return true;
}

kn_status kni_engine_resolve(kni_run *run, kni_sought *sought, size_t count, bool may_ask,
                             kn_error *err) {
    kni_batch batch;
    size_t *numbers = kni_new(run->engine->alloc, (count ? count : 1) * sizeof *numbers);
    if (!numbers) return kni_no_memory(err, "finding a kernel");
    kn_status status = kni_batch_open(run, may_ask, &batch, err);
    for (size_t i = 0; i < count && !status; i++) {
        kn_error_init(&sought[i].err);
        sought[i].kernel = NULL;
        sought[i].status = kni_batch_add(&batch, &sought[i].info, sought[i].device, KNI_DEPTH_FILES,
                                         &numbers[i], &sought[i].err);
        if (sought[i].status == KN_ERR_NOMEM) status = kni_no_memory(err, "finding a kernel");
    }
    if (!status && all_known(&batch)) {
        for (size_t i = 0; i < count; i++)
            if (!sought[i].status) sought[i].kernel = batch.wants[numbers[i]]->kernel;
    } else if (!status) {
        status = kni_batch_run(&batch, err);
        if (!status) status = collect(&batch, sought, numbers, count, err);
    }
    for (size_t i = 0; i < count && !status; i++) {
        const char *note = sought[i].kernel ? batch.wants[numbers[i]]->note : NULL;
        sought[i].note = kni_text_copy(batch.alloc, note);
        if (note && !sought[i].note) status = kni_no_memory(err, "finding a kernel");
    }
    kni_batch_close(&batch);
    kni_free(run->engine->alloc, numbers);
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

/* ---- imports ---- */

typedef struct closure {
    const kn_alloc *alloc;
    kni_kernel **items; /* what is depended on comes first */
    size_t count, capacity;
} closure;

static bool has_kernel(const closure *c, const kni_kernel *kernel) {
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i] == kernel) return true;
    }
    return false;
}

/* Whether all that `kernel` depends on is in the closure; else *missing. */
static bool is_ready(const closure *c, const kni_kernel *kernel, kni_kernel **missing) {
    for (size_t i = 0; i < kernel->depend_count; i++) {
        *missing = kernel->depends[i];
        if (!has_kernel(c, *missing)) return false;
    }
    return true;
}

/* The kernel with all that it depends on: there are no cycles, see kni_batch_link. */
static kn_status collect_closure(kni_kernel *kernel, closure *c, kn_error *err) {
    while (!has_kernel(c, kernel)) {
        kni_kernel *at = kernel, *missing;
        while (!is_ready(c, at, &missing)) at = missing;
        if (!kni_reserve(c->alloc, &c->items, &c->capacity, c->count + 1, sizeof *c->items))
            return kni_no_memory(err, "importing a kernel");
        c->items[c->count++] = at;
    }
    return KN_OK;
}

typedef struct import_check {
    kni_run *run;
    kn_status status;
    kn_error *err;
} import_check;

static bool can_import(void *ctx, const char *name) {
    import_check *check = ctx;
    const kn_host *host = check->run->host;
    bool found = true;
    if (check->status || !host->can_import) return true;
    check->status = host->can_import(host->ctx, name, &found, check->err);
    return check->status || found;
}

static kn_status check_depends(kni_run *run, const kn_metadata *metadata, kn_error *err) {
    import_check check = {.run = run, .err = err};
    char family[32];
    kn_status status = kni_run_system(run, err);
    if (status) return status;
    kni_backend_family(run->system.backend, family, sizeof family);
    status = kni_python_depends_check(metadata, family, can_import, &check, err);
    return check.status ? check.status : status;
}

kn_status kni_engine_check_gpu(kni_run *run, const kn_metadata *metadata, const char *variant,
                               bool *refused, kn_error *err) {
    kn_gpu gpu = {.size = sizeof gpu, .capability = KN_CAPABILITY_UNKNOWN};
    *refused = false;
    if (!kn_metadata_archs_count(metadata) || !run->host->gpu) return KN_OK;
    kn_status status = run->host->gpu(run->host->ctx, &gpu, err);
    if (status) return status;
    status = kni_archs_check(run->engine->alloc, metadata, variant, &gpu, err);
    *refused = status == KN_ERR_RUNTIME;
    return status;
}

kn_status kni_engine_check_kernel(kni_run *run, const kni_kernel *kernel, bool any_arch,
                                  kn_error *err) {
    const kn_metadata *metadata = kernel->source.metadata;
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    kn_status status = run->native ? KN_OK : check_depends(run, metadata, err);
    if (!status) status = kni_minver_check(&info, kernel->source.variant, err);
    bool refused;
    if (!status && !any_arch)
        status = kni_engine_check_gpu(run, metadata, kernel->source.variant, &refused, err);
    if (status) return status;
    char *warning = NULL;
    status =
        kni_provenance_warning(run->engine->alloc, metadata, kernel->source.variant, &warning, err);
    if (warning && kni_engine_tell_once(run->engine, warning))
        kni_host_log(run->engine, run->host, KN_LOG_WARNING, KN_LOG_METADATA, warning);
    kni_free(run->engine->alloc, warning);
    return status;
}

static bool is_imported(kn_engine *engine, const kni_kernel *kernel) {
    kni_lock_take(engine->lock);
    bool is_there = kernel->handle != NULL;
    kni_lock_drop(engine->lock);
    return is_there;
}

/* The handles and repositories of what a kernel depends on, which is all imported. */
static kn_status list_depends(const kn_engine *engine, const kni_kernel *kernel, void ***handles,
                              const char ***ids, kn_error *err) {
    size_t count = kernel->depend_count;
    *handles = kni_new(engine->alloc, (count + 1) * sizeof(void *));
    *ids = kni_new(engine->alloc, (count + 1) * sizeof(char *));
    if (!*handles || !*ids) return kni_no_memory(err, "importing a kernel");
    for (size_t i = 0; i < count; i++) {
        kn_kernel_depend depend = {.size = sizeof depend};
        kn_metadata_kernel_depends(kernel->source.metadata, i, &depend);
        (*handles)[i] = kernel->depends[i]->handle;
        (*ids)[i] = depend.repo_id;
    }
    return KN_OK;
}

static kn_status call_import(kni_run *run, const kni_kernel *kernel, const char *repo,
                             void **handle, kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    kn_metadata_info metadata = {.size = sizeof metadata};
    kn_metadata_get(kernel->source.metadata, &metadata);
    void **depends = NULL;
    const char **ids = NULL;
    kn_status status = list_depends(run->engine, kernel, &depends, &ids, err);
    kn_kernel_info info = {
        .size = sizeof info,
        .folder = kernel->source.folder,
        .entry = kernel->source.entry,
        .id = metadata.id,
        .name = metadata.name,
        .module_name = metadata.module_name,
        .variant = kernel->source.variant,
        .repo = repo,
        .repo_id = kernel->repo,
        .revision = kernel->revision,
        .commit = kernel->commit,
        .depend_ids = ids,
        .depends = depends,
        .depend_count = kernel->depend_count,
    };
    run->user_code_ran = true;
    if (!status) status = run->host->import_kernel(run->host->ctx, &info, handle, err);
    kni_free(alloc, depends);
    kni_free(alloc, (void *)ids);
    return status;
}

static kn_status import_one(kni_run *run, kni_kernel *kernel, const char *repo, kn_error *err) {
    kn_engine *engine = run->engine;
    if (is_imported(engine, kernel)) return KN_OK;
    void *handle = NULL;
    kn_status status = call_import(run, kernel, repo, &handle, err);
    if (status) return status;
    kni_lock_take(engine->lock);
    bool is_first = kernel->handle == NULL;
    if (is_first) kernel->handle = handle;
    kni_lock_drop(engine->lock);
    if (!is_first) run->host->release(handle);
    return KN_OK;
}

kn_status kni_engine_import(kni_run *run, kni_kernel *kernel, const char *repo, bool any_arch,
                            bool *refused, kn_error *err) {
    *refused = false;
    if (is_imported(run->engine, kernel)) return KN_OK;
    closure c = {.alloc = run->engine->alloc};
    kn_status status = collect_closure(kernel, &c, err);
    for (size_t i = 0; i < c.count && !status; i++) {
        if (!is_imported(run->engine, c.items[i]))
            status = kni_engine_check_kernel(run, c.items[i], any_arch, err);
    }
    *refused = status != KN_OK;
    for (size_t i = 0; i < c.count && !status; i++) {
        const char *name = c.items[i] == kernel ? repo : c.items[i]->repo;
        status = import_one(run, c.items[i], name ? name : repo, err);
    }
    kni_free(c.alloc, c.items);
    return status;
}

/* ---- layers ---- */

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
