/* SPDX-License-Identifier: Apache-2.0 */
#include "load/objects.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "codec/fatbin.h"
#include "load/object_rules.h"
#include "os/reader.h"
#include "os/tree.h"

#define FILES_MAX 200000
#define BLOCK 4096
#define NAME_MAX_SHOWN 200

typedef char arch_name[KNI_FATBIN_ARCH_MAX];

typedef struct object {
    char *path; /* below the folder */
    kni_elf elf;
    kn_status refused; /* KN_OK: nothing is known against it; else `problem` says what */
    char *problem;
    arch_name *archs;
    size_t arch_count, arch_capacity;
    bool has_other_code;
} object;

struct kn_objects {
    const kn_alloc *alloc;
    const char *folder; /* while they are read */
    object *items;
    size_t count, capacity;
    kni_loader loader;
    kni_loaded_library *libraries;
    size_t library_count, library_capacity;
};

static kn_status no_memory(kn_error *err) {
    return kni_no_memory(err, "looking at shared objects");
}

/* ---- a file as input: the block that was read last is kept ---- */

typedef struct file_input {
    kni_reader reader;
    kni_input input;
    uint64_t block; /* its number, from 1 on; 0: none */
    size_t length;
    unsigned char bytes[BLOCK];
} file_input;

static kn_status read_block(file_input *file, uint64_t block, kn_error *err) {
    file->block = 0;
    kn_status status = kni_reader_read_at(&file->reader, (int64_t)(block * BLOCK), file->bytes,
                                          BLOCK, &file->length, err);
    if (!status) file->block = block + 1;
    return status;
}

static kn_status get_bytes(void *ctx, uint64_t offset, void *out, size_t length, kn_error *err) {
    file_input *file = ctx;
    unsigned char *to = out;
    while (length) {
        uint64_t block = offset / BLOCK;
        size_t at = (size_t)(offset % BLOCK), part = BLOCK - at;
        kn_status status = file->block == block + 1 ? KN_OK : read_block(file, block, err);
        if (status) return status;
        if (part > length) part = length;
        if (at + part > file->length)
            return kni_fail(err, KN_ERR_OS, "'%s' changed while it was read", file->reader.path);
        memcpy(to, file->bytes + at, part);
        to += part;
        offset += part;
        length -= part;
    }
    return KN_OK;
}

static kn_status open_input(const char *path, file_input *out, kn_error *err) {
    kn_status status = kni_reader_open(path, &out->reader, err);
    out->block = 0;
    out->input = (kni_input){out, status ? 0 : (uint64_t)out->reader.size, get_bytes};
    return status;
}

/* ---- reading ---- */

/* What the file says; *read false where it cannot be read. */
static kn_status read_elf(const kn_alloc *alloc, const char *path, kni_elf *out, bool *read,
                          kn_error *err) {
    file_input file;
    kn_status status = open_input(path, &file, NULL);
    *out = (kni_elf){0};
    if (!status) status = kni_elf_read(alloc, &file.input, out, NULL);
    kni_reader_close(&file.reader);
    *read = status == KN_OK;
    return status == KN_ERR_NOMEM ? no_memory(err) : KN_OK;
}

static bool is_object(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name);
    return (length > 3 && strcmp(name + length - 3, ".so") == 0) || strstr(name, ".so.") != NULL;
}

static bool knows_library(const kn_objects *objects, const char *name) {
    for (size_t i = 0; i < objects->library_count; i++) {
        if (strcmp(objects->libraries[i].name, name) == 0) return true;
    }
    return kni_object_is_glibc(name);
}

/* Notes what the library that is loaded under that name has. */
static kn_status add_library(kn_objects *objects, const char *name, kn_error *err) {
    kni_loaded_library library = {0};
    bool read = false;
    kn_status status = kni_loader_find(objects->alloc, name, &library.path, err);
    if (status || !library.path) return status;
    status = read_elf(objects->alloc, library.path, &library.elf, &read, err);
    if (!status) library.name = kni_text_copy(objects->alloc, name);
    bool room =
        library.name && kni_reserve(objects->alloc, &objects->libraries, &objects->library_capacity,
                                    objects->library_count + 1, sizeof *objects->libraries);
    if (room) {
        objects->libraries[objects->library_count++] = library;
        return KN_OK;
    }
    kni_free(objects->alloc, library.name);
    kni_free(objects->alloc, library.path);
    kni_elf_clear(&library.elf);
    return status ? status : no_memory(err);
}

