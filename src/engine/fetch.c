/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/fetch.h"
#include "engine/host.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "load/digest.h"
#include "os/clock.h"
#include "os/files.h"

#define GO_ONLINE "unset HF_HUB_OFFLINE"
#define WANTS_MAX 1000 /* kernels of one call, with what they depend on */

/* ---- the batch ---- */

kn_status kni_batch_open(kni_run *run, bool may_ask, kni_batch *out, kn_error *err) {
    *out = (kni_batch){
        .run = run,
        .engine = run->engine,
        .alloc = run->engine->alloc,
        .may_ask = may_ask,
        .process = kni_process_id(),
    };
    memcpy(out->go_online, GO_ONLINE, sizeof GO_ONLINE);
    kn_status status = kni_run_system(run, err);
    if (!status) status = kni_engine_config(run->engine, &out->config, err);
    if (!status) status = kni_settings_read(out->alloc, &out->settings, err);
    if (!status) kni_batch_apply_order(out);
    if (!status) kni_batch_find_sources(out);
    return status;
}

static kni_kernel *find_known(const kni_batch *batch, kni_want *w) {
    char *note;
    kni_kernel *found = kni_engine_find_known(batch->engine, w->key, &w->valid_until_s, &note);
    if (!note) return found;
    kni_free(w->alloc, w->note); /* which has a part of it */
    w->note = note;
    return found;
}

/* Takes `made` over. *out: the number of it, or of one like it that is there. */
static kn_status add_want(kni_batch *batch, kni_want *made, size_t *out, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        if (strcmp(batch->wants[i]->key, made->key) != 0) continue;
        kni_want_free(made);
        *out = i;
        return KN_OK;
    }
    kn_status status = KN_OK;
    if (batch->count >= WANTS_MAX) {
        status =
            kni_fail(err, KN_ERR_VALUE, "'%s': more than %d kernels, or builds of them, at once",
                     made->id, WANTS_MAX);
    } else if (!kni_reserve(batch->alloc, &batch->wants, &batch->capacity, batch->count + 1,
                            sizeof *batch->wants)) {
        status = kni_no_memory(err, "looking for a kernel");
    }
    if (status) {
        kni_want_free(made);
        return status;
    }
    *out = batch->count;
    batch->wants[batch->count++] = made;
    return KN_OK;
}

kn_status kni_batch_add(kni_batch *batch, const kn_repo_info *info, kn_device_type device,
                        kni_depth depth, size_t *out, kn_error *err) {
    kni_want *made;
    kn_status status = kni_want_new(batch, info, device, depth, &made, err);
    if (status) return status;
    if (depth == KNI_DEPTH_FILES && !made->refresh) made->kernel = find_known(batch, made);
    if (made->kernel) {
        made->step = KNI_WANT_DONE;
        made->is_checked = true;
    }
    return add_want(batch, made, out, err);
}

kn_status kni_batch_add_build(kni_batch *batch, const kni_want *want, const char *build,
                              kn_error *err) {
    kni_want *made;
    size_t number;
    kn_status status = kni_want_new_build(batch, want, build, &made, err);
    return status ? status : add_want(batch, made, &number, err);
}

void kni_batch_close(kni_batch *batch) {
    kni_batch_release_locks(batch);
    kni_batch_close_session(batch);
    for (size_t i = 0; i < batch->count; i++) kni_want_free(batch->wants[i]);
    for (size_t i = 0; i < batch->warning_count; i++)
        kni_free(batch->alloc, batch->warnings[i].text);
    kni_free(batch->alloc, batch->wants);
    kni_free(batch->alloc, batch->warnings);
    kni_free(batch->alloc, batch->held);
    kni_settings_clear(&batch->settings);
}

/* ---- finish ---- */

/* The branch or tag that the commit was found by, for huggingface_hub: as the Hub just said; or
 * where there is none (any more), if the commit's files were fetched again. */
