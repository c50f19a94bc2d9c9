/* SPDX-License-Identifier: Apache-2.0 */
/* One repository in the on-disk cache, in huggingface_hub's layout:
 *
 *   <repo>/blobs/<object id>             content
 *   <repo>/blobs/<object id>.incomplete  what a download has so far; huggingface_hub's is
 *                                        <object id>.<random>.incomplete
 *   <repo>/refs/<branch or tag>          a commit
 *   <repo>/snapshots/<commit>/<path>     links to blobs (copies where there are none)
 *   <repo>/trees/<commit>.json           all files of a commit, by huggingface_hub
 *   <locks>/<object id>.lock             flock(2) while a blob is written
 *   <repo>/.kernels/...                  ours: resolutions, listings, receipts, trust
 *
 * with <repo> for <root>/kernels--org--name and <locks> for <root>/.locks/kernels--org--name.
 *
 * Everything is written to a temporary file, synced and renamed: whatever moment a process ends,
 * what is under its name is whole. What is ours and cannot be written beside the repository (a
 * read-only cache) goes to a folder of the user's; it is looked for in both. Thread safe: nothing
 * is kept in memory but paths. Names, ids and commits may come from anywhere: one that would lead
 * out of these folders is KN_ERR_VALUE and touches nothing, and links to folders below them are not
 * followed when something is written. */
#ifndef KNI_CACHE_CACHE_H
#define KNI_CACHE_CACHE_H

#include "codec/net.h"
#include "os/store.h"

#define KNI_CACHE_COMMIT_MAX 65

typedef struct kni_cache {
    const kn_alloc *alloc;
    char *folder;  /* <root>/kernels--org--name */
    char *locks;   /* <root>/.locks/kernels--org--name */
    char *own;     /* <folder>/.kernels */
    char *private; /* where `own` goes when it cannot be written: <user folder>/<hash of folder> */
    bool no_links; /* set by the caller: files are copied into snapshots, not linked */
} kni_cache;

/* Composes the paths; touches nothing. `prefix` is "kernels" or "models". `user_folder` may be
 * NULL: then there is no private folder. */
kn_status kni_cache_open(const kn_alloc *alloc, const char *root, const char *prefix,
                         const char *repo_id, const char *user_folder, kni_cache *out,
                         kn_error *err);
void kni_cache_close(kni_cache *cache);

/* ---- refs: commits of branches and tags, as huggingface_hub keeps them ---- */

/* *found false when there is none, or it holds no commit. */
kn_status kni_cache_ref_read(const kni_cache *cache, const char *name,
                             char out[KNI_CACHE_COMMIT_MAX], bool *found, kn_error *err);
/* One that is right already is not written. KN_ERR_NOT_FOUND when the commit has no snapshot yet:
 * huggingface_hub calls a cache damaged in which a ref names such a commit. Then all that there are
 * go into the document refs.json, in the form of the Hub's answer, which a copy of the cache is
 * asked for as a mirror. */
kn_status kni_cache_ref_write(const kni_cache *cache, const char *name, const char *commit,
                              kn_error *err);
/* Names of all refs, sorted; freed with kni_cache_names_free. */
kn_status kni_cache_refs(const kni_cache *cache, char ***out, size_t *count, kn_error *err);
void kni_cache_names_free(const kni_cache *cache, char **names, size_t count);

/* ---- resolutions: which commit a request came to, and when ---- */

typedef struct kni_resolution {
    char commit[KNI_CACHE_COMMIT_MAX]; /* empty for a redirect */
    int64_t time;                      /* seconds since 1970 when the Hub said so */
    char *ref;           /* the branch or tag it was; NULL: the request was a commit */
    char *redirect_repo; /* the repository to use instead; NULL: none */
    char *redirect_revision;
    char *source; /* the endpoint that said so */
} kni_resolution;

/* `request` is "revision:main", "version:1", "specifier:>=0.1,<0.2". *found false where it is not
 * recorded, or the file is damaged; of two records, here and in the private folder, the later one.
 * The texts are freed with kni_resolution_clear. */
kn_status kni_cache_resolution_read(const kni_cache *cache, const char *request,
                                    kni_resolution *out, bool *found, kn_error *err);
kn_status kni_cache_resolution_write(const kni_cache *cache, const char *request,
                                     const kni_resolution *resolution, kn_error *err);
void kni_resolution_clear(const kni_cache *cache, kni_resolution *resolution);

/* ---- small documents of ours: "listings/<commit>.json", "trust.json" ---- */

/* Written whole or not at all. *out NULL where there is none, where it cannot be read, and where it
 * has more than `limit` bytes. A write that fails tells why it did beside the repository. */
kn_status kni_cache_document_read(const kni_cache *cache, const char *name, size_t limit,
                                  char **out, size_t *length, kn_error *err);
kn_status kni_cache_document_write(const kni_cache *cache, const char *name, const char *bytes,
                                   size_t length, kn_error *err);

/* ---- locks between processes ---- */

typedef struct kni_cache_lock {
    int fd; /* -1: not held */
} kni_cache_lock;

/* Takes <locks>/<name>.lock if nobody holds it (*taken), and returns at once. The file's inode is
 * checked after acquiring, the file is never removed. `name` has no '/'. KN_ERR_OS where locks
 * cannot be made (a read-only cache). The lock goes with the process. */
