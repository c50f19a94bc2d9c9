/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/lockfile.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "codec/depend_json.h"
#include "os/files.h"
#include "trust/lockfile_digests.h"
#include "trust/lockfile_parts.h"

#define ENTRIES_MAX 1000
#define VARIANTS_MAX 1000 /* of one entry */
#define SHOWN 80          /* room for a piece of the file in a message */
#define LOCK_AGAIN "lock the project's kernels again"
#define HASH_PREFIX "sha256-"

/* One parse; `number` is that of the entry, from 1 on. */
typedef struct reading {
    kn_lockfile *file;
    const char *origin;
    size_t number;
    kn_error *err;
} reading;

/* ---- pieces ---- */

static kn_status fail_entry(const reading *r, const char *what) {
    return kni_fail(r->err, KN_ERR_VALUE, "%s: entry %zu %s; " LOCK_AGAIN, r->origin, r->number,
                    what);
}

static kn_status fail_unknown(const reading *r, const char *name) {
    char shown[SHOWN];
    return kni_fail(r->err, KN_ERR_VALUE,
                    "%s: entry %zu has a field '%s' that this version does not know; upgrade the "
                    "package kernels, or " LOCK_AGAIN,
                    r->origin, r->number, kni_text_shown(name, shown, sizeof shown));
}

static kn_status check_members(const reading *r, const kni_json *object, const char *const *names,
                               size_t count) {
    const char *unknown = kni_json_unknown_member(object, names, count);
    return unknown ? fail_unknown(r, unknown) : KN_OK;
}

static kn_status copy_text(const reading *r, const char *text, char **out) {
    *out = kni_text_copy(r->file->alloc, text);
    return *out || !text ? KN_OK : kni_no_memory(r->err, "reading a lock file");
}

/* A commit in lower case. */
static kn_status copy_commit(const reading *r, const kni_json *value, char **out) {
    kn_status status = copy_text(r, kni_json_text(value), out);
    if (status) return status;
    for (char *at = *out; at && *at; at++) {
        if (*at >= 'A' && *at <= 'F') *at = (char)(*at - 'A' + 'a');
    }
    if (*out && kni_is_commit(*out)) return KN_OK;
    return fail_entry(r, "has no commit of 40 or 64 hexadecimal digits");
}

/* ---- entries ---- */

static void clear_item(const kn_alloc *alloc, kni_locked *item) {
    for (size_t i = 0; i < item->variant_count; i++) {
        kni_free(alloc, item->variants[i].name);
        kni_free(alloc, item->variants[i].hash);
        kni_free(alloc, item->variants[i].hash_type);
    }
    char *texts[] = {item->repo_id, item->revision, item->commit, item->hash};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) kni_free(alloc, texts[i]);
    kni_free(alloc, item->variants);
}

/* {"dependency": {...}, "lock": {"commit": ..., "hash": ...}} */
static kn_status read_entry(const reading *r, const kni_json *entry, kni_locked *item) {
    static const char *const names[] = {"dependency", "lock"}, *const lock_names[] = {"commit",
                                                                                      "hash"};
    const kni_json *dependency = kni_json_member(entry, "dependency");
    const kni_json *lock = kni_json_member(entry, "lock");
    kn_status status = check_members(r, entry, names, 2);
    if (!status && !kni_json_is_object(dependency)) status = fail_entry(r, "has no 'dependency'");
    if (!status && !kni_json_is_object(lock)) status = fail_entry(r, "has no 'lock'");
    if (!status) status = check_members(r, lock, lock_names, 2);
    if (status) return status;
    const char *unknown = kni_depend_json_unknown(dependency);
    if (unknown) return fail_unknown(r, unknown);
    kni_depend_json depend;
    const char *wrong = kni_depend_json_read(dependency, &depend);
    if (wrong) return fail_entry(r, wrong);
    item->version = depend.version;
    status = copy_text(r, depend.repo_id, &item->repo_id);
    if (!status) status = copy_text(r, depend.revision, &item->revision);
    if (!status) status = copy_commit(r, kni_json_member(lock, "commit"), &item->commit);
    if (!status) status = copy_text(r, kni_json_text(kni_json_member(lock, "hash")), &item->hash);
    return status;
}

static bool is_hash(const char *text) {
    const size_t prefix = sizeof HASH_PREFIX - 1;
    return text && strncmp(text, HASH_PREFIX, prefix) == 0 && strlen(text + prefix) == 64 &&
           strspn(text + prefix, "0123456789abcdef") == 64;
}

