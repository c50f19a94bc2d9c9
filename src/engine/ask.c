/* SPDX-License-Identifier: Apache-2.0 */
/* What only the Hub knows: the publishers' standing, and which commits branches, tags and versions
 * are. */
#include <kernels/version.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/fetch.h"
#include "os/clock.h"

#define ANSWER_LIMIT KNI_JSON_LIMIT

/* A question under way. */
typedef struct question {
    kni_transfer transfer;
    kni_want *want; /* the first of those that ask it */
    bool is_trust;
    char *url;
    char what[160];
} question;

typedef struct questions {
    const kn_alloc *alloc;
    question **items;
    size_t count, capacity;
} questions;

static void questions_clear(questions *q) {
    for (size_t i = 0; i < q->count; i++) {
        kni_transfer_clear(&q->items[i]->transfer, q->alloc);
        kni_free(q->alloc, q->items[i]->url);
        kni_free(q->alloc, q->items[i]);
    }
    kni_free(q->alloc, q->items);
}

/* Adds the question at `url` (taken over), unless it is there. */
static kn_status add_question(questions *q, kni_want *w, char *url, bool is_trust, kn_error *err) {
    for (size_t i = 0; url && i < q->count; i++) {
        if (strcmp(q->items[i]->url, url) != 0) continue;
        kni_free(q->alloc, url);
        return KN_OK;
    }
    question *made = url ? kni_new(q->alloc, sizeof *made) : NULL;
    if (!made || !kni_reserve(q->alloc, &q->items, &q->capacity, q->count + 1, sizeof *q->items)) {
        kni_free(q->alloc, made);
        kni_free(q->alloc, url);
        return kni_no_memory(err, "asking the Hub");
    }
    size_t publisher = strcspn(w->id, "/");
    snprintf(made->what, sizeof made->what, is_trust ? "publisher '%.*s'" : "repository '%.*s'",
             is_trust ? (int)publisher : (int)strlen(w->id), w->id);
    made->want = w;
    made->is_trust = is_trust;
    made->url = url;
    made->transfer.url = url;
    made->transfer.what = made->what;
    made->transfer.limit = ANSWER_LIMIT;
    q->items[q->count++] = made;
    return KN_OK;
}

static bool is_asking(const kni_want *w) {
    return w->step == KNI_WANT_ASK && (w->ask != KNI_ASK_NOTHING || w->ask_trust);
}

static kn_status collect(kni_batch *batch, questions *q, bool *impatient, kn_error *err) {
    *impatient = true;
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status; i++) {
        kni_want *w = batch->wants[i];
        if (!is_asking(w) || !kni_want_may_work(w)) continue;
        kn_status one = kni_want_need_source(batch, w, &w->err);
        if (one) status = kni_want_fail(w, one, &w->err);
        if (one) continue;
        if (!kni_want_is_hasty(batch, w)) *impatient = false;
        if (w->ask_trust) {
            char *url = kni_url_publisher(w->alloc, kni_want_source(batch, w)->address, w->id);
            status = add_question(q, w, url, true, err);
        }
        if (!status && w->ask != KNI_ASK_NOTHING)
            status = add_question(q, w, kni_want_refs_url(batch, w), false, err);
    }
    return status;
}

static const question *find_question(const questions *q, const char *url) {
    for (size_t i = 0; i < q->count; i++) {
        if (strcmp(q->items[i]->url, url) == 0) return q->items[i];
    }
    return NULL;
}

/* ---- the answers ---- */

