/* SPDX-License-Identifier: Apache-2.0 */
/* What is known without asking anybody: first-party kernels, LOCAL_KERNELS, the cache. */
#include <kernels/version.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/clock.h"
#include "os/files.h"
#include "trust/publisher.h"

#define BUILTIN_PREFIX "builtin/"

/* ---- folders that are named, or that ship with the library ---- */

void kni_backend_family(const char *backend, char *out, size_t capacity) {
    size_t length = strcspn(backend, "0123456789");
    if (length >= capacity) length = capacity - 1;
    memcpy(out, backend, length);
    out[length] = '\0';
    if (strcmp(out, "cu") == 0) memcpy(out, "cuda", sizeof "cuda");
}

bool kni_repo_is_builtin(const char *repo_id) {
    return strncmp(repo_id, BUILTIN_PREFIX, strlen(BUILTIN_PREFIX)) == 0;
}

bool kni_want_is_builtin(const kni_want *w) {
    return w->kind == KN_REPO_HUB && kni_repo_is_builtin(w->id);
}

/* Without a backend being named it is the system's; a layer for the CPU is looked for among its own
 * builds first, since a build of torch for a GPU runs those as well, and a kernel that ships with
 * the library is taken for the CPU where it has nothing better. */
kn_status kni_want_backends(const kni_want *w, const kn_system *system, const char *out[2],
                            size_t *count, kn_error *err) {
    char family[32];
    kni_backend_family(system->backend, family, sizeof family);
    bool is_cpu = strcmp(family, "cpu") == 0;
    *count = 1;
    out[0] = system->backend;
    if (w->backend) {
        if (strcmp(w->backend, "cpu") == 0)
            out[0] = "cpu";
        else if (strcmp(w->backend, family) != 0) {
            return kni_fail(err, KN_ERR_VALUE,
                            "Invalid backend '%s', system supported backends: cpu%s%s", w->backend,
                            is_cpu ? "" : ", ", is_cpu ? "" : family);
        }
    } else if (!is_cpu && (w->device == KN_DEVICE_CPU || kni_want_is_builtin(w))) {
        out[w->device == KN_DEVICE_CPU ? 0 : 1] = "cpu";
        if (w->device == KN_DEVICE_CPU) out[1] = system->backend;
        *count = 2;
    }
    return KN_OK;
}

static kn_status builtin_path(const kn_engine *engine, const char *repo_id, char **out,
                              kn_error *err) {
    const char *name = repo_id + strlen(BUILTIN_PREFIX);
    bool is_plain = *name && *name != '.' && !strchr(name, '/');
    if (!is_plain) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "'%s': there is no first-party kernel of that name",
                        repo_id);
    }
    *out = kni_path_join(engine->alloc, engine->builtin_folder, name);
    if (!*out) return kni_no_memory(err, "finding a first-party kernel");
    if (kni_path_is_directory(*out)) return KN_OK;
    kni_free(engine->alloc, *out);
    *out = NULL;
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "'%s': there is no first-party kernel of that name; looked in '%s'", repo_id,
                    engine->builtin_folder);
}

/* A path that means the same after a change of the working directory, as a copy. */
static kn_status absolute_path(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    if (path[0] != '/') return kni_path_resolve(alloc, path, out, err);
    *out = kni_text_copy(alloc, path);
    return *out ? KN_OK : kni_no_memory(err, "finding a kernel");
}

/* It could only come from a provider that the order in kernels.toml leaves out. */
static kn_status fail_unasked(const kni_want *w, const kni_policy *policy, kn_error *err) {
    const char *missing = kni_want_is_builtin(w) ? "\"builtin\"" : "\"cache\" and \"hub\"";
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "'%s' is not looked for: the order in %s:%d leaves %s out", w->id,
                    policy->order_said.file, policy->order_said.line, missing);
}

