/* SPDX-License-Identifier: Apache-2.0 */
/* One thing wanted: made, redirected, failed, freed. */
#include <kernels/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "layers/repo.h"

#define REDIRECTS_MAX 8

/* Whether `text` is a plain number; *out points behind its leading zeros. */
static bool is_number(const char *text, const char **out) {
    size_t length = strspn(text, "0123456789");
    if (!length || text[length]) return false;
    while (text[0] == '0' && text[1]) text++;
    *out = text;
    return true;
}

kn_status kni_request_text(const kn_alloc *alloc, const char *revision, const char *version,
                           char **out, kn_error *err) {
    *out = NULL;
    if (revision && version)
        return kni_fail(err, KN_ERR_VALUE,
                        "Only one of `revision` or `version` must be specified.");
    kni_text text;
    kni_text_init(&text, alloc);
    const char *number;
    if (version && is_number(version, &number)) {
        kni_text_addf(&text, "version:%s", number);
    } else if (version) {
        kn_status status = kn_specifier_check(version, err);
        if (status) return status;
        kni_text_addf(&text, "specifier:%s", version);
    } else if (revision && kni_is_commit(revision)) {
        kni_text_addf(&text, "commit:%s", revision);
    } else {
        kni_text_addf(&text, "revision:%s", revision ? revision : "main");
    }
    *out = kni_text_take(&text);
    return *out ? KN_OK : kni_no_memory(err, "reading a request");
}

static bool copy_text(const kn_alloc *alloc, const char *text, char **out) {
    *out = kni_text_copy(alloc, text);
    return *out || !text;
}

/* The request for the commit that a lock gives: of the version or revision that `info` asks for, or
 * of the repository where it asks for neither. */
static kn_status read_lock(kni_want *w, const kn_repo_info *info, kn_error *err) {
    w->lock_text = kni_text_copy(w->alloc, info->lock);
    if (!w->lock_text) return kni_no_memory(err, "looking for a kernel");
    kn_status status = kn_lockfile_parse(w->alloc, w->lock_text, strlen(w->lock_text),
                                         "kernels.lock", &w->lock, err);
    if (status) return status;
    int64_t version = info->version ? strtoll(info->version, NULL, 10) : -1;
    status = kn_lockfile_find(w->lock, w->id, version, info->revision, &w->lock_index, err);
    if (status) return status;
    kn_locked locked = {.size = sizeof locked};
    kn_lockfile_get(w->lock, w->lock_index, &locked);
    return kni_request_text(w->alloc, locked.commit, NULL, &w->request, err);
}

static kn_status fill_want(kni_want *w, const kn_repo_info *info, kn_error *err) {
    bool ok = copy_text(w->alloc, info->id, &w->id) &&
              copy_text(w->alloc, kni_repo_display(info), &w->display) &&
              copy_text(w->alloc, info->allowed, &w->allowed) &&
              copy_text(w->alloc, info->user_agent, &w->user_agent) &&
              copy_text(w->alloc, info->backend, &w->backend);
    if (!ok) return kni_no_memory(err, "looking for a kernel");
    if (info->kind != KN_REPO_HUB) return KN_OK;
    if (info->lock && !kni_want_is_builtin(w)) return read_lock(w, info, err);
    return kni_request_text(w->alloc, info->revision, info->version, &w->request, err);
}

/* What tells this want from others, in this process. */
static kn_status make_key(const kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_settings *s = &batch->settings;
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "%d|%d|%s|%s|%d%d%d|%lld|%lld|%s|%s|", (int)w->depth, (int)w->device,
                  w->backend ? w->backend : "", w->allowed ? w->allowed : "",
                  s->offline || w->cache_only, s->strict_trust, w->any_arch,
                  (long long)s->ref_age_s, (long long)s->version_age_s, s->endpoint, s->cache);
    if (w->build) kni_text_addf(&text, "%s|", w->build);
    if (batch->run->native) kni_text_add(&text, "native|");
    if (w->path)
        kni_text_add(&text, w->path);
    else
        kni_text_addf(&text, "%s|%s|%s", w->id, w->request, w->lock_text ? w->lock_text : "");
    w->key = kni_text_take(&text);
    return w->key ? KN_OK : kni_no_memory(err, "looking for a kernel");
}

