/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/json.h"
#include "hub/endpoint.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WHAT "listing of o/n"
#define FILE_AT(path) "{\"type\":\"file\",\"oid\":\"" A "\",\"size\":3,\"path\":\"" path "\"}"

/* As the public Hub writes it. */
static const char page[] =
    "[{\"type\":\"directory\",\"oid\":\"" B "\",\"size\":0,\"path\":\"build\"},"
    "{\"type\":\"directory\",\"oid\":\"" B "\",\"size\":0,\"path\":\"build/torch-cpu\"},"
    "{\"type\":\"file\",\"oid\":\"" A "\",\"size\":1519,\"path\":\".gitattributes\"},"
    "{\"type\":\"submodule\",\"oid\":\"" B "\",\"path\":\"../newer\"},"
    "{\"type\":\"file\",\"oid\":\"" B "\",\"size\":4294967296,\"lfs\":{\"oid\":\"" LONG
    "\",\"size\":5000000000,\"pointerSize\":135},\"xetHash\":\"" LONG
    "\",\"path\":\"build/torch-cpu/_relu.abi3.so\"},"
    "{\"type\":\"file\",\"oid\":\"" B "\",\"size\":0,\"path\":\"build/torch-cpu/__init__.py\","
    "\"lfs\":null}]";

static const kn_alloc *memory(void) { return kni_alloc_or_default(NULL); }

static void add_page(kni_listing *listing, const char *text) {
    kn_error err = KN_ERROR_INIT;
    if (kni_listing_add_page(listing, text, strlen(text), WHAT, &err)) fail_msg("%s", err.message);
}

static void finish(kni_listing *listing) {
    kn_error err = KN_ERROR_INIT;
    if (kni_listing_finish(listing, WHAT, &err)) fail_msg("%s", err.message);
}

static void assert_entry(const kni_entry *entry, const char *path, const char *oid, int64_t size,
                         bool is_lfs) {
    assert_non_null(entry);
    assert_string_equal(entry->path, path);
    assert_string_equal(entry->oid, oid);
    assert_true(entry->size == size);
    assert_int_equal(entry->is_lfs, is_lfs);
}

static void assert_page_of_the_hub(const kni_listing *listing) {
    assert_int_equal(listing->count, 3);
    assert_entry(&listing->items[0], ".gitattributes", A, 1519, false);
    assert_entry(&listing->items[1], "build/torch-cpu/__init__.py", B, 0, false);
    assert_entry(&listing->items[2], "build/torch-cpu/_relu.abi3.so", LONG, 5000000000, true);
}

static void test_the_files_of_a_page_are_read_and_sorted(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, page);
    finish(&listing);
    assert_page_of_the_hub(&listing);
    kni_listing_clear(&listing);
    assert_int_equal(listing.count, 0);
}

static void test_pages_add_up(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, "[" FILE_AT("z") "," FILE_AT("b") "]");
    add_page(&listing, "[]");
    add_page(&listing, "[" FILE_AT("a/c") "]");
    finish(&listing);
    assert_int_equal(listing.count, 3);
    assert_string_equal(listing.items[0].path, "a/c");
    assert_string_equal(listing.items[1].path, "b");
    assert_string_equal(listing.items[2].path, "z");
    kni_listing_clear(&listing);
}

static void test_an_id_may_name_its_algorithm(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, "[{\"type\":\"file\",\"path\":\"a\",\"lfs\":{\"oid\":\"sha256:" LONG
                       "\",\"size\":1}}]");
    assert_entry(&listing.items[0], "a", LONG, 1, true);
    kni_listing_clear(&listing);
}

static void test_files_are_found_by_their_paths(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    assert_null(kni_listing_find(&listing, "a"));
    add_page(&listing, "[" FILE_AT("a-b") "," FILE_AT("a/b") "," FILE_AT("a.b") "," FILE_AT(
                           "a/b-c/d") "," FILE_AT("\xC3\xA9") "]");
    finish(&listing);
    const char *const there[] = {"a-b", "a/b", "a.b", "a/b-c/d", "\xC3\xA9"};
    const char *const not_there[] = {"", "a", "a/", "a/b/", "a/b-c", "a/b-c/", "b", "a-", "\xC3"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        assert_entry(kni_listing_find(&listing, there[i]), there[i], A, 3, false);
    for (size_t i = 0; i < sizeof not_there / sizeof *not_there; i++)
        assert_null(kni_listing_find(&listing, not_there[i]));
    assert_string_equal(listing.items[0].path, "a/b"); /* folders first, together */
    assert_string_equal(listing.items[1].path, "a/b-c/d");
    kni_listing_clear(&listing);
}

/* `text` is refused, and the listing that it was to be added to stays as it is. */
static void assert_refused(const char *text, kn_status expected, const char *part) {
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, page);
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_listing_add_page(&listing, text, strlen(text), WHAT, &err);
    if (status != expected) fail_msg("%d for %s: %s", status, text, err.message);
    assert_int_equal(err.status, expected);
    assert_contains(err.message, WHAT ": ");
    assert_contains(err.message, part);
    for (const char *at = err.message; *at; at++) assert_true((unsigned char)*at >= 0x20);
    finish(&listing);
    assert_page_of_the_hub(&listing);
    kni_listing_clear(&listing);
}

