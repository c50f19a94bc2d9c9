/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a bundle, as text and back; which content that is. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/bundle.h"

#define FORMAT "kernels-bundle"
#define VERSION 1
#define ORIGIN "the bundle's manifest"
#define NAMES_MAX 10000

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "reading a bundle"); }

/* ---- names ---- */

bool kni_bundle_add_name(kni_names *names, const char *text) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], text) == 0) return true;
    }
    char *copy = kni_text_copy(names->alloc, text);
    if (!copy || !kni_reserve(names->alloc, &names->items, &names->capacity, names->count + 1,
                              sizeof *names->items)) {
        kni_free(names->alloc, copy);
        return false;
    }
    names->items[names->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(kni_names *names) {
    if (names->count) qsort(names->items, names->count, sizeof *names->items, compare_names);
}

/* ---- revisions ---- */

static int compare_key(const kni_bundled *a, const char *repo, kni_repo_type type,
                       const char *commit) {
    int order = strcmp(a->repo, repo);
    if (!order) order = (int)a->type - (int)type;
    return order ? order : strcmp(a->commit, commit);
}

static int compare_revisions(const void *a, const void *b) {
    const kni_bundled *other = b;
    return compare_key(a, other->repo, other->type, other->commit);
}

kni_bundled *kni_bundle_revision(kn_bundle *bundle, const char *repo, kni_repo_type type,
                                 const char *commit) {
    for (size_t i = 0; i < bundle->count; i++) {
        if (!compare_key(&bundle->revisions[i], repo, type, commit)) return &bundle->revisions[i];
    }
    if (!kni_reserve(bundle->alloc, &bundle->revisions, &bundle->capacity, bundle->count + 1,
                     sizeof *bundle->revisions))
        return NULL;
    kni_bundled made = {.repo = kni_text_copy(bundle->alloc, repo),
                        .type = type,
                        .refs = {.alloc = bundle->alloc},
                        .variants = {.alloc = bundle->alloc},
                        .listing = {.alloc = bundle->alloc}};
    if (!made.repo) return NULL;
    memcpy(made.commit, commit, strlen(commit) + 1);
    bundle->revisions[bundle->count] = made;
    return &bundle->revisions[bundle->count++];
}

bool kni_bundled_has(const kni_bundled *revision, const kni_entry *entry) {
    const char *path = entry->path;
    if (strncmp(path, "build/", 6) != 0 || !entry->oid[0] || kni_is_bytecode(path)) return false;
    for (size_t i = 0; i < revision->variants.count; i++) {
        const char *name = revision->variants.items[i];
        size_t length = strlen(name);
        if (strncmp(path + 6, name, length) == 0 && path[6 + length] == '/') return true;
    }
    return false;
}

/* ---- blobs ---- */

static int compare_blobs(const void *a, const void *b) {
    const kni_bundled_blob *one = a, *other = b;
    return strcmp(one->oid, other->oid);
}

static kn_status add_blobs(kn_bundle *bundle, size_t number, kn_error *err) {
    const kni_bundled *revision = &bundle->revisions[number];
    for (size_t i = 0; i < revision->listing.count; i++) {
        const kni_entry *entry = &revision->listing.items[i];
        if (!kni_bundled_has(revision, entry)) continue;
        if (!kni_reserve(bundle->alloc, &bundle->blobs, &bundle->blob_capacity,
                         bundle->blob_count + 1, sizeof *bundle->blobs))
            return no_memory(err);
        bundle->blobs[bundle->blob_count++] = (kni_bundled_blob){
            .oid = entry->oid, .size = entry->size, .revision = number, .path = entry->path};
    }
    return KN_OK;
}

static kn_status unite_blobs(kn_bundle *bundle, kn_error *err) {
    size_t left = 0;
    if (bundle->blob_count)
        qsort(bundle->blobs, bundle->blob_count, sizeof *bundle->blobs, compare_blobs);
    for (size_t i = 0; i < bundle->blob_count; i++) {
        const kni_bundled_blob *blob = &bundle->blobs[i];
        bool is_new = !left || strcmp(bundle->blobs[left - 1].oid, blob->oid) != 0;
        if (!is_new && bundle->blobs[left - 1].size != blob->size)
            return kni_fail(err, KN_ERR_VALUE,
                            ORIGIN ": the content %s has %" PRId64 " and %" PRId64
                                   " bytes; make the bundle again",
                            blob->oid, bundle->blobs[left - 1].size, blob->size);
        if (is_new) bundle->blobs[left++] = *blob;
    }
    bundle->blob_count = left;
    return KN_OK;
}

kn_status kni_bundle_finish(kn_bundle *bundle, kn_error *err) {
    sort_names(&bundle->targets);
    if (bundle->count)
        qsort(bundle->revisions, bundle->count, sizeof *bundle->revisions, compare_revisions);
    kn_status status = KN_OK;
    for (size_t i = 0; i < bundle->count && !status; i++) {
        sort_names(&bundle->revisions[i].refs);
        sort_names(&bundle->revisions[i].variants);
        status = add_blobs(bundle, i, err);
    }
    return status ? status : unite_blobs(bundle, err);
}

/* ---- as text ---- */

static void add_names(kni_text *text, const char *key, const kni_names *names) {
    kni_text_addf(text, "\"%s\": [", key);
    for (size_t i = 0; i < names->count; i++) {
        if (i) kni_text_add(text, ", ");
        kni_json_add_text(text, names->items[i]);
    }
    kni_text_add(text, "]");
}

/* {"format": "kernels-bundle", "version": 1, "targets": [...], "revisions": [{"repo_id": ...,
 * "repo_type": "kernel" or "model", "commit": ..., "refs": [...], "variants": [...], "listing": its
 * SHA-256}]} */
char *kni_bundle_manifest(const kn_bundle *bundle) {
    kni_text text;
    kni_text_init(&text, bundle->alloc);
    kni_text_addf(&text, "{\"format\": \"" FORMAT "\",\n \"version\": %d,\n ", VERSION);
    add_names(&text, "targets", &bundle->targets);
    kni_text_add(&text, ",\n \"revisions\": [");
    for (size_t i = 0; i < bundle->count; i++) {
        const kni_bundled *r = &bundle->revisions[i];
        kni_text_addf(&text, "%s\n  {\"repo_id\": ", i ? "," : "");
        kni_json_add_text(&text, r->repo);
        kni_text_addf(&text, ", \"repo_type\": \"%s\", \"commit\": \"%s\",\n   ",
                      r->type == KNI_REPO_MODEL ? "model" : "kernel", r->commit);
        add_names(&text, "refs", &r->refs);
        kni_text_add(&text, ", ");
        add_names(&text, "variants", &r->variants);
        kni_text_addf(&text, ",\n   \"listing\": \"%s\"}", r->listing_sha256);
    }
    kni_text_add(&text, "\n ]}\n");
    return kni_text_take(&text);
}

/* ---- from text ---- */

static kn_status fail_field(size_t number, const char *expected, kn_error *err) {
    return kni_fail(err, KN_ERR_VALUE, ORIGIN ": revision %zu has no %s; make the bundle again",
                    number, expected);
}

/* A list of texts, each a path that stays inside (or any text, of targets). */
static kn_status read_names(const kni_json *array, const char *what, bool are_paths, kni_names *out,
                            kn_error *err) {
    if (!kni_json_is_array(array) || kni_json_length(array) > NAMES_MAX)
        return kni_fail(err, KN_ERR_VALUE, ORIGIN ": expected a list of %s", what);
    for (size_t i = 0; i < kni_json_length(array); i++) {
        const char *name = kni_json_text(kni_json_item(array, i));
        char shown[96];
        if (!name || (are_paths && !kni_path_stays_inside(name)))
            return kni_fail(err, KN_ERR_VALUE, ORIGIN ": '%s' is none of its %s",
                            kni_text_shown(name ? name : "", shown, sizeof shown), what);
        if (!kni_bundle_add_name(out, name)) return no_memory(err);
    }
    return KN_OK;
}

static kn_status read_revision(const kni_json *item, size_t number, kn_bundle *out, kn_error *err) {
    const char *repo = kni_json_text(kni_json_member(item, "repo_id"));
    const char *type = kni_json_text(kni_json_member(item, "repo_type"));
    const char *commit = kni_json_text(kni_json_member(item, "commit"));
    const char *listing = kni_json_text(kni_json_member(item, "listing"));
    bool is_model = type && strcmp(type, "model") == 0;
    if (!repo) return fail_field(number, "'repo_id'", err);
    kn_status status = kni_repo_id_check(repo, err);
    if (status) return status;
    if (!type || (!is_model && strcmp(type, "kernel") != 0))
        return fail_field(number, "'repo_type' that is kernel or model", err);
    if (!commit || !kni_is_commit(commit)) return fail_field(number, "commit", err);
    if (!listing || !kni_is_commit(listing) || strlen(listing) != KNI_SHA256_TEXT - 1)
        return fail_field(number, "SHA-256 of a listing", err);
    size_t before = out->count;
    kni_bundled *made =
        kni_bundle_revision(out, repo, is_model ? KNI_REPO_MODEL : KNI_REPO_KERNEL, commit);
    if (!made) return no_memory(err);
    if (out->count == before) return fail_field(number, "commit of its own", err);
    memcpy(made->listing_sha256, listing, KNI_SHA256_TEXT);
    status = read_names(kni_json_member(item, "refs"), "branches and tags", true, &made->refs, err);
    if (!status)
        status =
            read_names(kni_json_member(item, "variants"), "builds", true, &made->variants, err);
    for (size_t i = 0; i < made->variants.count && !status; i++) {
        if (strchr(made->variants.items[i], '/'))
            status = fail_field(number, "plain names of builds", err);
    }
    return status;
}

kn_status kni_bundle_parse(const char *bytes, size_t length, kn_bundle *out, kn_error *err) {
    kni_json *document;
    int64_t version = 0;
    kn_status status = kni_json_parse(bytes, length, ORIGIN, &document, err);
    if (status) return status;
    const char *format = kni_json_text(kni_json_member(document, "format"));
    const kni_json *revisions = kni_json_member(document, "revisions");
    kni_json_integer(kni_json_member(document, "version"), &version);
    if (!format || strcmp(format, FORMAT) != 0 || version != VERSION)
        status = kni_fail(err, KN_ERR_VALUE,
                          ORIGIN ": expected the format '" FORMAT "' in version %d, which is all "
                                 "that this version of the package reads",
                          VERSION);
    if (!status)
        status =
            read_names(kni_json_member(document, "targets"), "targets", false, &out->targets, err);
    size_t count = kni_json_length(revisions);
    if (!status && (!kni_json_is_array(revisions) || count > KNI_BUNDLE_REVISIONS_MAX))
        status = kni_fail(err, KN_ERR_VALUE, ORIGIN ": expected a list of at most %d revisions",
                          KNI_BUNDLE_REVISIONS_MAX);
    for (size_t i = 0; i < count && !status; i++)
        status = read_revision(kni_json_item(revisions, i), i, out, err);
    kni_json_free(document);
    return status;
}

/* ---- the object ---- */

kn_bundle *kni_bundle_new(const kn_alloc *alloc) {
    kn_bundle *bundle = kni_new(alloc, sizeof *bundle);
    if (bundle) *bundle = (kn_bundle){.alloc = alloc, .targets = {.alloc = alloc}};
    return bundle;
}

size_t kn_bundle_count(const kn_bundle *bundle) { return bundle->count; }

void kn_bundle_get(const kn_bundle *bundle, size_t index, kn_bundle_item *out) {
    const kni_bundled *r = &bundle->revisions[index];
    kn_bundle_item made = {
        .size = out->size,
        .repo = r->repo,
        .is_model = r->type == KNI_REPO_MODEL,
        .commit = r->commit,
        .ref_count = r->refs.count,
        .variant_count = r->variants.count,
    };
    for (size_t i = 0; i < r->listing.count; i++) {
        if (!kni_bundled_has(r, &r->listing.items[i])) continue;
        made.file_count++;
        made.bytes += r->listing.items[i].size;
    }
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

const char *kn_bundle_ref(const kn_bundle *bundle, size_t index, size_t ref) {
    return bundle->revisions[index].refs.items[ref];
}

const char *kn_bundle_variant(const kn_bundle *bundle, size_t index, size_t variant) {
    return bundle->revisions[index].variants.items[variant];
}

size_t kn_bundle_target_count(const kn_bundle *bundle) { return bundle->targets.count; }

const char *kn_bundle_target(const kn_bundle *bundle, size_t index) {
    return bundle->targets.items[index];
}

const char *kn_bundle_digest(const kn_bundle *bundle) { return bundle->digest; }

void kn_bundle_free(kn_bundle *bundle) {
    if (!bundle) return;
    for (size_t i = 0; i < bundle->count; i++) {
        kni_bundled *r = &bundle->revisions[i];
        kni_names_clear(&r->refs);
        kni_names_clear(&r->variants);
        kni_listing_clear(&r->listing);
        kni_free(bundle->alloc, r->listing_text);
        kni_free(bundle->alloc, r->repo);
    }
    kni_names_clear(&bundle->targets);
    kni_free(bundle->alloc, bundle->revisions);
    kni_free(bundle->alloc, bundle->blobs);
    kni_free(bundle->alloc, bundle);
}