kn_status kni_want_local_path(const kni_batch *batch, const kni_want *w, char **out,
                              kn_error *err) {
    *out = NULL;
    if (w->kind == KN_REPO_LOCAL) return absolute_path(w->alloc, w->id, out, err);
    if (w->lock || w->depth == KNI_DEPTH_LOCK) return KN_OK;
    const kni_policy *policy = &batch->config->policy;
    bool is_builtin = kni_want_is_builtin(w);
    if (is_builtin && !kni_policy_asks(policy, KNI_PROVIDER_BUILTIN))
        return fail_unasked(w, policy, err);
    bool builtin_first =
        is_builtin && kni_policy_is_before(policy, KNI_PROVIDER_BUILTIN, KNI_PROVIDER_LOCAL);
    char *override = NULL;
    kn_status status = KN_OK;
    if (!builtin_first && kni_policy_asks(policy, KNI_PROVIDER_LOCAL))
        status =
            kni_local_kernels_find(w->alloc, batch->settings.local_kernels, w->id, &override, err);
    if (!status && override) {
        status = absolute_path(w->alloc, override, out, err);
        kni_free(w->alloc, override);
    } else if (!status && is_builtin) {
        status = builtin_path(batch->engine, w->id, out, err);
    }
    return status;
}

/* Whether what lies in `path` came with the library, and so was built for this very interpreter. */
static bool is_shipped(const kn_engine *engine, const char *path) {
    size_t length = strlen(engine->builtin_folder);
    return length && strncmp(path, engine->builtin_folder, length) == 0 && path[length] == '/';
}

/* The kernel in `path`, for the first of the backends that it has a build for. */
static kn_status find_in_folder(kni_batch *batch, kni_want *w, const char *path, kn_error *err) {
    const char *backends[2];
    size_t count;
    kn_status status = kni_want_backends(w, &batch->run->system, backends, &count, err);
    if (status) return status;
    kni_kernel *kernel = kni_new(w->alloc, sizeof *kernel);
    if (!kernel) return kni_no_memory(err, "finding a kernel");
    for (size_t i = 0; i < count; i++) {
        kn_system system = batch->run->system;
        system.backend = backends[i];
        if (is_shipped(batch->engine, path)) system.free_threaded = false;
        const kni_refused_builds *refused = kni_want_refused(w);
        status = kni_kernel_source_find(w->alloc, path, &system, refused, &kernel->source, err);
        if (status != KN_ERR_NOT_FOUND && !(refused->count && status == refused->status)) break;
    }
    if (status) {
        w->is_absent = status == KN_ERR_NOT_FOUND;
        kni_free(w->alloc, kernel);
        return status;
    }
    w->kernel = kni_engine_keep_kernel(batch->engine, kernel);
    if (!w->kernel) return kni_no_memory(err, "finding a kernel");
    w->step = KNI_WANT_FINISH;
    return KN_OK;
}

/* The wanted folder in `path`. */
static kn_status find_part(kni_want *w, kn_error *err) {
    w->folder = kni_path_join(w->alloc, w->path, w->part);
    if (!w->folder) return kni_no_memory(err, "finding a folder");
    if (!kni_path_is_directory(w->folder)) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "%s has no folder '%s': there is no '%s'",
                        w->display, w->part, w->folder);
    }
    w->step = KNI_WANT_DONE;
    return KN_OK;
}

/* ---- the cache ---- */

/* The branch or tag that a request names; NULL: it names none. Borrowed or in `buffer`. */
static const char *ref_of_request(const char *request, char *buffer, size_t capacity) {
    if (strncmp(request, "revision:", 9) == 0) return request + 9;
    if (strncmp(request, "version:", 8) != 0) return NULL;
    size_t length = strlen(request + 8);
    if (length + 2 > capacity) return NULL;
    buffer[0] = 'v';
    memcpy(buffer + 1, request + 8, length + 1);
    return buffer;
}

/* The newest tag that the cache knows and `specifier` takes, as a copy in *out; NULL: none. */
static kn_status select_cached_ref(const kni_batch *batch, const kni_want *w,
                                   const kni_cache *cache, const char *specifier, char **out,
                                   kn_error *err) {
    *out = NULL;
    char **names;
    size_t count, best;
    kn_status status = kni_cache_refs(cache, &names, &count, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++)
        if (kni_want_is_denied_ref(batch, w, names[i])) names[i][0] = '\0';
    status = kn_specifier_select(specifier, (const char *const *)names, count, &best, err);
    if (!status && best < count) {
        *out = kni_text_copy(cache->alloc, names[best]);
        if (!*out) status = kni_no_memory(err, "choosing a version");
    }
    kni_cache_names_free(cache, names, count);
    return status;
}