static kn_status judge(kn_objects *objects, object *o, kn_error *err) {
    for (size_t i = 0; i < o->elf.need_count; i++) {
        const char *name = o->elf.needs[i].library;
        kn_status status = knows_library(objects, name) ? KN_OK : add_library(objects, name, err);
        if (status) return status;
    }
    kni_object_place place = {&objects->loader, objects->libraries, objects->library_count};
    kni_text reason;
    kni_text_init(&reason, objects->alloc);
    o->refused = kni_object_refuse(&reason, &o->elf, &place);
    if (!o->refused) return KN_OK;
    o->problem = kni_text_take(&reason);
    return o->problem ? KN_OK : no_memory(err);
}

/* Takes `path` (below the folder) over on success. */
static kn_status add_object(kn_objects *objects, char **path, kn_error *err) {
    if (!kni_reserve(objects->alloc, &objects->items, &objects->capacity, objects->count + 1,
                     sizeof *objects->items))
        return no_memory(err);
    char *whole = kni_path_join(objects->alloc, objects->folder, *path);
    if (!whole) return no_memory(err);
    object o = {0};
    bool read;
    kn_status status = read_elf(objects->alloc, whole, &o.elf, &read, err);
    kni_free(objects->alloc, whole);
    if (status || !read) return status;
    o.path = *path;
    *path = NULL;
    objects->items[objects->count] = o;
    return judge(objects, &objects->items[objects->count++], err);
}

static kn_status add_objects(kn_objects *objects, kn_error *err) {
    kni_names files;
    kn_status status = kni_tree_files(objects->alloc, objects->folder, FILES_MAX, &files, err);
    for (size_t i = 0; i < files.count && !status; i++) {
        if (is_object(files.items[i])) status = add_object(objects, &files.items[i], err);
    }
    kni_names_clear(&files);
    return status;
}

/* `folder` is borrowed. Code for GPUs is not looked at. */
static kn_status read_objects(const kn_alloc *alloc, const char *folder, kn_objects **out,
                              kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kn_objects *objects = kni_new(alloc, sizeof *objects);
    if (!objects) return no_memory(err);
    *objects = (kn_objects){.alloc = alloc, .folder = folder, .loader = kni_loader_about()};
    kn_status status = add_objects(objects, err);
    if (status)
        kn_objects_free(objects);
    else
        *out = objects;
    return status;
}

/* ---- code for GPUs ---- */

static bool has_arch(const object *o, const char *arch) {
    for (size_t i = 0; i < o->arch_count; i++) {
        if (strcmp(o->archs[i], arch) == 0) return true;
    }
    return false;
}

static kn_status collect_archs(const kn_alloc *alloc, object *o, const kni_input *input,
                               const kn_gpu *gpu, bool *fits, kn_error *err) {
    kni_fatbin fatbin = kni_fatbin_open(input, o->elf.fatbin_offset, o->elf.fatbin_size);
    arch_name arch;
    kni_fatbin_step step = KNI_FATBIN_CODE;
    while (!*fits) {
        kn_status status = kni_fatbin_next(&fatbin, arch, &step, err);
        if (status) return status;
        if (step != KNI_FATBIN_CODE) break;
        if (has_arch(o, arch)) continue;
        if (!kni_reserve(alloc, &o->archs, &o->arch_capacity, o->arch_count + 1, sizeof *o->archs))
            return no_memory(err);
        memcpy(o->archs[o->arch_count++], arch, sizeof arch);
        const char *name = arch;
        *fits = gpu && kn_archs_support("cuda", &name, 1, gpu);
    }
    o->has_other_code = step == KNI_FATBIN_UNKNOWN;
    return KN_OK;
}

