/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/digest.h"
#include "os/store.h"
#include "os/tree.h"

#define NAMED_MAX 20 /* how many files a message names */

static bool ends_with_pyc(const char *name, size_t length) {
    return length > 4 && memcmp(name + length - 4, ".pyc", 4) == 0;
}

bool kni_digest_covers(const char *path) {
    if (strcmp(path, "metadata.json") == 0 || strcmp(path, "metadata.json.sigstore") == 0)
        return false;
    for (;;) {
        size_t part = strcspn(path, "/");
        if (part == strlen("__pycache__") && strncmp(path, "__pycache__", part) == 0) return false;
        if (!path[part]) return !ends_with_pyc(path, part);
        path += part + 1;
    }
}

/* One comparison, and the violations that it has found. */
typedef struct digest_check {
    const kn_alloc *alloc;
    const kn_metadata *metadata;
    const kni_net *net;
    kni_digest_kind kind;
    int folder; /* opened when first needed; -1: not yet */
    const char *folder_path;
    kni_text violations;
    size_t count;
    kn_error *err;
} digest_check;

static void add_violation(digest_check *check, const char *what, const char *path) {
    char shown[200];
    if (check->count++ >= NAMED_MAX) return;
    kni_text_addf(&check->violations, "%s%s '%s'", check->count > 1 ? ", " : "", what,
                  kni_text_shown(path, shown, sizeof shown));
}

typedef struct hashing {
    const kni_net *net;
    kni_digest *digest;
} hashing;

static bool add_piece(void *ctx, const void *bytes, size_t length) {
    hashing *h = ctx;
    return h->net->digest_add(h->digest, bytes, length);
}

static kn_status open_folder(digest_check *check) {
    if (check->folder < 0) check->folder = kni_folder_open(check->folder_path, false);
    return check->folder < 0 ? kni_fail_errno(check->err, "open", check->folder_path, NULL) : KN_OK;
}

kn_status kni_digest_file(const kn_alloc *alloc, const kni_net *net, kni_digest_kind kind,
                          int folder, const char *path, unsigned char out[KNI_DIGEST_MAX],
                          size_t *length, kn_error *err) {
    *length = 0;
    kni_file_facts facts;
    kni_file_look(folder, path, &facts);
    if (!facts.there) return KN_OK;

    hashing h = {net, net->digest_new(alloc, kind)};
    if (!h.digest) return kni_no_memory(err, "hashing a file");
    kn_status status = kni_file_each(alloc, folder, path, add_piece, &h, &facts, err);
    if (!status) {
        *length = net->digest_finish(h.digest, out);
        if (*length == 0) status = kni_fail(err, KN_ERR_RUNTIME, "the digest of '%s' failed", path);
    }
    net->digest_free(h.digest);
    return status;
}

static kn_status hash_file(digest_check *check, const char *path, unsigned char out[KNI_DIGEST_MAX],
                           size_t *length) {
    *length = 0;
    kn_status status = open_folder(check);
    if (status) return status;
    return kni_digest_file(check->alloc, check->net, check->kind, check->folder, path, out, length,
                           check->err);
}

static kn_status compare_file(digest_check *check, const kni_variant_file *file, size_t index) {
    unsigned char expected[KNI_DIGEST_MAX], got[KNI_DIGEST_MAX];
    size_t expected_length = kni_metadata_digest_bytes(check->metadata, index, expected), length;
    const unsigned char *bytes = got;
    if (file->sha256 && check->kind == KNI_SHA256) {
        bytes = file->sha256;
        length = 32;
    } else {
        kn_status status = hash_file(check, file->path, got, &length);
        if (status) return status;
    }
    if (length == 0)
        add_violation(check, "missing", file->path);
    else if (length != expected_length || memcmp(bytes, expected, length) != 0)
        add_violation(check, "different", file->path);
    return KN_OK;
}

static kn_status compare_all(digest_check *check, const kni_variant_file *files, size_t count,
                             bool *seen) {
    for (size_t i = 0; i < count; i++) {
        size_t index = kni_metadata_digest_find(check->metadata, files[i].path);
        if (!kni_digest_covers(files[i].path)) continue;
        if (index == SIZE_MAX) {
            add_violation(check, "unknown", files[i].path);
            continue;
        }
        seen[index] = true;
        kn_status status = compare_file(check, &files[i], index);
        if (status) return status;
    }
    size_t expected = kn_metadata_digest_count(check->metadata);
    for (size_t i = 0; i < expected; i++) {
        if (!seen[i]) add_violation(check, "missing", kn_metadata_digest_path(check->metadata, i));
    }
    return KN_OK;
}

static kn_status fail_violations(digest_check *check, const char *variant) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(check->metadata, &info);
    if (check->count > NAMED_MAX)
        kni_text_addf(&check->violations, " and %zu more", check->count - NAMED_MAX);
    char *list = kni_text_take(&check->violations);
    if (!list) return kni_no_memory(check->err, "checking a kernel's digest");
    kn_status status = kni_fail(
        check->err, KN_ERR_INTEGRITY,
        "Kernel '%s' variant '%s' does not match the digest in its metadata.json: %s; download it "
        "again, and tell its publisher if that does not help",
        info.name, variant, list);
    kni_free(check->alloc, list);
    return status;
}

kn_status kni_digest_check_files(const kn_alloc *alloc, const kn_metadata *metadata,
                                 const char *variant, const char *folder,
                                 const kni_variant_file *files, size_t count, const kni_net *net,
                                 kn_error *err) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    if (info.digest == KN_DIGEST_NONE) return KN_OK;

    alloc = kni_alloc_or_default(alloc);
    digest_check check = {
        .alloc = alloc,
        .metadata = metadata,
        .net = net,
        .kind = info.digest == KN_DIGEST_SHA512 ? KNI_SHA512 : KNI_SHA256,
        .folder = -1,
        .folder_path = folder,
        .err = err,
    };
    kni_text_init(&check.violations, alloc);
    bool *seen = kni_new(alloc, kn_metadata_digest_count(metadata) + 1);
    kn_status status = seen ? compare_all(&check, files, count, seen)
                            : kni_no_memory(err, "checking a kernel's digest");
    if (!status && check.count) status = fail_violations(&check, variant);
    kni_free(alloc, seen);
    kni_text_clear(&check.violations);
    kni_folder_close(check.folder);
    return status;
}

kn_status kni_digest_check_folder(const kn_alloc *alloc, const kn_metadata *metadata,
                                  const char *variant, const char *folder, const kni_net *net,
                                  kn_error *err) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    if (info.digest == KN_DIGEST_NONE) return KN_OK;

    alloc = kni_alloc_or_default(alloc);
    kni_names names;
    kn_status status = kni_tree_files(alloc, folder, KNI_DIGEST_FILES_MAX, &names, err);
    if (status) return status;
    kni_variant_file *files = kni_new(alloc, (names.count + 1) * sizeof *files);
    if (files) {
        for (size_t i = 0; i < names.count; i++) files[i].path = names.items[i];
        status =
            kni_digest_check_files(alloc, metadata, variant, folder, files, names.count, net, err);
    } else {
        status = kni_no_memory(err, "checking a kernel's digest");
    }
    kni_free(alloc, files);
    kni_names_clear(&names);
    return status;
}
