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
    char *repo, *path, *ref, *commit, *variant, *note;
    kn_variants *variants;
    kn_metadata *metadata;
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

static kn_status describe_folder(const kni_run *run, const char *path, kn_about *about,
                                 kn_error *err) {
    if (!copy_text(about->alloc, path, &about->path))
        return kni_no_memory(err, "describing a kernel");
    char *builds = builds_folder(about->alloc, path);
    if (!builds) return kni_no_memory(err, "describing a kernel");
    kni_names names = {.alloc = about->alloc};
    kn_status status = kni_directory_folders(about->alloc, builds, &names, err);
    if (!status) {
        status = kn_variants_rank(about->alloc, (const char *const *)names.items, names.count,
                                  &run->system, &about->variants, err);
    }
    if (!status) status = find_metadata(about, builds, err);
    kni_names_clear(&names);
    kni_free(about->alloc, builds);
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
    if (!ok) return kni_no_memory(err, "describing a kernel");
    about->metadata = w->metadata;
    w->metadata = NULL;
    return kni_want_variants(batch, w, &about->variants, err);
}

kn_status kn_engine_about(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                          kn_about **out, kn_error *err) {
    *out = NULL;
    kn_about *about = kni_new(engine->alloc, sizeof *about);
    if (!about) return kni_no_memory(err, "describing a kernel");
    about->alloc = engine->alloc;
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    size_t number;
    kn_status status = kni_batch_open(&run, true, &batch, err);
    if (!status)
        status = kni_batch_add(&batch, info, KN_DEVICE_OTHER, KNI_DEPTH_ABOUT, &number, err);
    kni_want *w = status ? NULL : batch.wants[number];
    if (!status && w->path) {
        status = describe_folder(&run, w->path, about, err);
    } else if (!status) {
        status = kni_batch_run(&batch, err);
        if (!status) status = describe_want(&batch, w, about, err);
    }
    kni_batch_close(&batch);
    kni_run_clear(&run);
    if (status)
        kn_about_free(about);
    else
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
    };
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

void kn_about_free(kn_about *about) {
    if (!about) return;
    kni_free(about->alloc, about->repo);
    kni_free(about->alloc, about->path);
    kni_free(about->alloc, about->ref);
    kni_free(about->alloc, about->commit);
    kni_free(about->alloc, about->variant);
    kni_free(about->alloc, about->note);
    kn_variants_free(about->variants);
    kn_metadata_free(about->metadata);
    kni_free(about->alloc, about);
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
