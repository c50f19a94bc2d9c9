/* SPDX-License-Identifier: Apache-2.0 */
#include "load/source.h"

#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define METADATA "{\"id\": \"_relu_cpu_1\", \"name\": \"my-relu\", \"version\": 1}"

static const kn_system cpu_system = {
    .size = sizeof(kn_system),
    .torch_major = 2,
    .torch_minor = 13,
    .torch_cxx11_abi = 1,
    .tvm_ffi_major = -1,
    .tvm_ffi_minor = -1,
    .backend = "cpu",
    .arch = "x86_64",
    .os = "linux",
};

static const kni_refused_builds none;
static scratch_folder scratch;

static int make_scratch(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    return 0;
}

static int remove_scratch(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

/* A build variant in the folder `relative`. */
static void make_variant(const char *relative) {
    char path[300];
    snprintf(path, sizeof path, "%s/metadata.json", relative);
    scratch_file(&scratch, path, METADATA);
    snprintf(path, sizeof path, "%s/__init__.py", relative);
    scratch_file(&scratch, path, "");
}

static void assert_found(const char *asked, const char *variant, const char *folder,
                         const char *entry) {
    kni_kernel_source source;
    kn_error err = KN_ERROR_INIT;
    if (kni_kernel_source_find(NULL, scratch_path(&scratch, asked), &cpu_system, &none, &source,
                               &err)) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(source.variant, variant);
    assert_string_equal(source.folder, scratch_path(&scratch, folder));
    assert_string_equal(source.entry, scratch_path(&scratch, entry));
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(source.metadata, &info);
    assert_string_equal(info.id, "_relu_cpu_1");
    kni_kernel_source_clear(&source);
    assert_null(source.folder);
    kni_kernel_source_clear(&source);
}

static kn_error assert_fails(const char *asked, const kn_system *system, kn_status expected) {
    kni_kernel_source source;
    memset(&source, 0xAA, sizeof source);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kni_kernel_source_find(NULL, scratch_path(&scratch, asked), system, &none, &source, &err),
        expected);
    assert_int_equal(err.status, expected);
    assert_contains(err.message, scratch_path(&scratch, asked));
    assert_null(source.alloc);
    assert_null(source.folder);
    assert_null(source.variant);
    assert_null(source.entry);
    assert_null(source.metadata);
    return err;
}

static void test_a_variant_in_the_path_is_found(void **state) {
    (void)state;
    make_variant("k/torch-cpu");
    assert_found("k", "torch-cpu", "k/torch-cpu", "k/torch-cpu/__init__.py");
}

static void test_a_variant_in_the_folder_build_is_found(void **state) {
    (void)state;
    make_variant("k/build/torch-cpu");
    scratch_directory(&scratch, "k/torch-ext"); /* sources: it looks like a variant's name */
    assert_found("k", "torch-cpu", "k/build/torch-cpu", "k/build/torch-cpu/__init__.py");
}

static void test_a_variant_in_the_path_comes_before_one_in_build(void **state) {
    (void)state;
    make_variant("k/torch-universal");
    make_variant("k/build/torch-stable-abi210-cpu-x86_64-linux");
    assert_found("k", "torch-universal", "k/torch-universal", "k/torch-universal/__init__.py");
}

static void test_the_best_of_several_variants_is_taken(void **state) {
    (void)state;
    make_variant("k/build/torch-universal");
    make_variant("k/build/torch213-cxx11-cpu-x86_64-linux");
    make_variant("k/build/torch-stable-abi29-cpu-x86_64-linux");
    make_variant("k/build/torch-stable-abi210-cpu-x86_64-linux");
    make_variant("k/build/torch-stable-abi214-cpu-x86_64-linux");
    make_variant("k/build/torch-stable-abi210-cpu-aarch64-linux");
    assert_found("k", "torch-stable-abi210-cpu-x86_64-linux",
                 "k/build/torch-stable-abi210-cpu-x86_64-linux",
                 "k/build/torch-stable-abi210-cpu-x86_64-linux/__init__.py");
}

