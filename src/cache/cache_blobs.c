/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cache/content_digest.h"
#include "os/follow.h"
#include "os/partial.h"

#define THREAD_BYTES ((int64_t)8 << 20) /* from this size on a thread of its own hashes */
#define BLOB_NAME (sizeof "blobs/" + 64)
#define FLUSH_BYTES ((int64_t)4 << 20) /* so much at a time is on its way to the disk early */

struct kni_blob {
    const kn_alloc *alloc;
    const kni_net *net;
    char oid[65];
    kni_content content; /* its oid is the one above */
    char *folder;        /* blobs/ */
    kni_partial partial;
    kni_digest *digest;     /* of all bytes there are, or what `follower` has seen of them */
    int64_t hashed;         /* bytes that the digest has; of the thread, while there is one */
    kni_follower *follower; /* NULL: none yet, or the file is small, or there was no thread */
    size_t pending;         /* bytes in the follower's block that are not in the file yet */
    bool wrong;             /* it can never become right */
};

/* Looks at a blob; its name, and its folder to be closed, for a second look. */
static int look_at_blob(const kni_cache *cache, const kni_content *content, char name[BLOB_NAME],
                        kni_file_facts *facts) {
    *facts = (kni_file_facts){0};
    if (kni_content_check(content, NULL)) return -1;
    snprintf(name, BLOB_NAME, "blobs/%s", content->oid);
    int folder = kni_folder_open(cache->folder, false);
    if (folder >= 0) kni_file_look(folder, name, facts);
    return folder;
}

static bool is_of_size(const kni_file_facts *facts, const kni_content *content) {
    return facts->regular && facts->size == content->size;
}

bool kni_cache_blob_exists(const kni_cache *cache, const kni_content *content) {
    char name[BLOB_NAME];
    kni_file_facts facts;
    kni_folder_close(look_at_blob(cache, content, name, &facts));
    return is_of_size(&facts, content);
}

kn_status kni_cache_blob_check(const kni_cache *cache, const kni_net *net,
                               const kni_content *content, bool *good, kn_error *err) {
    char name[BLOB_NAME];
    kni_file_facts facts;
    kn_status status = KN_OK;
    *good = false;
    int folder = look_at_blob(cache, content, name, &facts);
    if (is_of_size(&facts, content))
        status =
            kni_content_check_file(cache->alloc, net, folder, name, content, &facts, good, err);
    kni_folder_close(folder);
    return status;
}

static void blob_free(kni_blob *blob) {
    kni_follower_stop(blob->follower);
    if (blob->digest) blob->net->digest_free(blob->digest);
    kni_partial_close(&blob->partial);
    kni_free(blob->alloc, blob->folder);
    kni_free(blob->alloc, blob);
}

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "writing to the cache"); }

static kn_status new_digest(kni_blob *blob, kn_error *err) {
    if (blob->digest) blob->net->digest_free(blob->digest);
    blob->hashed = 0;
    blob->digest = kni_content_digest_new(blob->alloc, blob->net, &blob->content);
    return blob->digest ? KN_OK : no_memory(err);
}

static bool take_bytes(void *ctx, const void *bytes, size_t length) {
    kni_blob *blob = ctx;
    if (!blob->digest || !blob->net->digest_add(blob->digest, bytes, length)) return false;
    /* Here and not where bytes arrive, as a busy disk makes this wait. */
    int64_t before = blob->hashed;
    blob->hashed += (int64_t)length;
    if (before / FLUSH_BYTES != blob->hashed / FLUSH_BYTES) {
        kni_partial_flush(&blob->partial, before / FLUSH_BYTES * FLUSH_BYTES, FLUSH_BYTES);
    }
    return true;
}

static bool is_large(const kni_blob *blob) { return blob->content.size >= THREAD_BYTES; }

static kn_status fail_digest(const kni_blob *blob, kn_error *err) {
    return kni_fail(err, KN_ERR_OS, "cannot hash '%s/%s' while it is written; try again",
                    blob->folder, blob->partial.name);
}

/* Hashes what is in the file before more of it comes. */
static kn_status hash_start(kni_blob *blob, kn_error *err) {
    if (blob->partial.length == 0) return KN_OK;
    kni_file_facts facts;
    kn_status status = kni_file_each(blob->alloc, blob->partial.folder, blob->partial.name,
                                     take_bytes, blob, &facts, err);
    return status == KN_ERR_RUNTIME ? fail_digest(blob, err) : status;
}

/* A large file's thread begins with what is there; where there can be none, that is hashed here. */
static kn_status begin_hashing(kni_blob *blob, kn_error *err) {
    kn_status status = new_digest(blob, err);
    if (status) return status;
    if (is_large(blob)) {
        blob->follower = kni_follower_start(blob->alloc, blob->partial.fd, blob->partial.length,
                                            take_bytes, blob);
        if (blob->follower) return KN_OK;
    }
    return hash_start(blob, err);
}

static kn_status open_partial(const kni_cache *cache, kni_blob *blob, kn_error *err) {
    char name[80];
    snprintf(name, sizeof name, "%s.incomplete", blob->oid);
    blob->folder = kni_path_of(cache, cache->folder, "blobs", NULL);
    if (!blob->folder) return no_memory(err);
    kn_status status = kni_partial_open(blob->folder, name, &blob->partial, err);
    if (status || blob->partial.length <= blob->content.size) return status;
    return kni_partial_empty(&blob->partial, err); /* more than the file has: not its start */
}

