/* SPDX-License-Identifier: Apache-2.0 */
/* The variant for this machine, and which of its files are not in the cache as they should be. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "load/source.h"
#include "os/files.h"

#define NAMED_MAX 5 /* missing files that a message names */

static void free_names(const kni_want *w, char **names, size_t count) {
    for (size_t i = 0; i < count; i++) kni_free(w->alloc, names[i]);
    kni_free(w->alloc, names);
}

/* The best variant for one backend as a copy in *out; NULL with the refusals in *refused. */
static kn_status rank(const kni_want *w, char **names, size_t count, const kn_system *system,
                      char **out, kn_variants **refused, kn_error *err) {
    kn_variants *ranking;
    *out = NULL;
    kn_status status =
        kni_builds_rank(w->alloc, names, count, system, kni_want_refused(w), &ranking, err);
    if (status) return status;
    kn_variant best = {.size = sizeof best};
    if (kn_variants_count(ranking)) kn_variants_get(ranking, 0, &best);
    if (best.accepted) {
        *out = kni_text_copy(w->alloc, best.name);
        if (!*out) status = kni_no_memory(err, "choosing a variant");
        kn_variants_free(ranking);
        return status;
    }
    kn_variants_free(*refused);
    *refused = ranking;
    return KN_OK;
}

/* Whether the cache has anything of a variant. */
static bool is_begun(const kni_want *w, const char *variant) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, KNI_BUILD_PREFIX "%s", variant);
    char *inside = kni_text_take(&text);
    char *path = inside ? kni_cache_snapshot_path(kni_want_cache(w), w->commit, inside) : NULL;
    bool found = path && kni_path_is_directory(path);
    kni_free(w->alloc, path);
    kni_free(w->alloc, inside);
    return found;
}

/* Offline those count that the cache has something of, unless there is none that is not refused. */
static void keep_begun(const kni_want *w, char **names, size_t *count) {
    size_t begun = 0;
    bool has_any = false;
    for (size_t i = 0; i < *count; i++) {
        if (!is_begun(w, names[i])) continue;
        char *name = names[i];
        names[i] = names[begun];
        names[begun++] = name;
        has_any = has_any || !kni_refused_reason(kni_want_refused(w), name);
    }
    if (!has_any) return;
    while (*count > begun) kni_free(w->alloc, names[--*count]);
}

/* To tell about a kernel any of its builds will do; it may have none. */
static kn_status take_any(kni_want *w, const kn_variants *refused, kn_error *err) {
    kn_variant first = {.size = sizeof first};
    if (!refused || !kn_variants_count(refused)) return KN_OK;
    kn_variants_get(refused, 0, &first);
    w->variant = kni_text_copy(w->alloc, first.name);
    return w->variant ? KN_OK : kni_no_memory(err, "choosing a variant");
}

static kn_status choose_variant(kni_batch *batch, kni_want *w, kn_error *err) {
    const char *backends[2];
    size_t count, name_count;
    char **names;
    kn_status status = kni_want_backends(w, &batch->run->system, backends, &count, err);
    if (!status) status = kni_listing_variants(&w->listing, &names, &name_count, err);
    if (status) return status;
    assert(count <= sizeof backends / sizeof *backends);
    if (w->offline) keep_begun(w, names, &name_count);
    kn_variants *refused = NULL;
    kn_system system = batch->run->system;
    for (size_t i = 0; i < count && !status && !w->variant; i++) {
        system.backend = backends[i];
        status = rank(w, names, name_count, &system, &w->variant, &refused, err);
    }
    if (!status && !w->variant && w->depth == KNI_DEPTH_ABOUT) {
        status = take_any(w, refused, err);
    } else if (!status && !w->variant) {
        kni_text text;
        kni_text_init(&text, w->alloc);
        kni_text_addf(&text, "%s (%s)", w->id, w->request);
        char *asked = kni_text_take(&text);
        const char *where = refused && kn_variants_count(refused) ? "it" : "nothing in its build/";
        status = asked ? kni_fail_without_variant(w->alloc, &system, asked, where, refused,
                                                  kni_want_refused(w), err)
                       : kni_no_memory(err, "choosing a variant");
        w->is_absent = status == KN_ERR_NOT_FOUND;
        kni_free(w->alloc, asked);
    }
    kn_variants_free(refused);
    free_names(w, names, name_count);
    return status;
}

