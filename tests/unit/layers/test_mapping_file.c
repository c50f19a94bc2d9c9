/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/mapping_file.h"

#include "support/failing_alloc.h"
#include "support/toml_text.h"
#include "support/unit.h"

static kn_mapping *mapping_of(const char *toml) {
    kn_mapping *mapping;
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(toml, "m.toml");
    if (kni_mapping_parse(NULL, document, "m.toml", &mapping, &err)) fail_msg("%s", err.message);
    kni_json_free(document);
    return mapping;
}

/* What a layer gets for inference. */
static kn_repo_info found(const kn_mapping *mapping, const char *layer, kn_device_type device,
                          int64_t capability, kn_mode mode) {
    kn_mode_repo repo;
    kn_repo_info info;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_mapping_find(mapping, layer, device, capability, mode, &repo),
                     KN_MAPPING_FOUND);
    assert_int_equal(kn_repo_describe(repo.repo, &info, &err), KN_OK);
    return info;
}

static void test_a_repository_serves_every_mode(void **state) {
    (void)state;
    kn_mapping *m =
        mapping_of("[RMSNorm.cuda]\nrepo = \"org/norm\"\nversion = 1\n"
                   "[SiLU.cpu]\nrepo = \"org/act\"\nlayer = \"Silu\"\nrevision = \"main\"\n"
                   "[SiLU.rocm]\npath = \"/kernels/act\"\n");
    kn_repo_info info = found(m, "RMSNorm", KN_DEVICE_CUDA, 90, KN_MODE_TRAINING);
    assert_int_equal(info.kind, KN_REPO_HUB);
    assert_string_equal(info.id, "org/norm");
    assert_string_equal(info.layer_name, "RMSNorm"); /* the layer's own name */
    assert_string_equal(info.version, "1");
    assert_null(info.revision);
    info = found(m, "SiLU", KN_DEVICE_CPU, -1, KN_MODE_INFERENCE);
    assert_string_equal(info.layer_name, "Silu");
    assert_string_equal(info.revision, "main");
    assert_null(info.version);
    info = found(m, "SiLU", KN_DEVICE_ROCM, 90, KN_MODE_INFERENCE);
    assert_int_equal(info.kind, KN_REPO_LOCAL);
    assert_string_equal(info.id, "/kernels/act");
    kn_mapping_release(m);
}

static void test_each_mode_can_have_its_own(void **state) {
    (void)state;
    kn_mapping *m =
        mapping_of("[L.cpu.inference]\nrepo = \"o/i\"\n"
                   "[L.cpu.\"TRAINING|torch_compile\"]\nrepo = \"o/t\"\nversion = \">=1\"\n");
    assert_string_equal(found(m, "L", KN_DEVICE_CPU, -1, KN_MODE_INFERENCE).id, "o/i");
    kn_repo_info info = found(m, "L", KN_DEVICE_CPU, -1, KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE);
    assert_string_equal(info.id, "o/t");
    assert_string_equal(info.version, ">=1");
    kn_mapping_release(m);
}

static void test_each_range_of_capabilities_can_have_its_own(void **state) {
    (void)state;
    kn_mapping *m = mapping_of("[[L.cuda]]\nmin-capability = 90\nrepo = \"o/new\"\n"
                               "[[L.cuda]]\nmax-capability = 89\ninference = {repo = \"o/old\"}\n");
    assert_string_equal(found(m, "L", KN_DEVICE_CUDA, 90, KN_MODE_INFERENCE).id, "o/new");
    assert_string_equal(found(m, "L", KN_DEVICE_CUDA, 80, KN_MODE_INFERENCE).id, "o/old");
    kn_mapping_release(m);
}

static void assert_refused(const char *toml, const char *expected) {
    kn_mapping *mapping;
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(toml, "m.toml");
    assert_int_equal(kni_mapping_parse(NULL, document, "m.toml", &mapping, &err), KN_ERR_VALUE);
    assert_null(mapping);
    assert_contains(err.message, expected);
    kni_json_free(document);
}

static void test_what_makes_no_sense_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused("L = 1\n", "m.toml:1:1: `L`: expected a table of devices");
    assert_refused("[L.gpu]\nrepo = \"o/x\"\n", "m.toml:1:4: ");
    assert_refused("[L]\ncpu = \"o/x\"\n", "m.toml:2:1: `L`: expected a table with repo or path");
    assert_refused("[L.cpu]\nrepos = \"o/x\"\n", "m.toml:2:1: unknown key 'repos' for `L`");
    assert_refused("[L.cpu]\nrepo = \"o/x\"\nverson = 1\n",
                   "m.toml:3:1: unknown key 'verson' in a repository; did you mean 'version'?");
    assert_refused("[L.cpu]\nrepo = \"o/x\"\npath = \"/x\"\n", "both repo and path");
    assert_refused("[L.cpu]\nrepo = \"o/x\"\nversion = 1\nrevision = \"main\"\n",
                   "m.toml:1:4: `L`: both version and revision");
    assert_refused("[L.cpu]\npath = \"/x\"\nversion = 1\n", "`L`: a directory has no version");
    assert_refused("[L.cpu]\nrepo = \"o/x\"\nversion = -1\n", "m.toml:3:1: version: expected 0");
    assert_refused("[L.cpu.inference]\nversion = 1\n", "`L`: a repository without repo or path");
    assert_refused(
        "[L.cpu]\ninference = {repo = \"o/x\"}\n\"inference|training\" = {repo = \"o/y\"}\n",
        "m.toml:3:1: Mode.INFERENCE and Mode.TRAINING are mutually exclusive.");
    assert_refused("[[L.cuda]]\nrepo = \"o/x\"\nmin-capability = 90\nmax-capability = 80\n",
                   "m.toml:1:1: ");
    assert_refused("[L.cpu]\nrepo = \"o/x\"\nmin-capability = 90\n",
                   "devices have no capabilities");
    assert_refused("[L.cuda]\nrepo = \"o/x\"\nmin-capability = \"9.0\"\n",
                   "m.toml:3:1: min-capability: expected major * 10 + minor");
}

static kn_status parse_and_release(const kn_alloc *alloc, void *document, kn_error *err) {
    kn_mapping *mapping;
    kn_status status = kni_mapping_parse(alloc, document, "m.toml", &mapping, err);
    kn_mapping_release(mapping);
    return status;
}

static void test_lack_of_memory_is_told(void **state) {
    (void)state;
    kni_json *document = toml_document("[L.cpu.inference]\nrepo = \"o/i\"\nversion = 1\n"
                                       "[[M.cuda]]\nmin-capability = 90\nrepo = \"o/new\"\n",
                                       "m.toml");
    assert_true(fault_sweep(parse_and_release, document) > 10);
    kni_json_free(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repository_serves_every_mode),
        cmocka_unit_test(test_each_mode_can_have_its_own),
        cmocka_unit_test(test_each_range_of_capabilities_can_have_its_own),
        cmocka_unit_test(test_what_makes_no_sense_is_told_with_its_place),
        cmocka_unit_test(test_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
