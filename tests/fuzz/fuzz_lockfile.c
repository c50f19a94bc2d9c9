/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a repository id, a line break, the content of a kernels.lock. */
#include <kernels/lockfile.h>

#include "base/text.h"
#include "fuzz_target.h"

static void check_entry(const kn_lockfile *file, size_t index) {
    kn_locked entry = {.size = sizeof entry};
    kn_lockfile_get(file, index, &entry);
    FUZZ_CHECK(entry.repo_id && *entry.repo_id && kni_is_commit(entry.commit));
    FUZZ_CHECK(entry.version < 0 || !entry.revision);
    FUZZ_CHECK(!entry.file_count || kn_lockfile_has_digests(file));
    FUZZ_CHECK(!entry.revision || entry.revision[0] != '~');
    for (size_t i = 0; i < entry.variant_count; i++) {
        kn_locked_variant variant = {.size = sizeof variant};
        kn_lockfile_variant(file, index, i, &variant);
        FUZZ_CHECK(variant.name && variant.hash_type && strlen(variant.hash) == 71);
    }
    size_t found;
    FUZZ_CHECK(!kn_lockfile_find(file, entry.repo_id, entry.version, entry.revision, &found, NULL));
    FUZZ_CHECK(found < kn_lockfile_count(file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *repo_id = fuzz_text(data, size), *content = fuzz_second_part(repo_id);
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    kn_status status =
        kn_lockfile_parse(NULL, content, strlen(content), "kernels.lock", &file, &err);
    FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
    FUZZ_CHECK((status == KN_OK) == (err.message[0] == '\0') &&
               (status == KN_OK) == (file != NULL));
    for (size_t i = 0; file && i < kn_lockfile_count(file); i++) check_entry(file, i);
    size_t index;
    if (file && kn_lockfile_find(file, repo_id, 1, NULL, &index, &err))
        FUZZ_CHECK(index == SIZE_MAX && err.message[0]);
    kn_lockfile_free(file);
    free(repo_id);
    return 0;
}
