/* SPDX-License-Identifier: Apache-2.0 */
/* From the tables of kernels.toml to rules. */
#include <kernels/version.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "trust/policy.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define BLANKS " \t"
#define COMPARISONS "<>=!~" /* what a clause of a specifier begins with */
#define DIGEST_PREFIX "sha256-"
#define SHOWN_MAX 101

typedef struct reader {
    kni_policy *policy;
    kn_error *err;
} reader;

static kn_status no_memory(const reader *r) {
    return kni_no_memory(r->err, "reading kernels.toml");
}

static bool is_name(const char *text, size_t length) {
    return length && strspn(text, NAME_CHARACTERS) >= length;
}

static bool is_repo_id(const char *text) {
    size_t organization = strcspn(text, "/");
    return is_name(text, organization) && text[organization] == '/' &&
           is_name(text + organization + 1, strlen(text + organization + 1));
}

/* "org/name", "org/", then an asterisk, and "name" */
static bool is_target(const char *text) {
    size_t first = strcspn(text, "/");
    if (!is_name(text, first)) return false;
    return !text[first] || strcmp(text + first, "/*") == 0 || is_repo_id(text);
}

static kn_status fail_quoted(const reader *r, const kni_place *at, const char *text,
                             const char *expected) {
    char shown[SHOWN_MAX];
    kni_text_shown(text, shown, sizeof shown);
    return kni_placed_fail(at, r->err, "'%s': expected %s", shown, expected);
}

/* ---- [pin] ---- */

/* The value of a pin: a number, a specifier or a commit. */
static kn_status read_pinned(const reader *r, const kni_placed *value, kni_pin *pin) {
    int64_t number;
    char digits[32];
    const char *text = kni_json_text(value->value);
    if (kni_json_integer(value->value, &number) && number >= 0) {
        snprintf(digits, sizeof digits, "%lld", (long long)number);
        text = digits;
    } else if (!text || !*text) {
        return kni_placed_fail(&value->at, r->err,
                               "the pin of '%s': expected a version (2), a specifier "
                               "(\">=0.1,<0.2\") or a commit (40 hexadecimal digits)",
                               pin->repo_id);
    }
    bool is_commit = kni_is_commit(text), is_number = !text[strspn(text, "0123456789")];
    if (!is_commit && !is_number && kn_specifier_check(text, NULL))
        return fail_quoted(r, &value->at, text,
                           "a version (2), a specifier (\">=0.1,<0.2\") or a commit (40 "
                           "hexadecimal digits); a branch or tag cannot be pinned");
    char **place = is_commit ? &pin->revision : &pin->version;
    *place = kni_text_copy(r->policy->alloc, text);
    return *place ? KN_OK : no_memory(r);
}

static kn_status read_pins(const reader *r, const kni_placed *table) {
    kni_policy *p = r->policy;
    kni_placed value;
    if (!kni_json_is_object(table->value))
        return kni_placed_fail(&table->at, r->err,
                               "pin: expected a table of \"org/name\" = VERSION");
    kn_status status = KN_OK;
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value)) {
        if (!is_repo_id(key)) return fail_quoted(r, &value.at, key, "a repository, \"org/name\"");
        if (!kni_reserve(p->alloc, &p->pins, &p->pin_capacity, p->pin_count + 1, sizeof *p->pins))
            return no_memory(r);
        kni_pin *pin = &p->pins[p->pin_count++];
        *pin = (kni_pin){.repo_id = kni_text_copy(p->alloc, key), .said = value.at};
        status = pin->repo_id ? read_pinned(r, &value, pin) : no_memory(r);
    }
    return status;
}

/* ---- deny ---- */

#define DENIED                                                                               \
    "a repository (\"org/name\", or \"name\" of whichever organization) or an organization " \
    "(\"org/*\"), and behind it nothing, versions (\"org/name >= 3\") or a commit"

/* Splits "TARGET [SPECIFIER | COMMIT]". */
static kn_status split_deny(const reader *r, const char *text, kni_deny *deny) {
    const kn_alloc *alloc = r->policy->alloc;
    size_t length = strcspn(text, BLANKS COMPARISONS);
    const char *rest = text + length + strspn(text + length, BLANKS);
    deny->text = kni_text_copy(alloc, text);
    deny->target = kni_text_copy_n(alloc, text, length);
    if (!deny->text || !deny->target) return no_memory(r);
    bool is_commit = kni_is_commit(rest);
    bool is_versions = *rest && strchr(COMPARISONS, *rest) && !kn_specifier_check(rest, NULL);
    if (!is_target(deny->target) || (*rest && !is_commit && !is_versions))
        return fail_quoted(r, &deny->said, text, DENIED);
    if (!*rest) return KN_OK;
    char **place = is_commit ? &deny->commit : &deny->specifier;
    *place = kni_text_copy(alloc, rest);
    return *place ? KN_OK : no_memory(r);
}

static kn_status read_denies(const reader *r, const kni_placed *list) {
    kni_policy *p = r->policy;
    if (!kni_json_is_array(list->value))
        return kni_placed_fail(&list->at, r->err, "deny: expected a list of texts, each " DENIED);
    for (size_t i = 0; i < kni_json_length(list->value); i++) {
        kni_placed item = kni_placed_item(list, i);
        const char *text;
        kn_status status = kni_placed_text(&item, "deny", &text, r->err);
        if (status) return status;
        if (!kni_reserve(p->alloc, &p->denies, &p->deny_capacity, p->deny_count + 1,
                         sizeof *p->denies))
            return no_memory(r);
        kni_deny *deny = &p->denies[p->deny_count++];
        *deny = (kni_deny){.said = item.at};
        status = split_deny(r, text, deny);
        if (status) return status;
    }
    return KN_OK;
}

