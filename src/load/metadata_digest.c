/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "codec/base64.h"
#include "load/digest.h"
#include "load/metadata_fields.h"
#include "os/store.h"

#define FILES_MAX 100000

static size_t digest_length(kn_digest_algorithm algorithm) {
    return algorithm == KN_DIGEST_SHA512 ? 64 : 32;
}

/* What is wrong with an entry; NULL: nothing. */
static const char *check_file(const char *path, const char *base64, kn_digest_algorithm algorithm) {
    unsigned char bytes[KNI_DIGEST_MAX];
    size_t length;
    if (!kni_path_stays_inside(path)) return "is no path below the variant's folder";
    if (!base64) return "has no text as its digest";
    if (!kni_base64_decode(base64, bytes, sizeof bytes, &length) ||
        length != digest_length(algorithm)) {
        return "has a digest that is not base64 of the algorithm's length";
    }
    return NULL;
}

static kn_status add_file(kn_metadata *metadata, const char *path, const kni_json *value,
                          const char *origin, kn_error *err) {
    kni_digest_list *list = &metadata->digest;
    const char *base64 = kni_json_text(value), *wrong = check_file(path, base64, list->algorithm);
    char shown[KNI_METADATA_SHOWN];
    if (wrong) {
        return kni_fail(err, KN_ERR_VALUE, "%s: 'digest': the file '%s' %s; " KNI_METADATA_REBUILD,
                        origin, kni_text_shown(path, shown, sizeof shown), wrong);
    }
    if (list->count == FILES_MAX) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: 'digest' lists more than %d files, the most that are read; build the "
                        "kernel with fewer files",
                        origin, FILES_MAX);
    }
    if (!kni_reserve(metadata->alloc, &list->items, &list->capacity, list->count + 1,
                     sizeof *list->items)) {
        return kni_no_memory(err, "reading a kernel's digest");
    }
    struct kni_digest_file *item = &list->items[list->count++];
    item->path = kni_text_copy(metadata->alloc, path);
    item->base64 = kni_text_copy(metadata->alloc, base64);
    return item->path && item->base64 ? KN_OK : kni_no_memory(err, "reading a kernel's digest");
}

static int compare_paths(const void *a, const void *b) {
    const struct kni_digest_file *one = a, *other = b;
    return strcmp(one->path, other->path);
}

static kn_digest_algorithm algorithm_of(const kni_json *digest) {
    const char *name = kni_json_text(kni_json_member(digest, "algorithm"));
    if (name && strcmp(name, "sha256") == 0) return KN_DIGEST_SHA256;
    if (name && strcmp(name, "sha512") == 0) return KN_DIGEST_SHA512;
    return KN_DIGEST_NONE;
}

kn_status kni_metadata_read_digest(kn_metadata *metadata, const kni_json *document,
                                   const char *origin, kn_error *err) {
    const kni_json *digest = kni_json_member(document, "digest");
    if (!digest || kni_json_is_null(digest)) return KN_OK;
    const kni_json *files = kni_json_member(digest, "files"), *value;
    metadata->digest.algorithm = algorithm_of(digest);
    if (metadata->digest.algorithm == KN_DIGEST_NONE) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: 'digest' has no 'algorithm' that this version knows (sha256, sha512); "
                        "upgrade the package kernels, or build the kernel again",
                        origin);
    }
    if (!kni_json_is_object(files)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: 'digest' has no 'files' with their digests; " KNI_METADATA_REBUILD,
                        origin);
    }
    kn_status status = KN_OK;
    for (const char *path = kni_json_next(files, NULL, &value); path && !status;
         path = kni_json_next(files, path, &value)) {
        status = add_file(metadata, path, value, origin, err);
    }
    if (!status && metadata->digest.count > 1) {
        qsort(metadata->digest.items, metadata->digest.count, sizeof *metadata->digest.items,
              compare_paths);
    }
    return status;
}

size_t kni_metadata_digest_find(const kn_metadata *metadata, const char *path) {
    size_t low = 0, high = metadata->digest.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(metadata->digest.items[middle].path, path);
        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

size_t kni_metadata_digest_bytes(const kn_metadata *metadata, size_t index,
                                 unsigned char out[KNI_DIGEST_MAX]) {
    assert(index < metadata->digest.count);
    size_t length;
    bool ok = kni_base64_decode(metadata->digest.items[index].base64, out, KNI_DIGEST_MAX, &length);
    assert(ok); /* it was decoded once before it was taken in */
    (void)ok;
    return length;
}
