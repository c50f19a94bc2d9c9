/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/mapping_file.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "os/lock.h"

#define ENTRY_KEYS "repo path layer version revision min-capability max-capability"
#define MODES_MAX 8 /* there are five that can be registered */

/* ---- a repository as a file describes it ---- */

typedef struct file_repo {
    kni_count references;
    const kn_alloc *alloc;
    kn_repo_kind kind;
    char *id, *layer, *version, *revision;
} file_repo;

static void repo_retain(void *object) { kni_count_add(&((file_repo *)object)->references); }

static void repo_release(void *object) {
    file_repo *repo = object;
    if (!kni_count_drop(&repo->references)) return;
    char *const texts[] = {repo->id, repo->layer, repo->version, repo->revision};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) kni_free(repo->alloc, texts[i]);
    kni_free(repo->alloc, repo);
}

static int repo_equal(void *a, void *b) { return a == b; }

static bool repo_hash(void *object, uint64_t *out) {
    *out = kni_hash_text(((file_repo *)object)->id);
    return true;
}

static kn_status repo_describe(void *object, kn_repo_info *out, kn_error *err) {
    const file_repo *repo = object;
    (void)err;
    out->kind = repo->kind;
    out->id = repo->id;
    out->layer_name = repo->layer;
    out->version = repo->version;
    out->revision = repo->revision;
    return KN_OK;
}

static const kn_repo_ops file_repo_ops = {sizeof(kn_repo_ops), repo_retain, repo_release,
                                          repo_equal,          repo_hash,   repo_describe};

/* ---- reading ---- */

/* What is being put together. */
typedef struct reader {
    const kn_alloc *alloc;
    kn_mapping *mapping;
    const char *layer;
    kn_device_type device;
    kn_error *err;
} reader;

static kn_status no_memory(const reader *r) { return kni_no_memory(r->err, "reading a mapping"); }

/* "inference", "TRAINING|TORCH_COMPILE": in capitals or not. */
static kn_status read_mode(const reader *r, const kni_place *at, const char *text, kn_mode *out) {
    static const struct {
        const char *name;
        kn_mode mode;
    } names[] = {{"inference", KN_MODE_INFERENCE},
                 {"training", KN_MODE_TRAINING},
                 {"torch_compile", KN_MODE_TORCH_COMPILE},
                 {"fallback", KN_MODE_FALLBACK}};
    kn_error cause;
    *out = 0;
    for (const char *word = text; *word;) {
        char name[16] = "";
        size_t length = strcspn(word, "|"), i = 0;
        if (length < sizeof name) memcpy(name, word, length);
        while (i < 4 && !kni_text_is_same_word(name, names[i].name)) i++;
        if (i == 4)
            return kni_placed_fail(
                at, r->err,
                "unknown key '%.60s' for `%.60s`: expected repo or path with what belongs to it, or a mode: inference, training, each with or without |torch_compile, or fallback",
                text, r->layer);
        *out |= names[i].mode;
        word += length + (word[length] == '|');
    }
    kn_error_init(&cause);
    if (kn_mode_check(*out, &cause)) return kni_placed_fail(at, r->err, "%s", cause.message);
    return KN_OK;
}

static kn_status copy_text(const reader *r, const kni_placed *value, const char *key, char **out) {
    const char *text;
    kn_status status = kni_placed_text(value, key, &text, r->err);
    if (status) return status;
    *out = kni_text_copy(r->alloc, text);
    return *out ? KN_OK : no_memory(r);
}

static kn_status copy_version(const reader *r, const kni_placed *value, char **out) {
    int64_t number;
    char digits[32];
    if (!kni_json_integer(value->value, &number)) return copy_text(r, value, "version", out);
    if (number < 0) return kni_placed_fail(&value->at, r->err, "version: expected 0 or more");
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    *out = kni_text_copy(r->alloc, digits);
    return *out ? KN_OK : no_memory(r);
}

static kn_status read_bound(const reader *r, const kni_placed *value, const char *key,
                            int64_t *out) {
    if (kni_json_integer(value->value, out) && *out >= 0) return KN_OK;
    return kni_placed_fail(&value->at, r->err, "%s: expected major * 10 + minor, as 90 for 9.0",
                           key);
}

static kn_status read_member(const reader *r, const char *key, const kni_placed *value,
                             file_repo *repo, kn_capability_range *range) {
    if (strcmp(key, "repo") == 0 || strcmp(key, "path") == 0) {
        if (repo->id)
            return kni_placed_fail(&value->at, r->err, "both repo and path: expected one");
        repo->kind = key[0] == 'p' ? KN_REPO_LOCAL : KN_REPO_HUB;
        return copy_text(r, value, key, &repo->id);
    }
    if (strcmp(key, "layer") == 0) return copy_text(r, value, key, &repo->layer);
    if (strcmp(key, "version") == 0) return copy_version(r, value, &repo->version);
    if (strcmp(key, "revision") == 0) return copy_text(r, value, key, &repo->revision);
    if (strcmp(key, "min-capability") == 0) return read_bound(r, value, key, &range->min);
    if (strcmp(key, "max-capability") == 0) return read_bound(r, value, key, &range->max);
    return kni_placed_fail_key(&value->at, key, "a repository", ENTRY_KEYS, r->err);
}

