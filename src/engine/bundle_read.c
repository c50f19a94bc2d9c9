/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a bundle as if a stranger had written it: what comes next is known from the manifest, and
 * anything else is refused. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cache/content_digest.h"
#include "codec/json.h"
#include "codec/tar.h"
#include "engine/bundle.h"

#define PIECE ((size_t)1 << 18)
#define CHECK_MAX 200
#define AGAIN "copy it again, or make it again with `kernels bundle`"

typedef struct reading {
    const kn_alloc *alloc;
    const kni_net *net;
    const kni_bundle_source *source;
    bool (*poll)(void *ctx);
    void *poll_ctx;
    int64_t offset; /* of the next header */
    char *piece;    /* PIECE bytes */
    kn_bundle *bundle;
    kn_error *err;
} reading;

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "reading a bundle"); }

static kn_status fail_short(const reading *r) {
    return kni_fail(r->err, KN_ERR_INTEGRITY, "the bundle is cut off: " AGAIN);
}

static kn_status read_exactly(const reading *r, int64_t offset, void *out, size_t length) {
    size_t got;
    kn_status status = r->source->read_at(r->source->ctx, offset, out, length, &got, r->err);
    return status || got == length ? status : fail_short(r);
}

static kn_status read_header(const reading *r, kni_tar_entry *out, bool *end) {
    unsigned char block[KNI_TAR_BLOCK];
    kn_error why;
    kn_error_init(&why);
    kn_status status = read_exactly(r, r->offset, block, sizeof block);
    if (status) return status;
    status = kni_tar_read(block, out, end, &why);
    if (!status) return KN_OK;
    return kni_fail(r->err, status,
                    status == KN_ERR_INTEGRITY ? "the bundle is damaged: %s; " AGAIN
                                               : "this is no bundle: %s",
                    why.message);
}

/* The header of the file that has to come next; *offset is where its content begins. */
static kn_status expect(reading *r, const char *name, kni_tar_entry *out, int64_t *offset) {
    bool end;
    kn_status status = read_header(r, out, &end);
    if (status) return status;
    if (end || strcmp(out->name, name) != 0) {
        char shown[KNI_TAR_NAME_MAX + 1];
        return kni_fail(r->err, KN_ERR_VALUE,
                        "this is no bundle that is whole: expected '%s' in it, found %s%s%s", name,
                        end ? "its end" : "'",
                        end ? "" : kni_text_shown(out->name, shown, sizeof shown), end ? "" : "'");
    }
    *offset = r->offset + KNI_TAR_BLOCK;
    r->offset = *offset + out->size + (int64_t)kni_tar_padding(out->size);
    return KN_OK;
}

/* A file that is kept in memory, with a NUL behind it. */
static kn_status read_text(reading *r, const char *name, size_t limit, char **out, size_t *length) {
    kni_tar_entry entry;
    int64_t offset = 0;
    *out = NULL;
    kn_status status = expect(r, name, &entry, &offset);
    if (status) return status;
    if ((uint64_t)entry.size > limit)
        return kni_fail(r->err, KN_ERR_VALUE, "'%s' of the bundle has more than %zu bytes", name,
                        limit);
    *length = (size_t)entry.size;
    *out = kni_new(r->alloc, *length + 1);
    if (!*out) return no_memory(r->err);
    status = read_exactly(r, offset, *out, *length);
    if (!status) return KN_OK;
    kni_free(r->alloc, *out);
    *out = NULL;
    return status;
}

static kn_status fail_damaged(const reading *r, const char *name) {
    return kni_fail(r->err, KN_ERR_INTEGRITY, "'%s' of the bundle is damaged: " AGAIN, name);
}

/* The manifest against the digest that follows it. */
static kn_status read_manifest(reading *r) {
    char *text = NULL, *check = NULL, expected[CHECK_MAX];
    size_t length = 0, check_length = 0;
    kn_status status = read_text(r, KNI_BUNDLE_MANIFEST, KNI_JSON_LIMIT, &text, &length);
    if (!status) status = read_text(r, KNI_BUNDLE_CHECK, CHECK_MAX, &check, &check_length);
    if (!status && !kni_sha256_text(r->alloc, r->net, text, length, r->bundle->digest))
        status = no_memory(r->err);
    if (!status) {
        snprintf(expected, sizeof expected, "%s  " KNI_BUNDLE_MANIFEST "\n", r->bundle->digest);
        if (!check || strcmp(check, expected) != 0) status = fail_damaged(r, KNI_BUNDLE_MANIFEST);
    }
    if (!status) status = kni_bundle_parse(text, length, r->bundle, r->err);
    kni_free(r->alloc, text);
    kni_free(r->alloc, check);
    return status;
}