bool kni_is_bytecode(const char *path) {
    size_t length = strlen(path);
    return strstr(path, "/__pycache__/") != NULL ||
           (length > 4 && strcmp(path + length - 4, ".pyc") == 0);
}

/* Whether it is the metadata of a build variant, whichever. */
static bool is_any_metadata(const char *path) {
    char name[256];
    const char *variant = path + strlen(KNI_BUILD_PREFIX), *end;
    if (strncmp(path, KNI_BUILD_PREFIX, strlen(KNI_BUILD_PREFIX)) != 0) return false;
    end = strchr(variant, '/');
    if (!end || strcmp(end, "/metadata.json") != 0 || (size_t)(end - variant) >= sizeof name)
        return false;
    memcpy(name, variant, (size_t)(end - variant));
    name[end - variant] = '\0';
    return kn_variant_name_is_valid(name);
}

/* Whether a file of the listing is wanted: one of the folder's, at this depth. `prefix` is
 * "build/<variant>/". */
static bool is_wanted(const kni_want *w, const char *path, const char *prefix) {
    if (w->depth == KNI_DEPTH_LOCK) return is_any_metadata(path);
    size_t length = strlen(prefix);
    if (strncmp(path, prefix, length) != 0 || kni_is_bytecode(path)) return false;
    return w->depth >= KNI_DEPTH_FILES || strcmp(path + length, "metadata.json") == 0;
}

static kn_status fail_without_part(const kni_want *w, kn_error *err) {
    if (w->is_partial && w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
    return kni_fail(err, KN_ERR_NOT_FOUND, "'%s' (commit %s) has no folder '%s'%s", w->id,
                    w->commit, w->part,
                    w->is_partial ? " in the cache, and no request is made in offline mode; "
                                    "download it while online first (unset HF_HUB_OFFLINE)"
                                  : "");
}

/* The repository's files below `prefix`. */
static kn_status collect_files(kni_want *w, const char *prefix, kn_error *err) {
    size_t inside = 0;
    for (size_t i = 0; i < w->listing.count; i++)
        inside += strncmp(w->listing.items[i].path, prefix, strlen(prefix)) == 0;
    if (w->part && !inside) return fail_without_part(w, err);
    w->files = kni_new(w->alloc, (w->listing.count + 1) * sizeof *w->files);
    for (size_t i = 0; w->files && i < w->listing.count; i++) {
        const kni_entry *entry = &w->listing.items[i];
        if (!is_wanted(w, entry->path, prefix)) continue;
        /* A copy that another client made may be anything, unless the lock file tells. */
        const char *oid = entry->oid[0] ? entry->oid : kni_want_locked_oid(w, entry->path);
        if (!oid) continue;
        w->files[w->file_count++] =
            (kni_checked){.path = entry->path, .content = {oid, entry->size}};
    }
    return w->files ? KN_OK : kni_no_memory(err, "choosing files");
}

static kn_status list_files(kni_want *w, kn_error *err) {
    char *inside = kni_want_inside(w);
    char *prefix = inside ? kni_path_join(w->alloc, inside, "") : NULL;
    kn_status status =
        prefix ? collect_files(w, prefix, err) : kni_no_memory(err, "choosing files");
    kni_free(w->alloc, prefix);
    kni_free(w->alloc, inside);
    return status;
}

static kn_status need_net(void *ctx, const kni_net **out, kn_error *err) {
    return kni_batch_net(ctx, out, err);
}

static kn_status check_files(kni_batch *batch, kni_want *w, size_t *missing, kn_error *err) {
    *missing = 0;
    kn_status status =
        kni_cache_check(kni_want_cache(w), w->commit, kni_want_receipt(w), w->files, w->file_count,
                        batch->settings.always_verify, need_net, batch, err);
    for (size_t i = 0; i < w->file_count && !status; i++) {
        if (w->files[i].found != KNI_FILE_GOOD) ++*missing;
    }
    return status;
}

/* "'a', 'b', 'c' and 4 more are"; NULL: no memory. */
static char *name_missing(const kni_want *w) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    size_t count = 0;
    for (size_t i = 0; i < w->file_count; i++) {
        if (w->files[i].found != KNI_FILE_MISSING || ++count > NAMED_MAX) continue;
        kni_text_addf(&text, "%s'%s'", count > 1 ? ", " : "", w->files[i].path);
    }
    if (count > NAMED_MAX) kni_text_addf(&text, " and %zu more", count - NAMED_MAX);
    kni_text_add(&text, count == 1 ? " is" : " are");
    return kni_text_take(&text);
}

