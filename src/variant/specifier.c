/* SPDX-License-Identifier: Apache-2.0 */
/* Version specifiers: https://packaging.python.org/specifications/version-specifiers/ */
#include <string.h>

#include "base/error.h"
#include "variant/version.h"

typedef enum comparison {
    ARBITRARY, /* the order is that in which they are looked for: === begins with == */
    COMPATIBLE,
    EQUAL,
    NOT_EQUAL,
    AT_MOST,
    AT_LEAST,
    OLDER,
    NEWER,
    COMPARISONS
} comparison;

static const char *const signs[] = {"===", "~=", "==", "!=", "<=", ">=", "<", ">"};

typedef struct clause {
    comparison comparison;
    kni_part text; /* behind the sign */
    bool is_version;
    bool is_prefix;      /* "1.2.*", of which `version` is 1.2 */
    kni_version version; /* where it is one */
} clause;

typedef struct clauses {
    clause items[KN_SPECIFIER_CLAUSES_MAX];
    size_t count;
} clauses;

/* ---- parsing ---- */

static bool drop_end(kni_part *part, const char *end) {
    size_t length = strlen(end);
    if (part->length < length || memcmp(part->at + part->length - length, end, length) != 0)
        return false;
    part->length -= length;
    return true;
}

static bool is_release_only(const kni_version *version) {
    return version->pre_kind == KNI_PRE_NONE && !version->has_post && !version->has_dev &&
           !version->local.at;
}

/* What === takes: anything but white space and the marks that end a specifier elsewhere. */
static bool is_arbitrary(kni_part text) {
    const char *end = text.at + text.length;
    for (const char *at = text.at; at < end; at++) {
        if (*at == ';' || *at == ')' || kni_version_space(at, end)) return false;
    }
    return text.length <= KN_VERSION_LENGTH_MAX;
}

/* Whether the version may stand behind the sign. */
static bool is_allowed(const clause *c) {
    if (c->is_prefix) return is_release_only(&c->version);
    if (c->comparison == EQUAL || c->comparison == NOT_EQUAL) return true;
    if (c->comparison == COMPATIBLE && kni_version_release_count(&c->version) < 2) return false;
    return !c->version.local.at;
}

static bool parse_clause(kni_part text, clause *out) {
    *out = (clause){0};
    size_t length = 0;
    while (out->comparison < COMPARISONS) {
        length = strlen(signs[out->comparison]);
        if (text.length >= length && memcmp(text.at, signs[out->comparison], length) == 0) break;
        out->comparison++;
    }
    if (out->comparison == COMPARISONS) return false;
    out->text = kni_version_trim((kni_part){text.at + length, text.length - length});
    kni_part version = out->text;
    if (out->comparison == EQUAL || out->comparison == NOT_EQUAL)
        out->is_prefix = drop_end(&version, ".*");
    out->is_version = kni_version_parse(version, &out->version);
    if (out->comparison == ARBITRARY) return is_arbitrary(out->text);
    return out->is_version && is_allowed(out);
}

static kn_status refuse_clause(const char *specifier, kni_part text, kn_error *err) {
    kni_part whole = {specifier, strlen(specifier)};
    return kni_fail(
        err, KN_ERR_VALUE,
        "version specifier '%.*s': '%.*s' is no clause of PEP 440; write one of ~= == != <= >= < > === "
        "and a version of at most %d characters, as in '>=0.1,<0.2'",
        kni_version_shown(whole), whole.at, kni_version_shown(text), text.at,
        KN_VERSION_LENGTH_MAX);
}

static kn_status parse_clauses(const char *specifier, clauses *out, kn_error *err) {
    out->count = 0;
    for (const char *at = specifier;;) {
        size_t length = strcspn(at, ",");
        kni_part text = kni_version_trim((kni_part){at, length});
        if (text.length && out->count == KN_SPECIFIER_CLAUSES_MAX) {
            return kni_fail(err, KN_ERR_VALUE,
                            "version specifier '%.*s...' has more than %d clauses; shorten it",
                            kni_version_shown((kni_part){specifier, strlen(specifier)}), specifier,
                            KN_SPECIFIER_CLAUSES_MAX);
        }
        if (text.length && !parse_clause(text, &out->items[out->count++]))
            return refuse_clause(specifier, text, err);
        if (!at[length]) return KN_OK;
        at += length + 1;
    }
}

/* ---- matching ---- */

static bool is_text_of(const kni_version *version, kni_part text) {
    kn_version_info info = {.size = sizeof info};
    kni_version_describe(version, &info);
    if (strlen(info.text) != text.length) return false;
    for (size_t i = 0; i < text.length; i++) {
        if (kni_version_lower(text.at[i]) != info.text[i]) return false;
    }
    return true;
}