static kn_status read_listing(reading *r, kni_bundled *revision) {
    char name[KNI_TAR_NAME_MAX + 1], digest[KNI_SHA256_TEXT];
    snprintf(name, sizeof name, "listings/%s.json", revision->listing_sha256);
    kn_status status =
        read_text(r, name, KNI_JSON_LIMIT, &revision->listing_text, &revision->listing_length);
    if (status) return status;
    if (!kni_sha256_text(r->alloc, r->net, revision->listing_text, revision->listing_length,
                         digest))
        return no_memory(r->err);
    if (strcmp(digest, revision->listing_sha256) != 0) return fail_damaged(r, name);
    status = kni_listing_add_page(&revision->listing, revision->listing_text,
                                  revision->listing_length, revision->repo, r->err);
    if (!status) status = kni_listing_finish(&revision->listing, revision->repo, r->err);
    /* What a Hub may not say is a fault of the network's; here it is one of the file. */
    if (status == KN_ERR_NETWORK) r->err->status = status = KN_ERR_VALUE;
    return status;
}

static kn_status hash_blob(const reading *r, const kni_bundled_blob *blob, kni_digest *digest) {
    for (int64_t done = 0; done < blob->size;) {
        int64_t left = blob->size - done;
        size_t length = left < (int64_t)PIECE ? (size_t)left : PIECE;
        if (r->poll && r->poll(r->poll_ctx)) return kni_fail(r->err, KN_ERR_CANCELLED, "stopped");
        kn_status status = read_exactly(r, blob->offset + done, r->piece, length);
        if (status) return status;
        if (!r->net->digest_add(digest, r->piece, length)) return no_memory(r->err);
        done += (int64_t)length;
    }
    return KN_OK;
}

static kn_status read_blob(reading *r, kni_bundled_blob *blob) {
    kni_tar_entry entry;
    char name[KNI_TAR_NAME_MAX + 1];
    snprintf(name, sizeof name, "blobs/%s", blob->oid);
    kn_status status = expect(r, name, &entry, &blob->offset);
    if (status) return status;
    if (entry.size != blob->size) {
        return kni_fail(r->err, KN_ERR_INTEGRITY,
                        "'%s' of the bundle has %" PRId64 " bytes, its listing says %" PRId64
                        ": " AGAIN,
                        name, entry.size, blob->size);
    }
    const kni_content content = {blob->oid, blob->size};
    kni_digest *digest = kni_content_digest_new(r->alloc, r->net, &content);
    if (!digest) return no_memory(r->err);
    status = hash_blob(r, blob, digest);
    if (!status && !kni_content_digest_matches(r->net, digest, &content))
        status = fail_damaged(r, name);
    r->net->digest_free(digest);
    return status;
}

/* Two blocks of zeros, and whatever an archiver puts behind them. */
static kn_status read_end(reading *r) {
    for (int i = 0; i < 2; i++) {
        kni_tar_entry entry;
        bool end;
        kn_status status = read_header(r, &entry, &end);
        if (status) return status;
        if (!end)
            return kni_fail(r->err, KN_ERR_VALUE,
                            "this is no bundle: there is more in it than its manifest says");
        r->offset += KNI_TAR_BLOCK;
    }
    return KN_OK;
}

static kn_status read_all(reading *r) {
    kn_bundle *bundle = r->bundle;
    kn_status status = read_manifest(r);
    for (size_t i = 0; i < bundle->count && !status; i++)
        status = read_listing(r, &bundle->revisions[i]);
    if (!status) status = kni_bundle_finish(bundle, r->err);
    for (size_t i = 0; i < bundle->blob_count && !status; i++)
        status = read_blob(r, &bundle->blobs[i]);
    return status ? status : read_end(r);
}

kn_status kni_bundle_read(const kn_alloc *alloc, const kni_net *net,
                          const kni_bundle_source *source, bool (*poll)(void *ctx), void *poll_ctx,
                          kn_bundle **out, kn_error *err) {
    kn_error own;
    kn_error_init(&own);
    *out = kni_bundle_new(alloc);
    reading r = {.alloc = alloc,
                 .net = net,
                 .source = source,
                 .poll = poll,
                 .poll_ctx = poll_ctx,
                 .piece = kni_new(alloc, PIECE),
                 .bundle = *out,
                 .err = &own};
    kn_status status = *out && r.piece ? read_all(&r) : no_memory(&own);
    kni_free(alloc, r.piece);
    return status ? kni_fail(err, status, "%s", own.message) : KN_OK;
}
