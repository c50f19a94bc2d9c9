/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cache/content_digest.h"
#include "cache/record.h"

#define STALE_SECONDS INT64_C(86400)

kni_json *kni_receipt_parse(const char *bytes, size_t length) {
    kni_json *document;
    return kni_json_parse(bytes, length, "a receipt", &document, NULL) ? NULL : document;
}

bool kni_receipt_knows(const kni_json *receipt, const char *path, const kni_content *content,
                       const kni_file_facts *facts) {
    const kni_json *entry = kni_json_member(kni_json_member(receipt, "files"), path);
    const char *oid = kni_json_text(kni_json_item(entry, 0));
    int64_t size, mtime, inode;
    return oid && strcmp(oid, content->oid) == 0 &&
           kni_json_integer(kni_json_item(entry, 1), &size) && size == facts->size &&
           kni_json_integer(kni_json_item(entry, 2), &mtime) && mtime == facts->mtime_ns &&
           kni_json_integer(kni_json_item(entry, 3), &inode) && inode == facts->inode;
}

/* What one check works with. */
typedef struct check {
    const kni_cache *cache;
    const char *record; /* "receipts/<commit>/<name>.json" */
    kni_checked *files;
    size_t count;
    int folder;            /* the snapshot; -1: there is none */
    kni_json *receipts[2]; /* the cache's and the user's; NULL: none */
    bool hashed;           /* whether any file was */
    kni_net_need need;
    void *ctx;
    const kni_net *net; /* NULL: not asked for yet */
    kn_error *err;
} check;

static kn_status no_memory(kn_error *err) {
    return kni_no_memory(err, "checking files of the cache");
}

static kn_status read_receipts(check *c) {
    for (int i = 0; i < 2; i++) {
        char *bytes;
        size_t length;
        kn_status status =
            kni_own_read(c->cache, i == 1, c->record, KNI_RECORD_MAX, &bytes, &length, c->err);
        if (status) return status;
        if (bytes) c->receipts[i] = kni_receipt_parse(bytes, length);
        kni_free(c->cache->alloc, bytes);
    }
    return KN_OK;
}

/* A file that cannot be read is as good as damaged: it is fetched again where that is possible. */
static kn_status hash_file(check *c, kni_checked *file) {
    kn_status status = c->net ? KN_OK : c->need(c->ctx, &c->net, c->err);
    if (status) return status;
    bool good;
    status = kni_content_check_file(c->cache->alloc, c->net, c->folder, file->path, &file->content,
                                    &file->facts, &good, c->err);
    if (good) file->found = KNI_FILE_GOOD;
    c->hashed = true;
    return status;
}

static kn_status check_file(check *c, kni_checked *file, bool always) {
    kni_file_facts *facts = &file->facts;
    *facts = (kni_file_facts){0};
    file->found = KNI_FILE_MISSING;
    kn_status status = kni_path_check("the file", file->path, c->err);
    if (!status) status = kni_content_check(&file->content, c->err);
    if (status) return status;
    if (c->folder >= 0) kni_file_look(c->folder, file->path, facts);
    if (!facts->there) return KN_OK;
    file->found = KNI_FILE_DAMAGED;
    if (!facts->regular || facts->size != file->content.size) return KN_OK;
    for (int r = 0; r < 2 && !always; r++) {
        if (kni_receipt_knows(c->receipts[r], file->path, &file->content, facts)) {
            file->found = KNI_FILE_GOOD;
            return KN_OK;
        }
    }
    return hash_file(c, file);
}

