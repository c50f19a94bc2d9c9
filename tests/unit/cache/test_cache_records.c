/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cache_fixture.h"
#include "support/unit.h"

static kni_resolution resolution_of(char *ref) {
    static char source[] = "https://hub";
    return (kni_resolution){.commit = COMMIT_A, .time = 1700000000, .ref = ref, .source = source};
}

static bool read_resolution(const kni_cache *cache, const char *request, kni_resolution *out) {
    bool found;
    assert_int_equal(kni_cache_resolution_read(cache, request, out, &found, NULL), KN_OK);
    return found;
}

static void test_a_resolution_comes_back_as_it_was(void **state) {
    cache_fixture *fx = *state;
    char ref[] = "v\"1\"\xC3\xA4", source[] = "https://hub";
    kni_resolution out, in = {.commit = COMMIT_A, .time = 1700000000, .ref = ref, .source = source};
    assert_false(read_resolution(&fx->cache, "version:1", &out));
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "version:1", &in, NULL), KN_OK);
    assert_true(read_resolution(&fx->cache, "version:1", &out));
    assert_string_equal(out.commit, COMMIT_A);
    assert_int_equal(out.time, 1700000000);
    assert_string_equal(out.ref, "v\"1\"\xC3\xA4");
    assert_string_equal(out.source, "https://hub");
    assert_null(out.redirect_repo);
    assert_null(out.redirect_revision);
    kni_resolution_clear(&fx->cache, &out);
    assert_false(read_resolution(&fx->cache, "version:2", &out));
}

static void test_a_redirect_has_no_commit(void **state) {
    cache_fixture *fx = *state;
    char repo[] = "other/name", revision[] = "v2";
    kni_resolution out, in = {.time = 5, .redirect_repo = repo, .redirect_revision = revision};
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "revision:main", &in, NULL), KN_OK);
    assert_true(read_resolution(&fx->cache, "revision:main", &out));
    assert_string_equal(out.commit, "");
    assert_string_equal(out.redirect_repo, "other/name");
    assert_string_equal(out.redirect_revision, "v2");
    assert_null(out.ref);
    assert_null(out.source);
    kni_resolution_clear(&fx->cache, &out);
}

static void test_any_request_is_only_a_text(void **state) {
    cache_fixture *fx = *state;
    static const char *const requests[] = {"specifier:>=0.1,<0.2", "revision:../../../etc/passwd",
                                           "", "revision:a/b\n\"", "revision:\xC3\xA4"};
    kni_resolution in = resolution_of(NULL);
    for (size_t i = 0; i < 5; i++) {
        kni_resolution out;
        in.time = (int64_t)i;
        assert_int_equal(kni_cache_resolution_write(&fx->cache, requests[i], &in, NULL), KN_OK);
        assert_true(read_resolution(&fx->cache, requests[i], &out));
        assert_int_equal(out.time, i);
        kni_resolution_clear(&fx->cache, &out);
    }
}

static void test_what_is_no_commit_is_not_recorded(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    kni_resolution in = {.commit = "main", .time = 5};
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "version:1", &in, &err), KN_ERR_VALUE);
}

/* Writes `text` where the resolution of "version:1" is. */
static void damage(cache_fixture *fx, const char *text) {
    char command[3 * SCRATCH_PATH_MAX];
    snprintf(command, sizeof command, "%s", cache_file(fx, ".kernels/resolutions"));
    kni_resolution in = resolution_of(NULL);
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "version:1", &in, NULL), KN_OK);
    char **names;
    size_t count;
    kni_cache records = fx->cache;
    records.folder = records.own; /* its refs/ is what is listed */
    char refs[4 * SCRATCH_PATH_MAX];
    snprintf(refs, sizeof refs, "%s/refs", records.own);
    assert_int_equal(rename(command, refs), 0);
    assert_int_equal(kni_cache_refs(&records, &names, &count, NULL), KN_OK);
    assert_int_equal(count, 1);
    char relative[SCRATCH_PATH_MAX];
    snprintf(relative, sizeof relative, "cache/kernels--org--name/.kernels/refs/%s", names[0]);
    scratch_file(&fx->scratch, relative, text);
    assert_int_equal(rename(refs, command), 0);
    kni_cache_names_free(&records, names, count);
}

#define MEMBERS "\"commit\": \"" COMMIT_A "\", \"time\": 3"

static void test_a_damaged_record_is_none(void **state) {
    cache_fixture *fx = *state;
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"request\": \"version:1\"}",
        "{\"request\": \"version:2\", " MEMBERS "}",
        "{\"request\": \"version:1\", \"commit\": \"../x\", \"time\": 3}",
        "{\"request\": \"version:1\", \"commit\": \"" COMMIT_A "\", \"time\": -3}",
        "{\"request\": \"version:1\", \"commit\": \"" COMMIT_A "\", \"time\": \"3\"}",
        "{\"request\": \"version:1\", \"commit\": \"" COMMIT_A "\"}",
        "{\"request\": \"version:1\", \"redirect_repo\": \"a/b\", " MEMBERS "}",
        "{\"request\": \"version:1\", " MEMBERS "} x",
    };
    kni_resolution out;
    damage(fx, "{\"request\": \"version:1\", " MEMBERS "}");
    assert_true(read_resolution(&fx->cache, "version:1", &out));
    assert_int_equal(out.time, 3);
    kni_resolution_clear(&fx->cache, &out);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        damage(fx, damaged[i]);
        assert_false(read_resolution(&fx->cache, "version:1", &out));
        assert_null(out.ref);
    }
}