static kn_status take_trust(kni_batch *batch, kni_want *w, const question *q, kn_error *err) {
    kni_trust_facts facts;
    kn_status status = kni_want_trust_facts(batch, w, &facts, err);
    if (status) return status;
    const kni_transfer *t = &q->transfer;
    kn_error cause;
    kn_error_init(&cause);
    kn_status asked = t->status;
    bool trusted = false, warn = false;
    if (asked) kni_fail(&cause, asked, "%s", t->err.message);
    if (!asked) asked = kni_publisher_parse(t->body, t->body_length, q->what, &trusted, &cause);
    kni_answer answer =
        asked ? KNI_ANSWER_NONE : (trusted ? KNI_ANSWER_TRUSTED : KNI_ANSWER_UNTRUSTED);
    status = kni_trust_after(&facts, asked, &cause, answer, &warn, err);
    w->ask_trust = false;
    bool is_answer = !asked || asked == KN_ERR_REPOSITORY || asked == KN_ERR_NOT_FOUND;
    if (is_answer) w->answer = trusted ? KNI_ANSWER_TRUSTED : KNI_ANSWER_UNTRUSTED;
    w->answer_by = kni_want_source(batch, w)->address;
    if (!status && warn) {
        status =
            kni_batch_warn(batch, KN_LOG_HUB, "'%s': what was recorded of its publisher serves: %s",
                           w->id, cause.message);
    }
    kni_want_believe(w, warn ? 0 : kni_clock_seconds() + KNI_TRUST_MAX_AGE_S);
    return status;
}

static kn_status take_ref(kni_want *w, const kni_ref *ref, kn_error *err) {
    memcpy(w->commit, ref->commit, sizeof w->commit);
    kni_free(w->alloc, w->ref);
    w->ref = kni_text_copy(w->alloc, ref->name);
    w->ask = KNI_ASK_NOTHING;
    w->asked_s = kni_clock_seconds();
    return w->ref ? KN_OK : kni_no_memory(err, "reading the Hub's answer");
}

static const kni_ref *find_ref(const kni_refs *refs, const char *name, bool is_tag) {
    for (size_t i = 0; i < refs->count; i++) {
        if (refs->items[i].is_tag == is_tag && strcmp(refs->items[i].name, name) == 0)
            return &refs->items[i];
    }
    return NULL;
}

/* N of a branch "vN"; -1: it is none. */
static int64_t version_of_branch(const kni_ref *ref) {
    const char *digits = ref->name + 1;
    size_t length = ref->name[0] == 'v' ? strspn(digits, "0123456789") : 0;
    if (ref->is_tag || !length || digits[length] || length > 9) return -1;
    int64_t value = 0;
    for (; *digits; digits++) value = value * 10 + (*digits - '0');
    return value;
}

/* The versions that there are, in order, for a message. */
static void add_versions(kni_text *text, const kni_refs *refs) {
    int64_t last = -1;
    for (bool more = true; more;) {
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < refs->count; i++) {
            int64_t version = version_of_branch(&refs->items[i]);
            if (version > last && version < next) next = version;
        }
        more = next != INT64_MAX && text->length < 1024;
        if (more) kni_text_addf(text, "%s%lld", last < 0 ? "" : ", ", (long long)next);
        last = next;
    }
}

static kn_status fail_version(const kni_want *w, const char *version, const kni_refs *refs,
                              kn_error *err) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "Version %s not found, available versions: ", version);
    size_t before = text.length;
    add_versions(&text, refs);
    if (text.length == before) kni_text_add(&text, "none");
    kni_text_addf(&text, " (of '%s')", w->id);
    char *message = kni_text_take(&text);
    if (!message) return kni_no_memory(err, "reading the Hub's answer");
    kn_status status = kni_fail(err, KN_ERR_VALUE, "%s", message);
    kni_free(w->alloc, message);
    return status;
}

static kn_status take_version(kni_batch *batch, kni_want *w, const kni_refs *refs, kn_error *err) {
    const char *version = w->request + strlen("version:");
    char name[80];
    snprintf(name, sizeof name, "v%s", version);
    const kni_ref *ref = find_ref(refs, name, false);
    if (!ref) return fail_version(w, version, refs, err);
    int64_t newest = -1, taken = version_of_branch(ref);
    for (size_t i = 0; i < refs->count; i++) {
        int64_t other = version_of_branch(&refs->items[i]);
        if (other <= newest) continue;
        newest = other;
        memcpy(w->newest_commit, refs->items[i].commit, sizeof w->newest_commit);
    }
    w->newest_version = newest;
    kn_status status = take_ref(w, ref, err);
    if (status || newest <= taken || w->is_pinned) return status;
    return kni_batch_warn(batch, KN_LOG_VERSIONS,
                          "You are using version %lld of '%s', but version %lld is available.",
                          (long long)taken, w->id, (long long)newest);
}

