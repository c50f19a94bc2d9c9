/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/endpoint.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define X48 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const kn_alloc *memory(void) { return kni_alloc_or_default(NULL); }

static void assert_one_line(const char *message, const char *part) {
    assert_contains(message, part);
    for (const char *at = message; *at; at++) assert_true((unsigned char)*at >= 0x20);
}

static void test_ids_of_repositories_keep_to_the_hubs_rules(void **state) {
    (void)state;
    const char *const good[] = {"org/name",    "a/b",      "kernels-community/flash-attn3",
                                "A.b_c-1/D.e", "_o/_n",    "org/na.me.gitx",
                                "123/4.5",     "o/x.git1", X48 X48 "/" X48 X48};
    const char *const bad[] = {"",
                               "/",
                               "name",
                               "org/",
                               "/name",
                               "org//name",
                               "a/b/c",
                               "-a/b",
                               "a-/b",
                               ".a/b",
                               "a./b",
                               "a/-b",
                               "a/b-",
                               "a/.b",
                               "a/b.",
                               "a--b/c",
                               "a/b--c",
                               "a..b/c",
                               "a/b..c",
                               "../..",
                               "a/..",
                               "a/b.git",
                               "a b/c",
                               "a/b\n",
                               "a/b?c",
                               "a/b%2e",
                               "a\\b/c",
                               "a/\xC3\xA9",
                               "datasets/a/b",
                               X48 X48 "x/b",
                               "a/" X48 X48 "x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        kn_error err = KN_ERROR_INIT;
        if (kni_repo_id_check(good[i], &err)) fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kn_error err = KN_ERROR_INIT;
        if (kni_repo_id_check(bad[i], &err) != KN_ERR_VALUE) fail_msg("'%s'", bad[i]);
        assert_one_line(err.message, "' is no repository id: expected 'org/name'");
    }
}

