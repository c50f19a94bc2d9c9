/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of a batch, and the way of a want through them.
 *
 * A Hub tells what a branch, tag or version is, and lists the files of a commit; it vouches for
 * both. A mirror tells the same of what it has a copy of, but vouches for nothing: it is asked only
 * where the caller or kernels.toml trusts the repository whatever a Hub says, or where no code is
 * run. Content may come from either, as it is compared with the listing. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/files.h"
#include "os/store.h"

/* Before the address of a mirror, where a record says who told it. */
#define MIRROR_MARK "mirror:"

/* ---- the list ---- */

static void add_source(kni_batch *batch, const kni_source *said, bool is_mirror,
                       const char *address) {
    for (size_t i = 0; i < batch->source_count; i++) {
        if (strcmp(batch->sources[i].address, address) == 0) return;
    }
    batch->sources[batch->source_count++] = (kni_batch_source){said, is_mirror, address};
}

void kni_batch_find_sources(kni_batch *batch) {
    const kni_sources *said = &batch->config->sources;
    const kni_settings *s = &batch->settings;
    if (s->endpoint_is_named || !said->count) add_source(batch, NULL, false, s->endpoint);
    for (size_t i = 0; i < said->count; i++)
        add_source(batch, &said->items[i], said->items[i].is_mirror, said->items[i].address);
}

/* The token of a source that kernels.toml lists; *out NULL: none. */
static kn_status read_own_token(const kni_batch *batch, const kni_source *said, char **out,
                                kn_error *err) {
    const char *text = said->token_variable ? kni_environment(said->token_variable) : NULL;
    return kni_token_read(&batch->settings, text, said->token_file, said->token_variable, out, err);
}

kn_status kni_batch_read_tokens(kni_batch *batch, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->source_count && !status; i++) {
        const kni_batch_source *source = &batch->sources[i];
        const kni_source *said = source->said;
        bool is_own = said && (said->token_variable || said->token_file);
        /* The user's token is for the Hub of the environment, wherever that stands in the list. */
        bool is_hubs =
            !is_own && !source->is_mirror && strcmp(source->address, batch->settings.endpoint) == 0;
        batch->tokens[i] = NULL;
        if (is_own)
            status = read_own_token(batch, said, &batch->tokens[i], err);
        else if (is_hubs)
            status = kni_settings_token(&batch->settings, &batch->tokens[i], err);
        batch->origins[i] = (kni_origin){source->address, batch->tokens[i]};
    }
    return status;
}

/* ---- whom a want asks ---- */

const kni_batch_source *kni_want_source(const kni_batch *batch, const kni_want *w) {
    return &batch->sources[w->source];
}

bool kni_want_asks_mirror(const kni_batch *batch, const kni_want *w) {
    return w->source < batch->source_count && batch->sources[w->source].is_mirror;
}

/* Whether the repository is trusted whatever a Hub says, or no code is run. */
static bool is_vouched(const kni_batch *batch, const kni_want *w) {
    return w->depth <= KNI_DEPTH_ABOUT || kni_trust_is_allowed(w->allowed, w->id) ||
           kni_want_trusted(batch, w);
}

static bool has_hub(const kni_batch *batch) {
    for (size_t i = 0; i < batch->source_count; i++) {
        if (!batch->sources[i].is_mirror) return true;
    }
    return false;
}

/* By its digest a build can be trusted only once a mirror has told of it. */
bool kni_want_hears_mirrors(const kni_batch *batch, const kni_want *w) {
    return is_vouched(batch, w) ||
           (!has_hub(batch) && kni_policy_has_digests(&batch->config->policy));
}

/* The next source, from `at` on, that may tell something. */
static size_t telling_source(const kni_batch *batch, const kni_want *w, size_t at) {
    bool mirrors = kni_want_hears_mirrors(batch, w);
    while (at < batch->source_count && batch->sources[at].is_mirror && !mirrors) at++;
    return at;
}