static void test_a_path_right_to_a_variant_is_taken_whatever_its_name(void **state) {
    (void)state;
    make_variant("k/build/torch-cuda");
    make_variant("mine");
    assert_found("k/build/torch-cuda", "torch-cuda", "k/build/torch-cuda",
                 "k/build/torch-cuda/__init__.py");
    assert_found("mine/", "mine", "mine", "mine/__init__.py");
}

static void test_a_variant_beside_metadata_comes_first(void **state) {
    (void)state;
    make_variant("k");
    make_variant("k/build/torch-cpu");
    assert_found("k", "torch-cpu", "k/build/torch-cpu", "k/build/torch-cpu/__init__.py");
}

static void test_the_module_may_be_a_folder_of_the_kernels_name(void **state) {
    (void)state;
    scratch_file(&scratch, "k/torch-cpu/metadata.json", METADATA);
    scratch_file(&scratch, "k/torch-cpu/my_relu/__init__.py", "");
    assert_found("k", "torch-cpu", "k/torch-cpu", "k/torch-cpu/my_relu/__init__.py");
    scratch_file(&scratch, "k/torch-cpu/__init__.py", "");
    assert_found("k", "torch-cpu", "k/torch-cpu", "k/torch-cpu/__init__.py");
}

/* In the cache of huggingface_hub each file is a link to a blob: the folder is resolved, the file
 * is not. */
static void test_links_to_folders_are_followed_and_links_to_files_kept(void **state) {
    (void)state;
    scratch_file(&scratch, "blobs/1", METADATA);
    scratch_file(&scratch, "blobs/2", "");
    scratch_link(&scratch, "snapshot/build/torch-cpu/metadata.json", "../../../blobs/1");
    scratch_link(&scratch, "snapshot/build/torch-cpu/__init__.py", "../../../blobs/2");
    scratch_link(&scratch, "latest", "snapshot");
    assert_found("latest", "torch-cpu", "snapshot/build/torch-cpu",
                 "snapshot/build/torch-cpu/__init__.py");
}

static void test_a_variant_that_is_a_link_keeps_its_name(void **state) {
    (void)state;
    make_variant("store/abc");
    scratch_link(&scratch, "k/build/torch-cpu", "../../store/abc");
    assert_found("k", "torch-cpu", "store/abc", "store/abc/__init__.py");
}

static void test_a_path_that_is_not_there_is_told(void **state) {
    (void)state;
    kn_error err = assert_fails("none", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "there is no such path");
    assert_contains(err.message, "give a directory that has build variants");
    scratch_file(&scratch, "file", "");
    err = assert_fails("file", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "it is not a directory");
}

static void test_a_directory_without_variants_is_told(void **state) {
    (void)state;
    scratch_directory(&scratch, "k");
    scratch_directory(&scratch, "k/src");
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "Cannot find a build variant for this system in ");
    assert_contains(
        err.message,
        "neither it nor its folder 'build' has a folder with the name of a build variant");
}

static void test_variants_of_other_systems_are_listed_with_their_reasons(void **state) {
    (void)state;
    make_variant("k/build/torch213-cpu-aarch64-linux");
    make_variant("k/build/torch-cuda");
    scratch_directory(&scratch, "k/torch-ext");
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    char expected[3000];
    snprintf(
        expected, sizeof expected,
        "Cannot find a build variant for this system in '%s/k': this is torch 2.13, no tvm-ffi, cpu, "
        "x86_64-linux; build the kernel for it, or use a version of the kernel that has it. In '%s/k/build' "
        "are:\n"
        "  torch-cuda: backend (cuda) does not match system backend (cpu) and is not universal\n"
        "  torch213-cpu-aarch64-linux: CPU (aarch64) does not match system CPU (x86_64)",
        scratch.path, scratch.path);
    assert_string_equal(err.message, expected);
}

