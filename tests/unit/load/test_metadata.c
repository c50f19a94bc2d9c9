/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/metadata.h>
#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

/* As kernel-builder 0.17 writes it, with each field that it knows. */
static const char full[] =
    "{\n"
    "  \"name\": \"flash-attn\",\n"
    "  \"id\": \"_flash_attn_cuda_0a1b2c3\",\n"
    "  \"version\": 3,\n"
    "  \"license\": \"BSD-3-Clause\",\n"
    "  \"upstream\": \"https://github.com/Dao-AILab/flash-attention\",\n"
    "  \"source\": \"https://github.com/huggingface/kernels-community\",\n"
    "  \"kernels-minver\": \"0.15.1\",\n"
    "  \"python-depends\": [\"einops\", \"nvidia-cutlass-dsl\"],\n"
    "  \"kernel-depends\": [{\"repo-id\": \"kernels-community/relu\", \"version\": 1}, "
    "{\"repo-id\": \"org/gelu\", \"revision\": \"main\"}],\n"
    "  \"backend\": {\"type\": \"cuda\", \"archs\": [\"8.0\", \"9.0a\"]},\n"
    "  \"digest\": {\"algorithm\": \"sha256\", \"files\": {\"__init__.py\": "
    "\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"}},\n"
    "  \"provenance\": {\"kernel-builder\": {\"version\": \"0.17.0\", \"sha\": "
    "\"0123456789abcdef0123456789abcdef01234567\", \"dirty\": false},\n"
    "    \"kernel\": {\"sha\": \"FEDCBA9876543210FEDCBA9876543210FEDCBA98\", \"dirty\": true}}\n"
    "}\n";

static kn_metadata *parse(const char *text) {
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (kn_metadata_parse(NULL, text, strlen(text), "k/metadata.json", &metadata, &err)) {
        fail_msg("%s", err.message);
    }
    return metadata;
}

static kn_metadata_info info_of(const kn_metadata *metadata) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    return info;
}

static void assert_refused(const char *text, const char *part) {
    kn_metadata *metadata = (kn_metadata *)1;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kn_metadata_parse(NULL, text, strlen(text), "k/metadata.json", &metadata, &err),
        KN_ERR_VALUE);
    assert_null(metadata);
    assert_contains(err.message, "k/metadata.json: ");
    assert_contains(err.message, part);
    assert_null(strchr(err.message, '\n'));
}

static void test_every_field_is_read(void **state) {
    (void)state;
    kn_metadata *metadata = parse(full);
    kn_metadata_info info = info_of(metadata);
    assert_string_equal(info.id, "_flash_attn_cuda_0a1b2c3");
    assert_string_equal(info.name, "flash-attn");
    assert_string_equal(info.module_name, "flash_attn");
    assert_int_equal(info.version, 3);
    assert_string_equal(info.license, "BSD-3-Clause");
    assert_string_equal(info.kernels_minver, "0.15.1");
    assert_string_equal(info.backend, "cuda");
    assert_int_equal(kn_metadata_python_depends_count(metadata), 2);
    assert_string_equal(kn_metadata_python_depends(metadata, 0), "einops");
    assert_string_equal(kn_metadata_python_depends(metadata, 1), "nvidia-cutlass-dsl");
    assert_int_equal(kn_metadata_archs_count(metadata), 2);
    assert_string_equal(kn_metadata_archs(metadata, 0), "8.0");
    assert_string_equal(kn_metadata_archs(metadata, 1), "9.0a");
    assert_true(info.has_archs);
    assert_string_equal(info.upstream, "https://github.com/Dao-AILab/flash-attention");
    assert_string_equal(info.source, "https://github.com/huggingface/kernels-community");
    kn_metadata_free(metadata);
    kn_metadata_free(NULL);
}

static void test_dependencies_on_kernels_are_read(void **state) {
    (void)state;
    kn_metadata *metadata = parse(full);
    assert_int_equal(kn_metadata_kernel_depends_count(metadata), 2);
    kn_kernel_depend depend = {.size = sizeof depend};
    kn_metadata_kernel_depends(metadata, 0, &depend);
    assert_string_equal(depend.repo_id, "kernels-community/relu");
    assert_int_equal(depend.version, 1);
    assert_null(depend.revision);
    kn_metadata_kernel_depends(metadata, 1, &depend);
    assert_string_equal(depend.repo_id, "org/gelu");
    assert_int_equal(depend.version, -1);
    assert_string_equal(depend.revision, "main");
    kn_metadata_free(metadata);
}

