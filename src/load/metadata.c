/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/metadata_fields.h"
#include "os/files.h"

#define REBUILD KNI_METADATA_REBUILD

/* ^[a-z][-a-z0-9]*[a-z0-9]$ */
static bool is_kernel_name(const char *name) {
    size_t length = strlen(name);
    if (length < 2 || name[0] < 'a' || name[0] > 'z' || name[length - 1] == '-') return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* Whether Python can import a module under this name: no separators of paths, no control
 * characters, and, where there are dots, something before, between and behind them. */
static bool is_module_id(const char *id) {
    bool in_word = false;
    for (const unsigned char *at = (const unsigned char *)id; *at; at++) {
        if (*at < 0x20 || *at == 0x7F || *at == '/' || *at == '\\') return false;
        if (*at == '.' && !in_word) return false;
        in_word = *at != '.';
    }
    return in_word;
}

bool kni_metadata_copy_text(const kn_alloc *alloc, const kni_json *value, char **out) {
    const char *text = kni_json_text(value);
    if (!text) return true;
    *out = kni_text_copy(alloc, text);
    return *out != NULL;
}

/* As above for a list of texts; what is no text in it is left out. */
static bool copy_list(const kn_alloc *alloc, const kni_json *value, kni_text_list *out) {
    for (size_t i = 0; i < kni_json_length(value); i++) {
        char *text = NULL;
        if (!kni_reserve(alloc, &out->items, &out->capacity, out->count + 1, sizeof *out->items) ||
            !kni_metadata_copy_text(alloc, kni_json_item(value, i), &text)) {
            return false;
        }
        if (text) out->items[out->count++] = text;
    }
    return true;
}

static void list_clear(const kn_alloc *alloc, kni_text_list *list) {
    for (size_t i = 0; i < list->count; i++) kni_free(alloc, list->items[i]);
    kni_free(alloc, list->items);
}

static bool copy_module_name(kn_metadata *metadata) {
    metadata->module_name = kni_text_copy(metadata->alloc, metadata->name);
    if (!metadata->module_name) return false;
    for (char *at = metadata->module_name; *at; at++) {
        if (*at == '-') *at = '_';
    }
    return true;
}

/* The two fields that must be there. */
static kn_status check_names(const kni_json *document, const char *origin, kn_error *err) {
    char shown[KNI_METADATA_SHOWN];
    if (!kni_json_is_object(document)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: not kernel metadata: expected a JSON object; " REBUILD, origin);
    }
    const char *id = kni_json_text(kni_json_member(document, "id"));
    const char *name = kni_json_text(kni_json_member(document, "name"));
    if (!id || !name) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: not kernel metadata: it needs a text '%s'; " REBUILD, origin,
                        id ? "name" : "id");
    }
    if (!is_kernel_name(name)) {
        return kni_fail(
            err, KN_ERR_VALUE,
            "%s: the kernel's name '%s' does not match ^[a-z][-a-z0-9]*[a-z0-9]$; rename the kernel in its "
            "build.toml and build it again",
            origin, kni_text_shown(name, shown, sizeof shown));
    }
    if (!is_module_id(id)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: the kernel's id '%s' cannot be the name of a Python module; " REBUILD,
                        origin, kni_text_shown(id, shown, sizeof shown));
    }
    return KN_OK;
}

/* The fields that are texts, by their names in the file. */
static bool copy_texts(kn_metadata *metadata, const kni_json *document) {
    const struct {
        const char *name;
        char **to;
    } texts[] = {
        {"id", &metadata->id},
        {"name", &metadata->name},
        {"license", &metadata->license},
        {"kernels-minver", &metadata->kernels_minver},
        {"upstream", &metadata->upstream},
        {"source", &metadata->source},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!kni_metadata_copy_text(metadata->alloc, kni_json_member(document, texts[i].name),
                                    texts[i].to)) {
            return false;
        }
    }
    return copy_module_name(metadata);
}

static bool copy_fields(kn_metadata *metadata, const kni_json *document) {
    const kn_alloc *alloc = metadata->alloc;
    const kni_json *backend = kni_json_member(document, "backend");
    const kni_json *archs = kni_json_member(backend, "archs");
    int64_t version;
    if (kni_json_integer(kni_json_member(document, "version"), &version) && version >= 0)
        metadata->version = version;
    metadata->has_archs = kni_json_is_array(archs);

    return copy_texts(metadata, document) &&
           kni_metadata_copy_text(alloc, kni_json_member(backend, "type"), &metadata->backend) &&
           copy_list(alloc, kni_json_member(document, "python-depends"),
                     &metadata->python_depends) &&
           copy_list(alloc, archs, &metadata->archs) &&
           kni_metadata_read_provenance(metadata, document);
}

