/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/environment.h>
#include <kernels/version.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/torch_text.h"
#include "os/files.h"
#include "os/machine.h"

#define FILE_LIMIT ((size_t)1 << 20)
#define FOLDERS_MAX 8

struct kn_environment {
    const kn_alloc *alloc;
    char *prefix, *base; /* `base`: the installation that pyvenv.cfg includes, or NULL */
    char python[KNI_TORCH_TEXT_MAX];
    char *folders[FOLDERS_MAX]; /* of packages, in the order in which Python looks */
    size_t folder_count;
    char *kernels;
    char *tvm_ffi_library;
    const char *packages; /* one of `folders` */
    char torch[KNI_TORCH_TEXT_MAX], tvm_ffi[KNI_TORCH_TEXT_MAX];
    char backend[KNI_TORCH_TEXT_MAX];
    char arch[KNI_MACHINE_TEXT_MAX], os[KNI_MACHINE_TEXT_MAX];
    int cxx11_abi;
    bool free_threaded;
};

static kn_status no_memory(kn_error *err) {
    return kni_no_memory(err, "reading a Python environment");
}

/* The file's content; *out NULL where it is not there or cannot be read. */
static kn_status read_text(const kn_alloc *alloc, const char *folder, const char *name, char **out,
                           size_t *length, kn_error *err) {
    *out = NULL;
    *length = 0;
    char *path = kni_path_join(alloc, folder, name);
    if (!path) return no_memory(err);
    kn_status status = kni_file_read(alloc, path, FILE_LIMIT, out, length, NULL);
    kni_free(alloc, path);
    return status == KN_ERR_NOMEM ? no_memory(err) : KN_OK;
}

/* ---- where packages are ---- */

/* "3.11" of "python3.11" or "python3.13t"; false for other names. */
static bool version_of_name(const char *name, char out[KNI_TORCH_TEXT_MAX], bool *free_threaded) {
    int major, minor;
    if (strncmp(name, "python", 6) != 0 || !kni_major_minor(name + 6, &major, &minor)) return false;
    const char *rest = name + 6;
    rest += strspn(rest, "0123456789.");
    *free_threaded = strcmp(rest, "t") == 0;
    if (*rest && !*free_threaded) return false;
    snprintf(out, KNI_TORCH_TEXT_MAX, "%d.%d", major, minor);
    return true;
}

static bool is_newer(const char *a, const char *b) {
    int order = 0;
    return kn_version_compare(a, b, &order, NULL) == KN_OK && order > 0;
}

/* Which Python the folder "lib" belongs to, unless that is known: its newest. */
static kn_status find_python(kn_environment *e, const char *prefix, kn_error *err) {
    char *lib = kni_path_join(e->alloc, prefix, "lib");
    if (!lib) return no_memory(err);
    kni_names names = {.alloc = e->alloc};
    kn_status status = kni_directory_folders(e->alloc, lib, &names, NULL);
    for (size_t i = 0; i < names.count; i++) {
        char version[KNI_TORCH_TEXT_MAX];
        bool free_threaded;
        if (!version_of_name(names.items[i], version, &free_threaded)) continue;
        if (e->python[0] && !is_newer(version, e->python)) continue;
        memcpy(e->python, version, sizeof version);
    }
    kni_names_clear(&names);
    kni_free(e->alloc, lib);
    return status == KN_ERR_NOMEM ? no_memory(err) : KN_OK;
}

static kn_status add_folder(kn_environment *e, const char *prefix, const char *format, bool *found,
                            kn_error *err) {
    kni_text text;
    kni_text_init(&text, e->alloc);
    kni_text_addf(&text, "%s/", prefix);
    for (const char *at = format; *at; at++) {
        if (*at == '%')
            kni_text_add(&text, e->python);
        else
            kni_text_add_n(&text, at, 1);
    }
    char *path = kni_text_take(&text);
    if (!path) return no_memory(err);
    if (e->folder_count < FOLDERS_MAX && kni_path_is_directory(path)) {
        e->folders[e->folder_count++] = path;
        *found = true;
    } else {
        kni_free(e->alloc, path);
    }
    return KN_OK;
}

