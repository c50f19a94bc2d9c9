/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_hash.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const kni_locked_file *)a)->path, ((const kni_locked_file *)b)->path);
}

static int digit_of(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static bool add_oid(const kni_net *net, kni_digest *digest, const char *oid) {
    unsigned char bytes[32];
    size_t length = strlen(oid) / 2;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(digit_of(oid[2 * i]) * 16 + digit_of(oid[2 * i + 1]));
    return net->digest_add(digest, bytes, length);
}

kn_status kni_variant_hash(const kn_alloc *alloc, kni_locked_file *files, size_t count,
                           const kni_net *net, char out[KNI_VARIANT_HASH_MAX], kn_error *err) {
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[KNI_DIGEST_MAX];
    qsort(files, count, sizeof *files, compare_paths);
    kni_digest *digest = net->digest_new(alloc, KNI_SHA256);
    if (!digest) return kni_no_memory(err, "checking a lock");
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        ok = net->digest_add(digest, files[i].path, strlen(files[i].path)) &&
             add_oid(net, digest, files[i].oid);
    }
    ok = ok && net->digest_finish(digest, bytes) == 32;
    net->digest_free(digest);
    if (!ok) return kni_fail(err, KN_ERR_RUNTIME, "the digest of a lock failed");
    memcpy(out, "sha256-", 7);
    for (size_t i = 0; i < 32; i++) {
        out[7 + 2 * i] = digits[bytes[i] >> 4];
        out[8 + 2 * i] = digits[bytes[i] & 15];
    }
    out[71] = '\0';
    return KN_OK;
}

static bool find_variant(const kn_lockfile *file, size_t index, size_t count, const char *name,
                         kn_locked_variant *out) {
    for (size_t i = 0; i < count; i++) {
        kn_lockfile_variant(file, index, i, out);
        if (strcmp(out->name, name) == 0) return true;
    }
    return false;
}

kn_status kni_lockfile_check(const kn_alloc *alloc, const kn_lockfile *file, size_t index,
                             const char *variant, kni_locked_file *files, size_t count,
                             const kni_net *net, kn_error *err) {
    kn_locked entry = {.size = sizeof entry};
    kn_locked_variant expected = {.size = sizeof expected};
    kn_lockfile_get(file, index, &entry);
    if (!entry.variant_count) return KN_OK;
    if (!find_variant(file, index, entry.variant_count, variant, &expected)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "Kernel `%s`: its build variant '%s' is not in the lock file; lock the "
                        "project's kernels again, where that build is meant to be used",
                        entry.repo_id, variant);
    }
    if (strcmp(expected.hash_type, "git_lfs_concat") != 0) {
        return kni_fail(err, KN_ERR_VALUE,
                        "Kernel `%s`: the lock file has a hash of type '%s' for the build variant "
                        "'%s', expected 'git_lfs_concat'; lock the project's kernels again",
                        entry.repo_id, expected.hash_type, variant);
    }
    char found[KNI_VARIANT_HASH_MAX];
    kn_status status = kni_variant_hash(alloc, files, count, net, found, err);
    if (status || strcmp(found, expected.hash) == 0) return status;
    return kni_fail(err, KN_ERR_INTEGRITY,
                    "Kernel `%s`: the lock file specifies the build variant '%s' with hash %s, but "
                    "the kernel has hash %s; do not use it before you know why, then lock the "
                    "project's kernels again",
                    entry.repo_id, variant, expected.hash, found);
}
