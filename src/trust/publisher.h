/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a repository's code may run: by its publisher's standing on the Hub, by what was recorded
 * of it, or because the caller says so. Pure. */
#ifndef KNI_TRUST_PUBLISHER_H
#define KNI_TRUST_PUBLISHER_H

#include <kernels/common.h>

typedef enum kni_answer { KNI_ANSWER_NONE, KNI_ANSWER_TRUSTED, KNI_ANSWER_UNTRUSTED } kni_answer;

/* What is known before anything is asked. */
typedef struct kni_trust_facts {
    const char *repo_id;
    const char *allowed; /* trust_remote_code: NULL for False, "*" for True, else repository ids,
                            one a line */
    kni_answer recorded;
    int64_t age_s; /* of the record */
    bool offline;  /* nothing can be asked */
    bool strict;   /* KERNELS_TRUST=strict */
    bool refresh;  /* ask again whatever the age */
} kni_trust_facts;

typedef enum kni_trust_step {
    KNI_TRUST_ALLOW,
    KNI_TRUST_ALLOW_WARN, /* offline, without a record: once with a warning */
    KNI_TRUST_REFUSE,
    KNI_TRUST_ASK /* the Hub; then kni_trust_after */
} kni_trust_step;

#define KNI_TRUST_MAX_AGE_S 86400

/* Whether the caller allows it: see kni_trust_facts. */
bool kni_trust_is_allowed(const char *allowed, const char *repo_id);

/* With KNI_TRUST_REFUSE, `err` says why (KN_ERR_UNTRUSTED). */
kni_trust_step kni_trust_before(const kni_trust_facts *facts, kn_error *err);

/* After asking. `asked` is what came of it: KN_OK with `answer`; KN_ERR_REPOSITORY or
 * KN_ERR_NOT_FOUND where the Hub knows no such organization (it cannot be trusted); else a failure
 * of the network, told by `cause`, where a recorded answer serves. Never tells to set
 * trust_remote_code because of a failure of the network. KN_ERR_CANCELLED and KN_ERR_NOMEM are
 * passed on. *warn: what is recorded served. KN_OK: allowed. */
kn_status kni_trust_after(const kni_trust_facts *facts, kn_status asked, const kn_error *cause,
                          kni_answer answer, bool *warn, kn_error *err);

#endif
