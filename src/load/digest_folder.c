/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "codec/base64.h"
#include "load/digest.h"
#include "os/files.h"
#include "os/store.h"
#include "os/tree.h"

struct kn_file_digests {
    const kn_alloc *alloc;
    kni_names paths;
    char (*base64)[KNI_BASE64_SIZE(KNI_DIGEST_MAX)]; /* one for each path */
    size_t count;
};

size_t kn_file_digests_count(const kn_file_digests *digests) { return digests->count; }

const char *kn_file_digests_path(const kn_file_digests *digests, size_t index) {
    return digests->paths.items[index];
}

const char *kn_file_digests_base64(const kn_file_digests *digests, size_t index) {
    return digests->base64[index];
}

void kn_file_digests_free(kn_file_digests *digests) {
    if (!digests) return;
    kni_names_clear(&digests->paths);
    kni_free(digests->alloc, digests->base64);
    kni_free(digests->alloc, digests);
}

/* Hashes what is covered, and moves its path to the front. */
static kn_status hash_all(kn_file_digests *digests, int folder, kni_digest_kind kind,
                          const kni_net *net, kn_error *err) {
    char **paths = digests->paths.items;
    for (size_t i = 0; i < digests->paths.count; i++) {
        unsigned char bytes[KNI_DIGEST_MAX];
        size_t length;
        if (!kni_digest_covers(paths[i])) continue;
        kn_status status =
            kni_digest_file(digests->alloc, net, kind, folder, paths[i], bytes, &length, err);
        if (status) return status;
        if (!length) continue; /* a link to nothing */
        char *path = paths[i];
        paths[i] = paths[digests->count];
        paths[digests->count] = path;
        kni_base64_encode(bytes, length, digests->base64[digests->count++]);
    }
    return KN_OK;
}

kn_status kni_digest_folder(const kn_alloc *alloc, const char *folder,
                            kn_digest_algorithm algorithm, const kni_net *net,
                            kn_file_digests **out, kn_error *err) {
    kni_digest_kind kind = algorithm == KN_DIGEST_SHA512 ? KNI_SHA512 : KNI_SHA256;
    *out = NULL;
    kn_file_digests *digests = kni_new(alloc, sizeof *digests);
    if (!digests) return kni_no_memory(err, "hashing a folder");
    digests->alloc = alloc;
    int opened = -1;
    kn_status status = kni_tree_files(alloc, folder, KNI_DIGEST_FILES_MAX, &digests->paths, err);
    if (!status) {
        digests->base64 = kni_new(alloc, (digests->paths.count + 1) * sizeof *digests->base64);
        if (!digests->base64) status = kni_no_memory(err, "hashing a folder");
    }
    if (!status) {
        opened = kni_folder_open(folder, false);
        if (opened < 0) status = kni_fail_errno(err, "open", folder, NULL);
    }
    if (!status) status = hash_all(digests, opened, kind, net, err);
    kni_folder_close(opened);
    if (status)
        kn_file_digests_free(digests);
    else
        *out = digests;
    return status;
}