kn_status kn_metadata_parse(const kn_alloc *alloc, const char *bytes, size_t length,
                            const char *origin, kn_metadata **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kni_json *document;
    kn_status status = kni_json_parse(bytes, length, origin, &document, err);
    if (status) return status;

    kn_metadata *metadata = NULL;
    status = check_names(document, origin, err);
    if (status) goto done;

    metadata = kni_new(alloc, sizeof *metadata);
    if (metadata) *metadata = (kn_metadata){.alloc = alloc, .version = -1};
    if (!metadata || !copy_fields(metadata, document))
        status = kni_no_memory(err, "reading a kernel's metadata");
    if (!status) status = kni_metadata_read_kernel_depends(metadata, document, origin, err);
    if (!status) status = kni_metadata_read_digest(metadata, document, origin, err);
    if (status)
        kn_metadata_free(metadata);
    else
        *out = metadata;

done:
    kni_json_free(document);
    return status;
}

kn_status kn_metadata_read(const kn_alloc *alloc, const char *path, kn_metadata **out,
                           kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    char *bytes;
    size_t length;
    kn_status status = kni_file_read(alloc, path, KNI_JSON_LIMIT, &bytes, &length, err);
    if (status) return status;
    status = kn_metadata_parse(alloc, bytes, length, path, out, err);
    kni_free(alloc, bytes);
    return status;
}

void kn_metadata_get(const kn_metadata *metadata, kn_metadata_info *out) {
    kn_metadata_info info = {
        .size = out->size,
        .id = metadata->id,
        .name = metadata->name,
        .module_name = metadata->module_name,
        .version = metadata->version,
        .license = metadata->license,
        .kernels_minver = metadata->kernels_minver,
        .backend = metadata->backend,
        .upstream = metadata->upstream,
        .source = metadata->source,
        .has_archs = metadata->has_archs,
        .digest = metadata->digest.algorithm,
        .builder_version = metadata->builder_version,
        .builder_commit = metadata->builder_commit,
        .kernel_commit = metadata->kernel_commit,
        .builder_dirty = metadata->builder_dirty,
        .kernel_dirty = metadata->kernel_dirty,
    };
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

size_t kn_metadata_python_depends_count(const kn_metadata *metadata) {
    return metadata->python_depends.count;
}

const char *kn_metadata_python_depends(const kn_metadata *metadata, size_t index) {
    assert(index < metadata->python_depends.count);
    return metadata->python_depends.items[index];
}

size_t kn_metadata_archs_count(const kn_metadata *metadata) { return metadata->archs.count; }

const char *kn_metadata_archs(const kn_metadata *metadata, size_t index) {
    assert(index < metadata->archs.count);
    return metadata->archs.items[index];
}

size_t kn_metadata_kernel_depends_count(const kn_metadata *metadata) {
    return metadata->kernel_depends.count;
}

void kn_metadata_kernel_depends(const kn_metadata *metadata, size_t index, kn_kernel_depend *out) {
    assert(index < metadata->kernel_depends.count);
    const struct kni_depend *item = &metadata->kernel_depends.items[index];
    kn_kernel_depend depend = {
        .size = out->size,
        .repo_id = item->repo_id,
        .version = item->version,
        .revision = item->revision,
    };
    memcpy(out, &depend, out->size < sizeof depend ? out->size : sizeof depend);
}

size_t kn_metadata_digest_count(const kn_metadata *metadata) { return metadata->digest.count; }

const char *kn_metadata_digest_path(const kn_metadata *metadata, size_t index) {
    assert(index < metadata->digest.count);
    return metadata->digest.items[index].path;
}

const char *kn_metadata_digest_base64(const kn_metadata *metadata, size_t index) {
    assert(index < metadata->digest.count);
    return metadata->digest.items[index].base64;
}

static void clear_records(kn_metadata *metadata) {
    const kn_alloc *alloc = metadata->alloc;
    for (size_t i = 0; i < metadata->kernel_depends.count; i++) {
        kni_free(alloc, metadata->kernel_depends.items[i].repo_id);
        kni_free(alloc, metadata->kernel_depends.items[i].revision);
    }
    kni_free(alloc, metadata->kernel_depends.items);
    for (size_t i = 0; i < metadata->digest.count; i++) {
        kni_free(alloc, metadata->digest.items[i].path);
        kni_free(alloc, metadata->digest.items[i].base64);
    }
    kni_free(alloc, metadata->digest.items);
}

void kn_metadata_free(kn_metadata *metadata) {
    if (!metadata) return;
    const kn_alloc *alloc = metadata->alloc;
    char *const texts[] = {
        metadata->id,
        metadata->name,
        metadata->module_name,
        metadata->license,
        metadata->kernels_minver,
        metadata->backend,
        metadata->upstream,
        metadata->source,
        metadata->builder_version,
        metadata->builder_commit,
        metadata->kernel_commit,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) kni_free(alloc, texts[i]);
    list_clear(alloc, &metadata->python_depends);
    list_clear(alloc, &metadata->archs);
    clear_records(metadata);
    kni_free(alloc, metadata);
}