/* ---- [trust] ---- */

static bool is_digest(const char *text) {
    size_t prefix = strlen(DIGEST_PREFIX);
    return strncmp(text, DIGEST_PREFIX, prefix) == 0 && strlen(text + prefix) == 64 &&
           kni_is_commit(text + prefix);
}

static kn_status check_trusted(const reader *r, const kni_place *at, kni_trust_kind kind,
                               const char *name) {
    switch (kind) {
    case KNI_TRUST_ORGANIZATION:
        if (is_name(name, strlen(name))) return KN_OK;
        return fail_quoted(r, at, name, "the name of an organization or user");
    case KNI_TRUST_REPOSITORY:
        if (is_repo_id(name)) return KN_OK;
        return fail_quoted(r, at, name, "a repository, \"org/name\"");
    case KNI_TRUST_DIGEST:
        break;
    }
    if (is_digest(name)) return KN_OK;
    return fail_quoted(r, at, name, "a digest, sha256- and 64 hexadecimal digits");
}

static kn_status read_trusted(const reader *r, const kni_placed *list, kni_trust_kind kind,
                              const char *key) {
    kni_policy *p = r->policy;
    if (!kni_json_is_array(list->value))
        return kni_placed_fail(&list->at, r->err, "%s in [trust]: expected a list of texts", key);
    for (size_t i = 0; i < kni_json_length(list->value); i++) {
        kni_placed item = kni_placed_item(list, i);
        const char *name;
        kn_status status = kni_placed_text(&item, key, &name, r->err);
        if (!status) status = check_trusted(r, &item.at, kind, name);
        if (status) return status;
        if (!kni_reserve(p->alloc, &p->trusted, &p->trusted_capacity, p->trusted_count + 1,
                         sizeof *p->trusted))
            return no_memory(r);
        kni_trusted *made = &p->trusted[p->trusted_count++];
        *made = (kni_trusted){kind, kni_text_copy(p->alloc, name), item.at};
        if (!made->name) return no_memory(r);
    }
    return KN_OK;
}

static kn_status read_trust(const reader *r, const kni_placed *table) {
    static const char *const keys[] = {[KNI_TRUST_ORGANIZATION] = "organizations",
                                       [KNI_TRUST_REPOSITORY] = "repositories",
                                       [KNI_TRUST_DIGEST] = "digests"};
    kni_placed value;
    if (!kni_json_is_object(table->value))
        return kni_placed_fail(&table->at, r->err,
                               "trust: expected a table with organizations, repositories or "
                               "digests");
    kn_status status = KN_OK;
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value)) {
        size_t kind = 0;
        while (kind < 3 && strcmp(keys[kind], key) != 0) kind++;
        status = kind < 3 ? read_trusted(r, &value, (kni_trust_kind)kind, key)
                          : kni_placed_fail_key(&value.at, key, "[trust]",
                                                "organizations repositories digests", r->err);
    }
    return status;
}

/* ---- order ---- */

static kn_status read_order(const reader *r, const kni_placed *list) {
    kni_policy *p = r->policy;
    bool counts = !p->order_said.file; /* else a file that was read before it has one */
    bool seen[KNI_PROVIDERS] = {false};
    if (!kni_json_is_array(list->value) || !kni_json_length(list->value))
        return kni_placed_fail(&list->at, r->err,
                               "order: expected a list of \"local\", \"builtin\", \"cache\" and "
                               "\"hub\"");
    for (size_t i = 0; i < kni_json_length(list->value); i++) {
        kni_placed item = kni_placed_item(list, i);
        const char *name;
        kn_status status = kni_placed_text(&item, "order", &name, r->err);
        if (status) return status;
        size_t provider = 0;
        while (provider < KNI_PROVIDERS &&
               strcmp(kni_provider_text((kni_provider)provider), name) != 0)
            provider++;
        if (provider == KNI_PROVIDERS)
            return fail_quoted(r, &item.at, name, "local, builtin, cache or hub");
        if (seen[provider])
            return kni_placed_fail(&item.at, r->err, "order: '%s' stands there twice", name);
        seen[provider] = true;
        if (counts) p->order[p->order_count++] = (kni_provider)provider;
    }
    if (seen[KNI_PROVIDER_HUB] && !seen[KNI_PROVIDER_CACHE])
        return kni_placed_fail(&list->at, r->err,
                               "order: what comes from the hub lies in the cache; name \"cache\", "
                               "before \"hub\" or behind it");
    if (counts) p->order_said = list->at;
    return KN_OK;
}

kn_status kni_policy_read(kni_policy *policy, const char *key, const kni_placed *value,
                          kn_error *err) {
    const reader r = {policy, err};
    if (strcmp(key, "pin") == 0) return read_pins(&r, value);
    if (strcmp(key, "deny") == 0) return read_denies(&r, value);
    if (strcmp(key, "trust") == 0) return read_trust(&r, value);
    return read_order(&r, value);
}
