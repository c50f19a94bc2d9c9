/* SPDX-License-Identifier: Apache-2.0 */
/* The Hub's addresses and answers. Pure: no I/O. */
#ifndef KNI_HUB_ENDPOINT_H
#define KNI_HUB_ENDPOINT_H

#include <kernels/common.h>

#include "base/text.h"

typedef enum kni_repo_type { KNI_REPO_KERNEL, KNI_REPO_MODEL } kni_repo_type;

#define KNI_COMMIT_MAX 65 /* a git object id in hexadecimal (40 or 64 digits), NUL-terminated */

/* "org/name": two parts of at most 96 letters, digits, '-', '_' and '.', each not beginning or
 * ending with '-' or '.', without "--", ".." and ".git" at the end; KN_ERR_VALUE and why not. */
kn_status kni_repo_id_check(const char *repo_id, kn_error *err);

/* Addresses, each percent-encoded where needed; NULL: no memory. The caller frees. */
char *kni_url_publisher(const kn_alloc *alloc, const char *endpoint, const char *repo_id);
char *kni_url_refs(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id);
char *kni_url_revision(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                       const char *repo_id, const char *revision);
char *kni_url_tree(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id, const char *commit);
char *kni_url_file(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id, const char *commit, const char *path);

#define KNI_URL_MAX 16384 /* bytes of an address from outside */

/* The address that `location` (a Location or Link header's) means when it is found at `base`,
 * without its fragment; NULL where it is none that may be asked (not http or https, no host,
 * credentials in it, control characters or backslashes, more than KNI_URL_MAX bytes) or memory ran
 * out. */
char *kni_url_join(const kn_alloc *alloc, const char *base, const char *location);
/* Same scheme, host and port; false where one is no address. */
bool kni_url_same_origin(const char *a, const char *b);

/* Whether it can be what the addresses of a Hub begin with: http or https and a host, without user,
 * query and fragment. */
bool kni_url_is_endpoint(const char *text);

/* A branch or a tag. */
typedef struct kni_ref {
    char *name;
    char commit[KNI_COMMIT_MAX];
    bool is_tag;
} kni_ref;

typedef struct kni_refs {
    const kn_alloc *alloc;
    kni_ref *items;
    size_t count, capacity;
} kni_refs;

/* `what` names the answer in messages, here and below. KN_ERR_NETWORK for what a Hub does not say,
 * names that are no safe paths among it. */
kn_status kni_refs_parse(const kn_alloc *alloc, const char *bytes, size_t length, const char *what,
                         kni_refs *out, kn_error *err);
void kni_refs_clear(kni_refs *refs);

/* A file of a repository at a commit. */
typedef struct kni_entry {
    char *path; /* relative, '/' between parts; no "..", ".", empty part, backslash, NUL or control
                   character; at most 1024 bytes, 255 a part */
    char *oid;  /* lower-case hexadecimal: SHA-1 (40) as git computes it of a blob, or, with
                   is_lfs, SHA-256 (64) of the content. The name of the file's blob in the cache */
    int64_t size; /* of the content, 0 to KNI_FILE_SIZE_MAX */
    bool is_lfs;
} kni_entry;

typedef struct kni_listing { /* {.alloc = ...} is an empty one */
    const kn_alloc *alloc;
    kni_entry *items; /* once it is complete sorted by path, where '/' stands before all other
                         characters: what is in a folder stands together */
    size_t count, capacity;
} kni_listing;

#define KNI_LISTING_MAX 100000               /* files of one repository */
#define KNI_FILE_SIZE_MAX ((int64_t)1 << 44) /* the sizes of a whole listing fit an int64_t */

/* Appends a page of a recursive listing; what is no file is left out. KN_ERR_NETWORK for what is no
 * listing; KN_ERR_INTEGRITY for paths that lead out of the tree, negative sizes, malformed ids,
 * more than KNI_LISTING_MAX files. On failure the listing is as it was. */
kn_status kni_listing_add_page(kni_listing *listing, const char *bytes, size_t length,
                               const char *what, kn_error *err);
/* Appends all files of a listing that huggingface_hub recorded in its cache (_tree_cache.py there):
 * {"format_version": 1, "files": {"<path>": {"size", "blob_id"[, "lfs_sha256", "lfs_size"]}}}.
 * Fails as above. */
kn_status kni_listing_add_recorded(kni_listing *listing, const char *bytes, size_t length,
                                   const char *what, kn_error *err);
/* Appends one file that a cache has: as from a page. An empty `oid`: it is not known what the file
 * should be. */
kn_status kni_listing_add(kni_listing *listing, const char *path, const char *oid, int64_t size,
                          kn_error *err);
/* Sorts; KN_ERR_INTEGRITY for one path twice, or a path that is both a file and a folder. */
kn_status kni_listing_finish(kni_listing *listing, const char *what, kn_error *err);
/* In a complete listing; NULL: no such file. */
const kni_entry *kni_listing_find(const kni_listing *listing, const char *path);
void kni_listing_clear(kni_listing *listing);
/* The names of the folders in "build/" that have the name of a build variant or look like one
 * (every folder) of a complete listing, sorted. Freed with kni_free, each and the array, which is
 * NULL where there are none. */
kn_status kni_listing_variants(const kni_listing *listing, char ***out, size_t *count,
                               kn_error *err);
/* The listing as a page that kni_listing_add_page reads, NUL-terminated behind *length bytes, freed
 * with kni_free. KN_ERR_NOMEM, or KN_ERR_UNSUPPORTED where it would be more than can be read back
 * (KNI_JSON_LIMIT). */
kn_status kni_listing_to_json(const kni_listing *listing, const kn_alloc *alloc, char **out,
                              size_t *length);

/* The answer about a publisher: its "trustedKernelPublisher"; absent means false. */
kn_status kni_publisher_parse(const char *bytes, size_t length, const char *what, bool *trusted,
                              kn_error *err);
/* The commit in the answer about a revision: its "sha". */
kn_status kni_revision_parse(const char *bytes, size_t length, const char *what,
                             char out[KNI_COMMIT_MAX], kn_error *err);

/* The status and sentence for a response that is no success. `subject` is "repository 'org/name'"
 * or a file of it; `code` and `message` are X-Error-Code and X-Error-Message, NULL where absent;
 * `has_token` changes the advice. 401 and RepoNotFound: KN_ERR_REPOSITORY; RevisionNotFound:
 * KN_ERR_REVISION; EntryNotFound, and 404 and 410 without a code: KN_ERR_NOT_FOUND; GatedRepo:
 * KN_ERR_GATED; everything else, a token that is not accepted among it, KN_ERR_NETWORK. */
kn_status kni_response_fail(int http_status, const char *code, const char *message,
                            const char *subject, bool has_token, kn_error *err);

/* kernel-status.toml, as JSON: {"kind": "redirect", "destination": "org/name", "revision": "main"}.
 * KN_ERR_VALUE for another kind, or a malformed one. The caller frees both texts. */
kn_status kni_status_parse(const kn_alloc *alloc, const char *json, size_t length, const char *what,
                           char **destination, char **revision, kn_error *err);

#endif