static void test_what_is_no_listing_is_not_a_hubs(void **state) {
    (void)state;
    assert_refused("", KN_ERR_NETWORK, "not valid JSON");
    assert_refused("<html>", KN_ERR_NETWORK, "check HF_ENDPOINT");
    assert_refused("[" FILE_AT("x") ",", KN_ERR_NETWORK, "not valid JSON");
    assert_refused("{}", KN_ERR_NETWORK, "expected a list of files");
    assert_refused("[3]", KN_ERR_NETWORK, "a text 'type'");
    assert_refused("[{}]", KN_ERR_NETWORK, "a text 'type'");
    assert_refused("[{\"type\":\"file\"}]", KN_ERR_NETWORK, "expected a 'path'");
    assert_refused("[{\"type\":\"file\",\"path\":\"a\"}]", KN_ERR_NETWORK, "a text 'oid'");
    assert_refused("[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" A "\"}]", KN_ERR_NETWORK,
                   "an integer 'size'");
    assert_refused("[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" A "\",\"size\":1.5}]",
                   KN_ERR_NETWORK, "an integer 'size'");
    assert_refused("[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" A
                   "\",\"size\":99999999999999999999}]",
                   KN_ERR_NETWORK, "too big integer");
    assert_refused("[{\"type\":\"file\",\"path\":\"\xFF\",\"oid\":\"" A "\",\"size\":1}]",
                   KN_ERR_NETWORK, "unable to decode byte 0xff");
}

static void test_paths_that_lead_elsewhere_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {FILE_AT("../x"), "the path '../x' has '.' or '..' in it"},
        {FILE_AT(".."), "the path '..' has '.' or '..' in it"},
        {FILE_AT("a/../../x"), "has '.' or '..' in it"},
        {FILE_AT("a/.."), "has '.' or '..' in it"},
        {FILE_AT("./a"), "has '.' or '..' in it"},
        {FILE_AT("a/./b"), "has '.' or '..' in it"},
        {FILE_AT("\\u002e\\u002e/x"), "has '.' or '..' in it"},
        {FILE_AT("/etc/passwd"), "the path '/etc/passwd' is absolute"},
        {FILE_AT(""), "the path '' is empty"},
        {FILE_AT("a//b"), "has an empty part"},
        {FILE_AT("a/"), "has an empty part"},
        {FILE_AT("..\\\\x"), "has a backslash in it"},
        {FILE_AT("C:\\\\x"), "has a backslash in it"},
        {FILE_AT("a\\u0000b"), "a path is no text, or has a NUL in it"},
        {FILE_AT("a\\nb"), "the path 'a b' has a control character in it"},
        {FILE_AT("a\\u001bb"), "has a control character in it"},
        {FILE_AT("a\x7F"), "has a control character in it"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "[" FILE_AT("good") ",%s]", cases[i][0]);
        assert_refused(text, KN_ERR_INTEGRITY, cases[i][1]);
        assert_refused(text, KN_ERR_INTEGRITY,
                       "do not use this repository, and tell its publisher");
    }
    assert_refused("[{\"type\":\"file\",\"path\":7}]", KN_ERR_INTEGRITY, "a path is no text");
}

static void test_names_with_dots_are_good_names(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, "[" FILE_AT("...") "," FILE_AT("..a") "," FILE_AT("a../.b") "," FILE_AT(
                           "a b/\\u00e9") "]");
    finish(&listing);
    assert_int_equal(listing.count, 4);
    assert_non_null(kni_listing_find(&listing, "a b/\xC3\xA9"));
    kni_listing_clear(&listing);
}

static void with_path(char *text, size_t size, const char *path) {
    int length = snprintf(
        text, size, "[{\"type\":\"file\",\"oid\":\"" A "\",\"size\":3,\"path\":\"%s\"}]", path);
    assert_true(length > 0 && (size_t)length < size);
}