static kn_status find_folders(kn_environment *e, const char *prefix, kn_error *err) {
    bool found = false, found_free = false;
    kn_status status = e->python[0] ? KN_OK : find_python(e, prefix, err);
    if (!status) status = add_folder(e, prefix, "local/lib/python%/dist-packages", &found, err);
    if (!status) status = add_folder(e, prefix, "lib/python%/site-packages", &found, err);
    if (!status) status = add_folder(e, prefix, "lib64/python%/site-packages", &found, err);
    if (!status) status = add_folder(e, prefix, "lib/python3/dist-packages", &found, err);
    if (!status && !found)
        status = add_folder(e, prefix, "lib/python%t/site-packages", &found_free, err);
    if (found_free) e->free_threaded = true;
    return status;
}

/* ---- pyvenv.cfg ---- */

/* The value of `name = value` as a copy; *out NULL where it is not there. */
static kn_status config_value(const kn_alloc *alloc, const char *text, const char *name, char **out,
                              kn_error *err) {
    *out = NULL;
    size_t length = strlen(name);
    for (const char *at = text; *at;) {
        size_t line = strcspn(at, "\r\n");
        const char *value = at + length;
        if (line > length && strncmp(at, name, length) == 0) {
            value += strspn(value, " \t");
            if (*value == '=') {
                value += 1 + strspn(value + 1, " \t");
                size_t rest = value < at + line ? (size_t)(at + line - value) : 0;
                *out = kni_text_copy_n(alloc, value, rest);
                return *out ? KN_OK : no_memory(err);
            }
        }
        at += line;
        at += strspn(at, "\r\n");
    }
    return KN_OK;
}

/* The base installation of a virtual environment that includes its packages, and its version. */
static kn_status read_config(kn_environment *e, kn_error *err) {
    char *text, *home = NULL, *includes = NULL, *version = NULL;
    size_t length;
    kn_status status = read_text(e->alloc, e->prefix, "pyvenv.cfg", &text, &length, err);
    if (status || !text) return status;
    status = config_value(e->alloc, text, "home", &home, err);
    if (!status)
        status = config_value(e->alloc, text, "include-system-site-packages", &includes, err);
    if (!status) status = config_value(e->alloc, text, "version", &version, err);
    if (!status && !version) status = config_value(e->alloc, text, "version_info", &version, err);
    int major, minor;
    if (version && kni_major_minor(version, &major, &minor))
        snprintf(e->python, sizeof e->python, "%d.%d", major, minor);
    char *bin = home ? strrchr(home, '/') : NULL;
    if (!status && bin && bin > home && includes && kni_text_is_same_word(includes, "true")) {
        e->base = kni_text_copy_n(e->alloc, home, (size_t)(bin - home));
        if (!e->base) status = no_memory(err);
    }
    kni_free(e->alloc, text);
    kni_free(e->alloc, home);
    kni_free(e->alloc, includes);
    kni_free(e->alloc, version);
    return status;
}

/* ---- what is installed ---- */

/* The version in the name of a package's "<package>-<version>.dist-info"; "" where there is none.
 */
static void version_in(const kni_names *names, const char *package, char out[KNI_TORCH_TEXT_MAX]) {
    size_t length = strlen(package), end = strlen(".dist-info");
    out[0] = '\0';
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        size_t whole = strlen(name);
        if (whole <= length + 1 + end || strncmp(name, package, length) != 0 ||
            name[length] != '-' || strcmp(name + whole - end, ".dist-info") != 0)
            continue;
        size_t digits = whole - end - length - 1;
        if (digits >= KNI_TORCH_TEXT_MAX) continue;
        memcpy(out, name + length + 1, digits);
        out[digits] = '\0';
        return;
    }
}

static kn_status read_torch(kn_environment *e, const char *folder, const char *listed,
                            kn_error *err) {
    char *text;
    size_t length;
    kni_torch_text torch = {{0}, {0}, {0}, {0}};
    kn_status status = read_text(e->alloc, folder, "torch/version.py", &text, &length, err);
    if (status || (!text && !listed[0])) return status;
    if (text) kni_torch_text_read(text, length, &torch);
    kni_free(e->alloc, text);
    const char *version = torch.version[0] ? torch.version : listed;
    if (!version[0]) return KN_OK;
    memcpy(e->torch, version, sizeof e->torch);
    kni_torch_backend(&torch, e->backend);
    e->packages = folder;
    status = read_text(e->alloc, folder, "torch/share/cmake/Torch/TorchConfig.cmake", &text,
                       &length, err);
    if (text) e->cxx11_abi = kni_torch_cxx11_abi(text, length);
    if (e->cxx11_abi < 0 && !is_newer("2.7", e->torch)) e->cxx11_abi = 1; /* there is no other */
    kni_free(e->alloc, text);
    return status;
}

