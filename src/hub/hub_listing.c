/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "hub/answers.h"
#include "hub/endpoint.h"

#define AVOID "do not use this repository, and tell its publisher"
#define BUILD_FOLDER "build/"

/* A file as it stands in the answer, whose texts it borrows. */
typedef struct found_file {
    const char *path, *oid;
    int64_t size;
    bool is_lfs;
} found_file;

static kn_status check_path(const char *path, const char *what, kn_error *err) {
    char shown[KNI_HUB_SHOWN_MAX];
    const char *problem = kni_hub_path_problem(path);
    if (!problem) return KN_OK;
    return kni_fail(err, KN_ERR_INTEGRITY, "%s: the path '%s' %s; " AVOID, what,
                    kni_text_shown(path, shown, sizeof shown), problem);
}

static kn_status read_path(const kni_json *item, const char *what, found_file *out, kn_error *err) {
    const kni_json *value = kni_json_member(item, "path");
    if (!value) return kni_hub_answer_fail(what, "a 'path' of each file", err);
    out->path = kni_json_text(value);
    if (!out->path) {
        return kni_fail(err, KN_ERR_INTEGRITY, "%s: a path is no text, or has a NUL in it; " AVOID,
                        what);
    }
    return check_path(out->path, what, err);
}

static bool is_hexadecimal(const char *text, size_t length) {
    return strspn(text, "0123456789abcdef") == length && text[length] == '\0';
}

static kn_status check_content(const found_file *file, const char *what, kn_error *err) {
    char path[KNI_HUB_SHOWN_MAX], shown[KNI_HUB_SHOWN_MAX];
    size_t digits = file->is_lfs ? 64 : 40;
    kni_text_shown(file->path, path, sizeof path);
    if (!is_hexadecimal(file->oid, digits)) {
        return kni_fail(err, KN_ERR_INTEGRITY,
                        "%s: '%s' has the object id '%s', expected %zu lower-case hexadecimal "
                        "digits; " AVOID,
                        what, path, kni_text_shown(file->oid, shown, sizeof shown), digits);
    }
    if (file->size < 0 || file->size > KNI_FILE_SIZE_MAX) {
        return kni_fail(err, KN_ERR_INTEGRITY,
                        "%s: '%s' has %" PRId64 " bytes, expected 0 to %" PRId64 "; " AVOID, what,
                        path, file->size, KNI_FILE_SIZE_MAX);
    }
    return KN_OK;
}

/* The id and the size. A large file's own ones are those of a pointer to it; its content's stand in
 * "lfs". */
static kn_status read_content(const kni_json *item, const char *what, found_file *out,
                              kn_error *err) {
    const kni_json *lfs = kni_json_member(item, "lfs");
    out->is_lfs = kni_json_is_object(lfs);
    if (out->is_lfs) item = lfs;
    out->oid = kni_json_text(kni_json_member(item, "oid"));
    if (!out->oid || !kni_json_integer(kni_json_member(item, "size"), &out->size))
        return kni_hub_answer_fail(what, "a text 'oid' and an integer 'size' of each file", err);

    if (out->is_lfs && strncmp(out->oid, "sha256:", 7) == 0) out->oid += 7;
    return check_content(out, what, err);
}

static void entry_clear(const kn_alloc *alloc, kni_entry *entry) {
    kni_free(alloc, entry->path);
    kni_free(alloc, entry->oid);
}

static kn_status add_file(kni_listing *listing, const found_file *file, const char *what,
                          kn_error *err) {
    if (listing->count >= KNI_LISTING_MAX) {
        return kni_fail(err, KN_ERR_INTEGRITY,
                        "%s: it has more than %d files, which no kernel has; " AVOID, what,
                        KNI_LISTING_MAX);
    }
    if (!kni_reserve(listing->alloc, &listing->items, &listing->capacity, listing->count + 1,
                     sizeof *listing->items)) {
        return kni_no_memory(err, "reading a repository's listing");
    }
    kni_entry entry = {
        .path = kni_text_copy(listing->alloc, file->path),
        .oid = kni_text_copy(listing->alloc, file->oid),
        .size = file->size,
        .is_lfs = file->is_lfs,
    };
    if (!entry.path || !entry.oid) {
        entry_clear(listing->alloc, &entry);
        return kni_no_memory(err, "reading a repository's listing");
    }
    listing->items[listing->count++] = entry;
    return KN_OK;
}