static void test_the_digest_is_read(void **state) {
    (void)state;
    kn_metadata *metadata = parse(full);
    assert_int_equal(info_of(metadata).digest, KN_DIGEST_SHA256);
    assert_int_equal(kn_metadata_digest_count(metadata), 1);
    assert_string_equal(kn_metadata_digest_path(metadata, 0), "__init__.py");
    assert_string_equal(kn_metadata_digest_base64(metadata, 0),
                        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    kn_metadata_free(metadata);
}

static void test_provenance_is_read(void **state) {
    (void)state;
    kn_metadata *metadata = parse(full);
    kn_metadata_info info = info_of(metadata);
    assert_string_equal(info.builder_version, "0.17.0");
    assert_string_equal(info.builder_commit, "0123456789abcdef0123456789abcdef01234567");
    assert_false(info.builder_dirty);
    assert_string_equal(info.kernel_commit, "fedcba9876543210fedcba9876543210fedcba98");
    assert_true(info.kernel_dirty);
    kn_metadata_free(metadata);
}

static void assert_only_names(const char *text) {
    kn_metadata *metadata = parse(text);
    kn_metadata_info info = info_of(metadata);
    assert_string_equal(info.id, "a_b");
    assert_string_equal(info.name, "a-b");
    assert_int_equal(info.version, -1);
    assert_null(info.license);
    assert_null(info.kernels_minver);
    assert_null(info.backend);
    assert_int_equal(kn_metadata_python_depends_count(metadata), 0);
    assert_int_equal(kn_metadata_archs_count(metadata), 0);
    assert_int_equal(kn_metadata_kernel_depends_count(metadata), 0);
    assert_int_equal(kn_metadata_digest_count(metadata), 0);
    assert_int_equal(info.digest, KN_DIGEST_NONE);
    assert_false(info.has_archs);
    assert_null(info.upstream);
    assert_null(info.source);
    assert_null(info.builder_version);
    assert_null(info.builder_commit);
    assert_null(info.kernel_commit);
    assert_false(info.builder_dirty || info.kernel_dirty);
    kn_metadata_free(metadata);
}

static void test_only_id_and_name_are_needed(void **state) {
    (void)state;
    assert_only_names("{\"id\": \"a_b\", \"name\": \"a-b\"}");
}

static void test_fields_that_are_newer_are_passed_over(void **state) {
    (void)state;
    assert_only_names(
        "{\"id\": \"a_b\", \"name\": \"a-b\", \"layers\": {\"SiLU\": [1, 2.5, null]}, "
        "\"note\": \"a\\u0000b\"}");
}

static void test_optional_fields_of_another_type_are_passed_over(void **state) {
    (void)state;
    assert_only_names(
        "{\"id\": \"a_b\", \"name\": \"a-b\", \"version\": \"3\", \"license\": null, "
        "\"kernels-minver\": 0.15, \"python-depends\": \"einops\", \"backend\": \"cuda\"}");
    assert_only_names("{\"id\": \"a_b\", \"name\": \"a-b\", \"version\": -1, \"license\": [], "
                      "\"kernels-minver\": {}, \"python-depends\": {\"a\": 1}, "
                      "\"backend\": {\"type\": 3, \"archs\": \"9.0\"}}");
    assert_only_names(
        "{\"id\": \"a_b\", \"name\": \"a-b\", \"version\": 1.5, \"backend\": [\"type\"]}");
}

static void test_items_of_lists_that_are_no_text_are_left_out(void **state) {
    (void)state;
    kn_metadata *metadata =
        parse("{\"id\": \"a_b\", \"name\": \"a-b\", \"python-depends\": [1, \"einops\", null], "
              "\"backend\": {\"archs\": [9.0, \"9.0\"]}}");
    assert_int_equal(kn_metadata_python_depends_count(metadata), 1);
    assert_string_equal(kn_metadata_python_depends(metadata, 0), "einops");
    assert_int_equal(kn_metadata_archs_count(metadata), 1);
    assert_string_equal(kn_metadata_archs(metadata, 0), "9.0");
    kn_metadata_free(metadata);
}

static void test_a_backend_that_is_newer_is_kept_as_it_is(void **state) {
    (void)state;
    kn_metadata *metadata =
        parse("{\"id\": \"a_b\", \"name\": \"a-b\", \"backend\": {\"type\": \"npu\"}}");
    assert_string_equal(info_of(metadata).backend, "npu");
    kn_metadata_free(metadata);
}

static void test_what_is_not_json_is_refused(void **state) {
    (void)state;
    assert_refused("", "not valid JSON: line 1");
    assert_refused("{\"id\": \"a_b\",", "not valid JSON");
    assert_refused("{\"id\": \"a\", \"id\": \"b\", \"name\": \"a-b\"}", "duplicate object key");
    assert_refused("[]", "expected a JSON object");
}

static void test_a_missing_id_or_name_is_refused(void **state) {
    (void)state;
    assert_refused("{}", "it needs a text 'id'; build the kernel again");
    assert_refused("{\"name\": \"a-b\"}", "it needs a text 'id'");
    assert_refused("{\"id\": 3, \"name\": \"a-b\"}", "it needs a text 'id'");
    assert_refused("{\"id\": \"a\\u0000b\", \"name\": \"a-b\"}", "it needs a text 'id'");
    assert_refused("{\"id\": \"a_b\"}", "it needs a text 'name'");
    assert_refused("{\"id\": \"a_b\", \"name\": null}", "it needs a text 'name'");
}

static void with_fields(char *text, size_t size, const char *id, const char *name) {
    int length = snprintf(text, size, "{\"id\": \"%s\", \"name\": \"%s\"}", id, name);
    assert_true(length > 0 && (size_t)length < size);
}

static void test_names_keep_to_the_pattern(void **state) {
    (void)state;
    const char *const good[] = {"ab", "a1", "a--b", "flash-attn3", "relu"};
    const char *const bad[] = {"",   "a",   "A-b", "a_b",        "a-",   "-a",
                               "1a", "a b", "a.b", "a-\xC3\xA9", "ab\\n"};
    char text[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        with_fields(text, sizeof text, "a_b", good[i]);
        kn_metadata *metadata = parse(text);
        assert_string_equal(info_of(metadata).name, good[i]);
        kn_metadata_free(metadata);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        with_fields(text, sizeof text, "a_b", bad[i]);
        assert_refused(text, "does not match ^[a-z][-a-z0-9]*[a-z0-9]$");
    }
}

static void test_ids_can_be_names_of_modules(void **state) {
    (void)state;
    const char *const good[] = {"a", "_relu_cpu_0a1b", "cv-utils", "a.b", "1a", "\xC3\xA9"};
    const char *const bad[] = {"",   "a/b",  "a\\\\b",  "..",    ".",       ".a",
                               "a.", "a..b", "../../x", "a\\nb", "a\\u007f"};
    char text[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        with_fields(text, sizeof text, good[i], "a-b");
        kn_metadata *metadata = parse(text);
        assert_string_equal(info_of(metadata).id, good[i]);
        kn_metadata_free(metadata);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        with_fields(text, sizeof text, bad[i], "a-b");
        assert_refused(text, "cannot be the name of a Python module");
    }
}

static void test_a_long_name_is_cut_between_characters_in_the_message(void **state) {
    (void)state;
    char text[400] = "{\"id\": \"a\", \"name\": \"x", name[301];
    for (size_t i = 0; i < 300; i += 3) memcpy(name + i, "\xE2\x82\xAC", 3);
    name[300] = '\0';
    with_fields(text, sizeof text, "a_b", name);
    kn_error err = KN_ERROR_INIT;
    kn_metadata *metadata;
    assert_int_equal(kn_metadata_parse(NULL, text, strlen(text), "m", &metadata, &err),
                     KN_ERR_VALUE);
    const char *cut = strstr(err.message, "name '");
    assert_non_null(cut);
    assert_int_equal(strcspn(cut + 6, "'"), 78); /* 26 characters of 3 bytes */
}

static void test_a_caller_of_an_older_version_gets_the_fields_that_it_knows(void **state) {
    (void)state;
    kn_metadata *metadata = parse(full);
    kn_metadata_info info = {.size = offsetof(kn_metadata_info, license), .license = "untouched"};
    kn_metadata_get(metadata, &info);
    assert_int_equal(info.version, 3);
    assert_string_equal(info.license, "untouched");
    kn_metadata_free(metadata);
}

static kn_status parse_full(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kn_metadata *metadata;
    kn_status status = kn_metadata_parse(alloc, full, sizeof full - 1, "m", &metadata, err);
    if (status) assert_null(metadata);
    kn_metadata_free(metadata);
    return status;
}

static void test_parsing_without_memory_fails_cleanly(void **state) {
    (void)state;
    /* the object, 11 texts, 2 lists of texts with 4 items, 2 dependencies and a file in a list each
     */
    assert_int_equal(fault_sweep(parse_full, NULL), 25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read),
        cmocka_unit_test(test_dependencies_on_kernels_are_read),
        cmocka_unit_test(test_the_digest_is_read),
        cmocka_unit_test(test_provenance_is_read),
        cmocka_unit_test(test_only_id_and_name_are_needed),
        cmocka_unit_test(test_fields_that_are_newer_are_passed_over),
        cmocka_unit_test(test_optional_fields_of_another_type_are_passed_over),
        cmocka_unit_test(test_items_of_lists_that_are_no_text_are_left_out),
        cmocka_unit_test(test_a_backend_that_is_newer_is_kept_as_it_is),
        cmocka_unit_test(test_what_is_not_json_is_refused),
        cmocka_unit_test(test_a_missing_id_or_name_is_refused),
        cmocka_unit_test(test_names_keep_to_the_pattern),
        cmocka_unit_test(test_ids_can_be_names_of_modules),
        cmocka_unit_test(test_a_long_name_is_cut_between_characters_in_the_message),
        cmocka_unit_test(test_a_caller_of_an_older_version_gets_the_fields_that_it_knows),
        cmocka_unit_test(test_parsing_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
