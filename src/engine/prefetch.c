/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/prefetch.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "layers/needs.h"
#include "layers/repo.h"
#include "load/digest.h"

typedef struct item {
    char *name, *repo, *commit, *variant, *folder, *message;
    bool is_dependency;
    kn_status status;
} item;

struct kn_prefetched {
    const kn_alloc *alloc;
    item *items;
    size_t count, capacity;
    char digest[KNI_SHA256_TEXT];
};

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "fetching kernels"); }

/* ---- what is wanted ---- */

/* Numbers of wants that somebody asked for, and what was refused at once. */
typedef struct wanted {
    kni_batch *batch;
    size_t *numbers;
    size_t count, capacity;
    kn_prefetched *out;
} wanted;

static item *add_item(kn_prefetched *p) {
    if (!kni_reserve(p->alloc, &p->items, &p->capacity, p->count + 1, sizeof *p->items))
        return NULL;
    p->items[p->count] = (item){0};
    return &p->items[p->count++];
}

static bool copy_text(const kn_alloc *alloc, const char *text, char **out) {
    *out = kni_text_copy(alloc, text);
    return *out || !text;
}

static kn_status refuse(kn_prefetched *p, const kn_repo_info *info, kn_status status,
                        const kn_error *why, kn_error *err) {
    item *it = add_item(p);
    if (it) it->status = status;
    bool ok = it && copy_text(p->alloc, kni_repo_display(info), &it->name) &&
              copy_text(p->alloc, why->message, &it->message);
    return ok ? KN_OK : no_memory(err);
}

static kn_status add_info(wanted *asked, const kn_repo_info *info, kn_device_type device,
                          kn_error *err) {
    size_t number;
    kn_error why;
    kn_error_init(&why);
    kn_status status = kni_batch_add(asked->batch, info, device, KNI_DEPTH_DISK, &number, &why);
    if (kni_is_fatal(status)) return kni_fail(err, status, "%s", why.message);
    if (status) return refuse(asked->out, info, status, &why, err);
    if (!kni_reserve(asked->batch->alloc, &asked->numbers, &asked->capacity, asked->count + 1,
                     sizeof *asked->numbers))
        return no_memory(err);
    asked->numbers[asked->count++] = number;
    return KN_OK;
}

static kn_status add_repo(void *ctx, kn_repo *repo, kn_device_type device, kn_error *err) {
    kn_repo_info info = {.size = sizeof info};
    kn_status status = kn_repo_describe(repo, &info, err);
    if (status || info.kind == KN_REPO_HOST) return status;
    return add_info(ctx, &info, device, err);
}

static kn_status add_locked(wanted *asked, const kn_prefetch_request *request, kn_error *err) {
    kn_lockfile *lock;
    kn_status status = kn_lockfile_parse(asked->batch->alloc, request->lock, strlen(request->lock),
                                         "kernels.lock", &lock, err);
    if (status) return status;
    for (size_t i = 0; i < kn_lockfile_count(lock) && !status; i++) {
        kn_locked locked = {.size = sizeof locked};
        char version[24];
        kn_lockfile_get(lock, i, &locked);
        snprintf(version, sizeof version, "%lld", (long long)locked.version);
        const kn_repo_info info = {
            .size = sizeof info,
            .kind = KN_REPO_HUB,
            .id = locked.repo_id,
            .revision = locked.revision,
            .version = locked.version >= 0 ? version : NULL,
            .allowed = request->allowed,
            .lock = request->lock,
        };
        status = add_info(asked, &info, KN_DEVICE_OTHER, err);
    }
    kn_lockfile_free(lock);
    return status;
}

/* The type of device that torch drives when it is built for a backend; "npu" for "cann80". */
static kn_device_type device_of_backend(const char *backend) {
    char family[32];
    kni_backend_family(backend, family, sizeof family);
    if (strcmp(family, "cann") == 0) return KN_DEVICE_NPU;
    if (strcmp(family, "metal") == 0) return KN_DEVICE_MPS;
    return kn_device_type_find(family);
}

/* The processor, and what torch was built for. */
static kn_status list_devices(const kni_run *run, kni_needs_device out[2], size_t *count,
                              kn_error *err) {
    const kn_host *host = run->host;
    kni_needs_device other = {device_of_backend(run->system.backend), KN_CAPABILITY_UNKNOWN};
    bool unlike = false;
    out[0] = (kni_needs_device){KN_DEVICE_CPU, KN_CAPABILITY_UNKNOWN};
    *count = 1;
    if (other.type == KN_DEVICE_CPU || other.type == KN_DEVICE_OTHER) return KN_OK;
    kn_status status = KN_OK;
    if (kn_device_type_has_capability(other.type)) {
        status = host->has_unlike_devices(host->ctx, other.type, &unlike, err);
        if (!status && !unlike)
            status = host->capability(host->ctx, other.type, &other.capability, err);
    }
    out[(*count)++] = other;
    return status;
}