kn_status kni_cache_lock_try(const kni_cache *cache, const char *name, kni_cache_lock *out,
                             bool *taken, kn_error *err);
void kni_cache_lock_drop(kni_cache_lock *lock);
/* Shows those who wait for a lock that its holder is at work; nothing when it is not held. */
void kni_cache_lock_touch(const kni_cache_lock *lock);
/* When that was last done, in some unit; 0: never. */
int64_t kni_cache_lock_life(const kni_cache *cache, const char *name);
/* A number that changes while a client, this one or huggingface_hub, brings the content of that id
 * (NULL: any) and has written more of it to its partial file; 0: there is none. */
uint64_t kni_cache_blob_life(const kni_cache *cache, const char *oid);

/* ---- listings of huggingface_hub ---- */

/* What huggingface_hub recorded of all files of a commit ("trees/<commit>.json"), NUL-terminated;
 * *out NULL where it did not, or it cannot be read or has more than `limit` bytes. */
kn_status kni_cache_tree_read(const kni_cache *cache, const char *commit, size_t limit, char **out,
                              size_t *length, kn_error *err);

/* ---- content ---- */

/* What a file is, by its repository. */
typedef struct kni_content {
    const char *oid; /* 40 hex digits: SHA-1 of a git blob; 64: SHA-256 */
    int64_t size;
} kni_content;

/* By its size. */
bool kni_cache_blob_exists(const kni_cache *cache, const kni_content *content);
/* Hashes a blob that nobody is known to have verified: another commit's, another client's. *good
 * false where there is none. Fails for memory only. */
kn_status kni_cache_blob_check(const kni_cache *cache, const kni_net *net,
                               const kni_content *content, bool *good, kn_error *err);

/* A blob being written, under the lock of its id. It goes on where <oid>.incomplete ends, whose
 * bytes are hashed first. */
typedef struct kni_blob kni_blob;
kn_status kni_blob_open(const kni_cache *cache, const kni_net *net, const kni_content *content,
                        kni_blob **out, kn_error *err);
int64_t kni_blob_length(const kni_blob *blob);
/* Drops what is there. After a failure the blob can only be closed. */
kn_status kni_blob_restart(kni_blob *blob, kn_error *err);
/* KN_ERR_INTEGRITY for more bytes than the file has; KN_ERR_OS for a full disk and the like. */
kn_status kni_blob_write(kni_blob *blob, const void *bytes, size_t length, kn_error *err);
/* Checks size and digest, syncs and renames. KN_ERR_INTEGRITY when they are not those of the
 * content; then the partial file is gone. Frees the blob whichever way. */
kn_status kni_blob_finish(kni_blob *blob, kn_error *err);
/* Keeps what is there for another time, and frees the blob; NULL is fine. */
void kni_blob_close(kni_blob *blob);
/* The same, but nothing is kept: it is of no use. */
void kni_blob_discard(kni_blob *blob);

/* Puts <path> of a commit's snapshot in place: a relative link to the blob, or a copy where the
 * file system has no links. One that is right already stays. KN_ERR_NOT_FOUND when neither the blob
 * nor a file of its size is there. */
kn_status kni_cache_snapshot_add(const kni_cache *cache, const char *commit, const char *path,
                                 const kni_content *content, kn_error *err);
/* <folder>/snapshots/<commit>[/<path>]; NULL: no memory, or the name of nothing in it. The caller
 * frees. */
char *kni_cache_snapshot_path(const kni_cache *cache, const char *commit, const char *path);

/* Calls `each` for every file of a commit's snapshot, in no order: its path, its size, and the
 * object id by which its link names it (empty for a copy). One whose link leads to a blob that is
 * not there has the size 0. A commit without a snapshot has none. */
typedef kn_status (*kni_snapshot_each)(void *ctx, const char *path, const char *oid, int64_t size,
                                       kn_error *err);
kn_status kni_cache_snapshot_walk(const kni_cache *cache, const char *commit,
                                  kni_snapshot_each each, void *ctx, kn_error *err);

/* ---- receipts: that a file was verified, so that later a stat is enough ---- */

/* A file to check, and what came of it. */
typedef struct kni_checked {
    const char *path; /* in the snapshot */
    kni_content content;
    enum { KNI_FILE_GOOD, KNI_FILE_MISSING, KNI_FILE_DAMAGED } found;
    kni_file_facts facts; /* when it was looked at; of one that has arrived since: none */
} kni_checked;

/* Looks at every file of a variant in the snapshot: where the receipt
 * ("receipts/<commit>/<name>.json") has the file's size, mtime, inode and object id, that is
 * enough; else it is hashed and the receipt renewed (a receipt that cannot be written is no
 * failure). `always` hashes all. `net` is asked for only when something is hashed. */
typedef kn_status (*kni_net_need)(void *ctx, const kni_net **out, kn_error *err);
kn_status kni_cache_check(const kni_cache *cache, const char *commit, const char *name,
                          kni_checked *files, size_t count, bool always, kni_net_need need,
                          void *ctx, kn_error *err);
/* Records those of `files` that are KNI_FILE_GOOD, for the whole variant: each was verified by a
 * check, with its facts, or just now while it arrived. The receipt that was there is replaced. */
kn_status kni_cache_receipt_write(const kni_cache *cache, const char *commit, const char *name,
                                  const kni_checked *files, size_t count, kn_error *err);

#endif