static kn_status record_ref(const kni_batch *batch, const kni_want *w, kn_error *err) {
    const kni_cache *cache = kni_want_cache(w);
    char there[KNI_CACHE_COMMIT_MAX];
    bool found = false;
    if (w->depth == KNI_DEPTH_VARIANTS || !w->ref || (!w->asked_s && !w->fetched)) return KN_OK;
    if (w->is_mirrored || kni_want_asks_mirror(batch, w)) return KN_OK; /* they are what Hubs say */
    kn_status status = w->asked_s ? KN_OK : kni_cache_ref_read(cache, w->ref, there, &found, NULL);
    if (!status && !found) status = kni_cache_ref_write(cache, w->ref, w->commit, NULL);
    return kni_best_effort(status, "recording a branch or tag", err);
}

/* What was learnt is kept for other calls and processes. */
static kn_status record(kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_cache *cache = kni_want_cache(w);
    kn_status status = KN_OK;
    if (w->fetched)
        status = kni_cache_receipt_write(cache, w->commit, kni_want_receipt(w), w->files,
                                         w->file_count, NULL);
    status = kni_best_effort(status, "recording what was fetched", err);
    if (!status) status = kni_want_record_resolution(batch, w, NULL, NULL, err);
    return status ? status : record_ref(batch, w, err);
}

static kn_status warn_of_network(kni_batch *batch, const kni_want *w) {
    if (!w->net_status) return KN_OK;
    return kni_batch_warn(batch, KN_LOG_HUB,
                          "'%s' is taken from the cache (commit %s), since the Hub could not be "
                          "asked: %s",
                          w->id, w->commit, w->net_message);
}

/* Whether the digest was compared before: a small record beside the receipt says so. */
static kn_status find_digest_record(const kni_want *w, char name[320], bool *found, kn_error *err) {
    char *bytes;
    size_t length;
    snprintf(name, 320, "digests/%s/%s", w->commit, w->variant);
    kn_status status = kni_cache_document_read(kni_want_cache(w), name, 16, &bytes, &length, err);
    *found = !status && bytes;
    kni_free(w->alloc, bytes);
    return status;
}

/* Another client's snapshot may be unfinished: what the digest lists has to be there. */
static kn_status find_unfinished(const kni_want *w, const kn_metadata *metadata, kn_error *err) {
    for (size_t i = 0; i < kn_metadata_digest_count(metadata); i++) {
        const char *name = kn_metadata_digest_path(metadata, i);
        char *path = kni_path_join(w->alloc, w->folder, name);
        bool found = path && kni_path_is_file(path);
        if (!path) return kni_no_memory(err, "checking a digest");
        kni_free(w->alloc, path);
        if (found) continue;
        if (w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "'build/%s/%s' of '%s' (commit %s) is not in the cache: its download was "
                        "left unfinished; load it while online once (%s)",
                        w->variant, name, w->id, w->commit, w->go_online);
    }
    return KN_OK;
}

/* The files of the variant that are known by name against the digest. */
static kn_status check_listed(const kni_want *w, const kn_metadata *metadata, const kni_net *net,
                              kn_error *err) {
    size_t prefix = strlen("build/") + strlen(w->variant) + 1;
    kni_variant_file *files = kni_new(w->alloc, (w->file_count + 1) * sizeof *files);
    if (!files) return kni_no_memory(err, "checking a digest");
    for (size_t i = 0; i < w->file_count; i++) files[i].path = w->files[i].path + prefix;
    kn_status status = kni_digest_check_files(w->alloc, metadata, w->variant, w->folder, files,
                                              w->file_count, net, err);
    kni_free(w->alloc, files);
    return status;
}

/* The files of the variant against the digest of its metadata, once. */
static kn_status check_digest(kni_batch *batch, const kni_want *w, const kn_metadata *metadata,
                              kn_error *err) {
    const kni_net *net;
    if (!kn_metadata_digest_count(metadata)) return KN_OK;
    char record[320];
    bool checked;
    kn_status status = w->is_partial ? find_unfinished(w, metadata, err) : KN_OK;
    if (!status) status = find_digest_record(w, record, &checked, err);
    if (!status && checked && !w->fetched) return KN_OK;
    if (!status) status = kni_batch_net(batch, &net, err);
    if (status) return status;
    status = w->is_partial
                 ? kni_digest_check_folder(w->alloc, metadata, w->variant, w->folder, net, err)
                 : check_listed(w, metadata, net, err);
    if (status) return status;
    status = kni_cache_document_write(kni_want_cache(w), record, "ok\n", 3, NULL);
    return kni_best_effort(status, "checking a digest", err);
}