/* What another client left: a branch or tag, of no known age. */
static kn_status find_foreign_ref(const kni_batch *batch, kni_want *w, kni_repo_type type,
                                  bool *found, kn_error *err) {
    const kni_cache *cache = &w->caches[type];
    char buffer[80], *selected = NULL;
    const char *name = ref_of_request(w->request, buffer, sizeof buffer);
    *found = false;
    if (strncmp(w->request, "specifier:", 10) == 0) {
        kn_status status = select_cached_ref(batch, w, cache, w->request + 10, &selected, err);
        if (status) return status;
        name = selected;
    }
    if (!name) return KN_OK;
    kn_status status = kni_cache_ref_read(cache, name, w->cached.commit, found, err);
    if (!status && *found) {
        w->cached.ref = selected ? selected : kni_text_copy(w->alloc, name);
        selected = NULL;
        if (!w->cached.ref) status = kni_no_memory(err, "reading the cache");
    }
    kni_free(w->alloc, selected);
    return status;
}

/* Not what was recorded before kernels.toml denied it, nor what only a mirror said. */
static bool may_use(const kni_batch *batch, const kni_want *w, const kni_resolution *cached) {
    if (cached->ref && kni_want_is_denied_ref(batch, w, cached->ref)) return false;
    return !kni_teller_is_mirror(cached->source) || kni_want_hears_mirrors(batch, w);
}

/* What the cache knows of the request, in the folder of either type. */
static kn_status find_cached(const kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_repo_type types[] = {KNI_REPO_KERNEL, KNI_REPO_MODEL};
    bool found = false;
    kn_status status = KN_OK;
    for (size_t i = 0; !status && !found && i < 2; i++) {
        w->type = types[i];
        status =
            kni_cache_resolution_read(&w->caches[types[i]], w->request, &w->cached, &found, err);
        if (found && !may_use(batch, w, &w->cached)) {
            kni_resolution_clear(&w->caches[types[i]], &w->cached);
            found = false;
        }
    }
    for (size_t i = 0; !status && !found && i < 2; i++) {
        w->type = types[i];
        status = find_foreign_ref(batch, w, types[i], &found, err);
    }
    w->has_cached = w->type_known = found;
    if (!found) w->type = KNI_REPO_KERNEL;
    return status;
}

/* A commit is what it is; only which type of repository it belongs to may be known, too. */
static kn_status look_for_commit(kni_want *w, kn_error *err) {
    const char *commit = w->request + strlen("commit:");
    memcpy(w->commit, commit, strlen(commit) + 1);
    const kni_repo_type types[] = {KNI_REPO_KERNEL, KNI_REPO_MODEL};
    for (size_t i = 0; i < 2 && !w->type_known; i++) {
        char *path = kni_cache_snapshot_path(&w->caches[types[i]], commit, NULL);
        if (!path) return kni_no_memory(err, "reading the cache");
        w->type_known = kni_path_is_directory(path);
        if (w->type_known) w->type = types[i];
        kni_free(w->alloc, path);
    }
    w->has_cached = w->type_known;
    return KN_OK;
}

