/* SPDX-License-Identifier: Apache-2.0 */
/* The shared objects of the builds that were found, before any of them is loaded. A build that
 * cannot be loaded here is passed over: its want goes back for the next best one, which may have to
 * be fetched first. Only where none is left it fails, as where no build fits by its name. */
#include "load/objects.h"

#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/files.h"

/* The host's answer about its GPU. */
typedef struct gpu_question {
    kni_run *run;
    kn_status failed; /* the host could not be asked */
} gpu_question;

/* Where GPUs are unlike, which one a kernel will run on is not known. */
static kn_status current_gpu(void *ctx, kn_gpu *out, bool *known, kn_error *err) {
    gpu_question *question = ctx;
    const kn_host *host = question->run->host;
    bool unlike = false;
    kn_status status = host->gpu(host->ctx, out, err);
    if (!status && out->capability >= 0)
        status = host->has_unlike_devices(host->ctx, KN_DEVICE_CUDA, &unlike, err);
    *known = !status && !unlike;
    question->failed = status;
    return status;
}

/* Why the build in `folder` cannot be loaded here: *refused, with the status and the reason in
 * `err`. Other failures are those of the host. */
static kn_status check_build(kni_run *run, const char *folder, bool asks_gpu, bool *refused,
                             kn_error *err) {
    gpu_question question = {.run = run};
    bool may_ask = asks_gpu && run->host->gpu;
    kni_objects_ask ask = {.folder = folder, .gpu = may_ask ? current_gpu : NULL, .ctx = &question};
    kn_status status = kni_objects_check(run->engine->alloc, &ask, err);
    *refused = status && !question.failed && !kni_is_fatal(status);
    return status;
}

/* `before` (NULL: nothing), `between`, and "'torch-cpu' is passed over: its shared object ...";
 * NULL: no memory, and *status and `err` say so. */
static char *passed_text(const kni_want *w, const char *before, const char *between,
                         kn_status *status, kn_error *err) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    if (before) kni_text_addf(&text, "%s%s", before, between);
    for (size_t i = 0; i < w->refused.count; i++)
        kni_text_addf(&text, "%s'%s' is passed over: %s", i ? "; " : "",
                      w->refused.items[i].variant, w->refused.items[i].reason);
    char *made = kni_text_take(&text);
    *status = made ? KN_OK : kni_no_memory(err, "finding a kernel");
    return made;
}

/* What was passed over for its build is told in the log and in its note. */
static kn_status tell_passed(kni_batch *batch, kni_want *w, kn_error *err) {
    if (!kni_want_refused(w)->count) return KN_OK;
    kn_status status;
    char *passed = passed_text(w, NULL, NULL, &status, err);
    char *note = passed ? passed_text(w, w->note, "; ", &status, err) : NULL;
    if (note) {
        kni_free(w->alloc, w->note);
        w->note = note;
        if (kni_batch_warn(batch, KN_LOG_METADATA, "%s: '%s' is taken, since %s", w->display,
                           w->kernel->source.variant, passed))
            status = kni_no_memory(err, "finding a kernel");
    }
    kni_free(w->alloc, passed);
    return status;
}

/* Damage is damage, whatever other builds there are. */
static kn_status fail_damaged(kni_want *w, kn_status status, const kn_error *why, kn_error *err) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(w->kernel->source.metadata, &info);
    kn_error whole;
    kn_error_init(&whole);
    kni_fail_object(info.name, w->kernel->source.variant, status, why, &whole);
    return kni_want_fail(w, status, &whole) ? kni_no_memory(err, "finding a kernel") : KN_OK;
}

static kn_status check_want(kni_batch *batch, kni_want *w, bool *again, kn_error *err) {
    const kni_kernel_source *source = &w->kernel->source;
    /* What the metadata says of architectures is checked, and counts: the build may have other code
     * than that in its shared objects. */
    bool asks_gpu = !w->any_arch && !kn_metadata_archs_count(source->metadata);
    bool refused;
    kn_error why;
    kn_error_init(&why);
    w->is_checked = true;
    kn_status status = check_build(batch->run, source->folder, asks_gpu, &refused, &why);
    bool is_loaded = w->depth == KNI_DEPTH_FILES; /* next */
    if (!status || (status == KN_ERR_INTEGRITY && !is_loaded)) return tell_passed(batch, w, err);
    if (!refused) return kni_fail(err, status, "%s", why.message);
    if (status == KN_ERR_INTEGRITY) return fail_damaged(w, status, &why, err);
    if (strcmp(w->refused_commit, w->commit) != 0) kni_refused_clear(w->alloc, &w->refused);
    memcpy(w->refused_commit, w->commit, sizeof w->commit);
    status = kni_refused_add(w->alloc, &w->refused, source->variant, status, why.message, err);
    kni_want_choose_again(w);
    *again = true;
    return status;
}