static void assert_document(const kni_cache *cache, const char *name, const char *text) {
    char *bytes;
    size_t length;
    assert_int_equal(kni_cache_document_read(cache, name, 100, &bytes, &length, NULL), KN_OK);
    if (!text) {
        assert_null(bytes);
        assert_int_equal(length, 0);
        return;
    }
    assert_non_null(bytes);
    assert_string_equal(bytes, text);
    assert_int_equal(length, strlen(text));
    kni_free(cache->alloc, bytes);
}

static void test_documents_are_kept_beside_the_repository(void **state) {
    cache_fixture *fx = *state;
    const char *name = "listings/" COMMIT_A ".json";
    assert_document(&fx->cache, name, NULL);
    assert_int_equal(kni_cache_document_write(&fx->cache, name, "[1]", 3, NULL), KN_OK);
    assert_document(&fx->cache, name, "[1]");
    assert_file(cache_file(fx, ".kernels/listings/" COMMIT_A ".json"), "[1]");
    assert_int_equal(kni_cache_document_write(&fx->cache, name, "", 0, NULL), KN_OK);
    assert_document(&fx->cache, name, "");
    scratch_file(&fx->scratch, "cache/kernels--org--name/.kernels/large",
                 "0123456789012345678901234567890123456789012345678901234567890123456789"
                 "0123456789012345678901234567890123456789");
    assert_document(&fx->cache, "large", NULL);
}

static void test_hostile_names_are_refused(void **state) {
    cache_fixture *fx = *state;
    static const char *const names[] = {"../refs/main", "/etc/passwd", "a/../../b", "", "a\nb"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_error err = KN_ERROR_INIT;
        char *bytes;
        size_t length;
        assert_int_equal(kni_cache_document_read(&fx->cache, names[i], 9, &bytes, &length, &err),
                         KN_ERR_VALUE);
        assert_int_equal(kni_cache_document_write(&fx->cache, names[i], "x", 1, &err),
                         KN_ERR_VALUE);
        assert_contains(err.message, "document");
    }
}

static void test_what_cannot_be_beside_the_repository_is_private(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&fx->scratch, "cache/kernels--org--name/.kernels", "in the way");
    assert_int_equal(kni_cache_document_write(&fx->cache, "trust.json", "1", 1, &err), KN_OK);
    assert_document(&fx->cache, "trust.json", "1");
    kni_resolution out, in = resolution_of(NULL);
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "version:1", &in, NULL), KN_OK);
    assert_true(read_resolution(&fx->cache, "version:1", &out));
    kni_resolution_clear(&fx->cache, &out);

    kni_cache without = fx->cache;
    without.private = NULL;
    assert_int_equal(kni_cache_document_write(&without, "trust.json", "2", 1, &err), KN_ERR_OS);
    assert_contains(err.message, ".kernels/trust.json");
    assert_document(&without, "trust.json", NULL);

    scratch_file(&fx->scratch, "file", "");
    without.private = (char[]){"/dev/null/x"};
    assert_int_equal(kni_cache_document_write(&without, "trust.json", "2", 1, &err), KN_ERR_OS);
    assert_contains(err.message, ".kernels/trust.json");
}

static void test_a_private_record_does_not_hide_a_later_one(void **state) {
    cache_fixture *fx = *state;
    kni_cache private = fx->cache;
    private.own = (char[]){"/dev/null/x"};
    kni_resolution out, in = resolution_of(NULL);
    in.time = 20;
    assert_int_equal(kni_cache_resolution_write(&private, "version:1", &in, NULL), KN_OK);
    assert_int_equal(kni_cache_document_write(&private, "trust.json", "old", 3, NULL), KN_OK);
    assert_document(&fx->cache, "trust.json", "old");
    assert_int_equal(kni_cache_document_write(&fx->cache, "trust.json", "new", 3, NULL), KN_OK);
    assert_document(&fx->cache, "trust.json", "new");

    kni_cache shared = fx->cache;
    shared.private = NULL; /* one who may write to the cache */
    in.time = 10;
    assert_int_equal(kni_cache_resolution_write(&shared, "version:1", &in, NULL), KN_OK);
    assert_true(read_resolution(&fx->cache, "version:1", &out));
    assert_int_equal(out.time, 20);
    kni_resolution_clear(&fx->cache, &out);
    in.time = 30;
    assert_int_equal(kni_cache_resolution_write(&shared, "version:1", &in, NULL), KN_OK);
    assert_true(read_resolution(&fx->cache, "version:1", &out));
    assert_int_equal(out.time, 30);
    kni_resolution_clear(&fx->cache, &out);
}

