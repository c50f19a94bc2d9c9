/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/policy.h"

#include "support/failing_alloc.h"
#include "support/toml_text.h"
#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"
#define DIGEST "sha256-0e1bcc84b4cbb1d3ad7ef4e6e7e3fdc0b1d1e8e7cc0fb8ab7b2b50c5d4d8c3a1"

/* Reads all members of a document. */
static kn_status read(kni_policy *policy, const kni_json *document, const char *file,
                      kn_error *err) {
    kni_placed table = kni_placed_document(document, file), value;
    kn_status status = KN_OK;
    for (const char *key = kni_placed_next(&table, NULL, &value); key && !status;
         key = kni_placed_next(&table, key, &value))
        status = kni_policy_read(policy, key, &value, err);
    return status;
}

static void add(kni_policy *policy, const char *toml, const char *file) {
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(toml, file);
    if (read(policy, document, file, &err)) fail_msg("%s", err.message);
    kni_json_free(document);
}

static kni_policy policy_of(const char *toml) {
    kni_policy policy = {.alloc = kni_alloc_or_default(NULL)};
    add(&policy, toml, "k.toml");
    return policy;
}

static void assert_refused(const char *toml, const char *expected) {
    kni_policy policy = {.alloc = kni_alloc_or_default(NULL)};
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(toml, "k.toml");
    assert_int_equal(read(&policy, document, "k.toml", &err), KN_ERR_VALUE);
    assert_contains(err.message, expected);
    kni_json_free(document);
    kni_policy_clear(&policy);
}

static void test_a_pin_is_a_version_a_specifier_or_a_commit(void **state) {
    (void)state;
    kni_policy p = policy_of("[pin]\n\"o/one\" = 2\n\"o/two\" = \">=0.1,<0.2\"\n"
                             "\"o/three\" = \"" COMMIT "\"\n\"o/four\" = \"3\"\n");
    const kni_pin *pin = kni_policy_pin(&p, "o/one");
    assert_string_equal(pin->version, "2");
    assert_null(pin->revision);
    assert_string_equal(pin->said.file, "k.toml");
    assert_int_equal(pin->said.line, 2);
    assert_string_equal(kni_policy_pin(&p, "o/two")->version, ">=0.1,<0.2");
    assert_string_equal(kni_policy_pin(&p, "o/three")->revision, COMMIT);
    assert_null(kni_policy_pin(&p, "o/three")->version);
    assert_string_equal(kni_policy_pin(&p, "o/four")->version, "3");
    assert_null(kni_policy_pin(&p, "o/five"));
    kni_policy_clear(&p);
}

static const kni_deny *denied(const kni_policy *p, const char *repo, const char *version) {
    return kni_policy_deny(p, repo, version, NULL, NULL);
}

static void test_a_deny_is_of_a_repository_an_organization_or_a_name(void **state) {
    (void)state;
    kni_policy p = policy_of("deny = [\"o/bad\", \"evil/*\", \"worse\"]");
    assert_string_equal(denied(&p, "o/bad", NULL)->text, "o/bad");
    assert_null(denied(&p, "o/bad2", NULL));
    assert_null(denied(&p, "other/bad", NULL));
    assert_string_equal(denied(&p, "evil/any", "1")->text, "evil/*");
    assert_null(denied(&p, "evil2/any", NULL));
    assert_non_null(denied(&p, "o/worse", NULL));
    assert_non_null(denied(&p, "other/worse", NULL));
    assert_null(denied(&p, "worse/other", NULL));
    kni_policy_clear(&p);
}

static void test_a_deny_can_be_of_versions(void **state) {
    (void)state;
    kni_policy p = policy_of("deny = [\"flash-attn2 >= 3\", \"o/x>=0.1,<0.2\"]");
    assert_string_equal(denied(&p, "o/flash-attn2", "3")->text, "flash-attn2 >= 3");
    assert_non_null(denied(&p, "o/flash-attn2", "v4"));
    assert_non_null(denied(&p, "o/flash-attn2", "10"));
    assert_null(denied(&p, "o/flash-attn2", "2"));
    assert_null(denied(&p, "o/flash-attn2", "v2.9.9"));
    assert_non_null(denied(&p, "o/x", "0.1.5"));
    assert_null(denied(&p, "o/x", "0.2"));
    kni_policy_clear(&p);
}

