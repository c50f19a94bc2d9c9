/* SPDX-License-Identifier: Apache-2.0 */
#include "load/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "codec/json.h"
#include "os/files.h"

/* What one call looks at; all of it is freed at its end. */
typedef struct search {
    const kn_alloc *alloc;
    const kn_system *system;
    const kni_refused_builds *refused;
    const char *asked;               /* the path as the caller gave it */
    char *root;                      /* absolute */
    char *build;                     /* root/build */
    kn_variants *in_root, *in_build; /* NULL: no such directory, or not looked at */
    kn_error *err;
} search;

/* ---- builds that are passed over ---- */

kn_status kni_refused_add(const kn_alloc *alloc, kni_refused_builds *builds, const char *variant,
                          kn_status status, const char *reason, kn_error *err) {
    struct kni_refused_build made = {kni_text_copy(alloc, variant), kni_text_copy(alloc, reason)};
    if (!made.variant || !made.reason ||
        !kni_reserve(alloc, &builds->items, &builds->capacity, builds->count + 1,
                     sizeof *builds->items)) {
        kni_free(alloc, made.variant);
        kni_free(alloc, made.reason);
        return kni_no_memory(err, "looking for a kernel");
    }
    if (!builds->count) builds->status = status;
    builds->items[builds->count++] = made;
    return KN_OK;
}

const char *kni_refused_reason(const kni_refused_builds *builds, const char *variant) {
    for (size_t i = 0; i < builds->count; i++) {
        if (strcmp(builds->items[i].variant, variant) == 0) return builds->items[i].reason;
    }
    return NULL;
}

void kni_refused_clear(const kn_alloc *alloc, kni_refused_builds *builds) {
    for (size_t i = 0; i < builds->count; i++) {
        kni_free(alloc, builds->items[i].variant);
        kni_free(alloc, builds->items[i].reason);
    }
    kni_free(alloc, builds->items);
    *builds = (kni_refused_builds){0};
}