/* Only what such a build imports is missing; builds for other machines need more than that. */
static void test_a_python_without_tvm_ffi_is_told_both_ways_to_a_native_build(void **state) {
    (void)state;
    make_variant("k/build/tvm-ffi01-cu130-x86_64-linux");
    make_variant("k/build/tvm-ffi02-cpu-x86_64-linux");
    kn_system python = cpu_system;
    python.python = "3.11";
    kn_error err = assert_fails("k", &python, KN_ERR_NOT_FOUND);
    assert_contains(err.message,
                    "x86_64-linux; 'pip install apache-tvm-ffi==0.2.*' installs what "
                    "'tvm-ffi02-cpu-x86_64-linux' imports, and kernels.native.get_kernel calls its "
                    "functions without that. In '");
    const char *plain = "build the kernel for it, or use a version of the kernel that has it. In";
    err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND); /* no Python: nothing to install */
    assert_contains(err.message, plain);
    python.native = true;
    err = assert_fails("k", &python, KN_ERR_NOT_FOUND);
    assert_contains(err.message, plain);
    python.native = false;
    python.tvm_ffi_major = 0, python.tvm_ffi_minor = 1;
    err = assert_fails("k", &python, KN_ERR_NOT_FOUND);
    assert_contains(err.message, plain);
    python.tvm_ffi_major = -1;
    python.arch = "aarch64";
    err = assert_fails("k", &python, KN_ERR_NOT_FOUND);
    assert_contains(err.message, plain);
}

static void test_refused_variants_in_the_path_are_listed_where_build_has_none(void **state) {
    (void)state;
    make_variant("k/torch213-cpu-aarch64-linux");
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "/k' are:\n  torch213-cpu-aarch64-linux: CPU (aarch64)");
}

static void test_a_long_list_of_variants_says_how_many_more(void **state) {
    (void)state;
    char path[100];
    for (int i = 10; i < 90; i++) {
        snprintf(path, sizeof path, "k/build/torch2%d-cpu-aarch64-linux", i);
        scratch_file(&scratch, path, ""); /* a file is no variant */
        snprintf(path, sizeof path, "k/build/torch3%d-cpu-aarch64-linux", i);
        make_variant(path);
    }
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "\n  torch310-cpu-aarch64-linux: CPU (aarch64)");
    assert_null(strstr(err.message, "torch2"));
    const char *more = strstr(err.message, "\n  and ");
    assert_non_null(more);
    assert_non_null(strstr(more, " more"));
    assert_true(strlen(err.message) < KN_ERROR_TEXT_MAX - 1);
}

static void test_a_variant_without_metadata_is_told(void **state) {
    (void)state;
    scratch_file(&scratch, "k/build/torch-cpu/__init__.py", "");
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "build variant 'torch-cpu'");
    assert_contains(err.message, "has no metadata.json");
    assert_contains(err.message, "build the kernel again");
}

static void test_broken_metadata_names_the_file(void **state) {
    (void)state;
    scratch_file(&scratch, "k/torch-cpu/metadata.json", "{\"id\": ");
    scratch_file(&scratch, "k/torch-cpu/__init__.py", "");
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_VALUE);
    assert_contains(err.message, "/k/torch-cpu/metadata.json: not valid JSON: line 1");
}

static void test_a_variant_without_a_module_is_told(void **state) {
    (void)state;
    scratch_file(&scratch, "k/torch-cpu/metadata.json", METADATA);
    kn_error err = assert_fails("k", &cpu_system, KN_ERR_NOT_FOUND);
    assert_contains(err.message, "No kernel module found at: ");
    assert_contains(err.message, "neither '__init__.py' nor 'my_relu/__init__.py' is there");
}

static void test_a_system_that_is_not_described_is_refused(void **state) {
    (void)state;
    make_variant("k/torch-cpu");
    kn_system system = cpu_system;
    system.backend = "abacus";
    kni_kernel_source source;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kni_kernel_source_find(NULL, scratch_path(&scratch, "k"), &system, &none, &source, &err),
        KN_ERR_VALUE);
    assert_contains(err.message, "not 'abacus'");
    assert_null(source.alloc);
}

static kn_status find_kernel(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kni_kernel_source source;
    kn_status status = kni_kernel_source_find(alloc, scratch_path(&scratch, ctx), &cpu_system,
                                              &none, &source, err);
    if (status) assert_null(source.alloc);
    kni_kernel_source_clear(&source);
    return status;
}

