/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/publisher.h"

#include "support/unit.h"

#define UNTRUSTED_START "Kernel repository 'org/name' is not from a trusted publisher"
#define UNTRUSTED_END                                                                           \
    ". Set trust_remote_code=True or add the repository ID to the trust_remote_code allowlist " \
    "to allow loading kernels from untrusted sources."

enum { NONE = KNI_ANSWER_NONE, TRUSTED = KNI_ANSWER_TRUSTED, UNTRUSTED = KNI_ANSWER_UNTRUSTED };
enum {
    ALLOW = KNI_TRUST_ALLOW,
    WARN = KNI_TRUST_ALLOW_WARN,
    REFUSE = KNI_TRUST_REFUSE,
    ASK = KNI_TRUST_ASK
};

/* What is decided without asking: nothing is allowed by the caller. */
typedef struct before_case {
    int recorded;
    int64_t age_s;
    bool offline, strict, refresh;
    int expected;
} before_case;

static const before_case before_cases[] = {
    /* Online: a record of less than a day decides, unless it is to be refreshed. */
    {NONE, 0, false, false, false, ASK},
    {NONE, 0, false, false, true, ASK},
    {NONE, 0, false, true, false, ASK},
    {NONE, 0, false, true, true, ASK},
    {TRUSTED, 0, false, false, false, ALLOW},
    {TRUSTED, 0, false, false, true, ASK},
    {TRUSTED, 0, false, true, false, ALLOW},
    {TRUSTED, 0, false, true, true, ASK},
    {TRUSTED, 86399, false, false, false, ALLOW},
    {TRUSTED, 86400, false, false, false, ASK},
    {TRUSTED, 86400, false, true, false, ASK},
    {TRUSTED, -1, false, false, false, ASK},
    {TRUSTED, INT64_MAX, false, false, false, ASK},
    {UNTRUSTED, 0, false, false, false, REFUSE},
    {UNTRUSTED, 0, false, false, true, ASK},
    {UNTRUSTED, 0, false, true, false, REFUSE},
    {UNTRUSTED, 0, false, true, true, ASK},
    {UNTRUSTED, 86399, false, false, false, REFUSE},
    {UNTRUSTED, 86400, false, false, false, ASK},
    {UNTRUSTED, 86400, false, true, false, ASK},
    {UNTRUSTED, -1, false, false, false, ASK},
    /* Offline: a record decides whatever its age. */
    {NONE, 0, true, false, false, WARN},
    {NONE, 0, true, false, true, WARN},
    {NONE, 0, true, true, false, REFUSE},
    {NONE, 0, true, true, true, REFUSE},
    {TRUSTED, 0, true, false, false, ALLOW},
    {TRUSTED, 0, true, true, true, ALLOW},
    {TRUSTED, 1000000, true, false, false, ALLOW},
    {TRUSTED, 1000000, true, true, false, ALLOW},
    {TRUSTED, -1, true, false, true, ALLOW},
    {UNTRUSTED, 0, true, false, false, REFUSE},
    {UNTRUSTED, 0, true, true, true, REFUSE},
    {UNTRUSTED, 1000000, true, false, false, REFUSE},
    {UNTRUSTED, 1000000, true, true, false, REFUSE},
    {UNTRUSTED, -1, true, false, true, REFUSE},
};

static kni_trust_facts facts_of(const before_case *from, const char *allowed) {
    return (kni_trust_facts){.repo_id = "org/name",
                             .allowed = allowed,
                             .recorded = (kni_answer)from->recorded,
                             .age_s = from->age_s,
                             .offline = from->offline,
                             .strict = from->strict,
                             .refresh = from->refresh};
}

static void test_each_record_is_used_as_the_table_says(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof before_cases / sizeof *before_cases; i++) {
        kni_trust_facts facts = facts_of(&before_cases[i], NULL);
        kn_error err = KN_ERROR_INIT;
        int step = (int)kni_trust_before(&facts, &err);
        if (step != before_cases[i].expected)
            fail_msg("row %zu: %d, expected %d", i, step, before_cases[i].expected);
        assert_int_equal(err.status, step == REFUSE ? KN_ERR_UNTRUSTED : KN_OK);
        assert_int_equal(err.message[0] != '\0', step == REFUSE);
        assert_int_equal((int)kni_trust_before(&facts, NULL), step);
    }
}

