/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/repo.h"

#include "support/failing_alloc.h"
#include "support/fake_host.h"
#include "support/unit.h"

static kn_status make_handle(const kn_alloc *alloc, void *ctx, kn_error *err) {
    static const kn_repo_ops ops = {sizeof ops, fake_retain, fake_release, NULL, NULL, NULL};
    fake_class *object = ctx;
    kn_repo *repo = (kn_repo *)ctx;
    kn_status status = kn_repo_new(alloc, object, &ops, &repo, err);
    if (status) {
        assert_null(repo);
        assert_int_equal(object->object.references, 1);
        return status;
    }
    assert_int_equal(object->object.references, 2);
    kn_repo_release(repo);
    assert_int_equal(object->object.references, 1);
    return KN_OK;
}

static void test_a_handle_holds_its_object_once(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *repo = fake_repo_new(host, "org/a", NULL);
    assert_int_equal(repo->object.references, 2);
    assert_ptr_equal(kn_repo_object(repo->handle), repo);
    assert_int_equal(kn_repo_references(repo->handle), 1);
    assert_ptr_equal(kn_repo_retain(repo->handle), repo->handle);
    assert_int_equal(kn_repo_references(repo->handle), 2);
    assert_int_equal(repo->object.references, 2);
    kn_repo_release(repo->handle);
    kn_repo_release(NULL);
    assert_int_equal(kn_repo_references(repo->handle), 1);
    fake_host_free(host);
}

static void test_making_a_handle_without_memory_retains_nothing(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    assert_int_equal(fault_sweep(make_handle, fake_class_new(host, "Any", NULL)), 1);
    fake_host_free(host);
}

static void test_describing_asks_the_host(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *repo = fake_repo_of_kind(host, KN_REPO_HUB, "org/a", "Fast");
    kn_repo_info info;
    assert_int_equal(kn_repo_describe(repo->handle, &info, NULL), KN_OK);
    assert_int_equal(info.kind, KN_REPO_HUB);
    assert_string_equal(info.id, "org/a");
    assert_string_equal(info.layer_name, "Fast");
    assert_null(info.revision);
    assert_string_equal(kni_repo_display(&info), "org/a");
    info.display = "org/a at v1";
    assert_string_equal(kni_repo_display(&info), "org/a at v1");

    fake_host_fail(host, FAKE_CALL_REPO_DESCRIBE, 2, KN_ERR_HOST);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_repo_describe(repo->handle, &info, &err), KN_ERR_HOST);
    assert_string_equal(err.message, "the fake host failed in repository describe");
    fake_host_free(host);
}

static void test_a_repository_without_a_name_is_told_as_the_hosts(void **state) {
    (void)state;
    const kn_repo_info info = {.size = sizeof info};
    assert_string_equal(kni_repo_display(&info), "a repository of the host");
}

static void test_equality_is_asked_only_of_different_objects(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *a = fake_repo_new(host, "org/a", NULL), *b = fake_repo_new(host, "org/a", NULL);
    assert_int_equal(kni_repo_equal(a->handle, a->handle), 1);
    assert_int_equal(host->calls[FAKE_CALL_REPO_EQUAL], 0);
    assert_int_equal(kni_repo_equal(a->handle, b->handle), 0);
    a->equals = b->equals = "the same";
    assert_int_equal(kni_repo_equal(a->handle, b->handle), 1);
    fake_host_fail(host, FAKE_CALL_REPO_EQUAL, 3, KN_ERR_HOST);
    assert_int_equal(kni_repo_equal(a->handle, b->handle), -1);
    fake_host_free(host);
}

static void test_repositories_of_different_hosts_are_never_equal(void **state) {
    (void)state;
    static const kn_repo_ops others = {sizeof others, fake_retain, fake_release, NULL, NULL, NULL};
    fake_host *host = fake_host_new();
    fake_repo *a = fake_repo_new(host, "org/a", NULL);
    kn_repo *other;
    assert_int_equal(kn_repo_new(NULL, a, &others, &other, NULL), KN_OK);
    assert_int_equal(kni_repo_equal(a->handle, other), 0);
    kn_repo_release(other);
    fake_host_free(host);
}

static void test_a_failing_hash_is_told(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *a = fake_repo_new(host, "org/a", NULL);
    uint64_t hash = 0;
    assert_true(kni_repo_hash(a->handle, &hash));
    assert_int_equal(hash, 7);
    fake_host_fail(host, FAKE_CALL_REPO_HASH, 2, KN_ERR_HOST);
    assert_false(kni_repo_hash(a->handle, &hash));
    fake_host_free(host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_handle_holds_its_object_once),
        cmocka_unit_test(test_making_a_handle_without_memory_retains_nothing),
        cmocka_unit_test(test_describing_asks_the_host),
        cmocka_unit_test(test_a_repository_without_a_name_is_told_as_the_hosts),
        cmocka_unit_test(test_equality_is_asked_only_of_different_objects),
        cmocka_unit_test(test_repositories_of_different_hosts_are_never_equal),
        cmocka_unit_test(test_a_failing_hash_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
