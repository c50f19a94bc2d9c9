/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/publisher.h"

#include <string.h>

#include "base/error.h"

/* Upstream's words, which people look for. */
#define ADVICE                                                                                \
    "Set trust_remote_code=True or add the repository ID to the trust_remote_code allowlist " \
    "to allow loading kernels from untrusted sources."

bool kni_trust_is_allowed(const char *allowed, const char *repo_id) {
    if (!allowed) return false;
    if (strcmp(allowed, "*") == 0) return true;
    size_t length = strlen(repo_id);
    while (*allowed) {
        size_t line = strcspn(allowed, "\n");
        if (line == length && memcmp(allowed, repo_id, length) == 0) return true;
        allowed += line + (allowed[line] == '\n');
    }
    return false;
}

static kn_status refuse(const kni_trust_facts *facts, const char *detail, kn_error *err) {
    return kni_fail(err, KN_ERR_UNTRUSTED,
                    "Kernel repository '%s' is not from a trusted publisher%s. " ADVICE,
                    facts->repo_id, detail);
}

static kni_trust_step before_offline(const kni_trust_facts *facts, kn_error *err) {
    if (facts->recorded == KNI_ANSWER_TRUSTED) return KNI_TRUST_ALLOW;
    if (facts->recorded == KNI_ANSWER_UNTRUSTED) {
        refuse(facts, " (as the Hub said when it was last asked)", err);
        return KNI_TRUST_REFUSE;
    }
    if (!facts->strict) return KNI_TRUST_ALLOW_WARN;
    kni_fail(err, KN_ERR_UNTRUSTED,
             "Kernel repository '%s': whether its publisher is trusted has never been asked, and "
             "in offline mode it cannot be, which KERNELS_TRUST=strict refuses; load it once "
             "online, or add the repository ID to the trust_remote_code allowlist",
             facts->repo_id);
    return KNI_TRUST_REFUSE;
}

kni_trust_step kni_trust_before(const kni_trust_facts *facts, kn_error *err) {
    if (kni_trust_is_allowed(facts->allowed, facts->repo_id)) return KNI_TRUST_ALLOW;
    if (facts->offline) return before_offline(facts, err);
    /* A negative age comes of a clock that was set back. */
    bool fresh = facts->age_s >= 0 && facts->age_s < KNI_TRUST_MAX_AGE_S && !facts->refresh;
    if (facts->recorded == KNI_ANSWER_NONE || !fresh) return KNI_TRUST_ASK;
    if (facts->recorded == KNI_ANSWER_TRUSTED) return KNI_TRUST_ALLOW;
    refuse(facts, " (as the Hub said within the last day)", err);
    return KNI_TRUST_REFUSE;
}

/* The Hub could not be asked: a record serves, and without one the network is to blame. */
static kn_status after_failure(const kni_trust_facts *facts, kn_status asked, const char *cause,
                               bool *warn, kn_error *err) {
    if (facts->recorded == KNI_ANSWER_TRUSTED) {
        *warn = true;
        return KN_OK;
    }
    if (facts->recorded == KNI_ANSWER_UNTRUSTED)
        return refuse(facts, " (as the Hub said when it was last asked; now it cannot be)", err);
    return kni_fail(err, asked,
                    "Kernel repository '%s': the Hub could not be asked whether its publisher is "
                    "trusted; try again when it can be reached: %s",
                    facts->repo_id, cause);
}

kn_status kni_trust_after(const kni_trust_facts *facts, kn_status asked, const kn_error *cause,
                          kni_answer answer, bool *warn, kn_error *err) {
    *warn = false;
    const char *why = cause && cause->message[0] ? cause->message : "the request failed";
    switch (asked) {
    case KN_OK:
        return answer == KNI_ANSWER_TRUSTED ? KN_OK : refuse(facts, "", err);
    case KN_ERR_REPOSITORY:
    case KN_ERR_NOT_FOUND:
        return refuse(facts, " (the Hub knows no organization of that name)", err);
    case KN_ERR_NOMEM:
    case KN_ERR_CANCELLED:
        return kni_fail(err, asked, "%s", why);
    default:
        return after_failure(facts, asked, why, warn, err);
    }
}
