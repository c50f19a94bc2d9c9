/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: written, read, imported; what is damaged, and what is no bundle. */
#include <fcntl.h>
#include <kernels/bundle.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/tar.h"
#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

static char lock[1000], file[SCRATCH_PATH_MAX + 32];

static void lock_both(const char *other_version) {
    char toy[65], base[65];
    scripted_hub_commit("org/toy", toy);
    scripted_hub_commit("org/base", base);
    snprintf(
        lock, sizeof lock,
        "[{\"dependency\": {\"repo-id\": \"org/toy\", \"version\": %s}, \"lock\": {\"commit\": "
        "\"%s\"}}, {\"dependency\": {\"repo-id\": \"org/base\", \"version\": 1}, \"lock\": "
        "{\"commit\": \"%s\"}}]",
        other_version, toy, base);
}

static int set_bundle(void **state) {
    set_scene(state);
    scene *s = *state;
    snprintf(file, sizeof file, "%s/bundle.tar", s->scratch.path);
    lock_both("1");
    return 0;
}

#define bundle_test(test) cmocka_unit_test_setup_teardown(test, set_bundle, clear_scene)

static const kn_target cpu = {
    .size = sizeof cpu,
    .name = "torch=2.13,backend=cpu",
    .system = {sizeof(kn_system), 2, 13, 1, -1, -1, "cpu", "x86_64", "linux", false, NULL, false},
    .capability = KN_CAPABILITY_UNKNOWN,
};