static void test_a_commit_is_a_whole_object_id(void **state) {
    (void)state;
    assert_true(kni_is_commit(A));
    assert_true(kni_is_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_true(kni_is_commit(LONG));
    assert_false(kni_is_commit(""));
    assert_false(kni_is_commit("main"));
    assert_false(kni_is_commit("aaaaaaa"));
    assert_false(kni_is_commit(A "a"));
    assert_false(kni_is_commit(LONG "0"));
    assert_false(kni_is_commit("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_false(kni_is_commit("gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static const char refs_text[] =
    "{\"branches\": [{\"name\": \"main\", \"ref\": \"refs/heads/main\", \"targetCommit\": \"" A
    "\"}, {\"name\": \"a/b\", \"ref\": \"refs/heads/a/b\", \"targetCommit\": \"" B "\"}],\n"
    " \"converts\": [{\"name\": \"parquet\", \"ref\": \"refs/convert/parquet\", "
    "\"targetCommit\": \"" B "\"}],\n"
    " \"tags\": [{\"name\": \"v0.1.0\", \"ref\": \"refs/tags/v0.1.0\", \"targetCommit\": \"" LONG
    "\"}]}";

static void test_branches_and_tags_are_read(void **state) {
    (void)state;
    kni_refs refs;
    kn_error err = KN_ERROR_INIT;
    if (kni_refs_parse(memory(), refs_text, sizeof refs_text - 1, "refs of o/n", &refs, &err))
        fail_msg("%s", err.message);
    assert_int_equal(refs.count, 3);
    assert_string_equal(refs.items[0].name, "main");
    assert_string_equal(refs.items[0].commit, A);
    assert_false(refs.items[0].is_tag);
    assert_string_equal(refs.items[1].name, "a/b");
    assert_string_equal(refs.items[2].name, "v0.1.0");
    assert_string_equal(refs.items[2].commit, LONG);
    assert_true(refs.items[2].is_tag);
    kni_refs_clear(&refs);
    assert_int_equal(refs.count, 0);

    const char *const none = "{\"branches\": [], \"tags\": []}";
    assert_int_equal(kni_refs_parse(memory(), none, strlen(none), "x", &refs, NULL), KN_OK);
    assert_int_equal(refs.count, 0);
    kni_refs_clear(&refs);
}

static void assert_no_refs(const char *text, const char *part) {
    kni_refs refs;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_refs_parse(memory(), text, strlen(text), "refs of o/n", &refs, &err),
                     KN_ERR_NETWORK);
    assert_int_equal(err.status, KN_ERR_NETWORK);
    assert_one_line(err.message, "refs of o/n: ");
    assert_contains(err.message, part);
    assert_contains(err.message, "check HF_ENDPOINT if it is set, and any proxy in between");
    assert_int_equal(refs.count, 0);
    assert_null(refs.items);
}

#define REF(name, commit) \
    "{\"branches\": [{\"name\": " name ", \"targetCommit\": " commit "}], \"tags\": []}"

static void test_refs_that_no_hub_sends_are_refused(void **state) {
    (void)state;
    assert_no_refs("<!DOCTYPE html>", "not valid JSON");
    assert_no_refs("", "not valid JSON");
    assert_no_refs("[]", "expected lists of branches and tags");
    assert_no_refs("{\"tags\": []}", "expected lists of branches and tags");
    assert_no_refs("{\"branches\": []}", "expected lists of branches and tags");
    assert_no_refs("{\"branches\": {}, \"tags\": []}", "expected lists of branches and tags");
    assert_no_refs("{\"branches\": [\"main\"], \"tags\": []}", "expected a text 'name'");
    assert_no_refs(REF("3", "\"" A "\""), "expected a text 'name'");
    assert_no_refs(REF("\"a\\u0000b\"", "\"" A "\""), "expected a text 'name'");
    assert_no_refs(REF("\"../../x\"", "\"" A "\""),
                   "the name '../../x' of a branch or tag has '.'");
    assert_no_refs(REF("\"/etc\"", "\"" A "\""), "the name '/etc' of a branch or tag is absolute");
    assert_no_refs(REF("\"a\\nb\"", "\"" A "\""),
                   "the name 'a b' of a branch or tag has a control");
    assert_no_refs(REF("\"\"", "\"" A "\""), "is empty");
    assert_no_refs(REF("\"main\"", "null"), "expected a commit");
    assert_no_refs(REF("\"main\"", "\"abc\""), "expected a commit");
    assert_no_refs(REF("\"main\"", "\"../../../../../../../../../../../../../x\""),
                   "expected a commit");
}

static void test_a_publisher_is_trusted_where_the_hub_says_so(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool trusted;
    } cases[] = {
        {"{\"name\": \"org\", \"trustedKernelPublisher\": true, \"isVerified\": false}", true},
        {"{\"trustedKernelPublisher\": false}", false},
        {"{\"trustedKernelPublisher\": null}", false},
        {"{\"name\": \"org\"}", false},
        {"{}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool trusted = !cases[i].trusted;
        const char *text = cases[i].text;
        assert_int_equal(kni_publisher_parse(text, strlen(text), "x", &trusted, NULL), KN_OK);
        assert_int_equal(trusted, cases[i].trusted);
    }
}

static void test_what_says_nothing_of_a_publisher_is_refused(void **state) {
    (void)state;
    const char *const bad[] = {"",
                               "[]",
                               "[true]",
                               "true",
                               "<html>",
                               "{\"trustedKernelPublisher\": \"true\"}",
                               "{\"trustedKernelPublisher\": 1}",
                               "{\"trustedKernelPublisher\": {}}",
                               "{\"trustedKernelPublisher\": true"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool trusted = true;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(
            kni_publisher_parse(bad[i], strlen(bad[i]), "publisher org", &trusted, &err),
            KN_ERR_NETWORK);
        assert_false(trusted);
        assert_one_line(err.message, "publisher org: ");
    }
}

static void test_the_commit_of_a_revision_is_read(void **state) {
    (void)state;
    char commit[KNI_COMMIT_MAX];
    const char *const good = "{\"id\": \"org/name\", \"sha\": \"" A "\", \"siblings\": []}";
    assert_int_equal(kni_revision_parse(good, strlen(good), "x", commit, NULL), KN_OK);
    assert_string_equal(commit, A);
    const char *const longer = "{\"sha\": \"" LONG "\"}";
    assert_int_equal(kni_revision_parse(longer, strlen(longer), "x", commit, NULL), KN_OK);
    assert_string_equal(commit, LONG);

    const char *const bad[] = {"",
                               "[]",
                               "{}",
                               "{\"sha\": \"main\"}",
                               "{\"sha\": 4}",
                               "{\"sha\": \"" LONG LONG "\"}",
                               "[\"" A "\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(
            kni_revision_parse(bad[i], strlen(bad[i]), "revision 'main' of o/n", commit, &err),
            KN_ERR_NETWORK);
        assert_string_equal(commit, "");
        assert_one_line(err.message, "revision 'main' of o/n: ");
    }
}

static void assert_redirect(const char *text, const char *destination, const char *revision) {
    char *to, *at;
    kn_error err = KN_ERROR_INIT;
    if (kni_status_parse(memory(), text, strlen(text), "x", &to, &at, &err))
        fail_msg("%s", err.message);
    assert_string_equal(to, destination);
    assert_string_equal(at, revision);
    kni_free(memory(), to);
    kni_free(memory(), at);
}

static void test_a_redirect_is_read(void **state) {
    (void)state;
    assert_redirect("{\"kind\": \"redirect\", \"destination\": \"org/name\", \"revision\": \"v2\"}",
                    "org/name", "v2");
    assert_redirect("{\"kind\": \"redirect\", \"destination\": \"org/name\", \"note\": 1}",
                    "org/name", "main");
}

static void assert_no_redirect(const char *text, const char *part) {
    char *to = (char *)1, *at = (char *)1;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kni_status_parse(memory(), text, strlen(text), "kernel-status.toml", &to, &at, &err),
        KN_ERR_VALUE);
    assert_null(to);
    assert_null(at);
    assert_one_line(err.message, "kernel-status.toml: ");
    assert_contains(err.message, part);
}

static void test_a_status_that_is_no_redirect_is_refused(void **state) {
    (void)state;
    assert_no_redirect("", "not valid JSON");
    assert_no_redirect("[]", "it needs a text 'kind'");
    assert_no_redirect("{}", "it needs a text 'kind'");
    assert_no_redirect("{\"kind\": \"\"}", "it needs a text 'kind'");
    assert_no_redirect("{\"kind\": true}", "it needs a text 'kind'");
    assert_no_redirect("{\"kind\": \"gone\"}",
                       "the kind 'gone' is not known, this version knows 'redirect' only; update");
    assert_no_redirect("{\"kind\": \"redirect\"}", "needs a repository id");
    assert_no_redirect("{\"kind\": \"redirect\", \"destination\": 1}", "needs a repository id");
    assert_no_redirect("{\"kind\": \"redirect\", \"destination\": \"../x\"}", "not '../x'");
    assert_no_redirect(
        "{\"kind\": \"redirect\", \"destination\": \"o/n\", \"revision\": \"../../x\"}",
        "not '../../x'");
    assert_no_redirect("{\"kind\": \"redirect\", \"destination\": \"o/n\", \"revision\": null}",
                       "the 'revision' of a redirect");
    assert_no_redirect("{\"kind\": \"redirect\", \"destination\": \"o/n\", \"revision\": \"\"}",
                       "the 'revision' of a redirect");
}

static kn_status parse_all(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    const char *const redirect = "{\"kind\": \"redirect\", \"destination\": \"o/n\"}";
    kni_refs refs;
    char *to, *at;
    kn_status status =
        kni_refs_parse(alloc, refs_text, sizeof refs_text - 1, "refs of o/n", &refs, err);
    if (status) assert_int_equal(refs.count, 0);
    kni_refs_clear(&refs);
    if (status) return status;
    status = kni_status_parse(alloc, redirect, strlen(redirect), "x", &to, &at, err);
    if (status) assert_true(!to && !at);
    kni_free(alloc, to);
    kni_free(alloc, at);
    return status;
}

static void test_reading_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_int_equal(fault_sweep(parse_all, NULL), 6); /* the array, 3 names, 2 texts */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_of_repositories_keep_to_the_hubs_rules),
        cmocka_unit_test(test_a_commit_is_a_whole_object_id),
        cmocka_unit_test(test_branches_and_tags_are_read),
        cmocka_unit_test(test_refs_that_no_hub_sends_are_refused),
        cmocka_unit_test(test_a_publisher_is_trusted_where_the_hub_says_so),
        cmocka_unit_test(test_what_says_nothing_of_a_publisher_is_refused),
        cmocka_unit_test(test_the_commit_of_a_revision_is_read),
        cmocka_unit_test(test_a_redirect_is_read),
        cmocka_unit_test(test_a_status_that_is_no_redirect_is_refused),
        cmocka_unit_test(test_reading_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