/* Where nothing is to be loaded now, it may be meant for another system than this: the best build
 * will do. */
static kn_status take_refused(kni_batch *batch, kni_want *w, bool *again, kn_error *err) {
    kn_status status;
    char *passed = passed_text(w, NULL, NULL, &status, err);
    if (!passed) return status;
    if (kni_batch_warn(batch, KN_LOG_METADATA,
                       "%s: none of its builds can be loaded here, and the best is taken all the "
                       "same: %s",
                       w->display, passed))
        status = kni_no_memory(err, "finding a kernel");
    kni_free(w->alloc, passed);
    kn_error_init(&w->err);
    w->status = KN_OK;
    w->takes_refused = *again = true;
    kni_want_choose_again(w);
    return status;
}

/* The next best build could not be had: what was passed over for it is told. */
static kn_status add_passed(kni_want *w, kn_error *err) {
    kn_status status;
    char *message = passed_text(w, w->err.message, "; before that, ", &status, err);
    if (message) kni_fail(&w->err, w->status, "%s", message);
    kni_free(w->alloc, message);
    return status;
}

static kn_status check_failed(kni_batch *batch, kni_want *w, bool *again, kn_error *err) {
    bool chose_none = !w->variant && !w->kernel;
    if (!kni_want_refused(w)->count || w->is_checked) return KN_OK;
    w->is_checked = true;
    if (!chose_none) return add_passed(w, err);
    return w->depth == KNI_DEPTH_DISK ? take_refused(batch, w, again, err) : KN_OK;
}

kn_status kni_batch_check_objects(kni_batch *batch, bool *again, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status && !batch->run->system.elsewhere; i++) {
        kni_want *w = batch->wants[i];
        if (w->depth < KNI_DEPTH_METADATA || w->is_checked || w->takes_refused) continue;
        if (w->step == KNI_WANT_FAILED)
            status = check_failed(batch, w, again, err);
        else if (w->kernel)
            status = check_want(batch, w, again, err);
    }
    return status;
}

/* Whether the metadata of the build in `folder`, if it has some, lists architectures. */
static kn_status lists_archs(const kn_alloc *alloc, const char *folder, bool *out, kn_error *err) {
    kn_metadata *metadata = NULL;
    char *path = kni_path_join(alloc, folder, "metadata.json");
    kn_status status = path ? kn_metadata_read(alloc, path, &metadata, NULL)
                            : kni_no_memory(err, "looking at builds");
    kni_free(alloc, path);
    *out = metadata && kn_metadata_archs_count(metadata);
    kn_metadata_free(metadata);
    return kni_best_effort(status, "looking at builds", err);
}

/* *refused, with the reason in `why`, where the build is there and is to be passed over. */
static kn_status check_folder(kni_run *run, const char *folder, bool *refused, kn_error *why,
                              kn_error *err) {
    bool lists;
    *refused = false;
    if (!kni_path_is_directory(folder)) return KN_OK;
    kn_status status = lists_archs(run->engine->alloc, folder, &lists, err);
    if (status) return status;
    status = check_build(run, folder, !lists, refused, why);
    if (status && !*refused) return kni_fail(err, status, "%s", why->message);
    *refused = *refused && status != KN_ERR_INTEGRITY; /* see check_want */
    return KN_OK;
}

kn_status kni_variants_check_objects(kni_run *run, kn_variants *variants, const char *builds,
                                     kn_error *err) {
    kn_status status = KN_OK;
    bool refused = !run->system.elsewhere;
    while (refused && !status && kn_variants_count(variants)) {
        kn_error why;
        kn_error_init(&why);
        kn_variant best = {.size = sizeof best};
        kn_variants_get(variants, 0, &best);
        if (!best.accepted) break;
        char *folder = kni_path_join(run->engine->alloc, builds, best.name);
        status = folder ? check_folder(run, folder, &refused, &why, err)
                        : kni_no_memory(err, "looking at builds");
        if (!status && refused) status = kn_variants_refuse(variants, best.name, why.message, err);
        kni_free(run->engine->alloc, folder);
    }
    return status;
}
