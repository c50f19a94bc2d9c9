/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <kernels/variant.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "variant/gpu_archs.h"
#include "variant/variant_name.h"

typedef struct ranked {
    char *name;
    char *reason;            /* NULL when accepted */
    bool is_passed_over;     /* by kn_variants_refuse */
    kni_variant_name parsed; /* its parts are borrowed from `name` */
} ranked;

/* What the builds are held against. */
typedef struct machine {
    const kn_system *system;
    kni_backend backend;
    const kn_gpu *gpu; /* NULL: unknown */
} machine;

struct kn_variants {
    const kn_alloc *alloc;
    ranked *items;
    size_t count;
    size_t capacity;
};

/* The words of the reasons are upstream's (kernels/variants.py), "None" included: programs match on
 * them. */
static void add_version(kni_text *out, kni_version_pair version) {
    if (version.major < 0)
        kni_text_add(out, "None");
    else
        kni_text_addf(out, "%d.%d", version.major, version.minor);
}

static void add_flag(kni_text *out, int flag) {
    kni_text_add(out, flag < 0 ? "None" : flag ? "True" : "False");
}

static void add_part(kni_text *out, kni_part part) { kni_text_add_n(out, part.at, part.length); }

static int compare_versions(kni_version_pair a, kni_version_pair b) {
    if (a.major != b.major) return a.major < b.major ? -1 : 1;
    return (a.minor > b.minor) - (a.minor < b.minor);
}

/* Each of the checks appends why it refuses, or nothing. */
static void check_platform(const kni_variant_name *variant, const kn_system *system,
                           kni_text *reason) {
    if (!kni_part_is(variant->arch, system->arch)) {
        kni_text_add(reason, "CPU (");
        add_part(reason, variant->arch);
        kni_text_addf(reason, ") does not match system CPU (%s)", system->arch);
    } else if (!kni_part_is(variant->os, system->os)) {
        kni_text_add(reason, "OS (");
        add_part(reason, variant->os);
        kni_text_addf(reason, ") does not match system OS (%s)", system->os);
    }
}

static void refuse_version(kni_text *reason, const char *what, kni_version_pair of_variant,
                           const char *how, kni_version_pair of_system) {
    kni_text_addf(reason, "%s (", what);
    add_version(reason, of_variant);
    kni_text_addf(reason, ") %s (", how);
    add_version(reason, of_system);
    kni_text_add(reason, ")");
}

static void check_framework(const kni_variant_name *variant, const kn_system *system,
                            kni_text *reason) {
    kni_version_pair torch = {system->torch_major, system->torch_minor};
    kni_version_pair tvm_ffi = {system->tvm_ffi_major, system->tvm_ffi_minor};
    switch (variant->framework) {
    case KNI_FRAMEWORK_STABLE_ABI:
        if (torch.major < 0 || compare_versions(variant->version, torch) > 0) {
            refuse_version(reason, "Torch stable ABI version", variant->version,
                           "is too new for environment Torch version", torch);
        }
        break;
    case KNI_FRAMEWORK_TORCH:
        if (torch.major < 0 || compare_versions(variant->version, torch) != 0) {
            refuse_version(reason, "Torch version", variant->version,
                           "does not match environment Torch version", torch);
        } else if (variant->cxx11_abi >= 0 && variant->cxx11_abi != system->torch_cxx11_abi) {
            kni_text_add(reason, "Torch CXX11 ABI (");
            add_flag(reason, variant->cxx11_abi);
            kni_text_add(reason, ") does not match environment Torch CXX11 ABI (");
            add_flag(reason, system->torch_cxx11_abi);
            kni_text_add(reason, ")");
        }
        break;
    case KNI_FRAMEWORK_TVM_FFI:
        if (tvm_ffi.major < 0 || compare_versions(variant->version, tvm_ffi) != 0) {
            refuse_version(reason, "tvm-ffi version", variant->version,
                           "does not match environment tvm-ffi version", tvm_ffi);
        }
        break;
    case KNI_FRAMEWORK_NOARCH:
        break;
    }
}