/* A file that is not what it should be, while nothing can be fetched. */
static kn_status fail_offline(kni_want *w, kn_error *err) {
    const kni_checked *bad = NULL;
    for (size_t i = 0; i < w->file_count && !bad; i++) {
        if (w->files[i].found == KNI_FILE_DAMAGED) bad = &w->files[i];
    }
    if (bad) {
        return kni_fail(
            err, KN_ERR_INTEGRITY,
            "'%s' of '%s' in the cache is damaged: it is not what the repository has at "
            "commit %s; go online to have it fetched again",
            bad->path, w->id, w->commit);
    }
    if (w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
    w->is_absent = true;
    char *missing = name_missing(w);
    if (!missing) return kni_no_memory(err, "choosing files");
    kni_fail(err, KN_ERR_NOT_FOUND,
             "%s of '%s' (commit %s) not in the cache, and no request is made in offline mode; "
             "download it while online first (%s)",
             missing, w->id, w->commit, w->go_online);
    kni_free(w->alloc, missing);
    return KN_ERR_NOT_FOUND;
}

/* What the cache has of a commit is not all that there is: its other builds may depend on more. */
static kn_status check_whole(const kni_want *w, kn_error *err) {
    if (!w->is_partial) return KN_OK;
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "'%s' (commit %s): which builds it has is not known while no request is made; "
                    "lock it while online once (unset HF_HUB_OFFLINE)",
                    w->id, w->commit);
}

/* Every build is wanted: this want takes the first one, and others are added for the rest. Where
 * there is none, it is told as always that nothing fits. */
static kn_status want_all_builds(kni_batch *batch, kni_want *w, kn_error *err) {
    char **names;
    size_t count;
    kn_status status = kni_listing_variants(&w->listing, &names, &count, err);
    if (status) return status;
    if (w->offline) keep_begun(w, names, &count);
    for (size_t i = 1; i < count && !status; i++)
        status = kni_batch_add_build(batch, w, names[i], err);
    if (count && !status) {
        w->build = kni_text_copy(w->alloc, names[0]);
        if (!w->build) status = kni_no_memory(err, "choosing a variant");
    }
    free_names(w, names, count);
    return status;
}

static kn_status choose_build(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = batch->all_builds && !w->build ? want_all_builds(batch, w, err) : KN_OK;
    if (status || !w->build) return status ? status : choose_variant(batch, w, err);
    w->variant = kni_text_copy(w->alloc, w->build);
    return w->variant ? KN_OK : kni_no_memory(err, "choosing a variant");
}

/* The files that are wanted, and how many of them are not there as they should be. */
static kn_status choose_files(kni_batch *batch, kni_want *w, size_t *missing, kn_error *err) {
    *missing = 0;
    bool any_variant = w->depth == KNI_DEPTH_LOCK;
    kn_status status = KN_OK;
    if (any_variant)
        status = check_whole(w, err);
    else if (!w->part)
        status = choose_build(batch, w, err);
    if (status || (!any_variant && !w->part && !w->variant)) return status;
    status = list_files(w, err);
    if (!status) status = kni_want_check_refused(batch, w, err);
    if (!status) status = kni_want_check_lock(batch, w, err);
    if (!status) status = check_files(batch, w, missing, err);
    return status;
}

static kn_status choose_one(kni_batch *batch, kni_want *w, kn_error *err) {
    if (w->depth == KNI_DEPTH_VARIANTS) {
        w->step = KNI_WANT_FINISH;
        return KN_OK;
    }
    size_t missing = 0;
    kn_status status = kni_want_check_denied(batch, w, NULL, err);
    if (!status) status = choose_files(batch, w, &missing, err);
    if (status) return status;
    bool will_do = w->offline && w->depth == KNI_DEPTH_ABOUT; /* without its metadata */
    if (!missing || will_do)
        w->step = KNI_WANT_FINISH;
    else if (w->offline)
        status = fail_offline(w, err);
    else if (kni_want_may_work(w))
        w->step = KNI_WANT_PULL;
    return status;
}

kn_status kni_batch_choose(kni_batch *batch, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_CHOOSE || w->needs_lock) continue;
        kn_status status = choose_one(batch, w, &w->err);
        kn_status stopped = w->is_absent ? kni_want_suggest(batch, w, err) : KN_OK;
        if (stopped) return stopped;
        if (status) status = kni_want_fail_online(batch, w, status, err);
        if (status) return status;
    }
    return KN_OK;
}
