/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cache_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "os/files.h"
#include "support/plain_digest.h"
#include "support/unit.h"

int cache_fixture_setup(void **state) {
    cache_fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    scratch_folder_make(&fx->scratch);
    failing_alloc_init(&fx->memory, SIZE_MAX);
    assert_int_equal(kni_cache_open(&fx->memory.alloc, scratch_path(&fx->scratch, "cache"),
                                    "kernels", "org/name", scratch_path(&fx->scratch, "user"),
                                    &fx->cache, NULL),
                     KN_OK);
    *state = fx;
    return 0;
}

int cache_fixture_teardown(void **state) {
    cache_fixture *fx = *state;
    kni_cache_close(&fx->cache);
    assert_int_equal(fx->memory.live, 0);
    scratch_folder_remove(&fx->scratch);
    free(fx);
    return 0;
}

const char *cache_file(const cache_fixture *fx, const char *relative) {
    char path[SCRATCH_PATH_MAX];
    int length = snprintf(path, sizeof path, "cache/kernels--org--name/%s", relative);
    assert_true(length > 0 && (size_t)length < sizeof path);
    return scratch_path(&fx->scratch, path);
}

void assert_file(const char *path, const char *text) {
    if (!text) {
        struct stat about;
        assert_int_not_equal(lstat(path, &about), 0);
        return;
    }
    char *bytes;
    size_t length;
    kn_error err = KN_ERROR_INIT;
    if (kni_file_read(NULL, path, (size_t)64 << 20, &bytes, &length, &err)) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(bytes, text);
    free(bytes);
}

kn_status put_blob(const kni_cache *cache, const kni_content *content, const void *bytes,
                   size_t length, kn_error *err) {
    kni_blob *blob;
    kn_status status = kni_blob_open(cache, plain_digests(), content, &blob, err);
    if (status) return status;
    status = kni_blob_write(blob, bytes, length, err);
    if (!status) return kni_blob_finish(blob, err);
    kni_blob_close(blob);
    return status;
}

kni_content put_text(cache_fixture *fx, const char *commit, const char *path, const char *text,
                     char oid[65]) {
    plain_git_oid(text, strlen(text), oid);
    kni_content content = {.oid = oid, .size = (int64_t)strlen(text)};
    assert_int_equal(put_blob(&fx->cache, &content, text, strlen(text), NULL), KN_OK);
    assert_int_equal(kni_cache_snapshot_add(&fx->cache, commit, path, &content, NULL), KN_OK);
    return content;
}

kn_status give_digests(void *ctx, const kni_net **out, kn_error *err) {
    (void)err;
    if (ctx) ++*(size_t *)ctx;
    *out = plain_digests();
    return KN_OK;
}