/* *out becomes the path of `name` in `folder` where that is there, unless it has been found. */
static kn_status find_path(kn_environment *e, const char *folder, const char *name,
                           bool (*is_there)(const char *path), char **out, kn_error *err) {
    if (*out) return KN_OK;
    char *path = kni_path_join(e->alloc, folder, name);
    if (!path) return no_memory(err);
    if (is_there(path))
        *out = path;
    else
        kni_free(e->alloc, path);
    return KN_OK;
}

static kn_status look_into(kn_environment *e, const char *folder, kn_error *err) {
    char listed[KNI_TORCH_TEXT_MAX];
    kni_names names = {.alloc = e->alloc};
    kn_status status = kni_directory_folders(e->alloc, folder, &names, NULL);
    if (status == KN_ERR_NOMEM) return no_memory(err);
    status = KN_OK;
    if (!e->tvm_ffi[0]) version_in(&names, "apache_tvm_ffi", e->tvm_ffi);
    version_in(&names, "torch", listed);
    if (!e->torch[0]) status = read_torch(e, folder, listed, err);
    if (!status) status = find_path(e, folder, "kernels", kni_path_is_directory, &e->kernels, err);
    if (!status)
        status = find_path(e, folder, "tvm_ffi/lib/libtvm_ffi.so", kni_path_is_file,
                           &e->tvm_ffi_library, err);
    kni_names_clear(&names);
    return status;
}

static bool has_free_threaded_no_arch(const kn_environment *e) {
    return e->free_threaded && is_newer("3.15", e->python);
}

static kn_status read_all(kn_environment *e, const char *asked, kn_error *err) {
    kn_status status = read_config(e, err);
    if (!status) status = find_folders(e, e->prefix, err);
    if (!status && e->base) status = find_folders(e, e->base, err);
    if (!status && !e->folder_count) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "'%s' is no Python environment: there are no packages in '%s/lib/python3.*'"
                        "; name the prefix or the interpreter of one (--python)",
                        asked, e->prefix);
    }
    for (size_t i = 0; i < e->folder_count && !status; i++)
        status = look_into(e, e->folders[i], err);
    if (!e->packages && e->folder_count) e->packages = e->folders[0];
    return status;
}

/* ---- which prefix is meant ---- */

static char *parent_of(const kn_alloc *alloc, const char *path, int levels) {
    size_t length = strlen(path);
    for (; levels > 0 && length; levels--) {
        while (length && path[length - 1] == '/') length--;
        while (length && path[length - 1] != '/') length--;
    }
    while (length > 1 && path[length - 1] == '/') length--;
    return kni_text_copy_n(alloc, length ? path : "/", length ? length : 1);
}

/* The interpreter of that name in PATH as a path; *out NULL: there is none. */
static kn_status find_program(const kn_alloc *alloc, const char *name, char **out, kn_error *err) {
    const char *at = kni_environment("PATH");
    *out = NULL;
    while (at && *at && !*out) {
        size_t length = strcspn(at, ":");
        kni_text text;
        kni_text_init(&text, alloc);
        kni_text_add_n(&text, at, length);
        kni_text_addf(&text, "/%s", name);
        char *path = kni_text_take(&text);
        if (!path) return no_memory(err);
        if (length && kni_path_is_file(path))
            *out = path;
        else
            kni_free(alloc, path);
        at += length + (at[length] == ':');
    }
    return KN_OK;
}

/* The prefix of an interpreter, which is not that of what a link in a virtual environment leads to.
 */