static bool has_prefix(const kni_version *version, const kni_version *prefix, size_t count) {
    return kni_version_compare_release(version, prefix, count) == 0;
}

static bool is_equal(const kni_version *version, const clause *c) {
    const kni_version *wanted = &c->version;
    if (c->is_prefix) return has_prefix(version, wanted, kni_version_release_count(wanted));
    /* Where no local part is asked for, any will do. */
    return wanted->local.at ? kni_version_compare(version, wanted) == 0
                            : kni_version_compare_public(version, wanted) == 0;
}

/* Not a pre-release of the bound either, unless the bound is one itself. */
static bool is_older(const kni_version *version, const kni_version *bound) {
    kni_version earliest = *bound;
    if (!kni_version_is_prerelease(bound)) earliest.has_dev = true;
    return kni_version_compare(version, &earliest) < 0;
}

/* Not the bound with a local part either, nor a post-release of it, unless the bound is one itself.
 */
static bool is_newer(const kni_version *version, const kni_version *bound) {
    if (kni_version_compare(version, bound) <= 0) return false;
    if (bound->has_dev || bound->has_post) return kni_version_compare_public(version, bound) != 0;
    return kni_version_compare_release(version, bound, SIZE_MAX) != 0 ||
           !kni_version_same_pre(version, bound);
}

static bool is_compatible(const kni_version *version, const kni_version *wanted) {
    return kni_version_compare(version, wanted) >= 0 &&
           has_prefix(version, wanted, kni_version_release_count(wanted) - 1);
}

static bool matches(const kni_version *version, const clause *c) {
    switch (c->comparison) {
    case ARBITRARY:
        return is_text_of(version, c->text);
    case COMPATIBLE:
        return is_compatible(version, &c->version);
    case EQUAL:
        return is_equal(version, c);
    case NOT_EQUAL:
        return !is_equal(version, c);
    case AT_MOST:
        return kni_version_compare_public(version, &c->version) <= 0;
    case AT_LEAST:
        return kni_version_compare(version, &c->version) >= 0;
    case OLDER:
        return is_older(version, &c->version);
    case NEWER:
        return is_newer(version, &c->version);
    case COMPARISONS:
        break;
    }
    return false;
}

static bool matches_all(const kni_version *version, const clauses *set) {
    for (size_t i = 0; i < set->count; i++) {
        if (!matches(version, &set->items[i])) return false;
    }
    return true;
}

/* Whether a clause names a pre-release, so that they are welcome. */
static bool welcomes_prereleases(const clauses *set) {
    for (size_t i = 0; i < set->count; i++) {
        const clause *c = &set->items[i];
        if (c->comparison != NOT_EQUAL && c->is_version && kni_version_is_prerelease(&c->version))
            return true;
    }
    return false;
}

/* ---- selecting ---- */

/* The best tag so far; `index` SIZE_MAX: none. */
typedef struct choice {
    size_t index;
    const char *tag;
    kni_version version;
} choice;

static bool begins_with_v(const char *tag) { return *tag == 'v' || *tag == 'V'; }

static bool is_better(const choice *a, const choice *b) {
    if (b->index == SIZE_MAX) return true;
    int order = kni_version_compare(&a->version, &b->version);
    if (!order) order = begins_with_v(a->tag) - begins_with_v(b->tag);
    if (!order) order = strcmp(b->tag, a->tag);
    return order > 0;
}

kn_status kn_specifier_check(const char *text, kn_error *err) {
    clauses set;
    return parse_clauses(text, &set, err);
}

kn_status kn_specifier_select(const char *specifier, const char *const *tags, size_t count,
                              size_t *best, kn_error *err) {
    *best = SIZE_MAX;
    clauses set;
    kn_status status = parse_clauses(specifier, &set, err);
    if (status) return status;

    choice released = {.index = SIZE_MAX}, newest = released;
    for (size_t i = 0; i < count; i++) {
        choice tag = {.index = i, .tag = tags[i]};
        kni_part text = kni_version_trim((kni_part){tags[i], strlen(tags[i])});
        if (!kni_version_parse(text, &tag.version) || !matches_all(&tag.version, &set)) continue;
        if (is_better(&tag, &newest)) newest = tag;
        if (!kni_version_is_prerelease(&tag.version) && is_better(&tag, &released)) released = tag;
    }
    bool any = welcomes_prereleases(&set) || released.index == SIZE_MAX;
    *best = any ? newest.index : released.index;
    return KN_OK;
}
