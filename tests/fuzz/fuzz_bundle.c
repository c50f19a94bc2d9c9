/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a bundle. So that digests do not keep the fuzzer at the door, a module is used under which
 * every digest is zero: an input whose manifest names such digests gets past them. */
#include "engine/bundle.h"
#include "fuzz_target.h"

struct kni_digest {
    const kn_alloc *alloc;
    size_t length;
};

static kni_digest *digest_new(const kn_alloc *alloc, kni_digest_kind kind) {
    kni_digest *digest = kni_new(alloc, sizeof *digest);
    if (digest) *digest = (kni_digest){alloc, kind == KNI_SHA1 ? 20 : kind == KNI_SHA256 ? 32 : 64};
    return digest;
}

static bool digest_add(kni_digest *digest, const void *bytes, size_t length) {
    (void)digest, (void)bytes, (void)length;
    return true;
}

static size_t digest_finish(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]) {
    memset(out, 0, digest->length);
    return digest->length;
}

static void digest_free(kni_digest *digest) { kni_free(digest->alloc, digest); }

static const kni_net net = {.size = sizeof net,
                            .digest_new = digest_new,
                            .digest_add = digest_add,
                            .digest_finish = digest_finish,
                            .digest_free = digest_free};

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static kn_status read_at(void *ctx, int64_t offset, void *out, size_t length, size_t *got,
                         kn_error *err) {
    const input *in = ctx;
    (void)err;
    FUZZ_CHECK(offset >= 0);
    size_t left = (uint64_t)offset < in->size ? in->size - (size_t)offset : 0;
    *got = length < left ? length : left;
    if (*got) memcpy(out, in->data + offset, *got);
    return KN_OK;
}

/* What was read would be read again, and leads nowhere but into the cache. */
static void check_bundle(const kn_bundle *bundle, size_t size) {
    int64_t bytes = 0;
    for (size_t i = 0; i < bundle->blob_count; i++) {
        const kni_bundled_blob *blob = &bundle->blobs[i];
        FUZZ_CHECK(kni_is_commit(blob->oid) && blob->size >= 0 && blob->offset > 0);
        FUZZ_CHECK((uint64_t)(blob->offset + blob->size) <= size);
        if (i) FUZZ_CHECK(strcmp(bundle->blobs[i - 1].oid, blob->oid) < 0);
        bytes += blob->size;
    }
    FUZZ_CHECK((uint64_t)bytes <= size);
    for (size_t i = 0; i < bundle->count; i++) {
        const kni_bundled *r = &bundle->revisions[i];
        FUZZ_CHECK(kni_repo_id_check(r->repo, NULL) == KN_OK && kni_is_commit(r->commit));
        for (size_t k = 0; k < r->refs.count; k++)
            FUZZ_CHECK(kni_path_stays_inside(r->refs.items[k]));
        for (size_t k = 0; k < r->variants.count; k++)
            FUZZ_CHECK(kni_path_stays_inside(r->variants.items[k]) &&
                       !strchr(r->variants.items[k], '/'));
        for (size_t k = 0; k < r->listing.count; k++)
            FUZZ_CHECK(kni_path_stays_inside(r->listing.items[k].path));
    }
    char *text = kni_bundle_manifest(bundle);
    kn_bundle *again = kni_bundle_new(bundle->alloc);
    FUZZ_CHECK(text && again);
    FUZZ_CHECK(kni_bundle_parse(text, strlen(text), again, NULL) == KN_OK);
    FUZZ_CHECK(again->count == bundle->count);
    kn_bundle_free(again);
    kni_free(bundle->alloc, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const kni_bundle_source source = {&in, read_at};
    kn_error err = KN_ERROR_INIT;
    kn_bundle *bundle;
    kn_status status =
        kni_bundle_read(kni_alloc_or_default(NULL), &net, &source, NULL, NULL, &bundle, &err);
    if (status) {
        FUZZ_CHECK(status == KN_ERR_INTEGRITY || status == KN_ERR_VALUE);
        for (const char *at = err.message; *at; at++)
            FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
    } else {
        check_bundle(bundle, size);
    }
    kn_bundle_free(bundle);
    return 0;
}