static void test_paths_have_1024_bytes_and_255_a_part(void **state) {
    (void)state;
    char text[2000], path[1100];
    kni_listing listing = {.alloc = memory()};
    memset(path, 'a', sizeof path);
    for (size_t i = 255; i < 1024; i += 256) path[i] = '/';
    path[1023] = '\0';
    with_path(text, sizeof text, path);
    add_page(&listing, text);
    assert_int_equal(listing.count, 1);
    path[1023] = path[1024] = 'a';
    path[1000] = '/';
    path[1025] = '\0';
    with_path(text, sizeof text, path);
    assert_refused(text, KN_ERR_INTEGRITY, "has more than 1024 bytes");
    path[1024] = '\0';
    with_path(text, sizeof text, path);
    add_page(&listing, text);
    memset(path, 'a', 256);
    path[256] = '\0';
    with_path(text, sizeof text, path);
    assert_refused(text, KN_ERR_INTEGRITY, "has a part of more than 255 bytes");
    kni_listing_clear(&listing);
}

#define CONTENT(oid, size) \
    "[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" oid "\",\"size\":" size "}]"
#define LFS(oid, size)                                                                        \
    "[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" A "\",\"size\":1,\"lfs\":{\"oid\":\"" oid \
    "\",\"size\":" size "}}]"

static void test_sizes_and_ids_are_checked(void **state) {
    (void)state;
    assert_refused(CONTENT(A, "-1"), KN_ERR_INTEGRITY, "'a' has -1 bytes");
    assert_refused(CONTENT(A, "17592186044417"), KN_ERR_INTEGRITY,
                   "'a' has 17592186044417 bytes, expected 0 to 17592186044416");
    assert_refused(CONTENT("", "1"), KN_ERR_INTEGRITY, "'a' has the object id ''");
    assert_refused(CONTENT("../../x", "1"), KN_ERR_INTEGRITY,
                   "'a' has the object id '../../x', expected 40 lower-case hexadecimal digits");
    assert_refused(CONTENT(A "a", "1"), KN_ERR_INTEGRITY, "expected 40");
    assert_refused(CONTENT(LONG, "1"), KN_ERR_INTEGRITY, "expected 40");
    assert_refused(CONTENT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "1"), KN_ERR_INTEGRITY,
                   "expected 40");
    assert_refused(CONTENT("sha1:" A, "1"), KN_ERR_INTEGRITY, "expected 40");
    assert_refused(LFS(LONG, "-9223372036854775807"), KN_ERR_INTEGRITY, "bytes, expected 0 to");
    assert_refused(LFS(A, "1"), KN_ERR_INTEGRITY, "expected 64 lower-case hexadecimal digits");
    assert_refused(LFS("sha256:" A, "1"), KN_ERR_INTEGRITY, "expected 64");
    assert_refused(LFS("sha256:sha256:" LONG, "1"), KN_ERR_INTEGRITY, "expected 64");
    assert_refused("[{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" A "\",\"size\":1,\"lfs\":{}}]",
                   KN_ERR_NETWORK, "a text 'oid'");
    kni_listing listing = {.alloc = memory()};
    add_page(&listing, CONTENT(A, "17592186044416"));
    add_page(&listing, LFS(LONG, "0"));
    assert_int_equal(listing.count, 2);
    kni_listing_clear(&listing);
}