void kni_want_first_source(const kni_batch *batch, kni_want *w) {
    if (!w->tried) w->source = telling_source(batch, w, 0);
}

kn_status kni_want_need_source(const kni_batch *batch, const kni_want *w, kn_error *err) {
    if (w->source < batch->source_count) return KN_OK;
    const kni_place *said = &batch->config->sources.items[0].said;
    return kni_fail(err, KN_ERR_UNTRUSTED,
                    "Kernel repository '%s' is not trusted: the sources in %s are mirrors, which "
                    "vouch for nobody, and there is no Hub to ask; add the repository or its "
                    "organization to [trust] in kernels.toml, or the repository ID to the "
                    "trust_remote_code allowlist",
                    w->id, said->file);
}

kn_status kni_want_doubt_mirror(const kni_batch *batch, kni_want *w, kn_error *err) {
    if (w->refusal || is_vouched(batch, w)) return KN_OK;
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text,
                  "Kernel repository '%s' comes from a mirror, which vouches for nobody, and "
                  "kernels.toml trusts neither it nor the digest of this build.",
                  w->id);
    w->refusal = kni_text_take(&text);
    return w->refusal ? KN_OK : kni_no_memory(err, "checking a digest");
}

/* ---- who told something, as records keep it ---- */

char *kni_want_teller(const kni_batch *batch, const kni_want *w) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    bool is_mirror = kni_want_asks_mirror(batch, w);
    kni_text_addf(&text, "%s%s", is_mirror ? MIRROR_MARK : "",
                  w->source < batch->source_count ? kni_want_source(batch, w)->address : "");
    return kni_text_take(&text);
}

bool kni_teller_is_mirror(const char *teller) {
    return teller && strncmp(teller, MIRROR_MARK, strlen(MIRROR_MARK)) == 0;
}

/* ---- from one to the next ---- */

/* Whether the next source may have what this one failed to give. */
static bool is_for_next(kn_status status) {
    switch (status) {
    case KN_ERR_NETWORK:
    case KN_ERR_TIMEOUT:
    case KN_ERR_REPOSITORY:
    case KN_ERR_REVISION:
    case KN_ERR_GATED:
    case KN_ERR_NOT_FOUND:
    case KN_ERR_INTEGRITY:
    case KN_ERR_VALUE: /* no such version */
        return true;
    default:
        return false;
    }
}

bool kni_is_network(kn_status status) {
    return status == KN_ERR_NETWORK || status == KN_ERR_TIMEOUT;
}

static bool is_telling(const kni_want *w) {
    return w->step == KNI_WANT_ASK || w->step == KNI_WANT_LIST;
}

bool kni_want_has_next(const kni_batch *batch, const kni_want *w) {
    return !w->offline && is_telling(w) &&
           telling_source(batch, w, w->source + 1) < batch->source_count;
}

bool kni_want_is_hasty(const kni_batch *batch, const kni_want *w) {
    return !w->patient && (w->has_cached || kni_want_has_next(batch, w));
}

/* How much a failure says: what could not be asked may have it; what has the repository knows more
 * of it than what does not. */
static int weight(kn_status status) {
    if (kni_is_network(status)) return 3;
    if (status == KN_ERR_REPOSITORY || status == KN_ERR_NOT_FOUND) return 1;
    return status ? 2 : 0;
}

/* Keeps what the source said, for the case that none has it. */
static kn_status note_try(const kni_batch *batch, kni_want *w, kn_status status) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "%s%s%s: %s", w->tried ? w->tried : "", w->tried ? "; " : "",
                  kni_want_source(batch, w)->address, w->err.message);
    char *tried = kni_text_take(&text);
    if (!tried) return KN_ERR_NOMEM;
    kni_free(w->alloc, w->tried);
    w->tried = tried;
    if (weight(status) > weight(w->tried_status)) w->tried_status = status;
    return KN_OK;
}