/* The kernel in the folder of the want's variant, as the engine keeps it. */
static kn_status take_kernel(kni_batch *batch, kni_want *w, kn_error *err) {
    kni_kernel *kernel = kni_new(w->alloc, sizeof *kernel);
    if (!kernel) return kni_no_memory(err, "finding a kernel");
    kn_status status =
        kni_kernel_source_read(w->alloc, w->folder, w->variant, &kernel->source, err);
    if (!status) status = check_digest(batch, w, kernel->source.metadata, err);
    if (!status) status = kni_want_check_locked_folder(w, err);
    if (!status) {
        bool by_name = strncmp(w->request, "revision:", 9) == 0;
        kernel->repo = kni_text_copy(w->alloc, w->id);
        kernel->revision = kni_text_copy(w->alloc, by_name ? w->request + 9 : w->commit);
        kernel->commit = kni_text_copy(w->alloc, w->commit);
        if (!kernel->repo || !kernel->revision || !kernel->commit)
            status = kni_no_memory(err, "finding a kernel");
    }
    if (status) {
        kni_kernel_free(w->alloc, kernel);
        return status;
    }
    w->kernel = kni_engine_keep_kernel(batch->engine, kernel);
    return w->kernel ? KN_OK : kni_no_memory(err, "finding a kernel");
}

static kn_status read_metadata(kni_want *w, kn_error *err) {
    char *path = kni_path_join(w->alloc, w->folder, "metadata.json");
    if (!path) return kni_no_memory(err, "reading a kernel's metadata");
    kn_status status = kn_metadata_read(w->alloc, path, &w->metadata, err);
    kni_free(w->alloc, path);
    bool is_optional = w->depth == KNI_DEPTH_ABOUT || w->build;
    return is_optional && (status == KN_ERR_NOT_FOUND || status == KN_ERR_VALUE) ? KN_OK : status;
}

/* A build that may be for another machine, of which no more is asked than that it is whole. */
static kn_status take_build(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = read_metadata(w, err);
    if (!status && w->metadata) status = check_digest(batch, w, w->metadata, err);
    return status ? status : kni_want_check_locked_folder(w, err);
}

/* What is wanted of a build whose files are all there. */
static kn_status take_variant(kni_batch *batch, kni_want *w, kn_error *err) {
    if (w->build) return take_build(batch, w, err);
    return w->depth >= KNI_DEPTH_FILES ? take_kernel(batch, w, err) : read_metadata(w, err);
}

/* A kernel of the Hub whose files are all there. */
static kn_status finish_hub(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = KN_OK;
    if (w->variant || w->part) {
        char *path = kni_want_inside(w);
        if (path) w->folder = kni_cache_snapshot_path(kni_want_cache(w), w->commit, path);
        kni_free(w->alloc, path);
        if (!w->folder) return kni_no_memory(err, "finding a kernel");
    }
    if (w->variant) status = take_variant(batch, w, err);
    if (!status) status = record(batch, w, err);
    return status ? status : warn_of_network(batch, w);
}