static kn_status add_variant(const reading *r, const char *name, const kni_json *value,
                             kni_locked *item) {
    static const char *const names[] = {"hash", "hash_type"};
    const kni_json *type = kni_json_member(value, "hash_type");
    const char *hash = kni_json_text(kni_json_member(value, "hash"));
    kn_status status = check_members(r, value, names, 2);
    if (status) return status;
    if (!is_hash(hash)) return fail_entry(r, "has a variant without a hash 'sha256-...'");
    if (type && !kni_json_text(type)) return fail_entry(r, "has a 'hash_type' that is no text");
    if (item->variant_count >= VARIANTS_MAX) return fail_entry(r, "has too many variants");
    if (!kni_reserve(r->file->alloc, &item->variants, &item->variant_capacity,
                     item->variant_count + 1, sizeof *item->variants)) {
        return kni_no_memory(r->err, "reading a lock file");
    }
    kni_locked_variant *variant = &item->variants[item->variant_count++];
    *variant = (kni_locked_variant){0};
    status = copy_text(r, name, &variant->name);
    if (!status) status = copy_text(r, hash, &variant->hash);
    if (!status)
        status = copy_text(r, type ? kni_json_text(type) : "git_lfs_concat", &variant->hash_type);
    return status;
}

/* {"repo_id": ..., "sha": ..., "variants": {NAME: {"hash": ..., "hash_type": ...}}} */
static kn_status read_older_entry(const reading *r, const kni_json *entry, kni_locked *item) {
    static const char *const names[] = {"repo_id", "sha", "variants"};
    const char *repo_id = kni_json_text(kni_json_member(entry, "repo_id"));
    const kni_json *variants = kni_json_member(entry, "variants"), *value;
    kn_status status = check_members(r, entry, names, 3);
    if (!status && (!repo_id || !*repo_id)) status = fail_entry(r, "has no text 'repo_id'");
    if (!status && !kni_json_is_object(variants)) status = fail_entry(r, "has no 'variants'");
    if (!status) status = copy_text(r, repo_id, &item->repo_id);
    if (!status) status = copy_commit(r, kni_json_member(entry, "sha"), &item->commit);
    for (const char *name = kni_json_next(variants, NULL, &value); name && !status;
         name = kni_json_next(variants, name, &value)) {
        status = add_variant(r, name, value, item);
    }
    return status;
}

static bool is_same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The digests that `item`, the last one, has in the place of a revision: it is no kernel's. */
static kn_status take_digests(const reading *r) {
    kn_lockfile *file = r->file;
    const kni_locked *item = &file->items[file->count - 1];
    if (!kni_reserve(file->alloc, &file->digests, &file->digests_capacity, file->digests_count + 1,
                     sizeof *file->digests)) {
        return kni_no_memory(r->err, "reading a lock file");
    }
    const char *wrong;
    kni_locked_digests *made = &file->digests[file->digests_count++];
    kn_status status = kni_locked_digests_read(file->alloc, item->repo_id, item->commit,
                                               item->revision, made, &wrong);
    if (status == KN_ERR_NOMEM) return kni_no_memory(r->err, "reading a lock file");
    if (status) return fail_entry(r, wrong);
    for (size_t i = 0; i + 1 < file->digests_count; i++) {
        if (strcmp(file->digests[i].repo_id, made->repo_id) == 0 &&
            strcmp(file->digests[i].commit, made->commit) == 0)
            return fail_entry(r, "has the digests of that kernel a second time");
    }
    clear_item(file->alloc, &file->items[--file->count]);
    return KN_OK;
}

static kn_status add_entry(const reading *r, const kni_json *entry) {
    kn_lockfile *file = r->file;
    if (!kni_json_is_object(entry)) return fail_entry(r, "is no object");
    if (!kni_reserve(file->alloc, &file->items, &file->capacity, file->count + 1,
                     sizeof *file->items)) {
        return kni_no_memory(r->err, "reading a lock file");
    }
    kni_locked *item = &file->items[file->count++];
    *item = (kni_locked){.version = -1};
    bool is_older = kni_json_member(entry, "repo_id") != NULL;
    kn_status status = is_older ? read_older_entry(r, entry, item) : read_entry(r, entry, item);
    if (!status && item->revision && item->revision[0] == KNI_LOCKFILE_NOTE) return take_digests(r);
    for (size_t i = 0; i + 1 < file->count && !status; i++) {
        const kni_locked *other = &file->items[i];
        if (is_same_text(other->repo_id, item->repo_id) && other->version == item->version &&
            is_same_text(other->revision, item->revision)) {
            status = fail_entry(r, "is a duplicate dependency: that kernel is locked already");
        }
    }
    return status;
}

/* ---- the file ---- */

