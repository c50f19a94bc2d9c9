/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel as it describes itself; what the environment sets. */
#include <kernels/hub.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/files.h"

/* ---- a kernel ---- */

struct kn_about {
    const kn_alloc *alloc;
    char *repo, *path, *ref, *commit, *variant, *note, *builds;
    kn_variants *variants;
    kn_metadata *metadata;
    kn_status status; /* why it cannot be described, */
    char *message;    /* ... in words */
};

struct kn_abouts {
    const kn_alloc *alloc;
    size_t count;
    kn_about *items;
    size_t *places;  /* of each, its item: what is asked for twice is described once */
    size_t *numbers; /* of each, that of its want in the batch, unless it failed */
};

static bool copy_text(const kn_alloc *alloc, const char *text, char **out) {
    *out = kni_text_copy(alloc, text);
    return *out || !text;
}

/* The folder that has the builds: "build" of the kernel's folder, or that itself. */
static char *builds_folder(const kn_alloc *alloc, const char *path) {
    char *build = kni_path_join(alloc, path, "build");
    if (!build || kni_path_is_directory(build)) return build;
    kni_free(alloc, build);
    return kni_text_copy(alloc, path);
}

/* The metadata of the first build, in the order of the ranking, that has some. */
static kn_status find_metadata(kn_about *about, const char *builds, kn_error *err) {
    for (size_t i = 0; i < kn_variants_count(about->variants); i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants_get(about->variants, i, &variant);
        char *folder = kni_path_join(about->alloc, builds, variant.name);
        char *file = folder ? kni_path_join(about->alloc, folder, "metadata.json") : NULL;
        kni_free(about->alloc, folder);
        if (!file) return kni_no_memory(err, "describing a kernel");
        bool found = kni_path_is_file(file);
        kn_status status =
            found ? kn_metadata_read(about->alloc, file, &about->metadata, err) : KN_OK;
        kni_free(about->alloc, file);
        if (status || !found) {
            if (status) return status;
            continue;
        }
        return copy_text(about->alloc, variant.name, &about->variant)
                   ? KN_OK
                   : kni_no_memory(err, "describing a kernel");
    }
    return KN_OK;
}

static kn_status describe_folder(kni_run *run, const char *path, kn_about *about, kn_error *err) {
    if (!copy_text(about->alloc, path, &about->path))
        return kni_no_memory(err, "describing a kernel");
    about->builds = builds_folder(about->alloc, path);
    if (!about->builds) return kni_no_memory(err, "describing a kernel");
    kni_names names = {.alloc = about->alloc};
    kn_status status = kni_directory_folders(about->alloc, about->builds, &names, err);
    if (!status) {
        status = kn_variants_rank(about->alloc, (const char *const *)names.items, names.count,
                                  &run->system, &about->variants, err);
    }
    if (!status) status = kni_variants_check_objects(run, about->variants, about->builds, err);
    if (!status) status = find_metadata(about, about->builds, err);
    kni_names_clear(&names);
    return status;
}

static kn_status describe_want(const kni_batch *batch, kni_want *w, kn_about *about,
                               kn_error *err) {
    if (w->status) return kni_fail(err, w->status, "%s", w->err.message);
    bool ok = copy_text(about->alloc, w->id, &about->repo) &&
              copy_text(about->alloc, w->ref, &about->ref) &&
              copy_text(about->alloc, w->commit, &about->commit) &&
              copy_text(about->alloc, w->note, &about->note) &&
              copy_text(about->alloc, w->variant, &about->variant);
    if (ok) about->builds = kni_cache_snapshot_path(kni_want_cache(w), w->commit, "build");
    if (!about->builds) return kni_no_memory(err, "describing a kernel");
    about->metadata = w->metadata;
    w->metadata = NULL;
    return kni_want_variants(batch, w, &about->variants, err);
}

/* Puts a failure down to the one kernel that it is about, unless it ends the whole call. */
static kn_status note_failure(kn_about *about, kn_status status, const kn_error *why,
                              kn_error *err) {
    if (!status) return KN_OK;
    if (kni_is_fatal(status)) return kni_fail(err, status, "%s", why->message);
    about->status = status;
    return copy_text(about->alloc, why->message, &about->message)
               ? KN_OK
               : kni_no_memory(err, "describing a kernel");
}

/* The first of those before `i` that wants what it wants; itself: none. */
static size_t find_place(const kn_abouts *all, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (!all->items[k].status && all->numbers[k] == all->numbers[i]) return k;
    return i;
}

/* A directory is described as it is. */
static kn_status add_wants(kni_batch *batch, const kn_repo_info *const *infos, kn_abouts *all,
                           kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < all->count && !status; i++) {
        kn_error why;
        kn_error_init(&why);
        kn_about *about = &all->items[i];
        about->alloc = all->alloc;
        all->places[i] = i;
        status = kni_batch_add(batch, infos[i], KN_DEVICE_OTHER, KNI_DEPTH_ABOUT, &all->numbers[i],
                               &why);
        status = note_failure(about, status, &why, err);
        if (status || about->status) continue;
        all->places[i] = find_place(all, i);
        kni_want *w = batch->wants[all->numbers[i]];
        if (w->path) w->step = KNI_WANT_DONE;
    }
    return status;
}