/* Code for CUDA x.z runs on x.y where z <= y; every other backend must be the very same. */
static void check_backend(kni_backend of_variant, kni_backend of_system, kni_text *reason) {
    if (of_variant.kind == KNI_BACKEND_CUDA && of_system.kind == KNI_BACKEND_CUDA) {
        if (of_variant.version.major != of_system.version.major ||
            of_variant.version.minor > of_system.version.minor) {
            refuse_version(reason, "CUDA version", of_variant.version,
                           "is not compatible with system CUDA version", of_system.version);
        }
    } else if (of_variant.kind != of_system.kind ||
               compare_versions(of_variant.version, of_system.version)) {
        char wanted[KNI_BACKEND_TEXT_MAX], selected[KNI_BACKEND_TEXT_MAX];
        kni_text_addf(reason, "backend (%s) does not match selected backend (%s)",
                      kni_backend_text(of_variant, wanted), kni_backend_text(of_system, selected));
    } else if (of_variant.kind == KNI_BACKEND_METAL) {
        /* kn_system does not tell the version of macOS, and upstream refuses where it is unknown.
         */
        kni_text_add(reason,
                     "Metal kernels require macOS 26.0 or later, system macOS version is None");
    }
}

static void check_noarch(const kni_variant_name *variant, kni_backend of_system, kni_text *reason) {
    const char *name = kni_backend_noarch_name(of_system.kind);
    if (kni_part_is(variant->noarch_backend, name) ||
        kni_part_is(variant->noarch_backend, "universal"))
        return;
    kni_text_add(reason, "backend (");
    add_part(reason, variant->noarch_backend);
    kni_text_addf(reason, ") does not match system backend (%s) and is not universal", name);
}

/* Callers that were built before the field was there have a smaller struct. */
static bool wants_native(const kn_system *system) {
    return system->size >= offsetof(kn_system, native) + sizeof system->native && system->native;
}

static void check_name(const kni_variant_name *variant, const machine *on, kni_text *reason) {
    if (wants_native(on->system) && variant->framework != KNI_FRAMEWORK_TVM_FFI) {
        kni_text_add(reason, "not a native (tvm-ffi) build: it needs Python and torch");
        return;
    }
    if (variant->framework == KNI_FRAMEWORK_NOARCH) {
        check_noarch(variant, on->backend, reason);
        return;
    }
    if (on->system->free_threaded) {
        kni_text_add(reason, "arch kernel not supported on free-threaded Python <3.15");
        return;
    }
    check_platform(variant, on->system, reason);
    if (!reason->length) check_framework(variant, on->system, reason);
    if (!reason->length) check_backend(variant->backend, on->backend, reason);
}

/* The first reason to refuse the build, or an empty text. */
static void check_build(const kn_build *build, const kni_variant_name *variant, const machine *on,
                        kni_text *reason) {
    check_name(variant, on, reason);
    bool universal = variant->framework == KNI_FRAMEWORK_NOARCH &&
                     kni_part_is(variant->noarch_backend, "universal");
    if (reason->length || universal) return;
    /* A build that passed so far is for the backend of the machine. */
    kni_archs_refuse(reason, kni_backend_noarch_name(on->backend.kind), build->archs,
                     build->arch_count, on->gpu);
}

static int preference_group(const kni_variant_name *variant) {
    bool universal = variant->framework == KNI_FRAMEWORK_NOARCH &&
                     kni_part_is(variant->noarch_backend, "universal");
    return (int)variant->framework + universal;
}

static int standing(const ranked *item) { return item->is_passed_over ? 1 : item->reason ? 2 : 0; }

/* A total order, so that the ranking depends neither on the order of the names nor on the sort. */
static int compare_ranked(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (standing(x) != standing(y)) return standing(x) - standing(y);
    if (standing(x) < 2) {
        int order = preference_group(&x->parsed) - preference_group(&y->parsed);
        if (!order) order = compare_versions(y->parsed.version, x->parsed.version);
        if (!order) order = (x->parsed.cxx11_abi >= 0) - (y->parsed.cxx11_abi >= 0);
        if (!order) order = compare_versions(y->parsed.backend.version, x->parsed.backend.version);
        if (order) return order;
    }
    return strcmp(x->name, y->name);
}

static kn_status check_system(const kn_system *system, kni_backend *backend, kn_error *err) {
    bool fits = system && system->size >= offsetof(kn_system, native);
    if (!fits || !system->arch || !system->os) {
        return kni_fail(err, KN_ERR_VALUE,
                        "the system description has no %s: fill every field of kn_system",
                        fits ? "arch or os" : "valid size");
    }
    if (!system->backend || !kni_backend_parse(system->backend, strlen(system->backend), backend)) {
        return kni_fail(
            err, KN_ERR_VALUE,
            "unknown backend in the system description, expected cpu, cuNNN, rocmNN, xpuNNNNN, cannNN, "
            "metal, neuron or tpu, not '%s'",
            system->backend ? system->backend : "");
    }
    return KN_OK;
}