static kn_status check_repo(const reader *r, const kni_place *at, const file_repo *repo) {
    if (!repo->id)
        return kni_placed_fail(at, r->err, "`%s`: a repository without repo or path", r->layer);
    if (repo->version && repo->revision)
        return kni_placed_fail(at, r->err, "`%s`: both version and revision: expected one",
                               r->layer);
    if (repo->kind == KN_REPO_LOCAL && (repo->version || repo->revision))
        return kni_placed_fail(at, r->err, "`%s`: a directory has no version", r->layer);
    return KN_OK;
}

/* The repository that a table describes, with a reference in *out, and the range in it. */
static kn_status read_repo(const reader *r, const kni_placed *table, kn_repo **out,
                           kn_capability_range *range) {
    kni_placed value;
    kn_status status = KN_OK;
    *out = NULL;
    file_repo *repo = kni_new(r->alloc, sizeof *repo);
    if (!repo) return no_memory(r);
    *repo = (file_repo){.references = {1}, .alloc = r->alloc};
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value))
        status = read_member(r, key, &value, repo, range);
    if (!status) status = check_repo(r, &table->at, repo);
    if (!status && !repo->layer) {
        repo->layer = kni_text_copy(r->alloc, r->layer);
        if (!repo->layer) status = no_memory(r);
    }
    if (!status) status = kn_repo_new(r->alloc, repo, &file_repo_ops, out, r->err);
    repo_release(repo);
    return status;
}

static bool describes_repo(const kni_json *table) {
    return kni_json_member(table, "repo") || kni_json_member(table, "path");
}

static kn_status add_entry(reader *r, const kni_place *at, kn_capability_range range,
                           const kn_mode_repo *modes, size_t count) {
    const kn_mapping_entry entry = {r->layer, r->device, range, modes, count};
    kn_mapping *made;
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kn_mapping_extend(r->alloc, r->mapping, &entry, 1, &made, &cause);
    if (status == KN_ERR_VALUE) return kni_placed_fail(at, r->err, "%s", cause.message);
    if (status) return kni_fail(r->err, status, "%s", cause.message);
    kn_mapping_release(r->mapping);
    r->mapping = made;
    return KN_OK;
}

/* {inference = {repo = ...}, training = {...}} */
static kn_status read_modes(reader *r, const kni_placed *table) {
    kn_mode_repo modes[MODES_MAX];
    kn_capability_range range = {0, KN_CAPABILITY_MAX}, one;
    size_t count = 0;
    kni_placed value;
    kn_status status = KN_OK;
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value)) {
        bool is_bound = strcmp(key, "min-capability") == 0 || strcmp(key, "max-capability") == 0;
        one = (kn_capability_range){0, KN_CAPABILITY_MAX};
        if (is_bound) {
            status = read_bound(r, &value, key, key[1] == 'i' ? &range.min : &range.max);
            continue;
        }
        if (count == MODES_MAX) {
            status = kni_placed_fail(&value.at, r->err, "`%s`: too many modes", r->layer);
            continue;
        }
        status = read_mode(r, &value.at, key, &modes[count].mode);
        if (!status) status = read_repo(r, &value, &modes[count].repo, &one);
        if (!status) count++;
    }
    if (!status) status = add_entry(r, &table->at, range, modes, count);
    while (count) kn_repo_release(modes[--count].repo);
    return status;
}

/* What a layer has on a device: a repository for every mode, or one for each. */
static kn_status read_device(reader *r, const kni_placed *table) {
    if (!kni_json_is_object(table->value))
        return kni_placed_fail(&table->at, r->err,
                               "`%s`: expected a table with repo or path, or one of modes",
                               r->layer);
    if (!describes_repo(table->value)) return read_modes(r, table);
    kn_capability_range range = {0, KN_CAPABILITY_MAX};
    kn_mode_repo mode = {KN_MODE_FALLBACK, NULL};
    kn_status status = read_repo(r, table, &mode.repo, &range);
    if (!status) status = add_entry(r, &table->at, range, &mode, 1);
    kn_repo_release(mode.repo);
    return status;
}

/* The devices of a layer, each with a table, or with a list of them for ranges of capabilities. */
static kn_status read_layer(reader *r, const kni_placed *table) {
    kni_placed value;
    kn_status status = KN_OK;
    if (!kni_json_is_object(table->value))
        return kni_placed_fail(&table->at, r->err, "`%s`: expected a table of devices", r->layer);
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value)) {
        kn_error cause;
        kn_error_init(&cause);
        if (kn_device_type_parse(key, &r->device, &cause))
            return kni_placed_fail(&value.at, r->err, "%s", cause.message);
        if (!kni_json_is_array(value.value)) {
            status = read_device(r, &value);
            continue;
        }
        for (size_t i = 0; i < kni_json_length(value.value) && !status; i++) {
            kni_placed item = kni_placed_item(&value, i);
            status = read_device(r, &item);
        }
    }
    return status;
}

kn_status kni_mapping_parse(const kn_alloc *alloc, const kni_json *document, const char *file,
                            kn_mapping **out, kn_error *err) {
    *out = NULL;
    reader r = {.alloc = kni_alloc_or_default(alloc), .err = err};
    kni_placed table = kni_placed_document(document, file), value;
    kn_status status = kn_mapping_extend(r.alloc, NULL, NULL, 0, &r.mapping, err);
    for (r.layer = kni_placed_next(&table, NULL, &value); r.layer && !status;
         r.layer = kni_placed_next(&table, r.layer, &value))
        status = read_layer(&r, &value);
    if (status)
        kn_mapping_release(r.mapping);
    else
        *out = r.mapping;
    return status;
}
