/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hub said, as the cache keeps it: for later calls, and for other processes. */
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/fetch.h"
#include "os/clock.h"

#define TRUST_DOCUMENT "trust.json"
#define TRUST_DOCUMENT_LIMIT 4096

/* ---- which commit a request came to ---- */

int64_t kni_want_age_limit(const kni_batch *batch, const kni_want *w) {
    bool is_version = strncmp(w->request, "revision:", 9) != 0;
    return is_version ? batch->settings.version_age_s : batch->settings.ref_age_s;
}

kn_status kni_want_record_resolution(const kni_batch *batch, kni_want *w, char *redirect_repo,
                                     char *redirect_revision, kn_error *err) {
    if (!w->asked_s) return KN_OK;
    char *teller = kni_want_teller(batch, w);
    if (!teller) return kni_no_memory(err, "recording an answer");
    kni_resolution made = {
        .time = w->asked_s,
        .redirect_repo = redirect_repo,
        .redirect_revision = redirect_revision,
        .source = teller,
    };
    if (!redirect_repo) {
        made.ref = w->ref;
        memcpy(made.commit, w->commit, sizeof made.commit);
    }
    kni_want_believe(w, w->asked_s + kni_want_age_limit(batch, w));
    kn_status status = kni_cache_resolution_write(kni_want_cache(w), w->request, &made, NULL);
    kni_free(w->alloc, teller);
    return kni_best_effort(status, "recording an answer", err);
}

/* ---- the publisher ---- */

/* `by`: the Hub whose word counts; NULL: any. Of older records it is not known whose they are. */
static kn_status read_answer(const kni_want *w, kni_repo_type type, const char *by,
                             kni_answer *answer, int64_t *time, kn_error *err) {
    char *bytes;
    size_t length;
    *answer = KNI_ANSWER_NONE;
    kn_status status = kni_cache_document_read(&w->caches[type], TRUST_DOCUMENT,
                                               TRUST_DOCUMENT_LIMIT, &bytes, &length, err);
    if (status || !bytes) return status;
    kni_json *document;
    int64_t trusted;
    const char *source;
    if (kni_json_parse(bytes, length, TRUST_DOCUMENT, &document, NULL) == KN_OK) {
        source = kni_json_text(kni_json_member(document, "source"));
        bool counts = !by || !source || strcmp(source, by) == 0;
        if (counts && kni_json_integer(kni_json_member(document, "trusted"), &trusted) &&
            kni_json_integer(kni_json_member(document, "time"), time))
            *answer = trusted ? KNI_ANSWER_TRUSTED : KNI_ANSWER_UNTRUSTED;
        kni_json_free(document);
    }
    kni_free(w->alloc, bytes);
    return KN_OK;
}

/* Of the records in the folders of both types the later one. */
static kn_status read_trust(const kni_want *w, const char *by, kni_answer *answer, int64_t *time,
                            kn_error *err) {
    *answer = KNI_ANSWER_NONE;
    *time = 0;
    for (size_t i = 0; i < 2; i++) {
        kni_answer one;
        int64_t said = 0;
        kn_status status = read_answer(w, (kni_repo_type)i, by, &one, &said, err);
        if (status) return status;
        if (one == KNI_ANSWER_NONE || (*answer != KNI_ANSWER_NONE && said <= *time)) continue;
        *answer = one;
        *time = said;
    }
    return KN_OK;
}

/* Which folder an answer belongs to is known with the repository's type. Where the answer is a
 * refusal nothing more will be learnt, so it is kept in the one that is assumed. */
kn_status kni_want_record_trust(kni_want *w, kn_error *err) {
    kni_answer answer = w->answer;
    if (answer == KNI_ANSWER_NONE || (answer == KNI_ANSWER_TRUSTED && !w->type_known)) return KN_OK;
    w->answer = KNI_ANSWER_NONE;
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text,
                  "{\"trusted\": %d, \"time\": %lld, \"source\": ", answer == KNI_ANSWER_TRUSTED,
                  (long long)kni_clock_seconds());
    kni_json_add_text(&text, w->answer_by);
    kni_text_add(&text, "}\n");
    size_t length = text.length;
    char *bytes = kni_text_take(&text);
    if (!bytes) return kni_no_memory(err, "recording an answer");
    kn_status status =
        kni_cache_document_write(kni_want_cache(w), TRUST_DOCUMENT, bytes, length, NULL);
    kni_free(w->alloc, bytes);
    return kni_best_effort(status, "recording an answer", err);
}

kn_status kni_want_trust_facts(const kni_batch *batch, const kni_want *w, kni_trust_facts *out,
                               kn_error *err) {
    int64_t time;
    *out = (kni_trust_facts){
        .repo_id = w->id,
        .allowed = w->allowed,
        .offline = batch->settings.offline || w->cache_only || w->net_status,
        .strict = batch->settings.strict_trust,
        .refresh = w->refresh,
    };
    /* What is cached came with the word of the Hub that had it; what is new has to come with that
     * of the Hub that is asked. */
    bool is_cached = w->ask == KNI_ASK_NOTHING && w->has_cached;
    bool is_new = !out->offline && !is_cached && !kni_want_asks_mirror(batch, w) &&
                  w->source < batch->source_count;
    const char *by = is_new ? kni_want_source(batch, w)->address : NULL;
    kn_status status = read_trust(w, by, &out->recorded, &time, err);
    int64_t now = kni_clock_seconds();
    out->age_s = time > now ? KNI_TRUST_MAX_AGE_S : now - time;
    return status;
}