kn_status kni_want_next_source(kni_batch *batch, kni_want *w, kn_status status, bool *moved,
                               kn_error *err) {
    *moved = false;
    if (!is_for_next(status) || !kni_want_has_next(batch, w)) return KN_OK;
    size_t next = telling_source(batch, w, w->source + 1);
    if (note_try(batch, w, status)) return kni_no_memory(err, "turning to the next source");
    kn_status told = kni_batch_tell(
        batch, kni_is_network(status) ? KN_LOG_WARNING : KN_LOG_INFO, KN_LOG_HUB,
        "'%s': going on with the source %s, since %s failed: %s", w->id,
        batch->sources[next].address, kni_want_source(batch, w)->address, w->err.message);
    if (told) return kni_no_memory(err, "turning to the next source");
    w->source = next;
    kni_want_restart(w);
    *moved = true;
    return KN_OK;
}

kn_status kni_want_sum_up(const kni_batch *batch, kni_want *w, kn_status status, kn_error *err) {
    if (!w->tried || !is_telling(w) || !is_for_next(status)) return status;
    if (note_try(batch, w, status)) return kni_no_memory(err, "turning to the next source");
    return kni_fail(&w->err, w->tried_status, "no source has what is asked for of '%s': %s", w->id,
                    w->tried);
}

/* ---- addresses ---- */

/* A mirror's file for what is asked: the commit of a branch or tag, or all of them. */
static char *mirror_refs_url(const kni_batch *batch, const kni_want *w) {
    const char *address = kni_want_source(batch, w)->address;
    char name[KNI_PATH_MAX];
    if (strncmp(w->request, "specifier:", 10) == 0)
        return kni_url_mirror(w->alloc, address, w->type, w->id, KNI_MIRROR_REFS);
    bool is_version = strncmp(w->request, "version:", 8) == 0;
    const char *ref = strchr(w->request, ':') + 1;
    snprintf(name, sizeof name, "refs/%s%s", is_version ? "v" : "", ref);
    return kni_url_mirror(w->alloc, address, w->type, w->id, name);
}

char *kni_want_refs_url(const kni_batch *batch, const kni_want *w) {
    const char *address = kni_want_source(batch, w)->address;
    if (kni_want_asks_mirror(batch, w)) return mirror_refs_url(batch, w);
    if (w->ask == KNI_ASK_REVISION)
        return kni_url_revision(w->alloc, address, w->type, w->id,
                                w->request + strlen("revision:"));
    return kni_url_refs(w->alloc, address, w->type, w->id);
}

char *kni_want_listing_url(const kni_batch *batch, const kni_want *w) {
    const char *address = kni_want_source(batch, w)->address;
    char name[64 + KNI_COMMIT_MAX];
    if (!kni_want_asks_mirror(batch, w))
        return kni_url_tree(w->alloc, address, w->type, w->id, w->commit);
    snprintf(name, sizeof name,
             w->is_foreign_listing ? "trees/%s.json" : ".kernels/listings/%s.json", w->commit);
    return kni_url_mirror(w->alloc, address, w->type, w->id, name);
}

char *kni_want_file_url(const kni_batch *batch, const kni_want *w, size_t source,
                        const char *path) {
    const kni_batch_source *from = &batch->sources[source];
    if (!from->is_mirror)
        return kni_url_file(batch->alloc, from->address, w->type, w->id, w->commit, path);
    kni_text name;
    kni_text_init(&name, batch->alloc);
    kni_text_addf(&name, "snapshots/%s/%s", w->commit, path);
    char *inside = kni_text_take(&name);
    char *url = inside ? kni_url_mirror(batch->alloc, from->address, w->type, w->id, inside) : NULL;
    kni_free(batch->alloc, inside);
    return url;
}

/* Hubs before the one that told of the repository did not have it. */
size_t kni_want_file_source(const kni_batch *batch, const kni_want *w, size_t at) {
    while (at < batch->source_count && at < w->source && !batch->sources[at].is_mirror) at++;
    return at;
}