/* What kernels.toml says of it by its name. */
static kn_status apply_rules(kni_batch *batch, kni_want *w, kn_error *err) {
    if (w->kind != KN_REPO_HUB) return KN_OK;
    /* A lock is the project's, whatever this machine has pinned. */
    bool is_fixed = w->path || w->lock || kni_want_is_builtin(w) || w->depth == KNI_DEPTH_LOCK;
    kn_status status = kni_want_note_order(batch, w, err);
    if (!status && !is_fixed) status = kni_want_pin(batch, w, err);
    return status ? status : kni_want_check_denied(batch, w, NULL, err);
}

/* With what is no text of `as`. */
static kni_want *alloc_want(const kni_batch *batch, const kni_want *as) {
    kni_want *w = kni_new(batch->alloc, sizeof *w);
    if (!w) return NULL;
    w->alloc = batch->alloc;
    w->kind = as->kind;
    w->device = as->device;
    w->depth = as->depth;
    w->cache_only = as->cache_only;
    w->any_arch = as->any_arch;
    w->go_online = batch->go_online;
    w->refresh = as->refresh;
    w->offline = batch->settings.offline || as->cache_only || !batch->may_ask;
    w->valid_until_s = w->redirect_until_s = INT64_MAX;
    kn_error_init(&w->err);
    return w;
}

static kn_status fill_build(kni_want *w, const kni_want *from, const char *build, kn_error *err) {
    bool ok = copy_text(w->alloc, from->id, &w->id) &&
              copy_text(w->alloc, from->display, &w->display) &&
              copy_text(w->alloc, from->allowed, &w->allowed) &&
              copy_text(w->alloc, from->user_agent, &w->user_agent) &&
              copy_text(w->alloc, from->backend, &w->backend) &&
              copy_text(w->alloc, from->lock_text, &w->lock_text) &&
              copy_text(w->alloc, build, &w->build);
    if (!ok) return kni_no_memory(err, "looking for a kernel");
    kn_status status = kni_request_text(w->alloc, from->commit, NULL, &w->request, err);
    if (status || !w->lock_text) return status;
    w->lock_index = from->lock_index;
    return kn_lockfile_parse(w->alloc, w->lock_text, strlen(w->lock_text), "kernels.lock", &w->lock,
                             err);
}

kn_status kni_want_new_build(kni_batch *batch, const kni_want *want, const char *build,
                             kni_want **out, kn_error *err) {
    *out = NULL;
    kni_want *w = alloc_want(batch, want);
    if (!w) return kni_no_memory(err, "looking for a kernel");
    kn_status status = fill_build(w, want, build, err);
    if (!status) status = make_key(batch, w, err);
    if (status)
        kni_want_free(w);
    else
        *out = w;
    return status;
}

kn_status kni_want_new(kni_batch *batch, const kn_repo_info *info, kn_device_type device,
                       kni_depth depth, kni_want **out, kn_error *err) {
    *out = NULL;
    if (info->kind == KN_REPO_HOST || !info->id) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s is not a kernel that can be looked up: only its host can load it",
                        kni_repo_display(info));
    }
    const kni_want as = {.kind = info->kind,
                         .device = device,
                         .depth = depth,
                         .cache_only = info->cache_only,
                         .any_arch = info->any_arch,
                         .refresh = info->refresh && batch->may_ask};
    kni_want *w = alloc_want(batch, &as);
    if (!w) return kni_no_memory(err, "looking for a kernel");
    kn_status status = fill_want(w, info, err);
    if (!status) status = kni_want_local_path(batch, w, &w->path, err);
    if (!status) status = apply_rules(batch, w, err);
    if (!status) status = make_key(batch, w, err);
    if (status)
        kni_want_free(w);
    else
        *out = w;
    return status;
}