static kn_status add_all(wanted *asked, const kn_prefetch_request *request, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < request->repo_count && !status; i++)
        status = add_info(asked, request->repos[i], KN_DEVICE_OTHER, err);
    if (!status && request->lock) status = add_locked(asked, request, err);
    if (status || !request->mapping) return status;
    kni_needs_device devices[2];
    size_t count;
    status = list_devices(asked->batch->run, devices, &count, err);
    return status ? status
                  : kni_mapping_needs(request->mapping, devices, count, request->all_modes,
                                      add_repo, asked, err);
}

/* ---- what came of it ---- */

static kn_status copy_want(const kn_alloc *alloc, const kni_want *w, item *out, kn_error *err) {
    const kni_kernel *kernel = w->kernel;
    const char *variant = kernel ? kernel->source.variant : w->variant;
    const char *folder = kernel ? kernel->source.folder : w->folder;
    bool is_folder = w->path && !kni_want_is_builtin(w);
    out->status = w->status;
    bool ok = copy_text(alloc, w->display, &out->name) &&
              copy_text(alloc, is_folder ? NULL : w->id, &out->repo) &&
              copy_text(alloc, w->commit[0] ? w->commit : NULL, &out->commit) &&
              copy_text(alloc, variant, &out->variant) &&
              copy_text(alloc, w->status ? NULL : folder, &out->folder) &&
              copy_text(alloc, w->status ? w->err.message : NULL, &out->message);
    return ok ? KN_OK : no_memory(err);
}

/* What others depend on and nobody asked for. `items` are those of the batch. */
static void mark_dependencies(const wanted *asked, item *items) {
    const kni_batch *batch = asked->batch;
    for (size_t i = 0; i < batch->count; i++) {
        const kni_want *w = batch->wants[i];
        for (size_t k = 0; k < w->depend_count; k++) items[w->depends[k]].is_dependency = true;
    }
    for (size_t i = 0; i < asked->count; i++) items[asked->numbers[i]].is_dependency = false;
}

static kn_status copy_batch(const wanted *asked, kn_error *err) {
    kn_prefetched *out = asked->out;
    size_t refused = out->count;
    kn_status status = KN_OK;
    for (size_t i = 0; i < asked->batch->count && !status; i++) {
        item *it = add_item(out);
        status = it ? copy_want(out->alloc, asked->batch->wants[i], it, err) : no_memory(err);
    }
    if (!status && out->items) mark_dependencies(asked, out->items + refused);
    return status;
}

/* ---- the digest ---- */

/* The SHA-256 of lines, as text. */
static kn_status hash_lines(const kn_alloc *alloc, const kni_net *net, char *const *lines,
                            size_t count, char out[KNI_SHA256_TEXT], kn_error *err) {
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_add(&text, "");
    for (size_t i = 0; i < count; i++) kni_text_add(&text, lines[i]);
    size_t length = text.length;
    char *all = kni_text_take(&text);
    bool ok = all && kni_sha256_text(alloc, net, all, length, out);
    kni_free(alloc, all);
    return ok ? KN_OK : no_memory(err);
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts lines and drops what is there twice; returns how many are left. */
static size_t sort_lines(const kn_alloc *alloc, char **lines, size_t count) {
    if (count) qsort(lines, count, sizeof *lines, compare_lines);
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (left && strcmp(lines[left - 1], lines[i]) == 0)
            kni_free(alloc, lines[i]);
        else
            lines[left++] = lines[i];
    }
    return left;
}

/* In the place of the commit of a kernel in a directory: what is in its files. */
static kn_status hash_folder(const kn_alloc *alloc, const kni_net *net, const char *folder,
                             char out[KNI_SHA256_TEXT], kn_error *err) {
    kn_file_digests *files;
    kn_status status = kni_digest_folder(alloc, folder, KN_DIGEST_SHA256, net, &files, err);
    if (status) return status;
    size_t count = kn_file_digests_count(files);
    char **lines = kni_new(alloc, (count + 1) * sizeof *lines);
    size_t made = 0;
    for (bool ok = lines != NULL; made < count && ok; made += ok) {
        kni_text text;
        kni_text_init(&text, alloc);
        kni_text_addf(&text, "%s %s\n", kn_file_digests_base64(files, made),
                      kn_file_digests_path(files, made));
        lines[made] = kni_text_take(&text);
        ok = lines[made] != NULL;
    }
    status =
        lines && made == count ? hash_lines(alloc, net, lines, count, out, err) : no_memory(err);
    while (made) kni_free(alloc, lines[--made]);
    kni_free(alloc, lines);
    kn_file_digests_free(files);
    return status;
}

static kn_status item_line(const kn_prefetched *p, const item *it, const kni_net *net, char **out,
                           kn_error *err) {
    char content[KNI_SHA256_TEXT];
    const char *commit = it->commit;
    kn_status status = KN_OK;
    if (!commit && it->repo) commit = kn_version();
    if (!commit) {
        status = hash_folder(p->alloc, net, it->folder, content, err);
        commit = content;
    }
    if (status) return status;
    kni_text text;
    kni_text_init(&text, p->alloc);
    kni_text_addf(&text, "%s %s %s\n", it->repo ? it->repo : "-", commit,
                  it->variant ? it->variant : "-");
    *out = kni_text_take(&text);
    return *out ? KN_OK : no_memory(err);
}