static kn_status add_item(kni_listing *listing, const kni_json *item, const char *what,
                          kn_error *err) {
    found_file file = {0};
    const char *type = kni_json_text(kni_json_member(item, "type"));
    if (!type) return kni_hub_answer_fail(what, "a list of files, each with a text 'type'", err);
    if (strcmp(type, "file") != 0) return KN_OK;
    kn_status status = read_path(item, what, &file, err);
    if (!status) status = read_content(item, what, &file, err);
    if (!status) status = add_file(listing, &file, what, err);
    return status;
}

/* Takes away what was added since there were `count` files. */
static void shorten(kni_listing *listing, size_t count) {
    while (listing->count > count) entry_clear(listing->alloc, &listing->items[--listing->count]);
}

kn_status kni_listing_add_page(kni_listing *listing, const char *bytes, size_t length,
                               const char *what, kn_error *err) {
    kni_json *document;
    kn_status status = kni_hub_answer_parse(bytes, length, what, &document, err);
    if (status) return status;
    if (!kni_json_is_array(document)) status = kni_hub_answer_fail(what, "a list of files", err);

    size_t before = listing->count;
    for (size_t i = 0; !status && i < kni_json_length(document); i++)
        status = add_item(listing, kni_json_item(document, i), what, err);
    kni_json_free(document);
    if (status) shorten(listing, before);
    return status;
}

/* "blob_id" and "size", or, for a large file, "lfs_sha256" and "lfs_size". */
static kn_status add_recorded(kni_listing *listing, const char *path, const kni_json *item,
                              const char *what, kn_error *err) {
    found_file file = {.path = path, .oid = kni_json_text(kni_json_member(item, "lfs_sha256"))};
    file.is_lfs = file.oid != NULL;
    if (!file.is_lfs) file.oid = kni_json_text(kni_json_member(item, "blob_id"));
    const kni_json *size = kni_json_member(item, file.is_lfs ? "lfs_size" : "size");
    if (!file.oid || !kni_json_integer(size, &file.size))
        return kni_hub_answer_fail(what, "an id and a size of each file", err);
    kn_status status = check_path(path, what, err);
    if (!status) status = check_content(&file, what, err);
    if (!status) status = add_file(listing, &file, what, err);
    return status;
}

kn_status kni_listing_add_recorded(kni_listing *listing, const char *bytes, size_t length,
                                   const char *what, kn_error *err) {
    kni_json *document;
    kn_status status = kni_hub_answer_parse(bytes, length, what, &document, err);
    if (status) return status;
    int64_t version = 0;
    kni_json_integer(kni_json_member(document, "format_version"), &version);
    const kni_json *files = kni_json_member(document, "files"), *item;
    if (version != 1 || !kni_json_is_object(files))
        status = kni_hub_answer_fail(what, "a 'format_version' of 1, and 'files'", err);

    size_t before = listing->count;
    const char *path = status ? NULL : kni_json_next(files, NULL, &item);
    for (; path && !status; path = kni_json_next(files, path, &item))
        status = add_recorded(listing, path, item, what, err);
    kni_json_free(document);
    if (status) shorten(listing, before);
    return status;
}

kn_status kni_listing_add(kni_listing *listing, const char *path, const char *oid, int64_t size,
                          kn_error *err) {
    found_file file = {path, oid, size, strlen(oid) == 64};
    return add_file(listing, &file, path, err);
}

/* The place of a character of a path: a folder's files follow a file of the folder's name at once,
 * with nothing in between ("a", "a/b", "a-b"). */
static int rank(char c) { return c == '/' ? 1 : (unsigned char)c; }

static int compare_paths(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return rank(*a) - rank(*b);
}