/* Adds `build`, checked; false when there is no memory. */
static bool variants_add(kn_variants *variants, const kn_build *build, const machine *on) {
    const kn_alloc *alloc = variants->alloc;
    if (!kni_reserve(alloc, &variants->items, &variants->capacity, variants->count + 1,
                     sizeof(ranked)))
        return false;

    ranked item = {.name = kni_text_copy(alloc, build->name)};
    if (!item.name) return false;
    bool valid = kni_variant_name_parse(item.name, &item.parsed);
    assert(valid);
    (void)valid;

    kni_text reason;
    kni_text_init(&reason, alloc);
    check_build(build, &item.parsed, on, &reason);
    if (reason.length || reason.failed) {
        item.reason = kni_text_take(&reason);
        if (!item.reason) {
            kni_free(alloc, item.name);
            return false;
        }
    }
    variants->items[variants->count++] = item;
    return true;
}

/* Build number `index` of what the caller gave, which is names or builds. */
typedef kn_build (*get_build)(const void *list, size_t index);

static kn_build build_of_name(const void *list, size_t index) {
    return (kn_build){.name = ((const char *const *)list)[index]};
}

static kn_build build_itself(const void *list, size_t index) {
    return ((const kn_build *)list)[index];
}

static void sort(kn_variants *variants) {
    if (variants->count) qsort(variants->items, variants->count, sizeof(ranked), compare_ranked);
}

static kn_status rank(const kn_alloc *alloc, const void *list, get_build get, size_t count,
                      const machine *on, kn_variants **out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    kn_variants *variants = kni_new(alloc, sizeof *variants);
    if (!variants) return kni_no_memory(err, "ranking build variants");
    variants->alloc = alloc;
    for (size_t i = 0; i < count; i++) {
        kn_build build = get(list, i);
        if (kn_variant_name_is_valid(build.name) && !variants_add(variants, &build, on)) {
            kn_variants_free(variants);
            return kni_no_memory(err, "ranking build variants");
        }
    }
    sort(variants);
    *out = variants;
    return KN_OK;
}

kn_status kn_variants_rank(const kn_alloc *alloc, const char *const *names, size_t count,
                           const kn_system *system, kn_variants **out, kn_error *err) {
    *out = NULL;
    machine on = {.system = system};
    kn_status status = check_system(system, &on.backend, err);
    return status ? status : rank(alloc, names, build_of_name, count, &on, out, err);
}

kn_status kn_variants_rank_builds(const kn_alloc *alloc, const kn_build *builds, size_t count,
                                  const kn_system *system, const kn_gpu *gpu, kn_variants **out,
                                  kn_error *err) {
    *out = NULL;
    machine on = {.system = system, .gpu = gpu};
    kn_status status = check_system(system, &on.backend, err);
    return status ? status : rank(alloc, builds, build_itself, count, &on, out, err);
}

kn_status kn_variants_refuse(kn_variants *variants, const char *name, const char *reason,
                             kn_error *err) {
    size_t at = 0;
    while (at < variants->count && strcmp(variants->items[at].name, name) != 0) at++;
    if (at == variants->count) return KN_OK;
    char *copy = kni_text_copy(variants->alloc, reason);
    if (!copy) return kni_no_memory(err, "ranking build variants");
    kni_free(variants->alloc, variants->items[at].reason);
    variants->items[at].reason = copy;
    variants->items[at].is_passed_over = true;
    sort(variants);
    return KN_OK;
}

size_t kn_variants_count(const kn_variants *variants) { return variants->count; }

/* Borrowed from the name, or static. */
static const char *backend_of(const kni_variant_name *name) {
    if (name->framework == KNI_FRAMEWORK_NOARCH) return name->noarch_backend.at; /* its end */
    if (name->backend.kind == KNI_BACKEND_CANN) return "cann"; /* "npu" in noarch names only */
    return kni_backend_noarch_name(name->backend.kind);
}

void kn_variants_get(const kn_variants *variants, size_t index, kn_variant *out) {
    assert(index < variants->count);
    const ranked *item = &variants->items[index];
    kn_variant variant = {.size = out->size,
                          .name = item->name,
                          .accepted = !item->reason,
                          .reason = item->reason,
                          .backend = backend_of(&item->parsed),
                          .is_passed_over = item->is_passed_over};
    memcpy(out, &variant, out->size < sizeof variant ? out->size : sizeof variant);
}

void kn_variants_free(kn_variants *variants) {
    if (!variants) return;
    for (size_t i = 0; i < variants->count; i++) {
        kni_free(variants->alloc, variants->items[i].name);
        kni_free(variants->alloc, variants->items[i].reason);
    }
    kni_free(variants->alloc, variants->items);
    kni_free(variants->alloc, variants);
}

bool kn_variant_name_is_valid(const char *name) {
    kni_variant_name parsed;
    return name && kni_variant_name_parse(name, &parsed);
}