kn_status kni_builds_rank(const kn_alloc *alloc, char *const *names, size_t count,
                          const kn_system *system, const kni_refused_builds *refused,
                          kn_variants **out, kn_error *err) {
    kn_status status = kn_variants_rank(alloc, (const char *const *)names, count, system, out, err);
    for (size_t i = 0; i < refused->count && !status; i++)
        status = kn_variants_refuse(*out, refused->items[i].variant, refused->items[i].reason, err);
    if (status) {
        kn_variants_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- the search ---- */

static kn_status no_memory(search *s) { return kni_no_memory(s->err, "looking for a kernel"); }

static kn_status find_root(search *s) {
    kn_status status = kni_path_resolve(s->alloc, s->asked, &s->root, s->err);
    if (status == KN_ERR_NOT_FOUND) {
        return kni_fail(
            s->err, status,
            "Cannot find a build variant for this system in %s: there is no such path; give a directory that has build variants, such as "
            "'torch-cpu', in it or in its folder 'build'",
            s->asked);
    }
    if (status) return status;
    if (!kni_path_is_directory(s->root)) {
        return kni_fail(
            s->err, KN_ERR_NOT_FOUND,
            "Cannot find a build variant for this system in %s: it is not a directory; give the directory that has the kernel's build "
            "variants in it or in its folder 'build'",
            s->asked);
    }
    s->build = kni_path_join(s->alloc, s->root, "build");
    return s->build ? KN_OK : no_memory(s);
}

/* Ranks the folders of `folder`; *out stays NULL where there is no such directory. */
static kn_status rank_folder(search *s, const char *folder, kn_variants **out) {
    if (!kni_path_is_directory(folder)) return KN_OK;
    kni_names names;
    kn_status status = kni_directory_folders(s->alloc, folder, &names, s->err);
    if (status) return status;
    status =
        kni_builds_rank(s->alloc, names.items, names.count, s->system, s->refused, out, s->err);
    kni_names_clear(&names);
    return status;
}

static const char *best_of(const kn_variants *variants) {
    if (!variants || kn_variants_count(variants) == 0) return NULL;
    kn_variant best = {.size = sizeof best};
    kn_variants_get(variants, 0, &best);
    return best.accepted ? best.name : NULL;
}

static void add_version(kni_text *text, const char *what, int major, int minor) {
    if (major >= 0)
        kni_text_addf(text, "%s %d.%d, ", what, major, minor);
    else
        kni_text_addf(text, "no %s, ", what);
}

/* The refused variants, one a line, as many as a message holds. */
static void add_refusals(kni_text *text, const kn_variants *variants) {
    size_t count = kn_variants_count(variants);
    for (size_t i = 0; i < count; i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants_get(variants, i, &variant);
        if (text->length + strlen(variant.name) + strlen(variant.reason) > KN_ERROR_TEXT_MAX - 64) {
            kni_text_addf(text, "\n  and %zu more", count - i);
            return;
        }
        kni_text_addf(text, "\n  %s: %s", variant.name, variant.reason);
    }
}

/* A build that would fit this Python if it had the package tvm_ffi, which such builds import: its
 * name, with the version in *major and *minor; NULL: there is none. */
static const char *without_tvm_ffi(const kn_alloc *alloc, const kn_system *system,
                                   const kn_variants *tried, int *major, int *minor) {
    static const char prefix[] = "tvm-ffi"; /* one digit follows, then the minor version */
    kn_system other = *system;
    const char *found = NULL;
    if (!system->python || system->native || system->tvm_ffi_major >= 0) return NULL;
    for (size_t i = 0; i < kn_variants_count(tried) && !found; i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants *ranking;
        kn_variants_get(tried, i, &variant);
        if (strncmp(variant.name, prefix, strlen(prefix)) != 0) continue;
        other.tvm_ffi_major = *major = variant.name[strlen(prefix)] - '0';
        other.tvm_ffi_minor = *minor = (int)strtol(variant.name + sizeof prefix, NULL, 10);
        if (kn_variants_rank(alloc, &variant.name, 1, &other, &ranking, NULL)) continue;
        if (best_of(ranking)) found = variant.name;
        kn_variants_free(ranking);
    }
    return found;
}

static void add_remedy(kni_text *text, const kn_alloc *alloc, const kn_system *system,
                       const kn_variants *tried) {
    int major, minor;
    const char *native = without_tvm_ffi(alloc, system, tried, &major, &minor);
    if (native)
        kni_text_addf(text,
                      "'pip install apache-tvm-ffi==%d.%d.*' installs what '%s' imports, and "
                      "kernels.native.get_kernel calls its functions without that",
                      major, minor, native);
    else
        kni_text_add(text, "build the kernel for it, or use a version of the kernel that has it");
}

kn_status kni_fail_without_variant(const kn_alloc *alloc, const kn_system *system,
                                   const char *asked, const char *where, const kn_variants *tried,
                                   const kni_refused_builds *refused, kn_error *err) {
    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(alloc));
    kni_text_addf(&text, "Cannot find a build variant for this system in %s: this is ", asked);
    add_version(&text, "torch", system->torch_major, system->torch_minor);
    add_version(&text, "tvm-ffi", system->tvm_ffi_major, system->tvm_ffi_minor);
    kni_text_addf(&text, "%s, %s-%s; ", system->backend, system->arch, system->os);
    if (tried && kn_variants_count(tried)) {
        add_remedy(&text, alloc, system, tried);
        kni_text_addf(&text, ". In %s are:", where);
        add_refusals(&text, tried);
    } else {
        kni_text_addf(
            &text,
            "%s has a folder with the name of a build variant, such as 'torch-cpu'; build the "
            "kernel, or name another one",
            where);
    }
    char *message = kni_text_take(&text);
    if (!message) return kni_no_memory(err, "looking for a kernel");
    kn_status status =
        kni_fail(err, refused->count ? refused->status : KN_ERR_NOT_FOUND, "%s", message);
    kni_free(kni_alloc_or_default(alloc), message);
    return status;
}

static kn_status fail_without_variant(search *s) {
    bool in_build = s->in_build && kn_variants_count(s->in_build);
    const kn_variants *tried = in_build ? s->in_build : s->in_root;
    kni_text asked, where;
    kni_text_init(&asked, s->alloc);
    kni_text_init(&where, s->alloc);
    kni_text_addf(&asked, "'%s'", s->asked);
    if (tried && kn_variants_count(tried))
        kni_text_addf(&where, "'%s'", in_build ? s->build : s->root);
    else
        kni_text_add(&where, "neither it nor its folder 'build'");
    char *asked_text = kni_text_take(&asked), *where_text = kni_text_take(&where);
    kn_status status = asked_text && where_text
                           ? kni_fail_without_variant(s->alloc, s->system, asked_text, where_text,
                                                      tried, s->refused, s->err)
                           : no_memory(s);
    kni_free(s->alloc, asked_text);
    kni_free(s->alloc, where_text);
    return status;
}

/* Sets folder and variant of `out`. The order is upstream's: the path, its folder build, a path
 * right to a variant. */
static kn_status choose_variant(search *s, kni_kernel_source *out) {
    kn_status status = rank_folder(s, s->root, &s->in_root);
    if (status) return status;
    const char *base = s->root, *variant = best_of(s->in_root);
    if (!variant) {
        status = rank_folder(s, s->build, &s->in_build);
        if (status) return status;
        base = s->build;
        variant = best_of(s->in_build);
    }
    if (variant) {
        char *folder = kni_path_join(s->alloc, base, variant);
        out->variant = kni_text_copy(s->alloc, variant);
        status = folder && out->variant ? kni_path_resolve(s->alloc, folder, &out->folder, s->err)
                                        : no_memory(s);
        kni_free(s->alloc, folder);
        return status;
    }
    char *metadata = kni_path_join(s->alloc, s->root, "metadata.json");
    if (!metadata) return no_memory(s);
    bool is_variant = kni_path_is_file(metadata);
    kni_free(s->alloc, metadata);
    if (!is_variant) return fail_without_variant(s);

    const char *name = strrchr(s->root, '/') + 1, *reason = kni_refused_reason(s->refused, name);
    if (reason)
        return kni_fail(s->err, s->refused->status, "the build in '%s' cannot be loaded here: %s",
                        s->asked, reason);
    out->folder = kni_text_copy(s->alloc, s->root);
    out->variant = kni_text_copy(s->alloc, name);
    return out->folder && out->variant ? KN_OK : no_memory(s);
}

static kn_status read_metadata(search *s, kni_kernel_source *out) {
    char *path = kni_path_join(s->alloc, out->folder, "metadata.json");
    if (!path) return no_memory(s);
    char *bytes;
    size_t length;
    kn_status status = kni_file_read(s->alloc, path, KNI_JSON_LIMIT, &bytes, &length, s->err);
    if (status == KN_ERR_NOT_FOUND) {
        kni_fail(
            s->err, status,
            "the build variant '%s' in '%s' has no metadata.json ('%s'); build the kernel again with a current "
            "kernel-builder, or download it again",
            out->variant, s->asked, path);
    } else if (!status) {
        status = kn_metadata_parse(s->alloc, bytes, length, path, &out->metadata, s->err);
        kni_free(s->alloc, bytes);
    }
    kni_free(s->alloc, path);
    return status;
}

/* Joins `folder`, `module` (NULL: none) and __init__.py where that is a file; *out stays NULL where
 * not. */
static kn_status find_entry_in(search *s, const char *folder, const char *module, char **out) {
    char *package = kni_path_join(s->alloc, folder, module ? module : "__init__.py");
    char *entry = package && module ? kni_path_join(s->alloc, package, "__init__.py") : package;
    if (entry != package) kni_free(s->alloc, package);
    if (!entry) return no_memory(s);
    if (kni_path_is_file(entry))
        *out = entry;
    else
        kni_free(s->alloc, entry);
    return KN_OK;
}

static kn_status find_entry(search *s, kni_kernel_source *out) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(out->metadata, &info);
    kn_status status = find_entry_in(s, out->folder, NULL, &out->entry);
    if (!status && !out->entry)
        status = find_entry_in(s, out->folder, info.module_name, &out->entry);
    if (status || out->entry) return status;
    return kni_fail(
        s->err, KN_ERR_NOT_FOUND,
        "No kernel module found at: '%s': neither '__init__.py' nor '%s/__init__.py' is there; build the "
        "kernel again, or download it again",
        out->folder, info.module_name);
}