static void test_what_the_caller_allows_needs_no_record(void **state) {
    (void)state;
    const char *const allowed[] = {"*", "org/name", "org/other\norg/name", "org/name\norg/other\n",
                                   "a/b\norg/name\n\n"};
    for (size_t i = 0; i < sizeof before_cases / sizeof *before_cases; i++) {
        for (size_t j = 0; j < sizeof allowed / sizeof *allowed; j++) {
            kni_trust_facts facts = facts_of(&before_cases[i], allowed[j]);
            assert_int_equal((int)kni_trust_before(&facts, NULL), ALLOW);
        }
    }
}

static void test_only_whole_ids_are_allowed(void **state) {
    (void)state;
    const char *const other[] = {"",          "\n",         "org",           "org/nam",
                                 "org/names", "xorg/name",  "org/name x",    "ORG/name",
                                 "org/*",     "*\norg/x",   "org/x\n*",      "org/name,org/x",
                                 " org/name", "org/name\r", "org/x org/name"};
    for (size_t i = 0; i < sizeof before_cases / sizeof *before_cases; i++) {
        for (size_t j = 0; j < sizeof other / sizeof *other; j++) {
            kni_trust_facts facts = facts_of(&before_cases[i], other[j]);
            assert_int_equal((int)kni_trust_before(&facts, NULL), before_cases[i].expected);
        }
    }
}

static void assert_refused(kni_trust_facts facts, const char *sentence) {
    kn_error err = KN_ERROR_INIT;
    facts.repo_id = "org/name";
    assert_int_equal((int)kni_trust_before(&facts, &err), REFUSE);
    assert_int_equal(err.status, KN_ERR_UNTRUSTED);
    assert_string_equal(err.message, sentence);
}

static void test_refusals_say_what_to_do(void **state) {
    (void)state;
    assert_refused((kni_trust_facts){.recorded = KNI_ANSWER_UNTRUSTED},
                   UNTRUSTED_START " (as the Hub said within the last day)" UNTRUSTED_END);
    assert_refused((kni_trust_facts){.recorded = KNI_ANSWER_UNTRUSTED, .offline = true},
                   UNTRUSTED_START " (as the Hub said when it was last asked)" UNTRUSTED_END);
    assert_refused((kni_trust_facts){.offline = true, .strict = true},
                   "Kernel repository 'org/name': whether its publisher is trusted has never been "
                   "asked, and in offline mode it cannot be, which KERNELS_TRUST=strict refuses; "
                   "load it once online, or add the repository ID to the trust_remote_code "
                   "allowlist");
}

/* What is decided after asking; `warn` and the message's text go with it. */
typedef struct after_case {
    int recorded;
    kn_status asked;
    int answer;
    kn_status expected;
    bool warn;
    const char *message; /* NULL: none */
} after_case;

#define FAILED "repository 'org/name': connection refused; check the network"
#define NETWORK_FAILED                                                                            \
    "Kernel repository 'org/name': the Hub could not be asked whether its publisher is trusted; " \
    "try again when it can be reached: " FAILED
#define SAID_LAST " (as the Hub said when it was last asked; now it cannot be)"
#define UNKNOWN " (the Hub knows no organization of that name)"