static int compare_entries(const void *a, const void *b) {
    const kni_entry *one = a, *other = b;
    return compare_paths(one->path, other->path);
}

kn_status kni_listing_finish(kni_listing *listing, const char *what, kn_error *err) {
    char shown[KNI_HUB_SHOWN_MAX];
    if (listing->count) {
        qsort(listing->items, listing->count, sizeof *listing->items, compare_entries);
    }
    for (size_t i = 1; i < listing->count; i++) {
        const char *path = listing->items[i - 1].path, *next = listing->items[i].path;
        size_t length = strlen(path);
        if (strncmp(path, next, length) != 0 || (next[length] && next[length] != '/')) continue;
        return kni_fail(err, KN_ERR_INTEGRITY,
                        next[length] ? "%s: '%s' is both a file and a folder; " AVOID
                                     : "%s: '%s' is there more than once; " AVOID,
                        what, kni_text_shown(path, shown, sizeof shown));
    }
    return KN_OK;
}

static int compare_with_entry(const void *key, const void *item) {
    const kni_entry *entry = item;
    return compare_paths(key, entry->path);
}

const kni_entry *kni_listing_find(const kni_listing *listing, const char *path) {
    if (listing->count == 0) return NULL;
    return bsearch(path, listing->items, listing->count, sizeof *listing->items,
                   compare_with_entry);
}

void kni_listing_clear(kni_listing *listing) {
    for (size_t i = 0; i < listing->count; i++) entry_clear(listing->alloc, &listing->items[i]);
    kni_free(listing->alloc, listing->items);
    *listing = (kni_listing){.alloc = listing->alloc};
}

kn_status kni_listing_variants(const kni_listing *listing, char ***out, size_t *count,
                               kn_error *err) {
    const kn_alloc *alloc = listing->alloc;
    size_t capacity = 0, last = 0; /* the length of the last name */
    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        const char *path = listing->items[i].path;
        if (strncmp(path, BUILD_FOLDER, sizeof BUILD_FOLDER - 1) != 0) continue;
        const char *name = path + sizeof BUILD_FOLDER - 1;
        size_t length = strcspn(name, "/");
        if (!name[length]) continue; /* a file */
        if (*count && length == last && memcmp((*out)[*count - 1], name, length) == 0) continue;
        char *copy = NULL;
        if (kni_reserve(alloc, out, &capacity, *count + 1, sizeof **out))
            copy = kni_text_copy_n(alloc, name, length);
        if (!copy) goto fail;
        (*out)[(*count)++] = copy;
        last = length;
    }
    return KN_OK;

fail:
    while (*count) kni_free(alloc, (*out)[--*count]);
    kni_free(alloc, *out);
    *out = NULL;
    return kni_no_memory(err, "reading the names of a kernel's variants");
}

static void add_entry(kni_text *text, const kni_entry *entry) {
    kni_text_add(text, "{\"type\":\"file\",\"path\":");
    kni_json_add_text(text, entry->path);
    kni_text_addf(text, ",\"size\":%" PRId64, entry->size);
    if (entry->is_lfs)
        kni_text_addf(text, ",\"lfs\":{\"oid\":\"%s\",\"size\":%" PRId64 "}}", entry->oid,
                      entry->size);
    else
        kni_text_addf(text, ",\"oid\":\"%s\"}", entry->oid);
}

kn_status kni_listing_to_json(const kni_listing *listing, const kn_alloc *alloc, char **out,
                              size_t *length) {
    *out = NULL;
    *length = 0;
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_add(&text, "[");
    for (size_t i = 0; i < listing->count && text.length < KNI_JSON_LIMIT; i++) {
        if (i) kni_text_add(&text, ",\n");
        add_entry(&text, &listing->items[i]);
    }
    kni_text_add(&text, "]\n");
    if (!text.failed && text.length > KNI_JSON_LIMIT) {
        kni_text_clear(&text);
        return KN_ERR_UNSUPPORTED;
    }
    size_t written = text.length;
    *out = kni_text_take(&text);
    if (!*out) return KN_ERR_NOMEM;
    *length = written;
    return KN_OK;
}