static void test_an_unknown_version_leaves_a_deny_open(void **state) {
    (void)state;
    kni_policy p = policy_of("deny = [\"flash-attn2 >= 3\"]");
    const kni_deny *open;
    assert_null(kni_policy_deny(&p, "o/flash-attn2", NULL, NULL, &open));
    assert_string_equal(open->text, "flash-attn2 >= 3");
    assert_null(kni_policy_deny(&p, "o/flash-attn2", "2", NULL, &open));
    assert_null(open);
    assert_null(kni_policy_deny(&p, "o/other", NULL, NULL, &open));
    assert_null(open);
    kni_policy_clear(&p);
}

static void test_a_deny_can_be_of_a_commit(void **state) {
    (void)state;
    kni_policy p = policy_of("deny = [\"o/x " COMMIT "\"]");
    assert_non_null(kni_policy_deny(&p, "o/x", "1", COMMIT, NULL));
    assert_null(kni_policy_deny(&p, "o/x", "1", "4f593f99ef250e10e9377b5c10109351b418f318", NULL));
    assert_null(kni_policy_deny(&p, "o/x", "1", NULL, NULL));
    kni_policy_clear(&p);
}

static void test_trust_is_by_organization_repository_and_digest(void **state) {
    (void)state;
    kni_policy p = policy_of("[trust]\norganizations = [\"mine\"]\nrepositories = [\"o/x\"]\n"
                             "digests = [\"" DIGEST "\"]\n");
    assert_string_equal(kni_policy_trusts(&p, "mine/any")->name, "mine");
    assert_int_equal(kni_policy_trusts(&p, "mine/any")->said.line, 2);
    assert_string_equal(kni_policy_trusts(&p, "o/x")->name, "o/x");
    assert_null(kni_policy_trusts(&p, "o/y"));
    assert_null(kni_policy_trusts(&p, "mine2/any"));
    assert_null(kni_policy_trusts(&p, "min/any"));
    assert_true(kni_policy_has_digests(&p));
    assert_int_equal(kni_policy_trusts_digest(&p, DIGEST)->said.line, 4);
    assert_null(kni_policy_trusts_digest(&p, "sha256-00"));
    kni_policy_clear(&p);
    p = policy_of("[trust]\norganizations = [\"mine\"]\n");
    assert_false(kni_policy_has_digests(&p));
    kni_policy_clear(&p);
}

static void test_without_an_order_all_providers_are_asked(void **state) {
    (void)state;
    kni_policy p = policy_of("");
    assert_true(kni_policy_asks(&p, KNI_PROVIDER_LOCAL));
    assert_true(kni_policy_asks(&p, KNI_PROVIDER_HUB));
    assert_true(kni_policy_is_before(&p, KNI_PROVIDER_LOCAL, KNI_PROVIDER_BUILTIN));
    assert_true(kni_policy_is_before(&p, KNI_PROVIDER_CACHE, KNI_PROVIDER_HUB));
    kni_policy_clear(&p);
}

static void test_an_order_leaves_out_what_it_does_not_name(void **state) {
    (void)state;
    kni_policy p = policy_of("order = [\"builtin\", \"hub\", \"cache\"]");
    assert_false(kni_policy_asks(&p, KNI_PROVIDER_LOCAL));
    assert_true(kni_policy_asks(&p, KNI_PROVIDER_BUILTIN));
    assert_true(kni_policy_is_before(&p, KNI_PROVIDER_HUB, KNI_PROVIDER_CACHE));
    assert_false(kni_policy_is_before(&p, KNI_PROVIDER_CACHE, KNI_PROVIDER_HUB));
    assert_true(kni_policy_is_before(&p, KNI_PROVIDER_BUILTIN, KNI_PROVIDER_LOCAL));
    kni_policy_clear(&p);
}

static void test_the_users_pins_and_order_count_more_and_denies_add_up(void **state) {
    (void)state;
    kni_policy p = {.alloc = kni_alloc_or_default(NULL)};
    add(&p, "order = [\"cache\"]\ndeny = [\"o/users\"]\n[pin]\n\"o/x\" = 1\n", "user.toml");
    add(&p, "order = [\"hub\", \"cache\"]\ndeny = [\"o/sites\"]\n[pin]\n\"o/x\" = 2\n\"o/y\" = 3\n",
        "site.toml");
    assert_string_equal(kni_policy_pin(&p, "o/x")->version, "1");
    assert_string_equal(kni_policy_pin(&p, "o/x")->said.file, "user.toml");
    assert_string_equal(kni_policy_pin(&p, "o/y")->said.file, "site.toml");
    assert_false(kni_policy_asks(&p, KNI_PROVIDER_HUB));
    assert_string_equal(p.order_said.file, "user.toml");
    assert_non_null(denied(&p, "o/users", NULL));
    assert_string_equal(denied(&p, "o/sites", NULL)->said.file, "site.toml");
    kni_policy_clear(&p);
}