static void assert_unfinished(const char *text, const char *part) {
    kni_listing listing = {.alloc = memory()};
    kn_error err = KN_ERROR_INIT;
    add_page(&listing, text);
    assert_int_equal(kni_listing_finish(&listing, WHAT, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, part);
    kni_listing_clear(&listing);
}

static void test_a_path_is_one_file(void **state) {
    (void)state;
    assert_unfinished("[" FILE_AT("a/b") "," FILE_AT("c") "," FILE_AT("a/b") "]",
                      WHAT ": 'a/b' is there more than once; do not use this repository");
    assert_unfinished(
        "[" FILE_AT("a") "," FILE_AT("a-b") "," FILE_AT("a.b") "," FILE_AT("a/b/c") "]",
        WHAT ": 'a' is both a file and a folder; do not use this repository");
    assert_unfinished(
        "[" FILE_AT("a/b/c/d") "," FILE_AT("a/b/x") "," FILE_AT("a/b") "," FILE_AT("a/b ") "]",
        "'a/b' is both a file and a folder");
}

/* A page of `count` files "<prefix>0", "<prefix>1", ... */
static char *many_files(const char *prefix, size_t count) {
    kni_text text;
    kni_text_init(&text, memory());
    for (size_t i = 0; i < count; i++) {
        kni_text_addf(&text, "%c" FILE_AT("%s%zu") "\n", i ? ',' : '[', prefix, i);
    }
    kni_text_add(&text, "]");
    char *bytes = kni_text_take(&text);
    assert_non_null(bytes);
    return bytes;
}

static void test_100000_files_are_read_and_no_more(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    char *bytes = many_files("a", 100000);
    add_page(&listing, bytes);
    kni_free(memory(), bytes);
    kn_error err = KN_ERROR_INIT;
    const char *const one = "[" FILE_AT("b") "]";
    assert_int_equal(kni_listing_add_page(&listing, one, strlen(one), WHAT, &err),
                     KN_ERR_INTEGRITY);
    assert_contains(err.message, "it has more than 100000 files");
    assert_int_equal(listing.count, 100000);
    finish(&listing);
    assert_non_null(kni_listing_find(&listing, "a99999"));
    kni_listing_clear(&listing);
}

static void test_the_folders_of_build_are_the_variants(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    char **names = (char **)1;
    size_t count = 7;
    assert_int_equal(kni_listing_variants(&listing, &names, &count, NULL), KN_OK);
    assert_null(names);
    assert_int_equal(count, 0);
    add_page(
        &listing,
        "[" FILE_AT("build/torch-universal/x/y.py") "," FILE_AT("build/torch-cpu/x") "," FILE_AT("build/torch-cpu-2/x") "," FILE_AT("build/torch-cpu/y/z") "," FILE_AT(
            "build/torch-cpu.x") "," FILE_AT("build/notes") "," FILE_AT("build.toml") "," FILE_AT("src/build/torch-cuda/x") "," FILE_AT("builds/a/b") "]");
    finish(&listing);
    assert_int_equal(kni_listing_variants(&listing, &names, &count, NULL), KN_OK);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "torch-cpu");
    assert_string_equal(names[1], "torch-cpu-2");
    assert_string_equal(names[2], "torch-universal");
    while (count) kni_free(memory(), names[--count]);
    kni_free(memory(), names);
    kni_listing_clear(&listing);
}

static void test_a_listing_that_is_written_reads_back(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()}, again = {.alloc = memory()};
    add_page(&listing, page);
    finish(&listing);
    char *bytes;
    size_t length;
    assert_int_equal(kni_listing_to_json(&listing, memory(), &bytes, &length), KN_OK);
    assert_string_equal(
        bytes, "[{\"type\":\"file\",\"path\":\".gitattributes\",\"size\":1519,\"oid\":\"" A "\"},\n"
               "{\"type\":\"file\",\"path\":\"build/torch-cpu/__init__.py\",\"size\":0,\"oid\":\"" B
               "\"},\n"
               "{\"type\":\"file\",\"path\":\"build/torch-cpu/_relu.abi3.so\",\"size\":5000000000,"
               "\"lfs\":{\"oid\":\"" LONG "\",\"size\":5000000000}}]\n");
    assert_int_equal(length, strlen(bytes));
    add_page(&again, bytes);
    finish(&again);
    assert_page_of_the_hub(&again);
    kni_free(memory(), bytes);
    kni_listing_clear(&listing);
    kni_listing_clear(&again);

    assert_int_equal(kni_listing_to_json(&listing, memory(), &bytes, &length), KN_OK);
    assert_string_equal(bytes, "[]\n");
    kni_free(memory(), bytes);
}

static void test_a_listing_that_could_not_be_read_back_is_not_written(void **state) {
    (void)state;
    char prefix[201];
    memset(prefix, 'x', 200);
    prefix[200] = '\0';
    kni_listing listing = {.alloc = memory()};
    for (size_t i = 0; i < 2; i++) {
        char *text = many_files(prefix, 50000);
        add_page(&listing, text);
        kni_free(memory(), text);
    }
    char *bytes = (char *)1;
    size_t length = 1;
    assert_int_equal(kni_listing_to_json(&listing, memory(), &bytes, &length), KN_ERR_UNSUPPORTED);
    assert_null(bytes);
    assert_int_equal(length, 0);
    kni_listing_clear(&listing);
}

static kn_status read_and_write(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_listing listing = {.alloc = alloc};
    char **names = NULL, *bytes = NULL;
    size_t count = 0, length;
    kn_status status = kni_listing_add_page(&listing, page, sizeof page - 1, WHAT, err);
    if (status) assert_int_equal(listing.count, 0);
    if (!status) status = kni_listing_finish(&listing, WHAT, err);
    if (!status) {
        status = kni_listing_variants(&listing, &names, &count, err);
        if (status) assert_true(!names && count == 0);
    }
    while (count) kni_free(alloc, names[--count]);
    kni_free(alloc, names);
    if (!status) {
        status = kni_listing_to_json(&listing, alloc, &bytes, &length);
        if (status) {
            const kn_error none = {sizeof none, status, "no memory"};
            *err = none;
        }
    }
    kni_free(alloc, bytes);
    kni_listing_clear(&listing);
    return status;
}

