/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels.toml changes about what is wanted. Each change is noted, with who says so. */
#include <kernels/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/store.h"
#include "trust/lockfile_hash.h"

static const kni_policy *policy_of(const kni_batch *batch) { return &batch->config->policy; }

void kni_batch_apply_order(kni_batch *batch) {
    const kni_policy *policy = policy_of(batch);
    kni_settings *s = &batch->settings;
    if (!kni_policy_asks(policy, KNI_PROVIDER_HUB)) {
        if (!s->offline)
            snprintf(batch->go_online, sizeof batch->go_online, "add \"hub\" to the order in %s:%d",
                     policy->order_said.file, policy->order_said.line);
        s->offline = true;
    } else if (kni_policy_is_before(policy, KNI_PROVIDER_HUB, KNI_PROVIDER_CACHE)) {
        s->ref_age_s = s->version_age_s = 0;
    }
}

/* ---- notes ---- */

/* Notes what was changed, for the plan and the log. */
static kn_status note(kni_batch *batch, kni_want *w, const char *format, ...) KN_PRINTF(3, 4);
static kn_status note(kni_batch *batch, kni_want *w, const char *format, ...) {
    char message[KN_ERROR_TEXT_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "%s%s%s", w->note ? w->note : "", w->note ? "; " : "", message);
    char *joined = kni_text_take(&text);
    if (!joined) return KN_ERR_NOMEM;
    kni_free(w->alloc, w->note);
    w->note = joined;
    return kni_batch_tell(batch, KN_LOG_INFO, KN_LOG_HUB, "'%s': %s", w->id, message);
}

/* ---- pins ---- */

/* "version 2" from "version:2", and so on; in `out`, which is returned. */
static const char *request_words(const char *request, char out[160]) {
    size_t kind = strcspn(request, ":");
    const char *name = strncmp(request, "specifier", kind) == 0 ? "version" : request;
    int length = name == request ? (int)kind : (int)strlen(name);
    snprintf(out, 160, "%.*s %.120s", length, name, request + kind + 1);
    return out;
}

kn_status kni_want_pin(kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_pin *pin = kni_policy_pin(policy_of(batch), w->id);
    if (!pin || strncmp(w->request, "commit:", 7) == 0) return KN_OK;
    char *request, pinned[160], asked[160];
    kn_status status = kni_request_text(w->alloc, pin->revision, pin->version, &request, err);
    if (status) return status;
    w->is_pinned = true;
    bool same = strcmp(request, w->request) == 0;
    if (!same)
        status =
            note(batch, w, "%s instead of %s, as %s:%d pins it", request_words(request, pinned),
                 request_words(w->request, asked), pin->said.file, pin->said.line);
    kni_free(w->alloc, w->request);
    w->request = request;
    return status ? kni_no_memory(err, "reading a pin") : KN_OK;
}

/* ---- denies ---- */

/* Whether a branch or tag is that of a version. */
static bool is_version_ref(const char *ref) {
    kn_version_info info = {.size = sizeof info};
    return (ref[0] == 'v' || ref[0] == 'V') && kn_version_parse(ref, &info, NULL) == KN_OK;
}

/* The version of what is wanted, as far as its name tells; NULL: it does not. */
static const char *version_by_name(const kni_want *w) {
    const char *request = w->request ? w->request : "";
    if (w->path) return NULL; /* a directory is what it says, not what was asked for */
    if (strncmp(request, "version:", 8) == 0) return request + 8;
    bool by_tag = strncmp(request, "specifier:", 10) == 0;
    if (w->ref && (by_tag || is_version_ref(w->ref))) return w->ref;
    bool by_ref = strncmp(request, "revision:", 9) == 0;
    return by_ref && is_version_ref(request + 9) ? request + 9 : NULL;
}

static const char *version_of(const kni_want *w, const kn_metadata *metadata, char out[32]) {
    const char *named = version_by_name(w);
    kn_metadata_info info = {.size = sizeof info, .version = -1};
    if (named || !metadata) return named;
    kn_metadata_get(metadata, &info);
    if (info.version < 0) return NULL;
    snprintf(out, 32, "%lld", (long long)info.version);
    return out;
}

static kn_status fail_denied(const kni_want *w, const kni_deny *deny, const char *version,
                             kn_error *err) {
    return kni_fail(err, KN_ERR_DENIED,
                    "'%s'%s%s is denied by \"%s\" in %s:%d; use another %s, or change that line",
                    w->id, version ? " at version " : "", version ? version : "", deny->text,
                    deny->said.file, deny->said.line,
                    deny->specifier || deny->commit ? "version" : "kernel");
}