static void test_what_makes_no_sense_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused("[pin]\nnorm = 2\n", "k.toml:2:1: 'norm': expected a repository");
    assert_refused("[pin]\n\"o/x\" = \"main\"\n", "k.toml:2:1: 'main': expected a version (2)");
    assert_refused("[pin]\n\"o/x\" = -1\n", "k.toml:2:1: the pin of 'o/x': expected a version");
    assert_refused("[pin]\n\"o/x\" = true\n", "k.toml:2:1: the pin of 'o/x': expected a version");
    assert_refused("pin = 2\n", "k.toml:1:1: pin: expected a table");
    assert_refused("deny = \"o/x\"\n", "k.toml:1:1: deny: expected a list");
    assert_refused("deny = [\n  \"o/x\",\n  3 ]\n", "k.toml:3:3: deny: expected a text");
    assert_refused("deny = [\"o/x >\"]", "k.toml:1:9: 'o/x >': expected a repository");
    assert_refused("deny = [\"o/x 3\"]", "k.toml:1:9: 'o/x 3': expected a repository");
    assert_refused("deny = [\"o/x/y\"]", "'o/x/y': expected a repository");
    assert_refused("deny = [\">= 3\"]", "'>= 3': expected a repository");
    assert_refused("deny = [\"*\"]", "'*': expected a repository");
    assert_refused("trust = []", "k.toml:1:1: trust: expected a table");
    assert_refused("[trust]\norganization = [\"a\"]\n",
                   "k.toml:2:1: unknown key 'organization' in [trust]; did you mean "
                   "'organizations'?");
    assert_refused("[trust]\norganizations = \"a\"\n", "k.toml:2:1: organizations in [trust]: "
                                                       "expected a list");
    assert_refused("[trust]\norganizations = [\"a/b\"]\n", "k.toml:2:18: 'a/b': expected the name");
    assert_refused("[trust]\nrepositories = [\"a\"]\n", "'a': expected a repository");
    assert_refused("[trust]\ndigests = [\"sha256-12\"]\n", "'sha256-12': expected a digest");
    assert_refused("order = [\"Hub\"]",
                   "k.toml:1:10: 'Hub': expected local, builtin, cache or hub");
    assert_refused("order = [\"hub\", \"hub\"]", "k.toml:1:17: order: 'hub' stands there twice");
    assert_refused("order = [\"hub\"]", "k.toml:1:1: order: what comes from the hub lies in the "
                                        "cache");
    assert_refused("order = []", "k.toml:1:1: order: expected a list");
}

static kn_status read_and_clear(const kn_alloc *alloc, void *document, kn_error *err) {
    kni_policy p = {.alloc = alloc};
    kn_status status = read(&p, document, "k.toml", err);
    kni_policy_clear(&p);
    return status;
}

static void test_lack_of_memory_is_told(void **state) {
    (void)state;
    kni_json *document =
        toml_document("order = [\"cache\"]\ndeny = [\"o/x >= 3\", \"o/y " COMMIT
                      "\"]\n[pin]\n\"o/x\" = 1\n[trust]\norganizations = [\"a\"]\n",
                      "k.toml");
    assert_true(fault_sweep(read_and_clear, document) > 8);
    kni_json_free(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pin_is_a_version_a_specifier_or_a_commit),
        cmocka_unit_test(test_a_deny_is_of_a_repository_an_organization_or_a_name),
        cmocka_unit_test(test_a_deny_can_be_of_versions),
        cmocka_unit_test(test_an_unknown_version_leaves_a_deny_open),
        cmocka_unit_test(test_a_deny_can_be_of_a_commit),
        cmocka_unit_test(test_trust_is_by_organization_repository_and_digest),
        cmocka_unit_test(test_without_an_order_all_providers_are_asked),
        cmocka_unit_test(test_an_order_leaves_out_what_it_does_not_name),
        cmocka_unit_test(test_the_users_pins_and_order_count_more_and_denies_add_up),
        cmocka_unit_test(test_what_makes_no_sense_is_told_with_its_place),
        cmocka_unit_test(test_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
