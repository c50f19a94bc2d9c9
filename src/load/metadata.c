/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <kernels/metadata.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"

typedef struct text_list {
    char **items;
    size_t count;
    size_t capacity;
} text_list;

struct kn_metadata {
    const kn_alloc *alloc;
    char *id, *name, *module_name, *license, *kernels_minver, *backend;
    int64_t version;
    text_list python_depends, archs;
};

/* What a message says to do about a broken file. */
#define REBUILD "build the kernel again with a current kernel-builder, or download it again"

#define QUOTE_MAX 80

/* A short piece of `text` for a message of one line, cut between characters. */
static const char *quote(const char *text, char out[QUOTE_MAX]) {
    size_t length = strlen(text);
    if (length > QUOTE_MAX - 1) {
        length = QUOTE_MAX - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xC0u) == 0x80u) length--;
    }
    for (size_t i = 0; i < length; i++) {
        bool control = (unsigned char)text[i] < 0x20 || text[i] == 0x7F;
        out[i] = control ? ' ' : text[i];
    }
    out[length] = '\0';
    return out;
}

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

/* `value` copied to *out where it is text, else *out stays; false when there is no memory. */
static bool copy_text(const kn_alloc *alloc, const kni_json *value, char **out) {
    const char *text = kni_json_text(value);
    if (!text) return true;
    *out = kni_text_copy(alloc, text);
    return *out != NULL;
}

/* As above for a list of texts; what is no text in it is left out. */
static bool copy_list(const kn_alloc *alloc, const kni_json *value, text_list *out) {
    for (size_t i = 0; i < kni_json_length(value); i++) {
        char *text = NULL;
        if (!kni_reserve(alloc, &out->items, &out->capacity, out->count + 1, sizeof *out->items) ||
            !copy_text(alloc, kni_json_item(value, i), &text)) {
            return false;
        }
        if (text) out->items[out->count++] = text;
    }
    return true;
}

static void list_clear(const kn_alloc *alloc, text_list *list) {
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
    char shown[QUOTE_MAX];
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
            origin, quote(name, shown));
    }
    if (!is_module_id(id)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: the kernel's id '%s' cannot be the name of a Python module; " REBUILD,
                        origin, quote(id, shown));
    }
    return KN_OK;
}

static bool copy_fields(kn_metadata *metadata, const kni_json *document) {
    const kn_alloc *alloc = metadata->alloc;
    const kni_json *backend = kni_json_member(document, "backend");
    int64_t version;
    if (kni_json_integer(kni_json_member(document, "version"), &version) && version >= 0)
        metadata->version = version;

    return copy_text(alloc, kni_json_member(document, "id"), &metadata->id) &&
           copy_text(alloc, kni_json_member(document, "name"), &metadata->name) &&
           copy_module_name(metadata) &&
           copy_text(alloc, kni_json_member(document, "license"), &metadata->license) &&
           copy_text(alloc, kni_json_member(document, "kernels-minver"),
                     &metadata->kernels_minver) &&
           copy_text(alloc, kni_json_member(backend, "type"), &metadata->backend) &&
           copy_list(alloc, kni_json_member(document, "python-depends"),
                     &metadata->python_depends) &&
           copy_list(alloc, kni_json_member(backend, "archs"), &metadata->archs);
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
    if (!metadata || !copy_fields(metadata, document)) {
        kn_metadata_free(metadata);
        status = kni_no_memory(err, "reading a kernel's metadata");
        goto done;
    }
    *out = metadata;

done:
    kni_json_free(document);
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

void kn_metadata_free(kn_metadata *metadata) {
    if (!metadata) return;
    const kn_alloc *alloc = metadata->alloc;
    kni_free(alloc, metadata->id);
    kni_free(alloc, metadata->name);
    kni_free(alloc, metadata->module_name);
    kni_free(alloc, metadata->license);
    kni_free(alloc, metadata->kernels_minver);
    kni_free(alloc, metadata->backend);
    list_clear(alloc, &metadata->python_depends);
    list_clear(alloc, &metadata->archs);
    kni_free(alloc, metadata);
}
