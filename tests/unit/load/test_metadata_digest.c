/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "load/digest.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

/* 32 bytes of a digest that is the content itself, filled up with zeros: of "one", "two" and
 * nothing. */
#define ONE "b25lAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define TWO "dHdvAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define NIL "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
/* 64 bytes: "one". */
#define ONE_512 \
    "b25lAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

struct kni_digest {
    const kn_alloc *alloc;
    size_t length, used;
    unsigned char bytes[KNI_DIGEST_MAX];
};

static kni_digest *fake_new(const kn_alloc *alloc, kni_digest_kind kind) {
    kni_digest *digest = alloc->resize(alloc->ctx, NULL, sizeof *digest);
    if (digest) *digest = (kni_digest){.alloc = alloc, .length = kind == KNI_SHA512 ? 64 : 32};
    return digest;
}

static bool fake_add(kni_digest *digest, const void *bytes, size_t length) {
    assert_true(digest->used + length <= digest->length);
    memcpy(digest->bytes + digest->used, bytes, length);
    digest->used += length;
    return true;
}

static size_t fake_finish(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]) {
    memcpy(out, digest->bytes, digest->length);
    return digest->length;
}

static void fake_free(kni_digest *digest) {
    if (digest) digest->alloc->resize(digest->alloc->ctx, digest, 0);
}

static const kni_net net = {
    .size = sizeof(kni_net),
    .digest_new = fake_new,
    .digest_add = fake_add,
    .digest_finish = fake_finish,
    .digest_free = fake_free,
};

static kn_status parse_digest(const kn_alloc *alloc, const char *digest, kn_metadata **out,
                              kn_error *err) {
    char text[4000];
    int length =
        snprintf(text, sizeof text, "{\"id\": \"x\", \"name\": \"a-b\", \"digest\": %s}", digest);
    assert_true(length > 0 && (size_t)length < sizeof text);
    return kn_metadata_parse(alloc, text, (size_t)length, "metadata.json", out, err);
}

static kn_metadata *with_digest(const char *digest) {
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (parse_digest(NULL, digest, &metadata, &err)) fail_msg("%s", err.message);
    return metadata;
}

#define SHA256(files) "{\"algorithm\": \"sha256\", \"files\": {" files "}}"

static scratch_folder scratch;

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

static void assert_refused(const char *digest, const char *part) {
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse_digest(NULL, digest, &metadata, &err), KN_ERR_VALUE);
    assert_null(metadata);
    assert_contains(err.message, "metadata.json: 'digest'");
    assert_contains(err.message, part);
}

static void test_files_are_read_sorted(void **state) {
    (void)state;
    kn_metadata *metadata =
        with_digest(SHA256("\"b.py\": \"" TWO "\", \"a/z\": \"" NIL "\", \"Z\": \"" ONE "\""));
    assert_int_equal(kn_metadata_digest_count(metadata), 3);
    assert_string_equal(kn_metadata_digest_path(metadata, 0), "Z");
    assert_string_equal(kn_metadata_digest_path(metadata, 1), "a/z");
    assert_string_equal(kn_metadata_digest_path(metadata, 2), "b.py");
    assert_string_equal(kn_metadata_digest_base64(metadata, 0), ONE);
    assert_int_equal(kni_metadata_digest_find(metadata, "b.py"), 2);
    assert_int_equal(kni_metadata_digest_find(metadata, "a/z"), 1);
    assert_int_equal(kni_metadata_digest_find(metadata, "Z"), 0);
    assert_true(kni_metadata_digest_find(metadata, "a") == SIZE_MAX);
    unsigned char bytes[KNI_DIGEST_MAX];
    assert_int_equal(kni_metadata_digest_bytes(metadata, 2, bytes), 32);
    assert_memory_equal(bytes, "two\0\0", 5);
    kn_metadata_free(metadata);
}