/* Runs as a user who may not write to the cache: root may write anywhere. */
static void run_unprivileged(void (*work)(cache_fixture *fx), cache_fixture *fx) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534))) _exit(2);
        work(fx);
        _exit(0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void use_read_only_cache(cache_fixture *fx) {
    kn_error err = KN_ERROR_INIT;
    kni_resolution out, in = resolution_of(NULL);
    in.time = 1800000000;
    if (kni_cache_resolution_write(&fx->cache, "version:1", &in, &err)) _exit(3);
    bool found;
    if (kni_cache_resolution_read(&fx->cache, "version:1", &out, &found, &err) || !found) _exit(4);
    if (out.time != 1800000000) _exit(5);
    kni_resolution_clear(&fx->cache, &out);
    kni_cache_lock lock;
    bool taken;
    if (kni_cache_lock_try(&fx->cache, HELLO_GIT, &lock, &taken, &err) != KN_ERR_OS) _exit(6);
    if (kni_cache_ref_write(&fx->cache, "main", COMMIT_A, &err) != KN_ERR_OS) _exit(7);
    if (!strstr(err.message, "you may write to")) _exit(8);
}

static void test_a_read_only_cache_is_used_with_private_records(void **state) {
    cache_fixture *fx = *state;
    kni_resolution in = resolution_of(NULL);
    scratch_directory(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A);
    assert_int_equal(kni_cache_resolution_write(&fx->cache, "version:1", &in, NULL), KN_OK);
    scratch_directory(&fx->scratch, "user");
    assert_int_equal(chmod(fx->scratch.path, 0755), 0);
    assert_int_equal(chmod(scratch_path(&fx->scratch, "user"), 0777), 0);
    assert_int_equal(chmod(scratch_path(&fx->scratch, "cache"), 0555), 0);
    assert_int_equal(chmod(cache_file(fx, ""), 0555), 0);
    assert_int_equal(chmod(cache_file(fx, "snapshots"), 0555), 0);
    assert_int_equal(chmod(cache_file(fx, "snapshots/" COMMIT_A), 0555), 0);
    assert_int_equal(chmod(cache_file(fx, ".kernels"), 0555), 0);
    assert_int_equal(chmod(cache_file(fx, ".kernels/resolutions"), 0555), 0);
    run_unprivileged(use_read_only_cache, fx);
    assert_int_equal(chmod(cache_file(fx, ".kernels/resolutions"), 0755), 0);
    assert_int_equal(chmod(cache_file(fx, ".kernels"), 0755), 0);
    assert_int_equal(chmod(cache_file(fx, "snapshots"), 0755), 0);
    assert_int_equal(chmod(cache_file(fx, ""), 0755), 0);
    assert_int_equal(chmod(scratch_path(&fx->scratch, "cache"), 0755), 0);
}

static kn_status write_and_read(const kn_alloc *alloc, void *ctx, kn_error *err) {
    cache_fixture *fx = ctx;
    kni_cache cache = fx->cache;
    cache.alloc = alloc;
    kni_resolution out = {0}, in = resolution_of((char[]){"main"});
    bool found;
    char *bytes = NULL;
    size_t length;
    kn_status status = kni_cache_resolution_write(&cache, "revision:main", &in, err);
    if (!status) status = kni_cache_resolution_read(&cache, "revision:main", &out, &found, err);
    if (!status) kni_resolution_clear(&cache, &out);
    if (!status) status = kni_cache_document_write(&cache, "a/b", "x", 1, err);
    if (!status) status = kni_cache_document_read(&cache, "a/b", 9, &bytes, &length, err);
    kni_free(alloc, bytes);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    assert_true(fault_sweep(write_and_read, *state) >= 8);
}

static void test_what_is_not_there_leaves_the_error_alone(void **state) {
    cache_fixture *fx = *state;
    char *bytes, commit[KNI_CACHE_COMMIT_MAX];
    size_t length;
    bool found = true;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_cache_document_read(&fx->cache, "a/b", 9, &bytes, &length, &err), KN_OK);
    assert_null(bytes);
    assert_int_equal(kni_cache_ref_read(&fx->cache, "main", commit, &found, &err), KN_OK);
    assert_false(found);
    assert_int_equal(kni_cache_tree_read(&fx->cache, COMMIT_A, 9, &bytes, &length, &err), KN_OK);
    assert_null(bytes);
    assert_int_equal(err.status, KN_OK);
    assert_string_equal(err.message, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_what_is_not_there_leaves_the_error_alone),
        cache_test(test_a_resolution_comes_back_as_it_was),
        cache_test(test_a_redirect_has_no_commit),
        cache_test(test_any_request_is_only_a_text),
        cache_test(test_what_is_no_commit_is_not_recorded),
        cache_test(test_a_damaged_record_is_none),
        cache_test(test_documents_are_kept_beside_the_repository),
        cache_test(test_hostile_names_are_refused),
        cache_test(test_what_cannot_be_beside_the_repository_is_private),
        cache_test(test_a_private_record_does_not_hide_a_later_one),
        cache_test(test_a_read_only_cache_is_used_with_private_records),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