/* What a kernel depends on is wanted, too. */
static kn_status add_depends(kni_batch *batch, kni_want *w, const kn_metadata *metadata,
                             kn_error *err) {
    size_t count = kn_metadata_kernel_depends_count(metadata);
    w->depends = count ? kni_new(w->alloc, count * sizeof *w->depends) : NULL;
    if (count && !w->depends) return kni_no_memory(err, "looking for a kernel");
    for (size_t i = 0; i < count; i++) {
        kn_kernel_depend depend = {.size = sizeof depend};
        kn_metadata_kernel_depends(metadata, i, &depend);
        char version[32];
        snprintf(version, sizeof version, "%lld", (long long)depend.version);
        kn_repo_info info = {
            .size = sizeof info,
            .kind = KN_REPO_HUB,
            .id = depend.repo_id,
            .revision = depend.revision,
            .version = depend.revision ? NULL : version,
            .backend = w->backend,
            .allowed = w->allowed,
            .user_agent = w->user_agent,
            .lock = w->lock_text,
            .refresh = w->refresh,
            .cache_only = w->cache_only,
            .any_arch = w->any_arch,
        };
        kn_error cause;
        kn_error_init(&cause);
        kn_status status = kni_batch_add(batch, &info, w->device, w->depth, &w->depends[i], &cause);
        w->is_absent = status == KN_ERR_NOT_FOUND;
        if (status)
            return kni_fail(err, status, "%s depends on '%s': %s", w->display, depend.repo_id,
                            cause.message);
        w->depend_count++;
    }
    return KN_OK;
}

static kn_status finish_one(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = w->kernel ? KN_OK : finish_hub(batch, w, err);
    const kn_metadata *metadata = w->kernel ? w->kernel->source.metadata : w->metadata;
    if (!status && metadata) status = kni_want_check_denied(batch, w, metadata, err);
    if (!status && w->depth == KNI_DEPTH_LOCK) status = kni_locking_add_depends(batch, w, err);
    /* What a kernel depends on is Python code, as is that which calls it. */
    bool may_depend = w->depth >= KNI_DEPTH_METADATA && !batch->run->native;
    if (!status && metadata && may_depend) status = add_depends(batch, w, metadata, err);
    if (!status) w->step = KNI_WANT_DONE;
    return status;
}

static kn_status finish_all(kni_batch *batch, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) { /* grows as it goes */
        kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_FINISH) continue;
        kn_status status = finish_one(batch, w, &w->err);
        if (status) status = kni_want_fail_online(batch, w, status, err);
        if (status) return status;
    }
    return KN_OK;
}

/* ---- all stages ---- */

static kn_status pass(kni_batch *batch, kn_error *err) {
    kn_status status = kni_batch_look(batch, err);
    if (!status) status = kni_batch_ask(batch, err);
    if (!status) status = kni_batch_list(batch, err);
    if (!status) status = kni_batch_choose(batch, err);
    if (!status) status = kni_batch_pull(batch, err);
    if (!status) status = finish_all(batch, err);
    return status;
}

static bool is_at_end(const kni_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want_step step = batch->wants[i]->step;
        if (step != KNI_WANT_DONE && step != KNI_WANT_FAILED) return false;
    }
    return true;
}

void kni_batch_tell_warnings(kni_batch *batch) {
    const kn_host *host = batch->run->host;
    for (size_t i = 0; i < batch->warning_count; i++) {
        struct kni_warning *warning = &batch->warnings[i];
        if (kni_engine_tell_once(batch->engine, warning->text))
            kni_host_log(batch->engine, host, warning->level, warning->topic, warning->text);
        kni_free(batch->alloc, warning->text);
    }
    batch->warning_count = 0;
}

/* Takes the wants through the stages, with the host left. */
static kn_status run_stages(kni_batch *batch, kn_error *err) {
    const kn_host *host = batch->run->host;
    batch->left = host->leave ? host->leave(host->ctx) : NULL;
    kn_status status = KN_OK;
    while (!status && !is_at_end(batch)) {
        status = pass(batch, err);
        if (!status) status = kni_batch_hold(batch, err);
    }
    kni_batch_release_locks(batch);
    if (host->enter) host->enter(host->ctx, batch->left);
    return status;
}

kn_status kni_batch_run(kni_batch *batch, kn_error *err) {
    kn_status status = KN_OK;
    for (bool again = true; again && !status;) {
        again = false;
        status = run_stages(batch, err);
        if (!status) status = kni_batch_check_objects(batch, &again, err);
    }
    if (batch->shown)
        kni_host_progress(batch->engine, batch->run->host, batch->pulled, batch->pulled);
    kni_batch_tell_warnings(batch);
    return status;
}
