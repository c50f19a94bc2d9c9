/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels without a model. */
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "layers/repo.h"
#include "os/files.h"

/* The one kernel that `info` names. */
static kn_status resolve(kni_run *run, const kn_repo_info *info, kni_kernel **out, kn_error *err) {
    kni_sought sought = {.info = *info, .device = KN_DEVICE_OTHER};
    *out = NULL;
    kn_status status = kni_engine_resolve(run, &sought, 1, true, err);
    if (status) return status;
    *out = sought.kernel;
    return sought.status ? kni_fail(err, sought.status, "%s", sought.err.message) : KN_OK;
}

kn_status kn_engine_get_kernel(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                               void **kernel, kn_error *err) {
    *kernel = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_kernel *found;
    kn_status status = resolve(&run, info, &found, err);
    if (!status)
        status = kni_engine_import(&run, found, kni_repo_display(info), info->any_arch, err);
    if (!status) {
        host->retain(found->handle);
        *kernel = found->handle;
    }
    kni_run_clear(&run);
    return status;
}

kn_status kn_engine_get_layer(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                              kn_layer *out, kn_error *err) {
    *out = (kn_layer){.size = sizeof *out};
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    const char *repo = kni_repo_display(info);
    kni_kernel *found = NULL;
    kn_status status = info->layer_name ? resolve(&run, info, &found, err)
                                        : kni_fail(err, KN_ERR_VALUE, "%s names no layer", repo);
    if (!status) status = kni_engine_import(&run, found, repo, info->any_arch, err);
    if (!status) status = kni_engine_layer(&run, found, info->layer_name, repo, out, err);
    kni_run_clear(&run);
    return status;
}

kn_status kn_engine_install(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                            char **folder, kn_error *err) {
    *folder = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    size_t number;
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status)
        status = kni_batch_add(&batch, info, KN_DEVICE_OTHER, KNI_DEPTH_DISK, &number, err);
    if (!status) status = kni_batch_run(&batch, err);
    if (!status) status = kni_batch_link(&batch, err);
    if (!status) {
        const kni_want *w = batch.wants[number];
        status = w->status;
        if (status) kni_fail(err, status, "%s", w->err.message);
        if (!status) *folder = kni_text_copy(engine->alloc, w->kernel->source.folder);
        if (!status && !*folder) status = kni_no_memory(err, "installing a kernel");
    }
    kni_batch_close(&batch);
    kni_run_clear(&run);
    return status;
}

kn_status kn_engine_resolve_commit(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                                   char **commit, kn_error *err) {
    *commit = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    size_t number;
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status)
        status = kni_batch_add(&batch, info, KN_DEVICE_OTHER, KNI_DEPTH_VARIANTS, &number, err);
    if (!status) status = kni_batch_run(&batch, err);
    if (!status) {
        const kni_want *w = batch.wants[number];
        if (w->status)
            status = kni_fail(err, w->status, "%s", w->err.message);
        else if (!w->commit[0])
            status = kni_fail(err, KN_ERR_VALUE,
                              "%s: a kernel in a directory has no commits; ask for one of the Hub",
                              w->display);
        else
            *commit = kni_text_copy(engine->alloc, w->commit);
        if (!status && !*commit) status = kni_no_memory(err, "finding a commit");
    }
    kni_batch_close(&batch);
    kni_run_clear(&run);
    return status;
}

void kn_text_free(kn_engine *engine, char *text) { kni_free(engine->alloc, text); }

/* Whether the build of a want, and those of all that it depends on, have code for this GPU. */
static kn_status check_gpus(kni_run *run, const kni_batch *batch, bool *refused, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status; i++) {
        const kni_want *w = batch->wants[i];
        const kn_metadata *metadata = w->kernel ? w->kernel->source.metadata : w->metadata;
        const char *variant = w->kernel ? w->kernel->source.variant : w->variant;
        if (metadata) status = kni_engine_check_gpu(run, metadata, variant, refused, err);
    }
    return status;
}

kn_status kn_engine_has_kernel(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                               bool *out, kn_error *err) {
    *out = false;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    size_t number;
    bool has_none = false; /* as opposed to: it cannot be told */
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status) {
        status = kni_batch_add(&batch, info, KN_DEVICE_OTHER, KNI_DEPTH_METADATA, &number, err);
        has_none = status == KN_ERR_NOT_FOUND;
    }
    if (!status) status = kni_batch_run(&batch, err);
    if (!status) status = kni_batch_link(&batch, err);
    if (!status) {
        const kni_want *w = batch.wants[number];
        status = w->status;
        has_none = w->is_absent;
        if (status && !has_none) kni_fail(err, status, "%s", w->err.message);
        if (!status && !info->any_arch) status = check_gpus(&run, &batch, &has_none, err);
    }
    *out = status == KN_OK;
    kni_batch_close(&batch);
    kni_run_clear(&run);
    return has_none ? KN_OK : status;
}

/* The variants of a kernel in a folder on disk. */
static kn_status local_names(const kni_want *w, kni_names *out, kn_error *err) {
    const char *folder = w->kernel->source.folder; /* of the variant that was found */
    const char *end = strrchr(folder, '/');
    char *parent = kni_text_copy_n(w->alloc, folder, (size_t)(end - folder));
    if (!parent) return kni_no_memory(err, "listing variants");
    kn_status status = kni_directory_folders(w->alloc, parent, out, err);
    kni_free(w->alloc, parent);
    return status;
}

static kn_status rank_names(const kni_batch *batch, const kni_want *w, char *const *names,
                            size_t count, kn_variants **out, kn_error *err) {
    const char *backends[2];
    size_t backend_count;
    kn_system system = batch->run->system;
    kn_status status = kni_want_backends(w, &system, backends, &backend_count, err);
    if (status) return status;
    system.backend = backends[0];
    return kn_variants_rank(w->alloc, (const char *const *)names, count, &system, out, err);
}

kn_status kni_want_variants(const kni_batch *batch, const kni_want *w, kn_variants **out,
                            kn_error *err) {
    if (w->status) return kni_fail(err, w->status, "%s", w->err.message);
    kni_names names = {.alloc = w->alloc};
    kn_status status = w->kernel
                           ? local_names(w, &names, err)
                           : kni_listing_variants(&w->listing, &names.items, &names.count, err);
    if (!status) status = rank_names(batch, w, names.items, names.count, out, err);
    kni_names_clear(&names);
    return status;
}

kn_status kn_engine_variants(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                             kn_variants **out, kn_error *err) {
    *out = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    size_t number;
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status)
        status = kni_batch_add(&batch, info, KN_DEVICE_OTHER, KNI_DEPTH_VARIANTS, &number, err);
    if (!status) status = kni_batch_run(&batch, err);
    if (!status) status = kni_want_variants(&batch, batch.wants[number], out, err);
    kni_batch_close(&batch);
    kni_run_clear(&run);
    return status;
}