/* A receipt of all files that are good. One that cannot be written is no failure. */
static kn_status write_receipt(const check *c) {
    kni_text text;
    kni_text_init(&text, c->cache->alloc);
    const char *separator = "{\"files\": {";
    for (size_t i = 0; i < c->count; i++) {
        const kni_checked *file = &c->files[i];
        assert(file);
        const kni_file_facts *facts = &file->facts;
        if (file->found != KNI_FILE_GOOD) continue;
        kni_text_add(&text, separator);
        separator = ",\n";
        kni_json_add_text(&text, file->path);
        kni_text_addf(&text, ": [\"%s\", %lld, %lld, %lld]", file->content.oid,
                      (long long)facts->size, (long long)facts->mtime_ns, (long long)facts->inode);
    }
    if (text.length == 0 && !text.failed) return KN_OK; /* nothing is good */
    kni_text_add(&text, "}}\n");
    size_t length = text.length;
    char *bytes = kni_text_take(&text);
    if (!bytes) return no_memory(c->err);
    kn_status status = KN_OK;
    if (length <= KNI_RECORD_MAX) {
        status = kni_cache_document_write(c->cache, c->record, bytes, length, NULL);
    }
    kni_free(c->cache->alloc, bytes);
    return status == KN_ERR_NOMEM ? no_memory(c->err) : KN_OK;
}

static char *record_name(const kni_cache *cache, const char *commit, const char *name) {
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kni_text_addf(&text, "receipts/%s/%s.json", commit, name);
    return kni_text_take(&text);
}

static void check_close(check *c, char *record) {
    kni_folder_close(c->folder);
    kni_json_free(c->receipts[0]);
    kni_json_free(c->receipts[1]);
    kni_free(c->cache->alloc, record);
}

/* Opens the snapshot; `c` has cache, files, count and err. `*record` is for check_close. */
static kn_status check_open(check *c, const char *commit, const char *name, char **record) {
    *record = NULL;
    c->folder = -1;
    kn_status status = kni_commit_check(commit, c->err);
    if (!status) status = kni_path_check("the variant", name, c->err);
    if (status) return status;
    const kn_alloc *alloc = c->cache->alloc;
    c->record = *record = record_name(c->cache, commit, name);
    char *snapshot = kni_cache_snapshot_path(c->cache, commit, NULL);
    if (c->record && snapshot) {
        c->folder = kni_folder_open(snapshot, false);
        status = kni_path_check("the variant", c->record, c->err);
    } else {
        status = no_memory(c->err);
    }
    kni_free(alloc, snapshot);
    return status;
}

kn_status kni_cache_check(const kni_cache *cache, const char *commit, const char *name,
                          kni_checked *files, size_t count, bool always, kni_net_need need,
                          void *ctx, kn_error *err) {
    check c = {
        .cache = cache, .files = files, .count = count, .need = need, .ctx = ctx, .err = err};
    char *record;
    kn_status status = check_open(&c, commit, name, &record);
    if (!status && c.folder >= 0 && !always) status = read_receipts(&c);
    for (size_t i = 0; i < count && !status; i++) status = check_file(&c, &files[i], always);
    if (!status && c.hashed && !always) status = write_receipt(&c);
    check_close(&c, record);
    return status;
}

kn_status kni_cache_receipt_write(const kni_cache *cache, const char *commit, const char *name,
                                  const kni_checked *files, size_t count, kn_error *err) {
    check c = {.cache = cache, .count = count, .err = err};
    char *record;
    kn_status status = check_open(&c, commit, name, &record);
    kni_checked *copies = status ? NULL : kni_new(cache->alloc, (count + 1) * sizeof *copies);
    if (!status && !copies) status = no_memory(err);
    c.files = copies;
    for (size_t i = 0; i < count && !status && copies; i++) {
        status = kni_path_check("the file", files[i].path, err);
        if (!status) status = kni_content_check(&files[i].content, err);
        if (status) break;
        kni_checked *copy = &copies[i];
        *copy = files[i];
        if (c.folder >= 0 && !copy->facts.there) kni_file_look(c.folder, copy->path, &copy->facts);
        if (!copy->facts.regular || copy->facts.size != copy->content.size)
            copy->found = KNI_FILE_MISSING;
    }
    if (!status) status = write_receipt(&c);
    kni_free(cache->alloc, copies);
    check_close(&c, record);
    kni_store_sweep(cache->folder, STALE_SECONDS);
    kni_store_sweep(cache->own, STALE_SECONDS);
    return status;
}