/* The newest tag that the specifier takes and kernels.toml does not deny; *denied: what it would
 * have been without that, where it is another one. */
static kn_status select_tag(const kni_batch *batch, const kni_want *w, const kni_refs *refs,
                            const kni_ref **best, const kni_ref **denied, kn_error *err) {
    const char *specifier = w->request + strlen("specifier:");
    const char **names = refs->count ? kni_new(w->alloc, refs->count * sizeof *names) : NULL;
    size_t allowed = SIZE_MAX, newest = SIZE_MAX;
    *best = *denied = NULL;
    if (refs->count && !names) return kni_no_memory(err, "choosing a version");
    for (size_t i = 0; i < refs->count; i++)
        names[i] = refs->items[i].is_tag ? refs->items[i].name : "";
    kn_status status = kn_specifier_select(specifier, names, refs->count, &newest, err);
    for (size_t i = 0; i < refs->count; i++)
        if (kni_want_is_denied_ref(batch, w, names[i])) names[i] = "";
    if (!status) status = kn_specifier_select(specifier, names, refs->count, &allowed, err);
    kni_free(w->alloc, (void *)names);
    *best = allowed < refs->count ? &refs->items[allowed] : NULL;
    *denied = newest < refs->count && newest != allowed ? &refs->items[newest] : NULL;
    return status;
}

static kn_status take_specifier(kni_batch *batch, kni_want *w, const kni_refs *refs,
                                kn_error *err) {
    const kni_ref *best, *denied;
    kn_status status = select_tag(batch, w, refs, &best, &denied, err);
    if (status) return status;
    if (best) {
        status = denied ? kni_want_note_denied(batch, w, best->name, denied->name) : KN_OK;
        return status ? kni_no_memory(err, "choosing a version") : take_ref(w, best, err);
    }
    kni_text text;
    kni_text_init(&text, w->alloc);
    size_t tags = 0;
    for (size_t i = 0; i < refs->count && text.length < 1024; i++) {
        if (refs->items[i].is_tag)
            kni_text_addf(&text, "%s%s", tags++ ? ", " : "", refs->items[i].name);
    }
    if (!tags) kni_text_add(&text, "none");
    if (denied) kni_text_addf(&text, " (kernels.toml denies '%s')", denied->name);
    char *list = kni_text_take(&text);
    if (!list) return kni_no_memory(err, "choosing a version");
    status = kni_fail(err, denied ? KN_ERR_DENIED : KN_ERR_VALUE,
                      "No version of '%s' matches '%s'; its tags: %s", w->id,
                      w->request + strlen("specifier:"), list);
    kni_free(w->alloc, list);
    return status;
}

static kn_status take_refs(kni_batch *batch, kni_want *w, const question *q, kn_error *err) {
    kni_refs refs;
    kn_status status =
        kni_refs_parse(w->alloc, q->transfer.body, q->transfer.body_length, q->what, &refs, err);
    if (status) return status;
    w->type_known = w->type_settled = true;
    if (strncmp(w->request, "version:", 8) == 0) {
        status = take_version(batch, w, &refs, err);
    } else if (strncmp(w->request, "specifier:", 10) == 0) {
        status = take_specifier(batch, w, &refs, err);
    } else {
        const char *name = w->request + strlen("revision:");
        const kni_ref *ref = find_ref(&refs, name, false);
        if (!ref) ref = find_ref(&refs, name, true);
        if (ref)
            status = take_ref(w, ref, err);
        else
            w->ask = KNI_ASK_REVISION; /* a shortened commit, or a pull request */
    }
    kni_refs_clear(&refs);
    return status;
}