static kn_status fail_uncached(kni_want *w, kn_error *err) {
    w->is_absent = !w->net_status;
    if (w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
    return kni_fail(err, KN_ERR_NOT_FOUND,
                    "Cannot find a local snapshot for %s (%s): it is not in the cache ('%s'), and "
                    "no request is made in offline mode; download it while online first (%s), "
                    "or name a directory that has it with LOCAL_KERNELS=%s=PATH",
                    w->id, w->request, w->caches[KNI_REPO_KERNEL].folder, w->go_online, w->id);
}

/* Takes what the cache knows, or notes that the Hub has to be asked. */
static kn_status use_cached(kni_batch *batch, kni_want *w, kn_error *err) {
    int64_t now = kni_clock_seconds(), age = now - w->cached.time;
    int64_t limit = kni_want_age_limit(batch, w);
    bool fresh = w->has_cached && w->cached.time > 0 && age >= 0 && age < limit && !w->refresh;
    if (!fresh && !w->offline) {
        w->ask = KNI_ASK_REFS;
        return KN_OK;
    }
    if (!w->has_cached) return fail_uncached(w, err);
    if (fresh)
        kni_want_believe(w, w->cached.time + limit);
    else /* who may ask later does so; offline another process may learn more */
        kni_want_believe(w, w->net_status || !batch->may_ask ? 0 : now + limit);
    if (w->cached.redirect_repo) {
        kni_resolution to = w->cached;
        w->cached = (kni_resolution){0};
        kni_cache cache = w->caches[w->type]; /* its allocator outlives the redirect */
        kn_status status = kni_batch_warn(batch, KN_LOG_REDIRECTS, "'%s' redirected to '%s'", w->id,
                                          to.redirect_repo);
        if (!status)
            status = kni_want_redirect(batch, w, to.redirect_repo, to.redirect_revision, err);
        kni_resolution_clear(&cache, &to);
        return status;
    }
    memcpy(w->commit, w->cached.commit, sizeof w->commit);
    w->ref = kni_text_copy(w->alloc, w->cached.ref);
    return w->ref || !w->cached.ref ? KN_OK : kni_no_memory(err, "reading the cache");
}

/* ---- the publisher ---- */

static kn_status look_at_publisher(kni_batch *batch, kni_want *w, kn_error *err) {
    if (w->depth <= KNI_DEPTH_ABOUT) return KN_OK; /* no code is run */
    kni_trust_facts facts;
    kn_status status = kni_want_trust_facts(batch, w, &facts, err);
    if (status) return status;
    const kni_trusted *rule = kni_want_trusted(batch, w);
    if (rule && kni_trust_before(&facts, NULL) != KNI_TRUST_ALLOW)
        return kni_want_note_trust(batch, w, rule);
    int64_t now = kni_clock_seconds(), left = KNI_TRUST_MAX_AGE_S - facts.age_s;
    switch (kni_trust_before(&facts, err)) {
    case KNI_TRUST_REFUSE:
        return kni_want_refuse(batch, w, err);
    case KNI_TRUST_ALLOW_WARN:
        return kni_batch_warn(
            batch, KN_LOG_HUB,
            "'%s': whether its publisher is trusted was never asked, and cannot be "
            "while the Hub is not reached; it is loaded from the cache all the same",
            w->id);
    case KNI_TRUST_ASK:
        if (!batch->may_ask) {
            return kni_fail(err, KN_ERR_NOT_FOUND,
                            "'%s': whether its publisher is trusted has to be asked first", w->id);
        }
        w->ask_trust = !kni_want_asks_mirror(batch, w); /* see kni_want_doubt_mirror */
        return KN_OK;
    case KNI_TRUST_ALLOW:
        break;
    }
    /* An old record that did not have to be renewed sets no limit. */
    if (facts.recorded != KNI_ANSWER_NONE && (left > 0 || w->net_status))
        kni_want_believe(w, now + left);
    return KN_OK;
}

kn_status kni_settings_cache(const kni_settings *settings, kni_repo_type type, const char *repo_id,
                             kni_cache *out, kn_error *err) {
    const char *const prefixes[] = {[KNI_REPO_KERNEL] = "kernels", [KNI_REPO_MODEL] = "models"};
    kn_status status = kni_cache_open(settings->alloc, settings->cache, prefixes[type], repo_id,
                                      settings->user_folder, out, err);
    out->no_links = settings->no_links;
    return status;
}

static kn_status look_in_cache(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = kni_repo_id_check(w->id, err);
    const kni_policy *policy = &batch->config->policy;
    if (!status && !kni_policy_asks(policy, KNI_PROVIDER_CACHE) &&
        !kni_policy_asks(policy, KNI_PROVIDER_HUB))
        status = fail_unasked(w, policy, err);
    for (size_t i = 0; !status && i < 2; i++)
        status = kni_settings_cache(&batch->settings, (kni_repo_type)i, w->id, &w->caches[i], err);
    if (status) return status;
    w->step = KNI_WANT_ASK;
    kni_want_first_source(batch, w);
    if (strncmp(w->request, "commit:", 7) == 0) {
        status = look_for_commit(w, err);
    } else {
        status = find_cached(batch, w, err);
        if (!status) status = use_cached(batch, w, err);
    }
    if (status || w->step != KNI_WANT_ASK) return status;
    return look_at_publisher(batch, w, err);
}

static kn_status look_one(kni_batch *batch, kni_want *w, kn_error *err) {
    if (!w->path) return look_in_cache(batch, w, err);
    return w->part ? find_part(w, err) : find_in_folder(batch, w, w->path, err);
}

kn_status kni_batch_look(kni_batch *batch, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        while (w->step == KNI_WANT_LOOK) {
            kn_status status = look_one(batch, w, &w->err);
            if (status) status = kni_want_fail_online(batch, w, status, err);
            if (status) return status;
        }
    }
    return KN_OK;
}
