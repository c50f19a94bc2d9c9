/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle: one archive with builds of kernels for another machine, to be put into a cache there.
 *
 * It is a tar archive of plain files without times and owners, so that the same content is the same
 * bytes:
 *
 *   manifest.json            what is in it, see manifest_text in bundle_manifest.c
 *   manifest.sha256          its digest, as sha256sum writes it
 *   listings/<sha256>.json   all files of each revision in the manifest, in its order, as the Hub
 *                            lists them
 *   blobs/<object id>        the content of the files of the builds, each once, sorted
 *
 * Which blobs there are follows from manifest and listings. Names in the archive are compared with
 * what must come next and never become paths. */
#ifndef KNI_ENGINE_BUNDLE_H
#define KNI_ENGINE_BUNDLE_H

#include <kernels/bundle.h>

#include "cache/cache.h"
#include "engine/fetch.h"
#include "hub/endpoint.h"

#define KNI_BUNDLE_MANIFEST "manifest.json"
#define KNI_BUNDLE_CHECK "manifest.sha256"
#define KNI_BUNDLE_REVISIONS_MAX 10000

/* One revision of a repository, with builds of it. */
typedef struct kni_bundled {
    char *repo;
    kni_repo_type type;
    char commit[KNI_COMMIT_MAX];
    kni_names refs;     /* branches and tags that are to lead to it */
    kni_names variants; /* whose files are there; the names are owned, in the order of adding */
    kni_listing listing;
    char *listing_text; /* as it stands in the archive */
    size_t listing_length;
    char listing_sha256[KNI_SHA256_TEXT];
} kni_bundled;

/* Content of the archive. */
typedef struct kni_bundled_blob {
    const char *oid; /* borrowed from a listing */
    int64_t size;
    size_t revision;  /* one that has it, */
    const char *path; /* under this path */
    int64_t offset;   /* in the archive; of one that is being written: none */
} kni_bundled_blob;

struct kn_bundle {
    const kn_alloc *alloc;
    kni_names targets; /* what it was made for, as text */
    kni_bundled *revisions;
    size_t count, capacity;
    kni_bundled_blob *blobs; /* sorted by id, each once */
    size_t blob_count, blob_capacity;
    char digest[KNI_SHA256_TEXT]; /* of the manifest */
};

/* ---- bundle_manifest.c: pure ---- */

/* NULL: no memory. */
kn_bundle *kni_bundle_new(const kn_alloc *alloc);
/* The revision, made where it is not there yet; NULL: no memory. */
kni_bundled *kni_bundle_revision(kn_bundle *bundle, const char *repo, kni_repo_type type,
                                 const char *commit);
/* Adds a copy of `text`, unless it is there. */
bool kni_bundle_add_name(kni_names *names, const char *text);
/* Whether a file of a listing belongs to one of the revision's builds. */
bool kni_bundled_has(const kni_bundled *revision, const kni_entry *entry);
/* Sorts revisions, names and blobs, and finds the blobs. KN_ERR_VALUE where two files have one id
 * and unlike sizes. */
kn_status kni_bundle_finish(kn_bundle *bundle, kn_error *err);
/* The manifest as text; the listings' digests are there. NULL: no memory. */
char *kni_bundle_manifest(const kn_bundle *bundle);
/* Reads one into an empty bundle: without listings, and so without blobs. */
kn_status kni_bundle_parse(const char *bytes, size_t length, kn_bundle *out, kn_error *err);

/* ---- bundle_read.c ---- */

/* An archive to read. */
typedef struct kni_bundle_source {
    void *ctx;
    /* *got less than `length` at the end alone. */
    kn_status (*read_at)(void *ctx, int64_t offset, void *out, size_t length, size_t *got,
                         kn_error *err);
} kni_bundle_source;

/* Reads all of an archive and compares every byte with what the manifest says. KN_ERR_INTEGRITY for
 * one that is cut off or damaged, KN_ERR_VALUE for what is no bundle. *out, also of a failure, is
 * freed with kn_bundle_free. `poll` may be NULL: it is asked now and then whether to stop. */
kn_status kni_bundle_read(const kn_alloc *alloc, const kni_net *net,
                          const kni_bundle_source *source, bool (*poll)(void *ctx), void *poll_ctx,
                          kn_bundle **out, kn_error *err);

#endif
