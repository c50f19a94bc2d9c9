/* SPDX-License-Identifier: Apache-2.0 */
/* Where a version of a kernel has no build for this machine: whether the newest one has. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/fetch.h"

/* The variants of the newest version, by the first page of its listing. */
static kn_status list_newest(kni_batch *batch, const kni_want *w, kni_listing *out, kn_error *err) {
    kni_transfer transfer = {.what = w->id, .limit = KNI_JSON_LIMIT}, *pointer = &transfer;
    char *url = kni_url_tree(w->alloc, kni_want_source(batch, w)->address, w->type, w->id,
                             w->newest_commit);
    *out = (kni_listing){.alloc = w->alloc};
    if (!url) return kni_no_memory(err, "asking the Hub");
    transfer.url = url;
    kn_status status = kni_batch_transfer(batch, &pointer, 1, true, err);
    if (!status) status = transfer.status;
    if (!status) {
        status = kni_listing_add_page(out, transfer.body, transfer.body_length, w->id, err);
        if (!status) status = kni_listing_finish(out, w->id, err);
    }
    kni_transfer_clear(&transfer, w->alloc);
    kni_free(w->alloc, url);
    return status;
}

/* The name of the variant that fits this machine, as a copy; NULL: none, or it cannot be told. */
static char *best_of(kni_batch *batch, const kni_want *w, const kni_listing *listing) {
    const char *backends[2];
    char **names, *best = NULL;
    size_t backend_count, count;
    kn_variants *ranking = NULL;
    kn_system system = batch->run->system;
    if (kni_want_backends(w, &system, backends, &backend_count, NULL)) return NULL;
    if (kni_listing_variants(listing, &names, &count, NULL)) return NULL;
    system.backend = backends[0];
    kn_status status =
        kn_variants_rank(w->alloc, (const char *const *)names, count, &system, &ranking, NULL);
    kn_variant first = {.size = sizeof first};
    if (!status && kn_variants_count(ranking)) kn_variants_get(ranking, 0, &first);
    if (first.accepted) best = kni_text_copy(w->alloc, first.name);
    kn_variants_free(ranking);
    for (size_t i = 0; i < count; i++) kni_free(w->alloc, names[i]);
    kni_free(w->alloc, names);
    return best;
}

kn_status kni_want_suggest(kni_batch *batch, kni_want *w, kn_error *err) {
    kni_listing listing;
    kn_error cause;
    kn_error_init(&cause);
    if (!w->newest_commit[0] || w->offline || strcmp(w->newest_commit, w->commit) == 0)
        return KN_OK;
    kn_status status = list_newest(batch, w, &listing, &cause);
    char *variant = status ? NULL : best_of(batch, w, &listing);
    size_t length = strlen(w->err.message);
    if (variant) {
        snprintf(
            w->err.message + length, sizeof w->err.message - length,
            "\nHowever, version v%lld of '%s' has a build compatible with your system (%s): use "
            "version=%lld",
            (long long)w->newest_version, w->id, variant, (long long)w->newest_version);
    }
    kni_free(w->alloc, variant);
    kni_listing_clear(&listing);
    return kni_is_fatal(status) ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}