static kn_status describe(const kni_batch *batch, kn_abouts *all, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < all->count && !status; i++) {
        kn_about *about = &all->items[i];
        if (about->status || all->places[i] != i) continue;
        kn_error why;
        kn_error_init(&why);
        kni_want *w = batch->wants[all->numbers[i]];
        status = w->path ? describe_folder(batch->run, w->path, about, &why)
                         : describe_want(batch, w, about, &why);
        status = note_failure(about, status, &why, err);
    }
    return status;
}

static kn_abouts *abouts_new(const kn_alloc *alloc, size_t count) {
    kn_abouts *all = kni_new(alloc, sizeof *all);
    if (!all) return NULL;
    *all = (kn_abouts){
        .alloc = alloc,
        .items = kni_new(alloc, (count + 1) * sizeof *all->items),
        .places = kni_new(alloc, (count + 1) * sizeof *all->places),
        .numbers = kni_new(alloc, (count + 1) * sizeof *all->numbers),
    };
    if (all->items && all->places && all->numbers) {
        all->count = count;
        return all;
    }
    kn_abouts_free(all);
    return NULL;
}

kn_status kn_engine_about_all(kn_engine *engine, const kn_host *host,
                              const kn_repo_info *const *infos, size_t count, kn_abouts **out,
                              kn_error *err) {
    *out = NULL;
    kn_abouts *all = abouts_new(engine->alloc, count);
    kni_run run;
    kni_batch batch;
    kni_run_init(&run, engine, host, NULL);
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status && !all) status = kni_no_memory(err, "describing kernels");
    if (!status) status = add_wants(&batch, infos, all, err);
    if (!status) status = kni_batch_run(&batch, err);
    if (!status) status = describe(&batch, all, err);
    kni_batch_close(&batch);
    kni_run_clear(&run);
    if (status)
        kn_abouts_free(all);
    else
        *out = all;
    return status;
}

kn_status kn_engine_about(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                          kn_about **out, kn_error *err) {
    *out = NULL;
    kn_abouts *all;
    kn_status status = kn_engine_about_all(engine, host, &info, 1, &all, err);
    if (status) return status;
    kn_about *only = &all->items[0];
    if (only->status) status = kni_fail(err, only->status, "%s", only->message);
    kn_about *about = status ? NULL : kni_new(engine->alloc, sizeof *about);
    if (!status && !about) status = kni_no_memory(err, "describing a kernel");
    if (about) {
        *about = *only;
        *only = (kn_about){.alloc = all->alloc};
    }
    kn_abouts_free(all);
    *out = about;
    return status;
}

void kn_about_get(const kn_about *about, kn_about_info *out) {
    kn_about_info info = {
        .size = out->size,
        .repo = about->repo,
        .path = about->path,
        .ref = about->ref,
        .commit = about->commit,
        .variants = about->variants,
        .variant = about->variant,
        .metadata = about->metadata,
        .note = about->note,
        .status = about->status,
        .message = about->message,
        .builds = about->builds,
    };
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

void kn_abouts_get(const kn_abouts *abouts, size_t index, kn_about_info *out) {
    kn_about_get(&abouts->items[abouts->places[index]], out);
}

static void about_clear(kn_about *about) {
    kni_free(about->alloc, about->repo);
    kni_free(about->alloc, about->path);
    kni_free(about->alloc, about->ref);
    kni_free(about->alloc, about->commit);
    kni_free(about->alloc, about->variant);
    kni_free(about->alloc, about->note);
    kni_free(about->alloc, about->builds);
    kni_free(about->alloc, about->message);
    kn_variants_free(about->variants);
    kn_metadata_free(about->metadata);
}

void kn_about_free(kn_about *about) {
    if (!about) return;
    about_clear(about);
    kni_free(about->alloc, about);
}

void kn_abouts_free(kn_abouts *abouts) {
    if (!abouts) return;
    for (size_t i = 0; i < abouts->count; i++) about_clear(&abouts->items[i]);
    kni_free(abouts->alloc, abouts->items);
    kni_free(abouts->alloc, abouts->places);
    kni_free(abouts->alloc, abouts->numbers);
    kni_free(abouts->alloc, abouts);
}

/* ---- the environment ---- */

struct kn_settings {
    kni_settings read;
    const char *token_source;
};

kn_status kn_settings_read(const kn_alloc *alloc, kn_settings **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kn_settings *settings = kni_new(alloc, sizeof *settings);
    if (!settings) return kni_no_memory(err, "reading the environment");
    char *token = NULL;
    kn_status status = kni_settings_read(alloc, &settings->read, err);
    if (!status) status = kni_settings_token(&settings->read, &token, err);
    if (token) {
        bool from_variable = settings->read.token != NULL;
        settings->token_source =
            from_variable ? settings->read.token_variable : settings->read.token_path;
    }
    kni_free(alloc, token);
    if (status)
        kn_settings_free(settings);
    else
        *out = settings;
    return status;
}

void kn_settings_get(const kn_settings *settings, kn_settings_info *out) {
    const kni_settings *s = &settings->read;
    kn_settings_info info = {
        .size = out->size,
        .endpoint = s->endpoint,
        .cache = s->cache,
        .local_kernels = s->local_kernels,
        .token_source = settings->token_source,
        .offline = s->offline,
        .strict_trust = s->strict_trust,
        .always_verify = s->always_verify,
        .timeout_ms = s->timeout_ms,
        .endpoint_is_named = s->endpoint_is_named,
    };
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

void kn_settings_free(kn_settings *settings) {
    if (!settings) return;
    const kn_alloc *alloc = settings->read.alloc;
    kni_settings_clear(&settings->read);
    kni_free(alloc, settings);
}