void kn_lockfile_free(kn_lockfile *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) clear_item(file->alloc, &file->items[i]);
    for (size_t i = 0; i < file->digests_count; i++)
        kni_locked_digests_clear(file->alloc, &file->digests[i]);
    kni_free(file->alloc, file->items);
    kni_free(file->alloc, file->digests);
    kni_free(file->alloc, file);
}

static kn_status read_document(reading *r, const kni_json *document) {
    size_t count = kni_json_length(document);
    if (!kni_json_is_array(document)) {
        return kni_fail(r->err, KN_ERR_VALUE,
                        "%s: not a lock file: expected a JSON list; where a newer version wrote "
                        "it, upgrade the package kernels, else " LOCK_AGAIN,
                        r->origin);
    }
    if (count > ENTRIES_MAX) {
        return kni_fail(r->err, KN_ERR_VALUE,
                        "%s: %zu kernels are locked, at most %d are read; split the project",
                        r->origin, count, ENTRIES_MAX);
    }
    kn_status status = KN_OK;
    for (size_t i = 0; i < count && !status; i++) {
        r->number = i + 1;
        status = add_entry(r, kni_json_item(document, i));
    }
    return status;
}

kn_status kn_lockfile_parse(const kn_alloc *alloc, const char *bytes, size_t length,
                            const char *origin, kn_lockfile **out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = NULL;
    kni_json *document;
    kn_status status = kni_json_parse(bytes, length, origin, &document, err);
    if (status) return status;
    kn_lockfile *file = kni_new(alloc, sizeof *file);
    if (file) {
        file->alloc = alloc;
        reading r = {.file = file, .origin = origin, .err = err};
        status = read_document(&r, document);
    } else {
        status = kni_no_memory(err, "reading a lock file");
    }
    kni_json_free(document);
    if (status)
        kn_lockfile_free(file);
    else
        *out = file;
    return status;
}

kn_status kn_lockfile_read(const kn_alloc *alloc, const char *path, kn_lockfile **out,
                           kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = NULL;
    char *bytes;
    size_t length;
    kn_status status = kni_file_read(alloc, path, KNI_JSON_LIMIT, &bytes, &length, err);
    if (status) return status;
    status = kn_lockfile_parse(alloc, bytes, length, path, out, err);
    kni_free(alloc, bytes);
    return status;
}

size_t kn_lockfile_count(const kn_lockfile *file) { return file->count; }

void kn_lockfile_get(const kn_lockfile *file, size_t index, kn_locked *out) {
    const kni_locked *item = &file->items[index];
    const kni_locked_digests *digests = kni_locked_digests_find(file, item->repo_id, item->commit);
    kn_locked made = {
        .size = out->size,
        .repo_id = item->repo_id,
        .version = item->version,
        .revision = item->revision,
        .commit = item->commit,
        .hash = item->hash,
        .variant_count = item->variant_count,
        .file_count = digests ? digests->count : 0,
    };
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

void kn_lockfile_variant(const kn_lockfile *file, size_t index, size_t variant,
                         kn_locked_variant *out) {
    const kni_locked_variant *item = &file->items[index].variants[variant];
    kn_locked_variant made = {out->size, item->name, item->hash, item->hash_type};
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

/* Whether `item` is for a kernel at that version or revision. */
static bool locks(const kni_locked *item, const char *repo_id, int64_t version,
                  const char *revision) {
    if (strcmp(item->repo_id, repo_id) != 0) return false;
    bool any_wanted = version < 0 && !revision, by_name = item->version < 0 && !item->revision;
    return any_wanted || by_name ||
           (item->version == version && is_same_text(item->revision, revision));
}

/* Versions by their numbers, then revisions. */
static bool comes_before(const kni_locked *a, const kni_locked *b) {
    if (a->version < 0 || b->version < 0) return a->version >= 0 && b->version < 0;
    return a->version < b->version;
}

kn_status kn_lockfile_find(const kn_lockfile *file, const char *repo_id, int64_t version,
                           const char *revision, size_t *index, kn_error *err) {
    *index = SIZE_MAX;
    for (size_t i = 0; i < file->count; i++) {
        if (!locks(&file->items[i], repo_id, version, revision)) continue;
        if (*index == SIZE_MAX || comes_before(&file->items[i], &file->items[*index])) *index = i;
    }
    if (*index != SIZE_MAX) return KN_OK;
    char what[SHOWN + 32] = "", shown[SHOWN];
    if (revision)
        snprintf(what, sizeof what, " (revision: %s)", kni_text_shown(revision, shown, SHOWN));
    else if (version >= 0)
        snprintf(what, sizeof what, " (version: %lld)", (long long)version);
    return kni_fail(err, KN_ERR_VALUE,
                    "Kernel `%s`%s is not locked. Please lock it with `kernels lock <project>` and "
                    "then reinstall the project.",
                    repo_id, what);
}
