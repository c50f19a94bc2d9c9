/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels.toml rules: which version a name means (pins), what is not to be used (denies), what
 * is trusted although no Hub says so, and which provider is asked first. Pure. */
#ifndef KNI_TRUST_POLICY_H
#define KNI_TRUST_POLICY_H

#include "codec/placed.h"

/* What a repository is, whatever version or branch is asked for: one of the two is NULL. */
typedef struct kni_pin {
    char *repo_id;
    char *version;  /* "2" or ">=0.1,<0.2" */
    char *revision; /* a commit */
    kni_place said;
} kni_pin;

typedef struct kni_deny {
    char *text;      /* as it stands in the file */
    char *target;    /* "org/name", "org/" and an asterisk, or "name", of whichever organization */
    char *specifier; /* the versions that are denied; NULL: see `commit` */
    char *commit;    /* the commit that is denied; both NULL: all of it is */
    kni_place said;
} kni_deny;

typedef enum kni_trust_kind {
    KNI_TRUST_ORGANIZATION,
    KNI_TRUST_REPOSITORY,
    KNI_TRUST_DIGEST /* of a build: see kni_variant_hash */
} kni_trust_kind;

typedef struct kni_trusted {
    kni_trust_kind kind;
    char *name;
    kni_place said;
} kni_trusted;

/* In the order in which they are asked where no file says otherwise. */
typedef enum kni_provider {
    KNI_PROVIDER_LOCAL,   /* LOCAL_KERNELS */
    KNI_PROVIDER_BUILTIN, /* what ships with the package */
    KNI_PROVIDER_CACHE,
    KNI_PROVIDER_HUB /* the sources */
} kni_provider;
#define KNI_PROVIDERS 4

/* {.alloc = ...} rules nothing. Of several files the one that is read first counts more: its pins
 * and its order stand before those of the others; denies and trust add up. */
typedef struct kni_policy {
    const kn_alloc *alloc;
    kni_pin *pins;
    size_t pin_count, pin_capacity;
    kni_deny *denies;
    size_t deny_count, deny_capacity;
    kni_trusted *trusted;
    size_t trusted_count, trusted_capacity;
    kni_provider order[KNI_PROVIDERS];
    size_t order_count;
    kni_place order_said; /* `file` NULL: nobody said anything, all are asked */
} kni_policy;

#define KNI_POLICY_KEYS "pin deny trust order" /* those that kni_policy_read knows */

/* Adds what the member `key` of a file, one of KNI_POLICY_KEYS, rules. The file's name is borrowed.
 * KN_ERR_VALUE with file, line and column for what makes no sense; then the policy is of no use. */
kn_status kni_policy_read(kni_policy *policy, const char *key, const kni_placed *value,
                          kn_error *err);
void kni_policy_clear(kni_policy *policy);

/* NULL: the repository is not pinned. */
const kni_pin *kni_policy_pin(const kni_policy *policy, const char *repo_id);

/* The rule that denies the repository at this version ("3", "v3", "1.2.0") and commit, each NULL
 * where it is not known (yet); NULL: none does. *open (may be NULL) is then a rule that may still,
 * once the version is known. */
const kni_deny *kni_policy_deny(const kni_policy *policy, const char *repo_id, const char *version,
                                const char *commit, const kni_deny **open);

/* Why the repository, by its own name or by its organization's, is trusted; NULL: not by this. */
const kni_trusted *kni_policy_trusts(const kni_policy *policy, const char *repo_id);
/* The same for a build by its digest. */
const kni_trusted *kni_policy_trusts_digest(const kni_policy *policy, const char *digest);
bool kni_policy_has_digests(const kni_policy *policy);

/* Whether the provider is asked at all, and whether one is asked before another. */
bool kni_policy_asks(const kni_policy *policy, kni_provider provider);
bool kni_policy_is_before(const kni_policy *policy, kni_provider one, kni_provider other);
/* "local", "builtin", "cache", "hub" */
const char *kni_provider_text(kni_provider provider);

#endif