kn_status kni_kernel_source_read(const kn_alloc *alloc, const char *folder, const char *variant,
                                 kni_kernel_source *out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = (kni_kernel_source){.alloc = alloc};
    search s = {.alloc = alloc, .asked = folder, .err = err};
    kn_status status = kni_path_resolve(alloc, folder, &out->folder, err);
    out->variant = kni_text_copy(alloc, variant);
    if (!status && !out->variant) status = no_memory(&s);
    if (!status) status = read_metadata(&s, out);
    if (!status) status = find_entry(&s, out);
    if (status) kni_kernel_source_clear(out);
    return status;
}

kn_status kni_kernel_source_find(const kn_alloc *alloc, const char *path, const kn_system *system,
                                 const kni_refused_builds *refused, kni_kernel_source *out,
                                 kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = (kni_kernel_source){.alloc = alloc};
    search s = {.alloc = alloc, .system = system, .refused = refused, .asked = path, .err = err};

    kn_status status = find_root(&s);
    if (!status) status = choose_variant(&s, out);
    if (!status) status = read_metadata(&s, out);
    if (!status) status = find_entry(&s, out);

    kni_free(alloc, s.root);
    kni_free(alloc, s.build);
    kn_variants_free(s.in_root);
    kn_variants_free(s.in_build);
    if (status) kni_kernel_source_clear(out);
    return status;
}

void kni_kernel_source_clear(kni_kernel_source *source) {
    if (!source->alloc) return;
    kni_free(source->alloc, source->folder);
    kni_free(source->alloc, source->variant);
    kni_free(source->alloc, source->entry);
    kn_metadata_free(source->metadata);
    *source = (kni_kernel_source){0};
}