/* Reads which architectures an object has code for, up to the first one that fits the GPU (*fits).
 * Without one (NULL) it is all of them. */
static kn_status read_archs(const kn_objects *objects, object *o, const kn_gpu *gpu, bool *fits,
                            kn_error *err) {
    *fits = false;
    if (!o->elf.fatbin_size) return KN_OK;
    file_input file;
    char *path = kni_path_join(objects->alloc, objects->folder, o->path);
    if (!path) return no_memory(err);
    kn_status status = open_input(path, &file, NULL);
    if (!status && !kni_input_has(&file.input, o->elf.fatbin_offset, o->elf.fatbin_size))
        status = KN_ERR_OS; /* it changed meanwhile */
    if (!status) status = collect_archs(objects->alloc, o, &file.input, gpu, fits, NULL);
    kni_reader_close(&file.reader);
    kni_free(objects->alloc, path);
    if (status == KN_ERR_NOMEM) return no_memory(err);
    if (status) o->has_other_code = true;
    return KN_OK;
}

/* ---- the check ---- */

static kn_status fail_object(const kn_objects *objects, const object *o, kn_error *err) {
    size_t others = objects->count - 1;
    char shown[KN_ERROR_TEXT_MAX / 2], more[64] = "";
    if (others)
        snprintf(more, sizeof more, ", and none of %zu others can be loaded either", others);
    return kni_fail(err, o->refused, "its shared object '%.*s' %s%s", NAME_MAX_SHOWN, o->path,
                    kni_text_shown(o->problem, shown, sizeof shown), more);
}

static kn_status check_files(const kn_objects *objects, kn_error *err) {
    size_t refused = 0;
    for (size_t i = 0; i < objects->count; i++) {
        const object *o = &objects->items[i];
        if (o->elf.is_cut_off) {
            return kni_fail(err, KN_ERR_INTEGRITY, "its shared object '%.*s' %s", NAME_MAX_SHOWN,
                            o->path, o->problem);
        }
        refused += o->refused != KN_OK;
    }
    if (refused < objects->count || !refused) return KN_OK;
    return fail_object(objects, &objects->items[0], err);
}

static void add_archs(kni_text *text, const kn_objects *objects) {
    for (size_t i = 0; i < objects->count; i++) {
        const object *o = &objects->items[i];
        for (size_t j = 0; j < o->arch_count && text->length < KN_ERROR_TEXT_MAX / 4; j++)
            kni_text_addf(text, "%s%s", text->length ? ", " : "", o->archs[j]);
    }
}

static kn_status fail_gpu(const kn_objects *objects, const kn_gpu *gpu, kn_error *err) {
    kni_text archs;
    kni_text_init(&archs, objects->alloc);
    add_archs(&archs, objects);
    char *text = kni_text_take(&archs);
    if (!text) return no_memory(err);
    int capability = (int)gpu->capability;
    kn_status status = kni_fail(
        err, KN_ERR_RUNTIME,
        "there is no code for a GPU of compute capability %d.%d: its shared objects have it for "
        "%s; take a version of the kernel that was built for this GPU, or pass `check_arch=False` "
        "if it brings its code in another way",
        capability / 10, capability % 10, text);
    kni_free(objects->alloc, text);
    return status;
}

static bool has_gpu_code(const kn_objects *objects) {
    for (size_t i = 0; i < objects->count; i++) {
        if (objects->items[i].elf.fatbin_size) return true;
    }
    return false;
}

static kn_status check_gpu(kn_objects *objects, const kni_objects_ask *ask, kn_error *err) {
    kn_gpu gpu = {.size = sizeof gpu, .capability = KN_CAPABILITY_UNKNOWN};
    bool known = false, has_code = false;
    if (!ask->gpu || !has_gpu_code(objects)) return KN_OK;
    kn_status status = ask->gpu(ask->ctx, &gpu, &known, err);
    if (status || !known || gpu.capability < 0) return status;
    for (size_t i = 0; i < objects->count; i++) {
        object *o = &objects->items[i];
        bool fits;
        status = read_archs(objects, o, &gpu, &fits, err);
        if (status || fits || o->has_other_code) return status;
        has_code = has_code || o->arch_count;
    }
    return has_code ? fail_gpu(objects, &gpu, err) : KN_OK;
}