static void forget_build(kni_want *w) {
    kni_free(w->alloc, w->variant);
    kni_free(w->alloc, w->files);
    kni_free(w->alloc, w->folder);
    kni_free(w->alloc, w->depends);
    kn_metadata_free(w->metadata);
    w->variant = w->folder = NULL;
    w->files = NULL;
    w->depends = NULL;
    w->metadata = NULL;
    w->kernel = NULL;
    w->file_count = w->depend_count = w->depend_capacity = 0;
    w->fetched = w->is_absent = w->is_checked = false;
}

void kni_want_choose_again(kni_want *w) {
    forget_build(w);
    w->step = w->path ? KNI_WANT_LOOK : KNI_WANT_CHOOSE;
}

const kni_refused_builds *kni_want_refused(const kni_want *w) {
    static const kni_refused_builds none;
    bool are_its = strcmp(w->refused_commit, w->commit) == 0;
    return are_its && !w->takes_refused ? &w->refused : &none;
}

/* What is known about a repository; the wish itself stays. */
static void forget_repository(kni_want *w) {
    if (w->caches[0].alloc) {
        kni_resolution_clear(&w->caches[0], &w->cached);
        kni_cache_close(&w->caches[0]);
        kni_cache_close(&w->caches[1]);
    }
    kni_listing_clear(&w->listing);
    kni_free(w->alloc, w->ref);
    kni_free(w->alloc, w->page);
    forget_build(w);
    w->listing = (kni_listing){0};
    w->cached = (kni_resolution){0};
    w->caches[0] = w->caches[1] = (kni_cache){0};
    w->ref = w->page = NULL;
    w->pages = 0;
    w->commit[0] = w->newest_commit[0] = '\0';
    w->type = KNI_REPO_KERNEL;
    w->type_known = w->type_settled = w->has_cached = w->ask_trust = w->is_redirect = false;
    w->is_partial = w->is_mirrored = w->is_foreign_listing = false;
    w->asked_s = 0;
    w->answer = KNI_ANSWER_NONE;
    w->ask = KNI_ASK_NOTHING;
    kni_free(w->alloc, w->refusal);
    w->refusal = NULL;
    w->valid_until_s = w->redirect_until_s;
    w->step = KNI_WANT_LOOK;
}

void kni_want_free(kni_want *w) {
    if (!w) return;
    forget_repository(w);
    char *texts[] = {w->id,   w->request, w->display, w->allowed,     w->user_agent, w->backend,
                     w->path, w->key,     w->seen,    w->net_message, w->lock_text,  w->part,
                     w->note, w->refusal, w->tried,   w->build};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) kni_free(w->alloc, texts[i]);
    kni_refused_clear(w->alloc, &w->refused);
    kn_lockfile_free(w->lock);
    kni_free(w->alloc, w);
}

void kni_want_restart(kni_want *w) { forget_repository(w); }

const kni_cache *kni_want_cache(const kni_want *w) { return &w->caches[w->type]; }

/* A repository may have changed its type since the cache heard of it. */
bool kni_want_switch_type(kni_want *w) {
    if (w->type_settled) return false;
    w->type = w->type == KNI_REPO_KERNEL ? KNI_REPO_MODEL : KNI_REPO_KERNEL;
    w->type_settled = true;
    return true;
}

char *kni_want_inside(const kni_want *w) {
    if (w->part) return kni_text_copy(w->alloc, w->part);
    if (!w->variant) return kni_text_copy(w->alloc, "build");
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "build/%s", w->variant);
    return kni_text_take(&text);
}

/* One of its own where metadata alone is looked at: that says nothing about the other files. */
const char *kni_want_receipt(kni_want *w) {
    const char *name = w->part ? w->part : w->variant ? w->variant : "build";
    snprintf(w->receipt, sizeof w->receipt, "%s%s", name,
             w->depth < KNI_DEPTH_FILES ? ".metadata" : "");
    return w->receipt;
}