kn_status kni_want_check_denied(const kni_batch *batch, const kni_want *w,
                                const kn_metadata *metadata, kn_error *err) {
    const kni_policy *policy = policy_of(batch);
    if (!policy->deny_count || w->kind != KN_REPO_HUB) return KN_OK;
    char digits[32];
    const char *version = version_of(w, metadata, digits), *commit = w->commit;
    if (!*commit) commit = NULL;
    if (!commit && w->request && strncmp(w->request, "commit:", 7) == 0) commit = w->request + 7;
    const kni_deny *open, *deny = kni_policy_deny(policy, w->id, version, commit, &open);
    if (deny) return fail_denied(w, deny, version, err);
    if (!open || !metadata) return KN_OK;
    return kni_fail(err, KN_ERR_DENIED,
                    "'%s': which version this is cannot be told from its name or its metadata, "
                    "and \"%s\" in %s:%d denies some; ask for a version",
                    w->id, open->text, open->said.file, open->said.line);
}

bool kni_want_is_denied_ref(const kni_batch *batch, const kni_want *w, const char *ref) {
    return kni_policy_deny(policy_of(batch), w->id, ref, NULL, NULL) != NULL;
}

kn_status kni_want_note_denied(kni_batch *batch, kni_want *w, const char *taken, const char *ref) {
    const kni_deny *deny = kni_policy_deny(policy_of(batch), w->id, ref, NULL, NULL);
    return note(batch, w, "%s instead of %s, which \"%s\" in %s:%d denies", taken, ref, deny->text,
                deny->said.file, deny->said.line);
}

/* ---- the order ---- */

kn_status kni_want_note_order(kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_policy *policy = policy_of(batch);
    char *override;
    if (kni_policy_asks(policy, KNI_PROVIDER_LOCAL) || w->depth == KNI_DEPTH_LOCK) return KN_OK;
    kn_status status =
        kni_local_kernels_find(w->alloc, batch->settings.local_kernels, w->id, &override, err);
    if (status || !override) return status;
    kni_free(w->alloc, override);
    status =
        note(batch, w, "LOCAL_KERNELS is not heeded, as the order in %s:%d leaves \"local\" out",
             policy->order_said.file, policy->order_said.line);
    return status ? kni_no_memory(err, "looking for a kernel") : KN_OK;
}

/* ---- trust ---- */

const kni_trusted *kni_want_trusted(const kni_batch *batch, const kni_want *w) {
    return kni_policy_trusts(policy_of(batch), w->id);
}

kn_status kni_want_note_trust(kni_batch *batch, kni_want *w, const kni_trusted *rule) {
    return note(batch, w, "trusted by \"%s\" in %s:%d", rule->name, rule->said.file,
                rule->said.line);
}

kn_status kni_want_refuse(kni_batch *batch, kni_want *w, kn_error *err) {
    bool has_build = w->depth != KNI_DEPTH_LOCK && !w->part;
    if (!has_build || !kni_policy_has_digests(policy_of(batch))) return KN_ERR_UNTRUSTED;
    kni_free(w->alloc, w->refusal);
    w->refusal = kni_text_copy(w->alloc, err->message);
    if (!w->refusal) return kni_no_memory(err, "checking a digest");
    kn_error_init(err);
    return KN_OK;
}

/* The files of the build that was chosen, as the listing has them. */
static kn_status list_build(const kni_want *w, kni_locked_file **out, size_t *count,
                            kn_error *err) {
    char prefix[sizeof "build//" + KNI_NAME_MAX];
    snprintf(prefix, sizeof prefix, "build/%s/", w->variant);
    size_t length = strlen(prefix);
    *count = 0;
    *out = kni_new(w->alloc, (w->listing.count + 1) * sizeof **out);
    if (!*out) return kni_no_memory(err, "checking a digest");
    for (size_t i = 0; i < w->listing.count; i++) {
        const kni_entry *entry = &w->listing.items[i];
        if (strncmp(entry->path, prefix, length) != 0 || kni_is_bytecode(entry->path)) continue;
        (*out)[(*count)++] = (kni_locked_file){entry->path + length, entry->oid};
    }
    return KN_OK;
}

static kn_status digest_of(kni_batch *batch, const kni_want *w, char out[KNI_VARIANT_HASH_MAX],
                           kn_error *err) {
    const kni_net *net;
    kni_locked_file *files;
    size_t count;
    kn_status status = kni_batch_net(batch, &net, err);
    if (!status) status = list_build(w, &files, &count, err);
    if (status) return status;
    status = kni_variant_hash(w->alloc, files, count, net, out, err);
    kni_free(w->alloc, files);
    return status;
}

kn_status kni_want_check_refused(kni_batch *batch, kni_want *w, kn_error *err) {
    char digest[KNI_VARIANT_HASH_MAX];
    if (!w->refusal) return KN_OK;
    if (w->is_partial || !w->variant) return kni_fail(err, KN_ERR_UNTRUSTED, "%s", w->refusal);
    kn_status status = digest_of(batch, w, digest, err);
    if (status) return status;
    const kni_trusted *rule = kni_policy_trusts_digest(policy_of(batch), digest);
    if (rule) {
        status = kni_want_note_trust(batch, w, rule);
        return status ? kni_no_memory(err, "checking a digest") : KN_OK;
    }
    return kni_fail(err, KN_ERR_UNTRUSTED, "%s (The build '%s' has the digest %s.)", w->refusal,
                    w->variant, digest);
}
