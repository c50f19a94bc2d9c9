/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/policy.h"

#include <kernels/version.h>
#include <string.h>

static const char *const providers[] = {"local", "builtin", "cache", "hub"};

void kni_policy_clear(kni_policy *p) {
    if (!p->alloc) return;
    for (size_t i = 0; i < p->pin_count; i++) {
        kni_free(p->alloc, p->pins[i].repo_id);
        kni_free(p->alloc, p->pins[i].version);
        kni_free(p->alloc, p->pins[i].revision);
    }
    for (size_t i = 0; i < p->deny_count; i++) {
        kni_free(p->alloc, p->denies[i].text);
        kni_free(p->alloc, p->denies[i].target);
        kni_free(p->alloc, p->denies[i].specifier);
        kni_free(p->alloc, p->denies[i].commit);
    }
    for (size_t i = 0; i < p->trusted_count; i++) kni_free(p->alloc, p->trusted[i].name);
    kni_free(p->alloc, p->pins);
    kni_free(p->alloc, p->denies);
    kni_free(p->alloc, p->trusted);
    *p = (kni_policy){.alloc = p->alloc};
}

const kni_pin *kni_policy_pin(const kni_policy *p, const char *repo_id) {
    for (size_t i = 0; i < p->pin_count; i++) {
        if (strcmp(p->pins[i].repo_id, repo_id) == 0) return &p->pins[i];
    }
    return NULL;
}

static bool is_target(const char *target, const char *repo_id) {
    const char *slash = strchr(repo_id, '/');
    if (!strchr(target, '/')) return slash && strcmp(slash + 1, target) == 0;
    size_t organization = strcspn(target, "/") + 1;
    if (strcmp(target + organization, "*") == 0) return strncmp(target, repo_id, organization) == 0;
    return strcmp(target, repo_id) == 0;
}

/* Whether a version satisfies a specifier that was checked; a prerelease as well. */
static bool is_in(const char *version, const char *specifier) {
    size_t best;
    return kn_specifier_select(specifier, &version, 1, &best, NULL) == KN_OK && best == 0;
}

const kni_deny *kni_policy_deny(const kni_policy *p, const char *repo_id, const char *version,
                                const char *commit, const kni_deny **open) {
    if (open) *open = NULL;
    for (size_t i = 0; i < p->deny_count; i++) {
        const kni_deny *deny = &p->denies[i];
        if (!is_target(deny->target, repo_id)) continue;
        if (deny->commit) {
            if (commit && strcmp(deny->commit, commit) == 0) return deny;
        } else if (!deny->specifier || (version && is_in(version, deny->specifier))) {
            return deny;
        } else if (!version && open && !*open) {
            *open = deny;
        }
    }
    return NULL;
}

const kni_trusted *kni_policy_trusts(const kni_policy *p, const char *repo_id) {
    size_t organization = strcspn(repo_id, "/");
    for (size_t i = 0; i < p->trusted_count; i++) {
        const kni_trusted *rule = &p->trusted[i];
        if (rule->kind == KNI_TRUST_REPOSITORY && strcmp(rule->name, repo_id) == 0) return rule;
        if (rule->kind == KNI_TRUST_ORGANIZATION && strlen(rule->name) == organization &&
            strncmp(rule->name, repo_id, organization) == 0)
            return rule;
    }
    return NULL;
}

const kni_trusted *kni_policy_trusts_digest(const kni_policy *p, const char *digest) {
    for (size_t i = 0; i < p->trusted_count; i++) {
        const kni_trusted *rule = &p->trusted[i];
        if (rule->kind == KNI_TRUST_DIGEST && strcmp(rule->name, digest) == 0) return rule;
    }
    return NULL;
}

bool kni_policy_has_digests(const kni_policy *p) {
    for (size_t i = 0; i < p->trusted_count; i++) {
        if (p->trusted[i].kind == KNI_TRUST_DIGEST) return true;
    }
    return false;
}

/* Its place in the order; behind all where it is not asked. */
static size_t place_of(const kni_policy *p, kni_provider provider) {
    if (!p->order_said.file) return provider;
    size_t i = 0;
    while (i < p->order_count && p->order[i] != provider) i++;
    return i < p->order_count ? i : KNI_PROVIDERS;
}

bool kni_policy_asks(const kni_policy *p, kni_provider provider) {
    return place_of(p, provider) < KNI_PROVIDERS;
}

bool kni_policy_is_before(const kni_policy *p, kni_provider one, kni_provider other) {
    return place_of(p, one) < place_of(p, other);
}

const char *kni_provider_text(kni_provider provider) { return providers[provider]; }