static kn_status write_for(scene *s, const kn_alloc *alloc, const kn_target *target,
                           kn_error *err) {
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    const kn_target *const targets[] = {target};
    const kn_bundle_request request = {
        .size = sizeof request, .lock = lock, .targets = targets, .target_count = 1, .file = file};
    if (!status) status = kn_engine_bundle(engine, &s->host->table, &request, NULL, err);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static void write_bundle(scene *s) {
    kn_error err = KN_ERROR_INIT;
    if (write_for(s, NULL, &cpu, &err)) fail_msg("%s", err.message);
}

static kn_status import(scene *s, const kn_alloc *alloc, bool install, kn_error *err) {
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    if (!status) status = kn_engine_import(engine, &s->host->table, file, install, NULL, err);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static void import_works(scene *s) {
    kn_error err = KN_ERROR_INIT;
    if (import(s, NULL, true, &err)) fail_msg("%s", err.message);
}

static char *read_all(size_t *size) {
    struct stat about;
    assert_int_equal(stat(file, &about), 0);
    *size = (size_t)about.st_size;
    char *bytes = malloc(*size);
    FILE *from = fopen(file, "rb");
    assert_non_null(bytes);
    assert_non_null(from);
    assert_int_equal(fread(bytes, 1, *size, from), *size);
    fclose(from);
    return bytes;
}

static void write_all(const char *bytes, size_t size) {
    FILE *to = fopen(file, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(bytes, 1, size, to), size);
    fclose(to);
}

static bool cache_is_there(const scene *s) { return access(s->cache, F_OK) == 0; }

/* Whether a kernel can be had offline. */
static kn_status find_offline(scene *s, const kn_repo_info *info, kn_error *err) {
    setenv("HF_HUB_OFFLINE", "1", 1);
    kn_status status = install_info(s, NULL, info, err);
    unsetenv("HF_HUB_OFFLINE");
    return status;
}

static void test_what_is_imported_is_found_offline_however_it_is_named(void **state) {
    scene *s = *state;
    char commit[65];
    kn_error err = KN_ERROR_INIT;
    write_bundle(s);
    new_cache(s);
    size_t requests = s->hub.requests;
    import_works(s);
    scripted_hub_commit("org/toy", commit);
    const kn_repo_info named[] = {
        {.size = sizeof *named, .kind = KN_REPO_HUB, .id = "org/toy", .version = "1"},
        {.size = sizeof *named, .kind = KN_REPO_HUB, .id = "org/toy", .revision = "v1"},
        {.size = sizeof *named, .kind = KN_REPO_HUB, .id = "org/toy", .revision = commit},
        {.size = sizeof *named, .kind = KN_REPO_HUB, .id = "org/toy", .lock = lock},
    };
    for (size_t i = 0; i < 4; i++) {
        if (find_offline(s, &named[i], &err)) fail_msg("%zu: %s", i, err.message);
    }
    assert_int_equal(s->hub.requests, requests);
    import_works(s); /* once more is nothing new */
}

static void test_the_same_kernels_give_the_same_bytes(void **state) {
    scene *s = *state;
    size_t size, again_size;
    write_bundle(s);
    char *bytes = read_all(&size);
    new_cache(s);
    write_bundle(s);
    char *again = read_all(&again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    assert_int_equal(size % KNI_TAR_BLOCK, 0);
    free(bytes);
    free(again);
}

static void test_every_cut_and_every_changed_block_is_seen_and_leaves_no_trace(void **state) {
    scene *s = *state;
    size_t size;
    kn_error err = KN_ERROR_INIT;
    write_bundle(s);
    char *bytes = read_all(&size);
    new_cache(s);
    for (size_t cut = 0; cut < size; cut += KNI_TAR_BLOCK / 2) {
        write_all(bytes, cut);
        assert_int_equal(import(s, NULL, true, &err), KN_ERR_INTEGRITY);
        assert_contains(err.message, "bundle.tar': the bundle is cut off");
    }
    size_t seen = 0;
    for (size_t at = 0; at < size; at += 61) {
        bytes[at] ^= 1;
        write_all(bytes, size);
        kn_status status = import(s, NULL, false, &err);
        if (status) assert_true(status == KN_ERR_INTEGRITY || status == KN_ERR_VALUE);
        seen += status != KN_OK;
        bytes[at] ^= 1;
    }
    assert_true(seen > 100); /* what fills a block behind a file's end tells nothing */
    assert_false(cache_is_there(s));
    free(bytes);
}

static void test_what_is_no_bundle_is_refused(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(import(s, NULL, true, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "there is no file");
    char text[2000];
    memset(text, 'x', sizeof text);
    write_all(text, sizeof text);
    assert_int_equal(import(s, NULL, true, &err), KN_ERR_VALUE);
    assert_contains(err.message, "this is no bundle: it is no tar archive");
    unsigned char block[2 * KNI_TAR_BLOCK] = {0};
    kni_tar_write("../../etc/passwd", 5, block, &err);
    write_all((char *)block, sizeof block);
    assert_int_equal(import(s, NULL, true, &err), KN_ERR_VALUE);
    assert_contains(err.message, "expected 'manifest.json' in it, found '../../etc/passwd'");
    assert_false(cache_is_there(s));
}

static void test_a_target_without_a_build_is_told_and_no_file_is_written(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    kn_target cuda = cpu;
    cuda.name = "torch=2.13,backend=cu130";
    cuda.system.backend = "cu130";
    assert_int_equal(write_for(s, NULL, &cuda, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "target 'torch=2.13,backend=cu130': 2 of 2 kernels cannot be had");
    assert_int_equal(access(file, F_OK), -1);
    scripted_hub_kernel(&s->hub, "org/base", "[]");
    scripted_hub_add_build(&s->hub, "org/base", "torch-cuda");
    snprintf(lock, sizeof lock, "[]");
    assert_int_equal(write_for(s, NULL, &cuda, &err), KN_OK); /* of nothing, nothing */
}

static void test_nothing_is_said_about_trust(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    const kn_repo_info toy = {
        .size = sizeof toy, .kind = KN_REPO_HUB, .id = "org/toy", .version = "1"};
    write_bundle(s);
    new_cache(s);
    import_works(s);
    setenv("KERNELS_TRUST", "strict", 1);
    assert_int_equal(find_offline(s, &toy, &err), KN_ERR_UNTRUSTED);
    unsetenv("KERNELS_TRUST");
    fake_host_calm(s->host);
    assert_int_equal(find_offline(s, &toy, &err), KN_OK);
    assert_int_equal(fake_host_logged(s->host, "whether its publisher is trusted was never asked"),
                     2);
}

static void test_online_the_hub_is_asked_for_the_commits_files(void **state) {
    scene *s = *state;
    const kn_repo_info toy = {
        .size = sizeof toy, .kind = KN_REPO_HUB, .id = "org/toy", .lock = lock};
    kn_error err = KN_ERROR_INIT;
    write_bundle(s);
    new_cache(s);
    import_works(s);
    size_t before = s->hub.requests;
    assert_int_equal(install_info(s, NULL, &toy, &err), KN_OK);
    assert_int_equal(s->hub.requests - before, 2 * 2); /* publisher and listing of each */
    before = s->hub.requests;
    assert_int_equal(install_info(s, NULL, &toy, &err), KN_OK);
    assert_int_equal(s->hub.requests, before);
}

static void test_the_last_import_counts_offline(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    kn_repo_info toy = {.size = sizeof toy, .kind = KN_REPO_HUB, .id = "org/toy", .version = "2"};
    write_bundle(s);
    lock_both("2");
    write_bundle(s);
    new_cache(s);
    assert_int_equal(find_offline(s, &toy, &err), KN_ERR_NOT_FOUND);
    import_works(s);
    assert_int_equal(find_offline(s, &toy, &err), KN_OK);
    toy.version = "1";
    assert_int_equal(find_offline(s, &toy, &err), KN_ERR_NOT_FOUND);
}

static kn_status write_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    return write_for(ctx, alloc, &cpu, err);
}

static kn_status import_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    new_cache(ctx);
    return import(ctx, alloc, true, err);
}

static void test_every_allocation_that_fails_is_told(void **state) {
    scene *s = *state;
    write_bundle(s);
    assert_true(fault_sweep(write_with, s) > 100);
    assert_true(fault_sweep(import_with, s) > 100);
}

static void test_a_stop_ends_it_and_going_on_completes_it(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    const kn_repo_info toy = {
        .size = sizeof toy, .kind = KN_REPO_HUB, .id = "org/toy", .lock = lock};
    write_bundle(s);
    new_cache(s);
    size_t stops = 0;
    for (size_t at = 1; at < 200; at++) {
        fake_host_calm(s->host);
        fake_host_fail(s->host, FAKE_CALL_CANCELLED, at, KN_ERR_CANCELLED);
        kn_status status = import(s, NULL, true, &err);
        fake_host_calm(s->host);
        if (!status) break;
        assert_int_equal(status, KN_ERR_CANCELLED);
        kn_status found = find_offline(s, &toy, &err);
        assert_true(found == KN_ERR_NOT_FOUND || found == KN_OK);
        stops++;
    }
    assert_true(stops > 6 && stops < 199);
    assert_int_equal(find_offline(s, &toy, &err), KN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        bundle_test(test_what_is_imported_is_found_offline_however_it_is_named),
        bundle_test(test_the_same_kernels_give_the_same_bytes),
        bundle_test(test_every_cut_and_every_changed_block_is_seen_and_leaves_no_trace),
        bundle_test(test_what_is_no_bundle_is_refused),
        bundle_test(test_a_target_without_a_build_is_told_and_no_file_is_written),
        bundle_test(test_nothing_is_said_about_trust),
        bundle_test(test_online_the_hub_is_asked_for_the_commits_files),
        bundle_test(test_the_last_import_counts_offline),
        bundle_test(test_every_allocation_that_fails_is_told),
        bundle_test(test_a_stop_ends_it_and_going_on_completes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
