/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "hub/answers.h"
#include "hub/endpoint.h"

#define REPO_PART_MAX 96
#define CHECK_HUB "check HF_ENDPOINT if it is set, and any proxy in between"

kn_status kni_hub_answer_parse(const char *bytes, size_t length, const char *what, kni_json **out,
                               kn_error *err) {
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_json_parse(bytes, length, what, out, &cause);
    if (status == KN_ERR_VALUE) {
        return kni_fail(err, KN_ERR_NETWORK, "%s; this is not how a Hub answers: " CHECK_HUB,
                        cause.message);
    }
    return status ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}

kn_status kni_hub_answer_fail(const char *what, const char *expected, kn_error *err) {
    return kni_fail(err, KN_ERR_NETWORK, "%s: the answer is not a Hub's: expected %s; " CHECK_HUB,
                    what, expected);
}

static const char *part_problem(const char *part, size_t length) {
    if (length == 0) return "has an empty part";
    if (length > KNI_HUB_PART_MAX) return "has a part of more than 255 bytes";
    if (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.')))
        return "has '.' or '..' in it";
    return NULL;
}

const char *kni_hub_path_problem(const char *path) {
    if (*path == '\0') return "is empty";
    if (*path == '/') return "is absolute";
    if (strlen(path) > KNI_HUB_PATH_MAX) return "has more than 1024 bytes";
    for (const unsigned char *at = (const unsigned char *)path; *at; at++) {
        if (*at < 0x20 || *at == 0x7F) return "has a control character in it";
        if (*at == '\\') return "has a backslash in it";
    }
    for (const char *part = path; part;) {
        size_t length = strcspn(part, "/");
        const char *problem = part_problem(part, length);
        if (problem) return problem;
        part = part[length] ? part + length + 1 : NULL;
    }
    return NULL;
}

static bool is_repo_part(const char *part, size_t length) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.";
    if (length == 0 || length > REPO_PART_MAX || strspn(part, letters) != length) return false;
    return !strchr("-.", part[0]) && !strchr("-.", part[length - 1]);
}

kn_status kni_repo_id_check(const char *repo_id, kn_error *err) {
    size_t first = strcspn(repo_id, "/"), length = strlen(repo_id);
    bool valid = length > first && is_repo_part(repo_id, first) &&
                 is_repo_part(repo_id + first + 1, length - first - 1) && !strstr(repo_id, "--") &&
                 !strstr(repo_id, "..") &&
                 !(length > 4 && strcmp(repo_id + length - 4, ".git") == 0);
    if (valid) return KN_OK;
    char shown[KNI_HUB_SHOWN_MAX];
    return kni_fail(err, KN_ERR_VALUE,
                    "'%s' is no repository id: expected 'org/name', both of at most %d letters, "
                    "digits, '-', '_' and '.', without '-' or '.' at their ends, '--', '..' and a "
                    "final '.git'",
                    kni_text_shown(repo_id, shown, sizeof shown), REPO_PART_MAX);
}

/* The commit that `value` names; false where it names none. */
static bool copy_commit(const kni_json *value, char out[KNI_COMMIT_MAX]) {
    const char *commit = kni_json_text(value);
    if (!commit || !kni_is_commit(commit)) return false;
    memcpy(out, commit, strlen(commit) + 1);
    return true;
}

static kn_status add_ref(kni_refs *refs, const kni_json *item, bool is_tag, const char *what,
                         kn_error *err) {
    kni_ref ref = {.is_tag = is_tag};
    char shown[KNI_HUB_SHOWN_MAX];
    const char *name = kni_json_text(kni_json_member(item, "name"));
    if (!name) return kni_hub_answer_fail(what, "a text 'name' of each branch and tag", err);
    const char *problem = kni_hub_path_problem(name);
    if (problem) {
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the answer is not a Hub's: the name '%s' of a branch or tag "
                        "%s; " CHECK_HUB,
                        what, kni_text_shown(name, shown, sizeof shown), problem);
    }
    if (!copy_commit(kni_json_member(item, "targetCommit"), ref.commit))
        return kni_hub_answer_fail(what, "a commit as each 'targetCommit'", err);

    if (kni_reserve(refs->alloc, &refs->items, &refs->capacity, refs->count + 1,
                    sizeof *refs->items)) {
        ref.name = kni_text_copy(refs->alloc, name);
    }
    if (!ref.name) return kni_no_memory(err, "reading a repository's branches and tags");
    refs->items[refs->count++] = ref;
    return KN_OK;
}