static const after_case after_cases[] = {
    /* The Hub's answer decides, whatever was recorded. */
    {NONE, KN_OK, TRUSTED, KN_OK, false, NULL},
    {TRUSTED, KN_OK, TRUSTED, KN_OK, false, NULL},
    {UNTRUSTED, KN_OK, TRUSTED, KN_OK, false, NULL},
    {NONE, KN_OK, UNTRUSTED, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNTRUSTED_END},
    {TRUSTED, KN_OK, UNTRUSTED, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNTRUSTED_END},
    {UNTRUSTED, KN_OK, UNTRUSTED, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNTRUSTED_END},
    {TRUSTED, KN_OK, NONE, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNTRUSTED_END},
    /* So does that it has no such organization. */
    {NONE, KN_ERR_NOT_FOUND, NONE, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNKNOWN UNTRUSTED_END},
    {NONE, KN_ERR_REPOSITORY, NONE, KN_ERR_UNTRUSTED, false, UNTRUSTED_START UNKNOWN UNTRUSTED_END},
    {TRUSTED, KN_ERR_NOT_FOUND, NONE, KN_ERR_UNTRUSTED, false,
     UNTRUSTED_START UNKNOWN UNTRUSTED_END},
    {TRUSTED, KN_ERR_REPOSITORY, TRUSTED, KN_ERR_UNTRUSTED, false,
     UNTRUSTED_START UNKNOWN UNTRUSTED_END},
    /* Where the network failed, what is recorded does. */
    {TRUSTED, KN_ERR_NETWORK, NONE, KN_OK, true, NULL},
    {TRUSTED, KN_ERR_TIMEOUT, NONE, KN_OK, true, NULL},
    {UNTRUSTED, KN_ERR_NETWORK, NONE, KN_ERR_UNTRUSTED, false,
     UNTRUSTED_START SAID_LAST UNTRUSTED_END},
    {UNTRUSTED, KN_ERR_TIMEOUT, TRUSTED, KN_ERR_UNTRUSTED, false,
     UNTRUSTED_START SAID_LAST UNTRUSTED_END},
    {NONE, KN_ERR_NETWORK, NONE, KN_ERR_NETWORK, false, NETWORK_FAILED},
    {NONE, KN_ERR_NETWORK, TRUSTED, KN_ERR_NETWORK, false, NETWORK_FAILED},
    {NONE, KN_ERR_TIMEOUT, NONE, KN_ERR_TIMEOUT, false, NETWORK_FAILED},
    {NONE, KN_ERR_OS, NONE, KN_ERR_OS, false, NETWORK_FAILED},
    /* Neither of these is about the network. */
    {TRUSTED, KN_ERR_CANCELLED, NONE, KN_ERR_CANCELLED, false, FAILED},
    {NONE, KN_ERR_CANCELLED, NONE, KN_ERR_CANCELLED, false, FAILED},
    {TRUSTED, KN_ERR_NOMEM, NONE, KN_ERR_NOMEM, false, FAILED},
};

static void test_each_answer_is_used_as_the_table_says(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof after_cases / sizeof *after_cases; i++) {
        const after_case *row = &after_cases[i];
        for (int strict = 0; strict < 2; strict++) {
            kni_trust_facts facts = {.repo_id = "org/name",
                                     .recorded = (kni_answer)row->recorded,
                                     .age_s = 100000,
                                     .strict = strict != 0};
            kn_error err = KN_ERROR_INIT;
            const kn_error cause = {sizeof cause, row->asked, FAILED};
            bool warn = true;
            kn_status status =
                kni_trust_after(&facts, row->asked, &cause, (kni_answer)row->answer, &warn, &err);
            if (status != row->expected || warn != row->warn)
                fail_msg("row %zu: %d (%d), expected %d", i, status, warn, row->expected);
            assert_int_equal(err.status, status);
            assert_string_equal(err.message, row->message ? row->message : "");
        }
    }
}

static void test_a_failure_of_the_network_never_advises_to_trust(void **state) {
    (void)state;
    const kn_status failures[] = {KN_ERR_NETWORK, KN_ERR_TIMEOUT, KN_ERR_OS, KN_ERR_RUNTIME,
                                  KN_ERR_VALUE};
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        kni_trust_facts facts = {.repo_id = "org/name"};
        kn_error err = KN_ERROR_INIT;
        bool warn;
        assert_int_equal(kni_trust_after(&facts, failures[i], NULL, KNI_ANSWER_NONE, &warn, &err),
                         failures[i]);
        assert_null(strstr(err.message, "trust_remote_code"));
        assert_contains(err.message, "the Hub could not be asked");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_record_is_used_as_the_table_says),
        cmocka_unit_test(test_what_the_caller_allows_needs_no_record),
        cmocka_unit_test(test_only_whole_ids_are_allowed),
        cmocka_unit_test(test_refusals_say_what_to_do),
        cmocka_unit_test(test_each_answer_is_used_as_the_table_says),
        cmocka_unit_test(test_a_failure_of_the_network_never_advises_to_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