static void test_finding_without_memory_fails_cleanly(void **state) {
    (void)state;
    char in_build[] = "k", direct[] = "direct", refused[] = "refused";
    scratch_file(&scratch, "k/build/torch-cpu/metadata.json", METADATA);
    scratch_file(&scratch, "k/build/torch-cpu/my_relu/__init__.py", "");
    scratch_directory(&scratch, "k/torch-ext");
    make_variant("direct");
    make_variant("refused/torch213-cpu-aarch64-linux");
    assert_true(fault_sweep(find_kernel, in_build) > 20);
    assert_true(fault_sweep(find_kernel, direct) > 10);
    assert_true(fault_sweep_expecting(find_kernel, refused, KN_ERR_NOT_FOUND) > 5);
}

#define in_scratch(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

/* ---- builds that are passed over ---- */

static void test_a_build_that_is_refused_leaves_the_next_best(void **state) {
    (void)state;
    make_variant("k/build/torch-cpu");
    make_variant("k/build/torch-universal");
    kni_refused_builds refused = {0};
    kni_kernel_source source;
    kn_error err = KN_ERROR_INIT;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    const char *path = scratch_path(&scratch, "k");
    assert_int_equal(
        kni_refused_add(alloc, &refused, "torch-cpu", KN_ERR_RUNTIME, "has no code", &err), KN_OK);
    assert_int_equal(kni_kernel_source_find(NULL, path, &cpu_system, &refused, &source, &err),
                     KN_OK);
    assert_string_equal(source.variant, "torch-universal");
    kni_kernel_source_clear(&source);
    assert_int_equal(kni_refused_add(alloc, &refused, "torch-universal", KN_ERR_NOT_FOUND,
                                     "is for another machine", &err),
                     KN_OK);
    assert_int_equal(kni_kernel_source_find(NULL, path, &cpu_system, &refused, &source, &err),
                     KN_ERR_RUNTIME);
    assert_contains(err.message, "are:\n  torch-cpu: has no code\n"
                                 "  torch-universal: is for another machine");
    kni_refused_clear(alloc, &refused);
}

static void test_a_path_right_to_a_refused_build_says_why(void **state) {
    (void)state;
    make_variant("k/torch-cpu");
    kni_refused_builds refused = {0};
    kni_kernel_source source;
    kn_error err = KN_ERROR_INIT;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kni_refused_add(alloc, &refused, "torch-cpu", KN_ERR_NOT_FOUND, "it is too new", &err);
    assert_int_equal(kni_kernel_source_find(NULL, scratch_path(&scratch, "k/torch-cpu"),
                                            &cpu_system, &refused, &source, &err),
                     KN_ERR_NOT_FOUND);
    assert_contains(err.message, "k/torch-cpu' cannot be loaded here: it is too new");
    kni_refused_clear(alloc, &refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_scratch(test_a_build_that_is_refused_leaves_the_next_best),
        in_scratch(test_a_path_right_to_a_refused_build_says_why),
        in_scratch(test_a_variant_in_the_path_is_found),
        in_scratch(test_a_variant_in_the_folder_build_is_found),
        in_scratch(test_a_variant_in_the_path_comes_before_one_in_build),
        in_scratch(test_the_best_of_several_variants_is_taken),
        in_scratch(test_a_path_right_to_a_variant_is_taken_whatever_its_name),
        in_scratch(test_a_variant_beside_metadata_comes_first),
        in_scratch(test_the_module_may_be_a_folder_of_the_kernels_name),
        in_scratch(test_links_to_folders_are_followed_and_links_to_files_kept),
        in_scratch(test_a_variant_that_is_a_link_keeps_its_name),
        in_scratch(test_a_path_that_is_not_there_is_told),
        in_scratch(test_a_directory_without_variants_is_told),
        in_scratch(test_variants_of_other_systems_are_listed_with_their_reasons),
        in_scratch(test_a_python_without_tvm_ffi_is_told_both_ways_to_a_native_build),
        in_scratch(test_refused_variants_in_the_path_are_listed_where_build_has_none),
        in_scratch(test_a_long_list_of_variants_says_how_many_more),
        in_scratch(test_a_variant_without_metadata_is_told),
        in_scratch(test_broken_metadata_names_the_file),
        in_scratch(test_a_variant_without_a_module_is_told),
        in_scratch(test_a_system_that_is_not_described_is_refused),
        in_scratch(test_finding_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
