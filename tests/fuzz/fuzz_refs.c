/* SPDX-License-Identifier: Apache-2.0 */
/* Input: an answer about a repository's branches and tags, a revision or a publisher, or a kernel's
 * status as JSON. Each is given to each of the readers. */
#include "fuzz_target.h"
#include "hub/endpoint.h"

static void check_message(const kn_error *err) {
    FUZZ_CHECK(strncmp(err->message, "answer: ", 8) == 0);
    for (const char *at = err->message; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
}

static void check_name(const char *name) {
    FUZZ_CHECK(*name && *name != '/' && strlen(name) <= 1024 && !strchr(name, '\\'));
    FUZZ_CHECK(!strstr(name, "//") && !strstr(name, "/../") && strncmp(name, "../", 3) != 0);
    FUZZ_CHECK(strcmp(name, "..") != 0 && strcmp(name, ".") != 0);
}

static void read_refs(const char *bytes, size_t size) {
    kni_refs refs;
    kn_error err = KN_ERROR_INIT;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kn_status status = kni_refs_parse(alloc, bytes, size, "answer", &refs, &err);
    FUZZ_CHECK(status == KN_OK || (status == KN_ERR_NETWORK && refs.count == 0));
    if (status) check_message(&err);
    for (size_t i = 0; i < refs.count; i++) {
        check_name(refs.items[i].name);
        FUZZ_CHECK(kni_is_commit(refs.items[i].commit));
    }
    kni_refs_clear(&refs);
}

static void read_others(const char *bytes, size_t size) {
    kn_error err = KN_ERROR_INIT;
    char commit[KNI_COMMIT_MAX];
    kn_status status = kni_revision_parse(bytes, size, "answer", commit, &err);
    FUZZ_CHECK(status == KN_OK ? kni_is_commit(commit) : status == KN_ERR_NETWORK && !*commit);
    if (status) check_message(&err);

    bool trusted = true;
    status = kni_publisher_parse(bytes, size, "answer", &trusted, &err);
    FUZZ_CHECK(status == KN_OK || (status == KN_ERR_NETWORK && !trusted));
    if (status) check_message(&err);
}

static void read_status(const char *bytes, size_t size) {
    kn_error err = KN_ERROR_INIT;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *destination, *revision;
    kn_status status =
        kni_status_parse(alloc, bytes, size, "answer", &destination, &revision, &err);
    if (status) {
        FUZZ_CHECK(status == KN_ERR_VALUE && !destination && !revision);
        check_message(&err);
        return;
    }
    FUZZ_CHECK(kni_repo_id_check(destination, NULL) == KN_OK);
    check_name(revision);
    kni_free(alloc, destination);
    kni_free(alloc, revision);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = fuzz_text(data, size);
    read_refs(bytes, size);
    read_others(bytes, size);
    read_status(bytes, size);
    free(bytes);
    return 0;
}