static void test_a_malformed_digest_is_refused_and_named(void **state) {
    (void)state;
    assert_refused("{}", "has no 'algorithm'");
    assert_refused("[]", "has no 'algorithm'");
    assert_refused("\"sha256\"", "has no 'algorithm'");
    assert_refused("{\"algorithm\": \"md5\", \"files\": {}}", "has no 'algorithm'");
    assert_refused("{\"algorithm\": \"SHA256\", \"files\": {}}", "has no 'algorithm'");
    assert_refused("{\"algorithm\": \"sha256\"}", "has no 'files'");
    assert_refused("{\"algorithm\": \"sha256\", \"files\": []}", "has no 'files'");
    assert_refused(SHA256("\"a\": 5"), "the file 'a' has no text as its digest");
    assert_refused(SHA256("\"a\": null"), "the file 'a' has no text as its digest");
    assert_refused(SHA256("\"a\": \"" ONE "\", \"b\": \"47DEQpj8\""), "the file 'b' has a digest");
    assert_refused(SHA256("\"a\": \"" ONE_512 "\""), "the file 'a' has a digest that is not");
    assert_refused(SHA256("\"a\": \"b25l!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""),
                   "the file 'a' has a digest that is not");
}

static void test_paths_out_of_the_variant_are_refused(void **state) {
    (void)state;
    const char *const bad[] = {"", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a/./b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char digest[400];
        snprintf(digest, sizeof digest, SHA256("\"%s\": \"" ONE "\""), bad[i]);
        assert_refused(digest, "is no path below the variant's folder");
    }
}

static void test_no_digest_asks_for_nothing(void **state) {
    (void)state;
    kn_metadata *metadata = with_digest("null");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_metadata_digest_count(metadata), 0);
    assert_int_equal(kni_digest_check_folder(NULL, metadata, "torch-cpu", "/nowhere", NULL, &err),
                     KN_OK);
    kn_metadata_free(metadata);
}

static void test_what_python_compiles_and_the_metadata_are_not_covered(void **state) {
    (void)state;
    const char *const covered[] = {"a.so",
                                   "sub/metadata.json",
                                   "sub/metadata.json.sigstore",
                                   ".pyc",
                                   "d/.pyc",
                                   "x.pyc/inside",
                                   "x.PYC",
                                   "x.pyo",
                                   "pyc",
                                   "__pycache__x/f",
                                   "x/__PYCACHE__/f",
                                   "metadata.json/inner",
                                   "metadata.json.sig"};
    const char *const left_out[] = {
        "metadata.json",     "metadata.json.sigstore", "a.pyc",         "sub/a.cpython-312.pyc",
        "__pycache__/x.txt", "sub/__pycache__/deep/y", "e/__pycache__", "..pyc"};
    for (size_t i = 0; i < sizeof covered / sizeof *covered; i++)
        if (!kni_digest_covers(covered[i])) fail_msg("%s", covered[i]);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (kni_digest_covers(left_out[i])) fail_msg("%s", left_out[i]);
}

static kn_status check_folder(const char *digest, kn_error *err) {
    kn_metadata *metadata = with_digest(digest);
    kn_status status =
        kni_digest_check_folder(NULL, metadata, "torch-cpu", scratch.path, &net, err);
    kn_metadata_free(metadata);
    return status;
}

static void test_a_folder_that_is_as_the_digest_says_passes(void **state) {
    (void)state;
    scratch_file(&scratch, "__init__.py", "one");
    scratch_file(&scratch, "sub/x.so", "two");
    scratch_file(&scratch, "empty", "");
    scratch_file(&scratch, "metadata.json", "{}");
    scratch_file(&scratch, "metadata.json.sigstore", "s");
    scratch_file(&scratch, "__pycache__/x.cpython-312.pyc", "p");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check_folder(SHA256("\"__init__.py\": \"" ONE "\", \"sub/x.so\": \"" TWO
                                         "\", \"empty\": \"" NIL "\""),
                                  &err),
                     KN_OK);
}

static void test_sha512_is_known_too(void **state) {
    (void)state;
    scratch_file(&scratch, "a", "one");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        check_folder("{\"algorithm\": \"sha512\", \"files\": {\"a\": \"" ONE_512 "\"}}", &err),
        KN_OK);
    scratch_file(&scratch, "a", "two");
    assert_int_equal(
        check_folder("{\"algorithm\": \"sha512\", \"files\": {\"a\": \"" ONE_512 "\"}}", &err),
        KN_ERR_INTEGRITY);
}

static void test_every_kind_of_violation_is_named(void **state) {
    (void)state;
    scratch_file(&scratch, "a", "two");
    scratch_file(&scratch, "c", "one");
    scratch_file(&scratch, "sub/d", "x");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        check_folder(SHA256("\"a\": \"" ONE "\", \"b\": \"" ONE "\", \"c\": \"" ONE "\""), &err),
        KN_ERR_INTEGRITY);
    assert_string_equal(
        err.message,
        "Kernel 'a-b' variant 'torch-cpu' does not match the digest in its metadata.json: different "
        "'a', unknown 'sub/d', missing 'b'; download it again, and tell its publisher if that does "
        "not help");
}

static void test_a_link_to_a_blob_is_its_content_and_one_to_nothing_is_missing(void **state) {
    (void)state;
    scratch_folder blobs;
    scratch_folder_make(&blobs);
    scratch_file(&blobs, "b1", "one");
    scratch_link(&scratch, "a", scratch_path(&blobs, "b1"));
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check_folder(SHA256("\"a\": \"" ONE "\""), &err), KN_OK);
    scratch_link(&scratch, "b", "nowhere");
    assert_int_equal(check_folder(SHA256("\"a\": \"" ONE "\", \"b\": \"" ONE "\""), &err),
                     KN_ERR_INTEGRITY);
    assert_contains(err.message, ": missing 'b';");
    assert_int_equal(check_folder(SHA256("\"a\": \"" ONE "\""), &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, ": unknown 'b';");
    scratch_folder_remove(&blobs);
}