/* A mirror has a file for each branch and tag, or none. */
static kn_status take_mirror(kni_batch *batch, kni_want *w, const question *q, kn_error *err) {
    const kni_transfer *t = &q->transfer;
    const char *ref = strchr(w->request, ':') + 1;
    char name[80];
    if (strncmp(w->request, "specifier:", 10) == 0) return take_refs(batch, w, q, err);
    kn_status status = kni_mirror_ref_parse(t->body, t->body_length, q->what, w->commit, err);
    if (status) return status;
    snprintf(name, sizeof name, "v%s", ref);
    w->type_known = w->type_settled = true;
    w->ask = KNI_ASK_NOTHING;
    w->asked_s = kni_clock_seconds();
    w->ref = kni_text_copy(w->alloc, strncmp(w->request, "version:", 8) == 0 ? name : ref);
    return w->ref ? KN_OK : kni_no_memory(err, "reading the mirror's answer");
}

/* Whether the source does not have the repository, as a repository of this type. */
static bool is_missing(kn_status status, bool is_mirror) {
    return status == KN_ERR_REPOSITORY || (is_mirror && status == KN_ERR_NOT_FOUND);
}

static kn_status take_revision(kni_batch *batch, kni_want *w, const question *q, kn_error *err) {
    const kni_transfer *t = &q->transfer;
    bool is_mirror = kni_want_asks_mirror(batch, w);
    if (is_missing(t->status, is_mirror) && kni_want_switch_type(w)) return KN_OK;
    if (is_mirror && t->status == KN_ERR_NOT_FOUND)
        return kni_fail(err, KN_ERR_REPOSITORY,
                        "%s: the mirror %s does not have what is asked for (%s)", q->what,
                        kni_want_source(batch, w)->address, w->request);
    if (t->status) return kni_fail(err, t->status, "%s", t->err.message);
    if (is_mirror) return take_mirror(batch, w, q, err);
    if (w->ask == KNI_ASK_REFS) return take_refs(batch, w, q, err);
    kn_status status = kni_revision_parse(t->body, t->body_length, q->what, w->commit, err);
    w->ask = KNI_ASK_NOTHING;
    if (!status) w->asked_s = kni_clock_seconds();
    return status;
}

/* What was learnt in vain spares the next call the question, where the cache has no older answer
 * that could still serve offline, and there is no newer version to be suggested again. */
static kn_status record_refused(kni_batch *batch, kni_want *w, kn_status status, kn_error *err) {
    bool has_newer = w->newest_commit[0] && strcmp(w->newest_commit, w->commit) != 0;
    bool is_refused = status == KN_ERR_UNTRUSTED || (w->is_absent && !has_newer);
    if (!is_refused || !w->type_known || w->has_cached) return KN_OK;
    return kni_want_record_resolution(batch, w, NULL, NULL, err);
}

/* Where the network failed and the cache has the last answer, that one serves. */
kn_status kni_want_fail_online(kni_batch *batch, kni_want *w, kn_status status, kn_error *err) {
    bool moved;
    if (kni_is_fatal(status)) return kni_fail(err, status, "%s", w->err.message);
    kn_status next = kni_want_next_source(batch, w, status, &moved, err);
    if (next || moved) return next;
    status = kni_want_sum_up(batch, w, status, err);
    if (status == KN_ERR_NOMEM) return status;
    bool by_network = kni_is_network(status);
    bool will_do = w->depth != KNI_DEPTH_LOCK; /* a lock is not made of an answer of yesterday */
    if (by_network && !w->offline && will_do) {
        bool in_haste = batch->session.impatient || kni_is_network(w->tried_status);
        bool hasty = status == KN_ERR_NETWORK && in_haste && !w->patient;
        return kni_want_go_offline(w, status, hasty, err);
    }
    if (w->hasty) {
        kni_want_go_online(w);
        return KN_OK;
    }
    kn_status recorded = record_refused(batch, w, status, err);
    return recorded ? recorded : kni_want_fail(w, status, &w->err);
}

/* Of several Hubs one judges what it has itself. Whether another one is to: this one does not have
 * the repository, or has not heard of its publisher. Then *status says so. */