static kn_status add_refs(kni_refs *refs, const kni_json *list, bool is_tag, const char *what,
                          kn_error *err) {
    if (!kni_json_is_array(list))
        return kni_hub_answer_fail(what, "lists of branches and tags", err);
    for (size_t i = 0; i < kni_json_length(list); i++) {
        kn_status status = add_ref(refs, kni_json_item(list, i), is_tag, what, err);
        if (status) return status;
    }
    return KN_OK;
}

kn_status kni_refs_parse(const kn_alloc *alloc, const char *bytes, size_t length, const char *what,
                         kni_refs *out, kn_error *err) {
    *out = (kni_refs){.alloc = alloc};
    kni_json *document;
    kn_status status = kni_hub_answer_parse(bytes, length, what, &document, err);
    if (status) return status;
    status = add_refs(out, kni_json_member(document, "branches"), false, what, err);
    if (!status) status = add_refs(out, kni_json_member(document, "tags"), true, what, err);
    kni_json_free(document);
    if (status) kni_refs_clear(out);
    return status;
}

void kni_refs_clear(kni_refs *refs) {
    for (size_t i = 0; i < refs->count; i++) kni_free(refs->alloc, refs->items[i].name);
    kni_free(refs->alloc, refs->items);
    *refs = (kni_refs){.alloc = refs->alloc};
}

kn_status kni_publisher_parse(const char *bytes, size_t length, const char *what, bool *trusted,
                              kn_error *err) {
    *trusted = false;
    kni_json *document;
    kn_status status = kni_hub_answer_parse(bytes, length, what, &document, err);
    if (status) return status;
    const kni_json *value = kni_json_member(document, "trustedKernelPublisher");
    if (!kni_json_is_object(document))
        status = kni_hub_answer_fail(what, "a JSON object", err);
    else if (value && !kni_json_is_null(value) && !kni_json_boolean(value, trusted))
        status = kni_hub_answer_fail(what, "true or false as 'trustedKernelPublisher'", err);
    kni_json_free(document);
    return status;
}

kn_status kni_revision_parse(const char *bytes, size_t length, const char *what,
                             char out[KNI_COMMIT_MAX], kn_error *err) {
    out[0] = '\0';
    kni_json *document;
    kn_status status = kni_hub_answer_parse(bytes, length, what, &document, err);
    if (status) return status;
    if (!copy_commit(kni_json_member(document, "sha"), out))
        status = kni_hub_answer_fail(what, "a commit as 'sha'", err);
    kni_json_free(document);
    return status;
}

static kn_status check_redirect(const kni_json *document, const char *what, const char **to,
                                const char **revision, kn_error *err) {
    char shown[KNI_HUB_SHOWN_MAX];
    const char *kind = kni_json_text(kni_json_member(document, "kind"));
    if (!kind || !*kind)
        return kni_fail(err, KN_ERR_VALUE, "%s: it needs a text 'kind'; tell its publisher", what);
    if (strcmp(kind, "redirect") != 0) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: the kind '%s' is not known, this version knows 'redirect' only; "
                        "update kernels",
                        what, kni_text_shown(kind, shown, sizeof shown));
    }
    *to = kni_json_text(kni_json_member(document, "destination"));
    if (!*to || kni_repo_id_check(*to, NULL)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: a redirect needs a repository id, as in \"org/name\", as its "
                        "'destination', not '%s'; tell its publisher",
                        what, kni_text_shown(*to ? *to : "", shown, sizeof shown));
    }
    const kni_json *value = kni_json_member(document, "revision");
    *revision = value ? kni_json_text(value) : "main";
    if (!*revision || kni_hub_path_problem(*revision)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: the 'revision' of a redirect is the name of a branch, tag or commit, "
                        "not '%s'; tell its publisher",
                        what, kni_text_shown(*revision ? *revision : "", shown, sizeof shown));
    }
    return KN_OK;
}

kn_status kni_status_parse(const kn_alloc *alloc, const char *json, size_t length, const char *what,
                           char **destination, char **revision, kn_error *err) {
    *destination = *revision = NULL;
    kni_json *document;
    kn_status status = kni_json_parse(json, length, what, &document, err);
    if (status) return status;
    const char *to = NULL, *at = NULL;
    status = check_redirect(document, what, &to, &at, err);
    if (!status) {
        *destination = kni_text_copy(alloc, to);
        *revision = kni_text_copy(alloc, at);
        if (!*destination || !*revision) {
            kni_free(alloc, *destination);
            kni_free(alloc, *revision);
            *destination = *revision = NULL;
            status = kni_no_memory(err, "reading a kernel's status");
        }
    }
    kni_json_free(document);
    return status;
}
