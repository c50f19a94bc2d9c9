/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "support/cache_fixture.h"
#include "support/unit.h"

#define IN_SNAPSHOT "cache/kernels--org--name/snapshots/" COMMIT_A "/"

typedef struct seen {
    char text[512]; /* "path oid size\n" of each file */
    size_t length;
} seen;

static kn_status note(void *ctx, const char *path, const char *oid, int64_t size, kn_error *err) {
    seen *s = ctx;
    (void)err;
    s->length += (size_t)snprintf(s->text + s->length, sizeof s->text - s->length, "%s %s %lld\n",
                                  path, oid, (long long)size);
    return KN_OK;
}

static kn_status refuse(void *ctx, const char *path, const char *oid, int64_t size, kn_error *err) {
    (void)ctx, (void)path, (void)oid, (void)size, (void)err;
    return KN_ERR_VALUE;
}

static void test_a_snapshot_is_walked_with_what_its_links_say(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    seen s = {.length = 0};
    put_text(fx, COMMIT_A, "a/link", HELLO, oid);
    scratch_file(&fx->scratch, IN_SNAPSHOT "b", "copy");
    scratch_link(&fx->scratch, IN_SNAPSHOT "c", "../../blobs/" HELLO_SHA256);
    scratch_link(&fx->scratch, IN_SNAPSHOT "d", "../../blobs/elsewhere");
    assert_int_equal(kni_cache_snapshot_walk(&fx->cache, COMMIT_A, note, &s, NULL), KN_OK);
    assert_string_equal(s.text, "a/link " HELLO_GIT " 12\nb  4\nc " HELLO_SHA256 " 0\n");
    assert_int_equal(kni_cache_snapshot_walk(&fx->cache, COMMIT_A, refuse, NULL, NULL),
                     KN_ERR_VALUE);
}

static void test_a_commit_without_snapshot_has_no_files(void **state) {
    cache_fixture *fx = *state;
    assert_int_equal(kni_cache_snapshot_walk(&fx->cache, COMMIT_B, refuse, NULL, NULL), KN_OK);
}

static void test_the_listing_of_huggingface_hub_is_read(void **state) {
    cache_fixture *fx = *state;
    char *bytes;
    size_t length;
    assert_int_equal(kni_cache_tree_read(&fx->cache, COMMIT_A, 99, &bytes, &length, NULL), KN_OK);
    assert_null(bytes);
    scratch_file(&fx->scratch, "cache/kernels--org--name/trees/" COMMIT_A ".json", "{}");
    assert_int_equal(kni_cache_tree_read(&fx->cache, COMMIT_A, 99, &bytes, &length, NULL), KN_OK);
    assert_string_equal(bytes, "{}");
    assert_int_equal(length, 2);
    kni_free(fx->cache.alloc, bytes);
    assert_int_equal(kni_cache_tree_read(&fx->cache, COMMIT_A, 1, &bytes, &length, NULL), KN_OK);
    assert_null(bytes);
    assert_int_equal(kni_cache_tree_read(&fx->cache, "../x", 99, &bytes, &length, NULL),
                     KN_ERR_VALUE);
}

static kn_status walk_and_read(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kni_cache cache = ((cache_fixture *)ctx)->cache;
    cache.alloc = alloc;
    seen s = {.length = 0};
    char *bytes;
    size_t length;
    kn_status status = kni_cache_snapshot_walk(&cache, COMMIT_A, note, &s, err);
    if (!status) status = kni_cache_tree_read(&cache, COMMIT_A, 99, &bytes, &length, err);
    if (!status) kni_free(alloc, bytes);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    put_text(fx, COMMIT_A, "a/link", HELLO, oid);
    scratch_file(&fx->scratch, "cache/kernels--org--name/trees/" COMMIT_A ".json", "{}");
    assert_true(fault_sweep(walk_and_read, fx) >= 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_a_snapshot_is_walked_with_what_its_links_say),
        cache_test(test_a_commit_without_snapshot_has_no_files),
        cache_test(test_the_listing_of_huggingface_hub_is_read),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