static void test_many_violations_are_counted(void **state) {
    (void)state;
    for (int i = 0; i < 33; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%02d", i);
        scratch_file(&scratch, name, "");
    }
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check_folder(SHA256(""), &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, ": unknown 'f00', unknown 'f01',");
    assert_contains(err.message, "unknown 'f19' and 13 more;");
    assert_null(strstr(err.message, "f20"));
}

static void test_what_was_verified_is_not_read_again(void **state) {
    (void)state;
    unsigned char one[32] = "one", two[32] = "two";
    kn_metadata *metadata = with_digest(SHA256("\"a\": \"" ONE "\", \"b\": \"" TWO "\""));
    kn_error err = KN_ERROR_INIT;
    const kni_variant_file good[] = {{"b", two}, {"metadata.json", NULL}, {"a", one}};
    assert_int_equal(
        kni_digest_check_files(NULL, metadata, "torch-cpu", "/nowhere", good, 3, NULL, &err),
        KN_OK);
    const kni_variant_file swapped[] = {{"a", two}, {"b", one}};
    assert_int_equal(
        kni_digest_check_files(NULL, metadata, "torch-cpu", "/nowhere", swapped, 2, NULL, &err),
        KN_ERR_INTEGRITY);
    assert_contains(err.message, ": different 'a', different 'b';");
    assert_int_equal(
        kni_digest_check_files(NULL, metadata, "torch-cpu", "/nowhere", good, 1, NULL, &err),
        KN_ERR_INTEGRITY);
    assert_contains(err.message, ": missing 'a';");
    scratch_file(&scratch, "a", "one");
    const kni_variant_file mixed[] = {{"b", two}, {"a", NULL}};
    assert_int_equal(
        kni_digest_check_files(NULL, metadata, "torch-cpu", scratch.path, mixed, 2, &net, &err),
        KN_OK);
    kn_metadata_free(metadata);
}

static void test_a_folder_that_cannot_be_read_is_another_error(void **state) {
    (void)state;
    kn_metadata *metadata = with_digest(SHA256("\"a\": \"" ONE "\""));
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_digest_check_folder(NULL, metadata, "torch-cpu",
                                             scratch_path(&scratch, "none"), &net, &err),
                     KN_ERR_OS);
    const kni_variant_file files[] = {{"a", NULL}};
    assert_int_equal(kni_digest_check_files(NULL, metadata, "torch-cpu",
                                            scratch_path(&scratch, "none"), files, 1, &net, &err),
                     KN_ERR_OS);
    kn_metadata_free(metadata);
}

static kn_status check_with(const kn_alloc *alloc, void *digest, kn_error *err) {
    kn_metadata *metadata;
    kn_status status = parse_digest(alloc, digest, &metadata, err);
    if (!status)
        status = kni_digest_check_folder(alloc, metadata, "torch-cpu", scratch.path, &net, err);
    kn_metadata_free(metadata);
    return status;
}

static void test_checking_without_memory_fails_cleanly(void **state) {
    (void)state;
    scratch_file(&scratch, "a", "one");
    scratch_file(&scratch, "b/c", "two");
    char good[] = SHA256("\"a\": \"" ONE "\", \"b/c\": \"" TWO "\"");
    char bad[] = SHA256("\"a\": \"" TWO "\"");
    assert_true(fault_sweep(check_with, good) > 12);
    assert_true(fault_sweep_expecting(check_with, bad, KN_ERR_INTEGRITY) > 12);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_read_sorted),
        cmocka_unit_test(test_a_malformed_digest_is_refused_and_named),
        cmocka_unit_test(test_paths_out_of_the_variant_are_refused),
        cmocka_unit_test(test_no_digest_asks_for_nothing),
        cmocka_unit_test(test_what_python_compiles_and_the_metadata_are_not_covered),
        IN_FOLDER(test_a_folder_that_is_as_the_digest_says_passes),
        IN_FOLDER(test_sha512_is_known_too),
        IN_FOLDER(test_every_kind_of_violation_is_named),
        IN_FOLDER(test_a_link_to_a_blob_is_its_content_and_one_to_nothing_is_missing),
        IN_FOLDER(test_many_violations_are_counted),
        IN_FOLDER(test_what_was_verified_is_not_read_again),
        IN_FOLDER(test_a_folder_that_cannot_be_read_is_another_error),
        IN_FOLDER(test_checking_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