kn_status kni_objects_check(const kn_alloc *alloc, const kni_objects_ask *ask, kn_error *err) {
    kn_objects *objects;
    kn_status status = read_objects(alloc, ask->folder, &objects, NULL);
    if (status == KN_ERR_NOMEM) return no_memory(err);
    if (!objects) return KN_OK; /* who opens it tells */
    status = check_files(objects, err);
    if (!status) status = check_gpu(objects, ask, err);
    kn_objects_free(objects);
    return status;
}

kn_status kni_fail_object(const char *name, const char *variant, kn_status status,
                          const kn_error *why, kn_error *err) {
    return kni_fail(err, status, "kernel '%.*s' variant '%.*s' cannot be loaded here: %s",
                    NAME_MAX_SHOWN, name, NAME_MAX_SHOWN, variant, why->message);
}

/* ---- the public form ---- */

kn_status kn_objects_read(const kn_alloc *alloc, const char *folder, kn_objects **out,
                          kn_error *err) {
    kn_status status = read_objects(alloc, folder, out, err);
    if (!*out) return status;
    for (size_t i = 0; i < (*out)->count && !status; i++) {
        bool fits;
        status = read_archs(*out, &(*out)->items[i], NULL, &fits, err);
    }
    if (!status) {
        (*out)->folder = NULL;
        return KN_OK;
    }
    kn_objects_free(*out);
    *out = NULL;
    return status;
}

static kn_status given_gpu(void *ctx, kn_gpu *out, bool *known, kn_error *err) {
    (void)err;
    *out = *(const kn_gpu *)ctx;
    *known = true;
    return KN_OK;
}

kn_status kn_objects_check(const kn_alloc *alloc, const char *folder, const char *name,
                           const char *variant, const kn_gpu *gpu, kn_error *err) {
    kn_gpu copy = {.size = sizeof copy,
                   .capability = gpu ? gpu->capability : KN_CAPABILITY_UNKNOWN};
    kni_objects_ask ask = {.folder = folder, .gpu = gpu ? given_gpu : NULL, .ctx = &copy};
    kn_error why;
    kn_error_init(&why);
    kn_status status = kni_objects_check(alloc, &ask, &why);
    return status ? kni_fail_object(name, variant, status, &why, err) : KN_OK;
}

size_t kn_objects_count(const kn_objects *objects) { return objects->count; }

void kn_objects_get(const kn_objects *objects, size_t index, kn_object_info *out) {
    const object *o = &objects->items[index];
    kn_object_info info = {
        .size = out->size,
        .path = o->path,
        .problem = o->problem,
        .machine = kni_elf_machine_name(o->elf.machine),
        .needed_count = o->elf.needed.count,
        .arch_count = o->arch_count,
        .has_other_code = o->has_other_code,
    };
    kni_object_glibc(&o->elf, &info.glibc_major, &info.glibc_minor);
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

const char *kn_objects_needed(const kn_objects *objects, size_t index, size_t number) {
    return objects->items[index].elf.needed.items[number];
}

const char *kn_objects_arch(const kn_objects *objects, size_t index, size_t number) {
    return objects->items[index].archs[number];
}

void kn_objects_free(kn_objects *objects) {
    if (!objects) return;
    for (size_t i = 0; i < objects->count; i++) {
        kni_free(objects->alloc, objects->items[i].path);
        kni_free(objects->alloc, objects->items[i].problem);
        kni_free(objects->alloc, objects->items[i].archs);
        kni_elf_clear(&objects->items[i].elf);
    }
    for (size_t i = 0; i < objects->library_count; i++) {
        kni_free(objects->alloc, objects->libraries[i].name);
        kni_free(objects->alloc, objects->libraries[i].path);
        kni_elf_clear(&objects->libraries[i].elf);
    }
    kni_free(objects->alloc, objects->libraries);
    kni_free(objects->alloc, objects->items);
    kni_free(objects->alloc, objects);
}