static void test_reading_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(read_and_write, NULL) >= 10);
}

/* As huggingface_hub 1.33 and 2.4 write it. */
static const char recorded[] =
    "{\"format_version\": 1, \"files\": {"
    "\"build/torch-cpu/_relu.abi3.so\": {\"size\": 5000000000, \"blob_id\": \"" B
    "\", \"lfs_sha256\": \"" LONG "\", \"lfs_size\": 5000000000, \"xet_hash\": \"" LONG
    "\"},\n \".gitattributes\": {\"size\": 1519, \"blob_id\": \"" A
    "\"}, \"build/torch-cpu/__init__.py\": {\"size\": 0, \"blob_id\": \"" B "\"}}}";

static void test_what_huggingface_hub_recorded_is_the_same_listing(void **state) {
    (void)state;
    kni_listing listing = {.alloc = memory()};
    kn_error err = KN_ERROR_INIT;
    if (kni_listing_add_recorded(&listing, recorded, strlen(recorded), WHAT, &err))
        fail_msg("%s", err.message);
    finish(&listing);
    assert_page_of_the_hub(&listing);
    kni_listing_clear(&listing);
}

static void test_a_record_that_makes_no_sense_adds_nothing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        kn_status status;
    } cases[] = {
        {"[]", KN_ERR_NETWORK},
        {"{\"files\": {}}", KN_ERR_NETWORK},
        {"{\"format_version\": 2, \"files\": {}}", KN_ERR_NETWORK},
        {"{\"format_version\": 1, \"files\": []}", KN_ERR_NETWORK},
        {"{\"format_version\": 1, \"files\": {\"a\": 1}}", KN_ERR_NETWORK},
        {"{\"format_version\": 1, \"files\": {\"a\": {\"blob_id\": \"" A "\"}}}", KN_ERR_NETWORK},
        {"{\"format_version\": 1, \"files\": {\"../a\": {\"size\": 1, \"blob_id\": \"" A "\"}}}",
         KN_ERR_INTEGRITY},
        {"{\"format_version\": 1, \"files\": {\"a\": {\"size\": -1, \"blob_id\": \"" A "\"}}}",
         KN_ERR_INTEGRITY},
        {"{\"format_version\": 1, \"files\": {\"b\": {\"size\": 1, \"blob_id\": \"" A
         "\"}, \"a\": {\"size\": 1, \"blob_id\": \"x\"}}}",
         KN_ERR_INTEGRITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kni_listing listing = {.alloc = memory()};
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(
            kni_listing_add_recorded(&listing, cases[i].text, strlen(cases[i].text), WHAT, &err),
            cases[i].status);
        assert_contains(err.message, WHAT);
        assert_int_equal(listing.count, 0);
        kni_listing_clear(&listing);
    }
}

static kn_status read_recorded(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_listing listing = {.alloc = alloc};
    kn_status status = kni_listing_add_recorded(&listing, recorded, strlen(recorded), WHAT, err);
    kni_listing_clear(&listing);
    return status;
}

static void test_reading_a_record_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(read_recorded, NULL) >= 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_files_of_a_page_are_read_and_sorted),
        cmocka_unit_test(test_pages_add_up),
        cmocka_unit_test(test_an_id_may_name_its_algorithm),
        cmocka_unit_test(test_files_are_found_by_their_paths),
        cmocka_unit_test(test_what_is_no_listing_is_not_a_hubs),
        cmocka_unit_test(test_paths_that_lead_elsewhere_are_refused),
        cmocka_unit_test(test_names_with_dots_are_good_names),
        cmocka_unit_test(test_paths_have_1024_bytes_and_255_a_part),
        cmocka_unit_test(test_sizes_and_ids_are_checked),
        cmocka_unit_test(test_a_path_is_one_file),
        cmocka_unit_test(test_100000_files_are_read_and_no_more),
        cmocka_unit_test(test_the_folders_of_build_are_the_variants),
        cmocka_unit_test(test_a_listing_that_is_written_reads_back),
        cmocka_unit_test(test_a_listing_that_could_not_be_read_back_is_not_written),
        cmocka_unit_test(test_reading_without_memory_fails_cleanly),
        cmocka_unit_test(test_what_huggingface_hub_recorded_is_the_same_listing),
        cmocka_unit_test(test_a_record_that_makes_no_sense_adds_nothing),
        cmocka_unit_test(test_reading_a_record_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
