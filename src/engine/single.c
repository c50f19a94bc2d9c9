/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels without a model. */
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "layers/repo.h"
#include "os/files.h"

kn_status kni_engine_resolve_one(kni_run *run, const kn_repo_info *info, kni_kernel **out,
                                 kn_error *err) {
    kni_sought sought = {.info = *info, .device = KN_DEVICE_OTHER};
    *out = NULL;
    kn_status status = kni_engine_resolve(run, &sought, 1, true, err);
    kni_free(run->engine->alloc, sought.note);
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
    bool refused;
    kn_status status = kni_engine_resolve_one(&run, info, &found, err);
    if (!status)
        status =
            kni_engine_import(&run, found, kni_repo_display(info), info->any_arch, &refused, err);
    if (!status) {
        run.host->retain(found->handle);
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
    kn_status status = info->layer_name ? kni_engine_resolve_one(&run, info, &found, err)
                                        : kni_fail(err, KN_ERR_VALUE, "%s names no layer", repo);
    bool refused;
    if (!status) status = kni_engine_import(&run, found, repo, info->any_arch, &refused, err);
    if (!status) status = kni_engine_layer(&run, found, info->layer_name, repo, out, err);
    kni_run_clear(&run);
    return status;
}

/* A call about one want. */
typedef struct single {
    kni_run run;
    kni_batch batch;
    kni_want *want;
    bool is_absent; /* it failed, since there is no such kernel or build */
} single;

/* Takes the want to its end. `part`: see kni_want; NULL: none. Ended by single_clear in any case.
 */
static kn_status single_run(single *s, kn_engine *engine, const kn_host *host,
                            const kn_repo_info *info, kni_depth depth, const char *part,
                            kn_error *err) {
    size_t number;
    *s = (single){.want = NULL};
    kni_run_init(&s->run, engine, host, NULL);
    kn_status status = kni_batch_open(&s->run, true, &s->batch, err);
    if (status) return status;
    status = kni_batch_add(&s->batch, info, KN_DEVICE_OTHER, depth, &number, err);
    s->is_absent = status == KN_ERR_NOT_FOUND || status == KN_ERR_DENIED;
    if (status) return status;
    s->want = s->batch.wants[number];
    s->want->part = kni_text_copy(engine->alloc, part);
    if (part && !s->want->part) return kni_no_memory(err, "looking for a folder");
    status = kni_batch_run(&s->batch, err);
    if (!status) status = kni_batch_link(&s->batch, err);
    if (status) return status;
    s->is_absent = s->want->is_absent || s->want->status == KN_ERR_DENIED;
    return s->want->status ? kni_fail(err, s->want->status, "%s", s->want->err.message) : KN_OK;
}

static void single_clear(single *s) {
    kni_batch_close(&s->batch);
    kni_run_clear(&s->run);
}

kn_status kn_engine_install(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                            char **folder, kn_error *err) {
    single s;
    *folder = NULL;
    kn_status status = single_run(&s, engine, host, info, KNI_DEPTH_DISK, NULL, err);
    if (!status) {
        *folder = kni_text_copy(engine->alloc, s.want->kernel->source.folder);
        if (!*folder) status = kni_no_memory(err, "installing a kernel");
    }
    single_clear(&s);
    return status;
}

kn_status kn_engine_fetch_folder(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                                 const char *name, kn_fetched *out, kn_error *err) {
    single s;
    out->folder = out->repo = out->commit = NULL;
    if (!name[0] || name[0] == '.' || strchr(name, '/')) {
        return kni_fail(err, KN_ERR_VALUE, "'%s' is no name of a folder in a repository's root",
                        name);
    }
    kn_status status = single_run(&s, engine, host, info, KNI_DEPTH_DISK, name, err);
    if (!status) {
        bool is_hub = s.want->commit[0] != '\0';
        out->folder = kni_text_copy(engine->alloc, s.want->folder);
        out->repo = is_hub ? kni_text_copy(engine->alloc, s.want->id) : NULL;
        out->commit = is_hub ? kni_text_copy(engine->alloc, s.want->commit) : NULL;
        if (!out->folder || (is_hub && (!out->repo || !out->commit))) {
            kn_fetched_clear(engine, out);
            status = kni_no_memory(err, "fetching a folder");
        }
    }
    single_clear(&s);
    return status;
}

void kn_fetched_clear(kn_engine *engine, kn_fetched *fetched) {
    kni_free(engine->alloc, fetched->folder);
    kni_free(engine->alloc, fetched->repo);
    kni_free(engine->alloc, fetched->commit);
    fetched->folder = fetched->repo = fetched->commit = NULL;
}

kn_status kn_engine_resolve_commit(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                                   char **commit, kn_error *err) {
    single s;
    *commit = NULL;
    kn_status status = single_run(&s, engine, host, info, KNI_DEPTH_VARIANTS, NULL, err);
    if (!status && !s.want->commit[0]) {
        status = kni_fail(err, KN_ERR_VALUE,
                          "%s: a kernel in a directory has no commits; ask for one of the Hub",
                          s.want->display);
    } else if (!status) {
        *commit = kni_text_copy(engine->alloc, s.want->commit);
        if (!*commit) status = kni_no_memory(err, "finding a commit");
    }
    single_clear(&s);
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
    single s;
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = single_run(&s, engine, host, info, KNI_DEPTH_METADATA, NULL, &cause);
    bool has_none = s.is_absent; /* as opposed to: it cannot be told */
    if (!status && !info->any_arch) status = check_gpus(&s.run, &s.batch, &has_none, &cause);
    *out = status == KN_OK;
    single_clear(&s);
    return status && !has_none ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}

/* The folder of its builds, which may be in the cache only in part; NULL: no memory. */
static char *builds_folder(const kni_want *w) {
    if (!w->kernel) return kni_cache_snapshot_path(kni_want_cache(w), w->commit, "build");
    const char *folder = w->kernel->source.folder; /* of the variant that was found */
    return kni_text_copy_n(w->alloc, folder, (size_t)(strrchr(folder, '/') - folder));
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
    char *builds = builds_folder(w);
    kn_status status = KN_OK;
    if (!builds)
        status = kni_no_memory(err, "listing variants");
    else if (w->kernel)
        status = kni_directory_folders(w->alloc, builds, &names, err);
    else
        status = kni_listing_variants(&w->listing, &names.items, &names.count, err);
    if (!status) status = rank_names(batch, w, names.items, names.count, out, err);
    if (!status) {
        status = kni_variants_check_objects(batch->run, *out, builds, err);
        if (status) {
            kn_variants_free(*out);
            *out = NULL;
        }
    }
    kni_names_clear(&names);
    kni_free(w->alloc, builds);
    return status;
}

kn_status kn_engine_variants(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                             kn_variants **out, kn_error *err) {
    single s;
    *out = NULL;
    kn_status status = single_run(&s, engine, host, info, KNI_DEPTH_VARIANTS, NULL, err);
    if (!status) status = kni_want_variants(&s.batch, s.want, out, err);
    single_clear(&s);
    return status;
}