static kn_status make_digest(kni_batch *batch, kn_prefetched *p, kn_error *err) {
    const kni_net *net;
    kn_status status = kni_batch_net(batch, &net, err);
    if (status) return status;
    char **lines = kni_new(p->alloc, (p->count + 1) * sizeof *lines);
    if (!lines) return no_memory(err);
    size_t count = 0;
    for (; count < p->count && !status; count += !status)
        status = item_line(p, &p->items[count], net, &lines[count], err);
    count = sort_lines(p->alloc, lines, count);
    if (!status) status = hash_lines(p->alloc, net, lines, count, p->digest, err);
    while (count) kni_free(p->alloc, lines[--count]);
    kni_free(p->alloc, lines);
    return status;
}

/* ---- the call ---- */

static kn_status fetch(const wanted *asked, kni_prefetch_visit visit, void *ctx, kn_error *err) {
    kn_status status = kni_batch_run(asked->batch, err);
    if (!status) status = kni_batch_link(asked->batch, err);
    if (!status) status = copy_batch(asked, err);
    if (status || kn_prefetched_check(asked->out, NULL)) return status;
    status = make_digest(asked->batch, asked->out, err);
    return status || !visit ? status : visit(ctx, asked->batch, err);
}

kn_status kni_run_prefetch(kni_run *run, const kn_prefetch_request *request,
                           kni_prefetch_visit visit, void *ctx, kn_prefetched **out,
                           kn_error *err) {
    *out = NULL;
    const kn_alloc *alloc = run->engine->alloc;
    kn_prefetched *made = kni_new(alloc, sizeof *made);
    if (!made) return no_memory(err);
    made->alloc = alloc;
    kni_batch batch;
    wanted asked = {.batch = &batch, .out = made};
    kn_status status = kni_batch_open(run, true, &batch, err);
    batch.all_builds = request->all_variants;
    if (!status) status = add_all(&asked, request, err);
    if (!status) status = fetch(&asked, visit, ctx, err);
    kni_free(alloc, asked.numbers);
    kni_batch_close(&batch);
    if (status)
        kn_prefetched_free(made);
    else
        *out = made;
    return status;
}

kn_status kn_engine_prefetch(kn_engine *engine, const kn_host *host,
                             const kn_prefetch_request *request, kn_prefetched **out,
                             kn_error *err) {
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kn_status status = kni_run_prefetch(&run, request, NULL, NULL, out, err);
    kni_run_clear(&run);
    return status;
}

size_t kn_prefetched_count(const kn_prefetched *prefetched) { return prefetched->count; }

void kn_prefetched_get(const kn_prefetched *prefetched, size_t index, kn_prefetched_item *out) {
    const item *it = &prefetched->items[index];
    kn_prefetched_item made = {
        .size = out->size,
        .name = it->name,
        .repo = it->repo,
        .commit = it->commit,
        .variant = it->variant,
        .folder = it->folder,
        .is_dependency = it->is_dependency,
        .status = it->status,
        .message = it->message,
    };
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

/* What a dependency failed for stands in the message of the one that needs it. */
static bool is_told(const item *it) { return it->status && !it->is_dependency; }

kn_status kn_prefetched_check(const kn_prefetched *prefetched, kn_error *err) {
    const item *first = NULL;
    size_t failed = 0, asked = 0;
    for (size_t i = 0; i < prefetched->count; i++) {
        const item *it = &prefetched->items[i];
        asked += !it->is_dependency;
        failed += is_told(it);
        if (!first && is_told(it)) first = it;
    }
    if (!failed) return KN_OK;
    if (failed == 1) return kni_fail(err, first->status, "%s", first->message);
    kni_text text;
    kni_text_init(&text, prefetched->alloc);
    kni_text_addf(&text, "%zu of %zu kernels cannot be had: ", failed, asked);
    for (size_t i = 0; i < prefetched->count; i++) {
        const item *it = &prefetched->items[i];
        if (is_told(it))
            kni_text_addf(&text, "%s%s: %s", it == first ? "" : "; ", it->name, it->message);
    }
    char *message = kni_text_take(&text);
    kni_fail(err, first->status, "%s", message ? message : first->message);
    kni_free(prefetched->alloc, message);
    return first->status;
}

const char *kn_prefetched_digest(const kn_prefetched *prefetched) { return prefetched->digest; }

void kn_prefetched_free(kn_prefetched *prefetched) {
    if (!prefetched) return;
    const kn_alloc *alloc = prefetched->alloc;
    for (size_t i = 0; i < prefetched->count; i++) {
        item *it = &prefetched->items[i];
        char *texts[] = {it->name, it->repo, it->commit, it->variant, it->folder, it->message};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) kni_free(alloc, texts[k]);
    }
    kni_free(alloc, prefetched->items);
    kni_free(alloc, prefetched);
}