kn_status kni_blob_open(const kni_cache *cache, const kni_net *net, const kni_content *content,
                        kni_blob **out, kn_error *err) {
    *out = NULL;
    kn_status status = kni_content_check(content, err);
    if (status) return status;
    kni_blob *blob = kni_new(cache->alloc, sizeof *blob);
    if (!blob) return no_memory(err);
    blob->alloc = cache->alloc;
    blob->net = net;
    blob->partial = (kni_partial){.fd = -1, .folder = -1};
    memcpy(blob->oid, content->oid, strlen(content->oid) + 1);
    blob->content = (kni_content){.oid = blob->oid, .size = content->size};

    status = open_partial(cache, blob, err);
    if (!status) status = begin_hashing(blob, err);
    if (status) {
        blob_free(blob);
        return status;
    }
    *out = blob;
    return KN_OK;
}

int64_t kni_blob_length(const kni_blob *blob) {
    return blob->partial.length + (int64_t)blob->pending;
}

static void drop_follower(kni_blob *blob) {
    kni_follower_stop(blob->follower);
    blob->follower = NULL;
    blob->pending = 0;
}

kn_status kni_blob_restart(kni_blob *blob, kn_error *err) {
    drop_follower(blob);
    blob->wrong = true; /* unless all of this succeeds */
    kn_status status = kni_partial_empty(&blob->partial, err);
    if (!status) status = begin_hashing(blob, err);
    if (!status) blob->wrong = false;
    return status;
}

/* Writes what is pending. After a failure some may be written: they count, and are hashed. */
static kn_status write_pending(kni_blob *blob, kn_error *err) {
    if (!blob->pending) return KN_OK;
    int64_t before = blob->partial.length;
    kn_status status =
        kni_partial_write(&blob->partial, kni_follower_block(blob->follower), blob->pending, err);
    kni_follower_pass(blob->follower, (size_t)(blob->partial.length - before));
    blob->pending = 0;
    return status;
}

/* In whole blocks, which are hashed from where they were written. */
static kn_status write_followed(kni_blob *blob, const char *bytes, size_t length, kn_error *err) {
    kn_status status = KN_OK;
    while (length && !status) {
        size_t room = KNI_FOLLOW_BLOCK - blob->pending, piece = length < room ? length : room;
        memcpy(kni_follower_block(blob->follower) + blob->pending, bytes, piece);
        blob->pending += piece;
        bytes += piece;
        length -= piece;
        if (piece == room) status = write_pending(blob, err);
    }
    return status;
}

static kn_status write_here(kni_blob *blob, const void *bytes, size_t length, kn_error *err) {
    int64_t before = blob->partial.length;
    kn_status status = kni_partial_write(&blob->partial, bytes, length, err);
    size_t wrote = (size_t)(blob->partial.length - before);
    if (wrote && !take_bytes(blob, bytes, wrote)) {
        blob->wrong = true;
        return fail_digest(blob, err);
    }
    return status;
}

kn_status kni_blob_write(kni_blob *blob, const void *bytes, size_t length, kn_error *err) {
    if (length > (uint64_t)(blob->content.size - kni_blob_length(blob))) {
        blob->wrong = true;
        return kni_fail(err, KN_ERR_INTEGRITY,
                        "%s: more than the %lld bytes arrived that its repository says it has; "
                        "download it again",
                        blob->oid, (long long)blob->content.size);
    }
    return blob->follower ? write_followed(blob, bytes, length, err)
                          : write_here(blob, bytes, length, err);
}

/* Whether all that is there has the digest of the content. */
static kn_status check_whole(kni_blob *blob, kn_error *err) {
    int64_t length = blob->partial.length;
    if (length != blob->content.size) {
        return kni_fail(
            err, KN_ERR_INTEGRITY,
            "%s: %lld bytes arrived, its repository says it has %lld; download it again", blob->oid,
            (long long)length, (long long)blob->content.size);
    }
    if (blob->follower) {
        bool all = kni_follower_finish(blob->follower);
        blob->follower = NULL;
        if (!all) return fail_digest(blob, err);
    }
    if (!blob->wrong && kni_content_digest_matches(blob->net, blob->digest, &blob->content)) {
        return KN_OK;
    }
    return kni_fail(err, KN_ERR_INTEGRITY,
                    "%s: what arrived has another digest than its repository says; download it "
                    "again",
                    blob->oid);
}

kn_status kni_blob_finish(kni_blob *blob, kn_error *err) {
    kn_status status = write_pending(blob, err);
    if (status) {
        kni_blob_close(blob);
        return status;
    }
    status = check_whole(blob, err);
    drop_follower(blob); /* it may be reading */
    if (status)
        kni_partial_remove(&blob->partial);
    else
        status = kni_partial_keep(&blob->partial, blob->oid, err);
    blob_free(blob);
    return status;
}

void kni_blob_close(kni_blob *blob) {
    if (!blob) return;
    bool is_own = !blob->follower || kni_follower_is_here(blob->follower); /* no forked child's */
    if (is_own && !blob->wrong) write_pending(blob, NULL);
    drop_follower(blob);
    if (blob->wrong) kni_partial_remove(&blob->partial);
    blob_free(blob);
}

void kni_blob_discard(kni_blob *blob) {
    if (blob) blob->wrong = true;
    kni_blob_close(blob);
}
