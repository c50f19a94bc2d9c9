/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/endpoint.h"
#include "support/unit.h"

#define REPO "repository 'org/name'"
#define FILE_OF "build/torch-cpu/x.so of org/name"

static void assert_fails(int http_status, const char *code, const char *message,
                         const char *subject, bool has_token, kn_status expected,
                         const char *sentence) {
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_response_fail(http_status, code, message, subject, has_token, &err),
                     expected);
    assert_int_equal(err.status, expected);
    assert_string_equal(err.message, sentence);
    assert_int_equal(kni_response_fail(http_status, code, message, subject, has_token, NULL),
                     expected);
}

static void test_an_unknown_repository_may_be_private(void **state) {
    (void)state;
    const char *const without = REPO ": the Hub has no such repository, or it is private; check "
                                     "the name, and if it is private set HF_TOKEN to a token that "
                                     "may read it";
    const char *const with = REPO ": the Hub has no such repository, or the token has no access to "
                                  "it; check the name, and if it is private whether the account of "
                                  "HF_TOKEN may read it";
    assert_fails(401, NULL, NULL, REPO, false, KN_ERR_REPOSITORY, without);
    assert_fails(401, NULL, NULL, REPO, true, KN_ERR_REPOSITORY, with);
    assert_fails(404, "RepoNotFound", NULL, REPO, false, KN_ERR_REPOSITORY, without);
    assert_fails(404, "RepoNotFound", "", REPO, true, KN_ERR_REPOSITORY, with);
}

static void test_a_gated_repository_is_to_be_asked_for(void **state) {
    (void)state;
    assert_fails(403, "GatedRepo", "Visit https://huggingface.co/org/name to ask for access.", REPO,
                 true, KN_ERR_GATED,
                 REPO ": its owner has to grant access first; ask for it on its page on the Hub "
                      "with the account of HF_TOKEN. The Hub says: Visit "
                      "https://huggingface.co/org/name to ask for access.");
    assert_fails(401, "GatedRepo", NULL, REPO, false, KN_ERR_GATED,
                 REPO ": its owner has to grant access first; ask for it on its page on the Hub "
                      "and set HF_TOKEN to a token of that account");
}

static void test_revisions_and_files_that_are_not_there(void **state) {
    (void)state;
    assert_fails(404, "RevisionNotFound", "Invalid rev id: v9", "revision 'v9' of org/name", false,
                 KN_ERR_REVISION,
                 "revision 'v9' of org/name: there is no such branch, tag or commit; check the "
                 "revision. The Hub says: Invalid rev id: v9");
    assert_fails(404, "EntryNotFound", NULL, FILE_OF, false, KN_ERR_NOT_FOUND,
                 FILE_OF ": there is no such file at this revision; check the name and the "
                         "revision");
    assert_fails(404, NULL, NULL, "organization 'org'", false, KN_ERR_NOT_FOUND,
                 "organization 'org': the Hub has none (404); check the name, and HF_ENDPOINT if "
                 "it is set");
    assert_fails(410, NULL, NULL, REPO, false, KN_ERR_NOT_FOUND,
                 REPO ": the Hub has none (410); check the name, and HF_ENDPOINT if it is set");
}

static void test_a_token_that_is_not_accepted_says_nothing_about_the_repository(void **state) {
    (void)state;
    assert_fails(401, NULL, "Invalid credentials in Authorization header", REPO, true,
                 KN_ERR_NETWORK,
                 REPO ": the Hub does not accept the token (401); set HF_TOKEN, or the token file, "
                      "to a valid one, or remove it");
}

static void test_what_is_not_allowed(void **state) {
    (void)state;
    assert_fails(403, NULL, "Access to this resource is disabled.", REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub has disabled access to it (403) for everyone; use another "
                      "repository");
    assert_fails(403, NULL, NULL, REPO, true, KN_ERR_NETWORK,
                 REPO ": the Hub does not allow it (403); check what the token of HF_TOKEN may "
                      "read");
    assert_fails(403, "SomethingNew", "No.", REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub does not allow it without a token (403); set HF_TOKEN to one that "
                      "may read it. The Hub says: No.");
}

static void test_a_hub_that_is_busy_or_broken(void **state) {
    (void)state;
    assert_fails(429, NULL, NULL, REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub says that there were too many requests (429); wait some minutes, "
                      "or set HF_TOKEN to be allowed more");
    assert_fails(429, NULL, NULL, REPO, true, KN_ERR_NETWORK,
                 REPO ": the Hub says that there were too many requests (429); wait some minutes "
                      "and try again");
    assert_fails(500, NULL, NULL, FILE_OF, false, KN_ERR_NETWORK,
                 FILE_OF ": the Hub has a problem of its own (500); try again later");
    assert_fails(503, NULL, "down for maintenance", REPO, true, KN_ERR_NETWORK,
                 REPO ": the Hub has a problem of its own (503); try again later. The Hub says: "
                      "down for maintenance");
    assert_fails(418, NULL, NULL, REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub answered 418, which was not expected; check HF_ENDPOINT if it is "
                      "set, and any proxy in between");
    assert_fails(0, NULL, NULL, REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub answered 0, which was not expected; check HF_ENDPOINT if it is "
                      "set, and any proxy in between");
}

static void test_what_the_hub_says_is_made_harmless(void **state) {
    (void)state;
    assert_fails(500, NULL, "a\x1B[2Jb\nc\xFF\xC2\x9B", REPO, false, KN_ERR_NETWORK,
                 REPO ": the Hub has a problem of its own (500); try again later. The Hub says: "
                      "a [2Jb c? ");
}

static void test_what_the_hub_says_is_cut_at_200_bytes_between_characters(void **state) {
    (void)state;
    char message[301];
    for (size_t i = 0; i < 300; i += 3) memcpy(message + i, "\xE2\x82\xAC", 3);
    message[300] = '\0';
    kn_error err = KN_ERROR_INIT;
    kni_response_fail(500, NULL, message, REPO, false, &err);
    const char *said = strstr(err.message, "says: ");
    assert_non_null(said);
    assert_int_equal(strlen(said + 6), 198);
    memset(message, 'm', 300);
    kni_response_fail(500, NULL, message, REPO, false, &err);
    assert_int_equal(strlen(strstr(err.message, "says: ") + 6), 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unknown_repository_may_be_private),
        cmocka_unit_test(test_a_gated_repository_is_to_be_asked_for),
        cmocka_unit_test(test_revisions_and_files_that_are_not_there),
        cmocka_unit_test(test_a_token_that_is_not_accepted_says_nothing_about_the_repository),
        cmocka_unit_test(test_what_is_not_allowed),
        cmocka_unit_test(test_a_hub_that_is_busy_or_broken),
        cmocka_unit_test(test_what_the_hub_says_is_made_harmless),
        cmocka_unit_test(test_what_the_hub_says_is_cut_at_200_bytes_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