static kn_status take_interpreter(kn_environment *e, const char *path, kn_error *err) {
    char *folder = parent_of(e->alloc, path, 1), *real = NULL, *target = NULL;
    if (!folder) return no_memory(err);
    kn_status status = kni_path_resolve(e->alloc, *folder ? folder : ".", &real, err);
    if (!status) {
        e->prefix = parent_of(e->alloc, real, 1);
        if (!e->prefix) status = no_memory(err);
    }
    kn_status resolved = status ? status : kni_path_resolve(e->alloc, path, &target, NULL);
    if (resolved == KN_ERR_NOMEM && !status) status = no_memory(err);
    if (!resolved) {
        const char *name = strrchr(target, '/');
        bool free_threaded;
        if (name) version_of_name(name + 1, e->python, &free_threaded);
    }
    kni_free(e->alloc, target);
    kni_free(e->alloc, real);
    kni_free(e->alloc, folder);
    return status;
}

static kn_status take_prefix(kn_environment *e, const char *python, kn_error *err) {
    bool is_path = strchr(python, '/') != NULL;
    if (is_path && kni_path_is_file(python)) return take_interpreter(e, python, err);
    char *found = NULL;
    kn_status status = is_path ? KN_OK : find_program(e->alloc, python, &found, err);
    if (!status && !found && kni_path_is_directory(python))
        return kni_path_resolve(e->alloc, python, &e->prefix, err);
    if (!status && !found) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "there is no Python environment '%s': expected the folder of one, its "
                        "interpreter, or the name of an interpreter in PATH",
                        python);
    }
    if (!status) status = take_interpreter(e, found, err);
    kni_free(e->alloc, found);
    return status;
}

static kn_status new_environment(const kn_alloc *alloc, kn_environment **out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = kni_new(alloc, sizeof **out);
    if (!*out) return no_memory(err);
    (*out)->alloc = alloc;
    (*out)->cxx11_abi = -1;
    snprintf((*out)->backend, sizeof(*out)->backend, "cpu");
    kni_machine((*out)->arch, (*out)->os);
    return KN_OK;
}

static kn_status finish(kn_environment *e, const char *asked, kn_status status,
                        kn_environment **out, kn_error *err) {
    if (!status) status = read_all(e, asked, err);
    if (status)
        kn_environment_free(e);
    else
        *out = e;
    return status;
}

kn_status kn_environment_read(const kn_alloc *alloc, const char *python, kn_environment **out,
                              kn_error *err) {
    kn_environment *e;
    *out = NULL;
    kn_status status = new_environment(alloc, &e, err);
    if (status) return status;
    return finish(e, python, take_prefix(e, python, err), out, err);
}

kn_status kn_environment_read_own(const kn_alloc *alloc, kn_environment **out, kn_error *err) {
    kn_environment *e;
    char *program;
    *out = NULL;
    kn_status status = new_environment(alloc, &e, err);
    if (status) return status;
    status = kni_program_path(e->alloc, &program, err);
    if (!status) {
        e->prefix = parent_of(e->alloc, program, 2);
        kni_free(e->alloc, program);
        if (!e->prefix) status = no_memory(err);
    }
    return finish(e, e->prefix ? e->prefix : "", status, out, err);
}

static const char *or_null(const char *text) { return text[0] ? text : NULL; }

void kn_environment_get(const kn_environment *e, kn_environment_info *out) {
    kn_environment_info info = {
        .size = out->size,
        .prefix = e->prefix,
        .python = or_null(e->python),
        .packages = e->packages,
        .kernels = e->kernels,
        .torch = or_null(e->torch),
        .tvm_ffi = or_null(e->tvm_ffi),
        .tvm_ffi_library = e->tvm_ffi_library,
    };
    info.system = (kn_system){
        .size = sizeof info.system,
        .torch_cxx11_abi = e->torch[0] ? e->cxx11_abi : -1,
        .backend = e->backend,
        .arch = e->arch,
        .os = e->os,
        .free_threaded = has_free_threaded_no_arch(e),
        .python = info.python,
    };
    kni_major_minor(e->torch, &info.system.torch_major, &info.system.torch_minor);
    kni_major_minor(e->tvm_ffi, &info.system.tvm_ffi_major, &info.system.tvm_ffi_minor);
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

void kn_environment_free(kn_environment *e) {
    if (!e) return;
    for (size_t i = 0; i < e->folder_count; i++) kni_free(e->alloc, e->folders[i]);
    kni_free(e->alloc, e->prefix);
    kni_free(e->alloc, e->base);
    kni_free(e->alloc, e->kernels);
    kni_free(e->alloc, e->tvm_ffi_library);
    kni_free(e->alloc, e);
}