bool kni_is_fatal(kn_status status) { return status == KN_ERR_NOMEM || status == KN_ERR_CANCELLED; }

kn_status kni_want_fail(kni_want *w, kn_status status, const kn_error *cause) {
    if (kni_is_fatal(status)) return status;
    w->step = KNI_WANT_FAILED;
    w->status = status;
    if (cause != &w->err) kni_fail(&w->err, status, "%s", cause->message);
    return KN_OK;
}

/* Whether `seen`, one a line, has `id`. */
static bool has_line(const char *seen, const char *id) {
    size_t length = strlen(id);
    while (seen && *seen) {
        size_t line = strcspn(seen, "\n");
        if (line == length && memcmp(seen, id, length) == 0) return true;
        seen += line + (seen[line] == '\n');
    }
    return false;
}

static size_t count_lines(const char *seen) {
    size_t count = 0;
    for (; seen && *seen; seen++) count += *seen == '\n';
    return count;
}

/* With the first of the sources. */
static void begin_anew(kni_want *w) {
    kni_free(w->alloc, w->tried);
    w->tried = NULL;
    w->tried_status = KN_OK;
}

kn_status kni_want_redirect(kni_batch *batch, kni_want *w, const char *repo, const char *revision,
                            kn_error *err) {
    kni_text seen;
    kni_text_init(&seen, w->alloc);
    kni_text_addf(&seen, "%s%s\n", w->seen ? w->seen : "", w->id);
    char *lines = kni_text_take(&seen);
    if (!lines) return kni_no_memory(err, "following a redirect");
    kni_free(w->alloc, w->seen);
    w->seen = lines;
    if (has_line(lines, repo) || count_lines(lines) > REDIRECTS_MAX) {
        return kni_fail(err, KN_ERR_VALUE,
                        "'%s' redirects to '%s', which %s: its owner has to correct "
                        "kernel-status.toml; name the repository that has the kernel",
                        w->id, repo,
                        has_line(lines, repo) ? "leads back to it" : "is one redirect too many");
    }
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_repo_id_check(repo, &cause);
    if (status) {
        return kni_fail(err, status, "'%s' redirects to a malformed repository: %s", w->id,
                        cause.message);
    }
    char *id = kni_text_copy(w->alloc, repo), *request = NULL;
    status = id ? kni_request_text(w->alloc, revision, NULL, &request, err)
                : kni_no_memory(err, "following a redirect");
    if (status) {
        kni_free(w->alloc, id);
        return status;
    }
    kni_free(w->alloc, w->id);
    kni_free(w->alloc, w->request);
    w->id = id;
    w->request = request;
    w->redirect_until_s = w->valid_until_s;
    w->is_locked = false; /* that was the other repository's */
    begin_anew(w);
    forget_repository(w);
    status = kni_want_local_path(batch, w, &w->path, err);
    return status ? status : apply_rules(batch, w, err);
}

kn_status kni_want_go_offline(kni_want *w, kn_status status, bool hasty, kn_error *err) {
    char *message = kni_text_copy(w->alloc, w->err.message);
    if (!message) return kni_no_memory(err, "turning to the cache");
    kni_free(w->alloc, w->net_message);
    w->net_message = message;
    w->net_status = status;
    w->offline = true;
    w->hasty = hasty;
    forget_repository(w);
    return KN_OK;
}

void kni_want_go_online(kni_want *w) {
    kni_free(w->alloc, w->net_message);
    w->net_message = NULL;
    w->net_status = KN_OK;
    w->offline = w->hasty = false;
    w->patient = true;
    begin_anew(w);
    forget_repository(w);
}

void kni_want_believe(kni_want *w, int64_t until_s) {
    if (until_s < w->valid_until_s) w->valid_until_s = until_s;
}