static bool is_anothers(const kni_batch *batch, kni_want *w, const question *q, kn_status *status) {
    kn_status said = q->transfer.status;
    bool has_next = kni_want_has_next(batch, w);
    bool is_unknown = said == KN_ERR_REPOSITORY || said == KN_ERR_NOT_FOUND;
    if (*status) return has_next || w->tried;
    if (has_next && is_unknown)
        *status = kni_fail(&w->err, KN_ERR_REPOSITORY, "%s", q->transfer.err.message);
    return *status != KN_OK;
}

/* The publisher's standing, after what was said of the revision. That the publisher is refused
 * counts more than what is wrong with that. */
static kn_status judge_publisher(kni_batch *batch, kni_want *w, const question *q,
                                 kn_status status) {
    /* As a repository of the other type it is asked for once more, and its publisher with it. */
    bool has_others = w->tried || kni_want_has_next(batch, w);
    bool is_open = has_others && !status && w->ask != KNI_ASK_NOTHING;
    if (is_open || kni_is_fatal(status) || is_anothers(batch, w, q, &status)) return status;
    kn_error refusal;
    kn_error_init(&refusal);
    kn_status trust = take_trust(batch, w, q, &refusal);
    if (trust == KN_ERR_UNTRUSTED) trust = kni_want_refuse(batch, w, &refusal);
    return trust ? kni_fail(&w->err, trust, "%s", refusal.message) : status;
}

/* What was answered to one want. */
static kn_status take_answer(kni_batch *batch, kni_want *w, const questions *q, kn_error *err) {
    bool has_revision = w->ask != KNI_ASK_NOTHING, has_trust = w->ask_trust;
    char *revision = has_revision ? kni_want_refs_url(batch, w) : NULL;
    char *publisher =
        has_trust ? kni_url_publisher(w->alloc, kni_want_source(batch, w)->address, w->id) : NULL;
    kn_status status = KN_OK;
    if ((has_revision && !revision) || (has_trust && !publisher))
        status = kni_no_memory(&w->err, "asking the Hub");
    if (!status && revision) status = take_revision(batch, w, find_question(q, revision), &w->err);
    if (publisher) status = judge_publisher(batch, w, find_question(q, publisher), status);
    kni_free(w->alloc, revision);
    kni_free(w->alloc, publisher);
    kn_status recorded = kni_is_fatal(status) ? KN_OK : kni_want_record_trust(w, err);
    if (recorded) return recorded;
    return status ? kni_want_fail_online(batch, w, status, err) : KN_OK;
}

static kn_status take_answers(kni_batch *batch, const questions *q, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        if (!is_asking(w) || w->needs_lock) continue;
        kn_status status = take_answer(batch, w, q, err);
        if (status) return status;
    }
    return KN_OK;
}

static kn_status make_transfers(kni_batch *batch, const questions *q, bool impatient,
                                kn_error *err) {
    kni_transfer **transfers = kni_new(q->alloc, q->count * sizeof(kni_transfer *));
    if (!transfers) return kni_no_memory(err, "asking the Hub");
    for (size_t i = 0; i < q->count; i++) transfers[i] = &q->items[i]->transfer;
    kn_status status = kni_batch_transfer(batch, transfers, q->count, impatient, err);
    kni_free(q->alloc, transfers);
    return status;
}

kn_status kni_batch_ask(kni_batch *batch, kn_error *err) {
    kn_status status = KN_OK;
    for (bool more = true; more && !status;) {
        questions q = {.alloc = batch->alloc};
        bool impatient;
        status = collect(batch, &q, &impatient, err);
        more = q.count > 0;
        if (!status && more) status = make_transfers(batch, &q, impatient, err);
        if (!status && more) status = take_answers(batch, &q, err);
        questions_clear(&q);
    }
    for (size_t i = 0; i < batch->count && !status; i++) {
        kni_want *w = batch->wants[i];
        if (w->step == KNI_WANT_ASK && !is_asking(w)) w->step = KNI_WANT_LIST;
    }
    return status;
}
