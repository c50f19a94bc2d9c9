/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700 /* also realpath and PATH_MAX */

#include "os/files.h"

#ifndef __linux__
#error \
    "libkernels runs on Linux only: port src/os/ (files, locks) before building it for another system"
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* The error of a system call on `path`, from errno. */
static kn_status fail_errno(kn_error *err, const char *doing, const char *path) {
    int number = errno;
    char text[128];
    if (number == ENOENT || number == ENOTDIR) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "cannot %s '%s': there is nothing at this path",
                        doing, path);
    }
    if (number == ENOMEM) return kni_no_memory(err, doing);
    if (strerror_r(number, text, sizeof text)) text[0] = '\0';
    return kni_fail(err, KN_ERR_OS, "cannot %s '%s': %s (errno %d)", doing, path, text, number);
}

static kn_status fail_too_large(kn_error *err, const char *path, size_t limit) {
    return kni_fail(err, KN_ERR_VALUE,
                    "cannot read '%s': it has more than %zu bytes, the most allowed here", path,
                    limit);
}

/* Reads until the end, not just to the size that fstat gave: the file may grow, and those in /proc
 * say 0. */
static kn_status read_open_file(const kn_alloc *alloc, int fd, size_t expected, const char *path,
                                size_t limit, char **out, size_t *length, kn_error *err) {
    size_t capacity = expected + 2, used = 0; /* a byte to notice more than expected, one for the
                                                 NUL */
    char *bytes = alloc->resize(alloc->ctx, NULL, capacity);
    if (!bytes) return kni_no_memory(err, "reading a file");

    kn_status status;
    for (;;) {
        ssize_t got = read(fd, bytes + used, capacity - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = fail_errno(err, "read", path);
            goto fail;
        }
        if (got == 0) break;
        used += (size_t)got;
        if (used > limit) {
            status = fail_too_large(err, path, limit);
            goto fail;
        }
        if (used == capacity - 1 && !kni_reserve(alloc, &bytes, &capacity, capacity + 4096, 1)) {
            status = kni_no_memory(err, "reading a file");
            goto fail;
        }
    }
    bytes[used] = '\0';
    *out = bytes;
    *length = used;
    return KN_OK;

fail:
    kni_free(alloc, bytes);
    return status;
}

kn_status kni_file_read(const kn_alloc *alloc, const char *path, size_t limit, char **out,
                        size_t *length, kn_error *err) {
    *out = NULL;
    *length = 0;
    alloc = kni_alloc_or_default(alloc);

    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not
                                                               block */
    if (fd < 0) return fail_errno(err, "read", path);

    struct stat about;
    kn_status status;
    if (fstat(fd, &about)) {
        status = fail_errno(err, "read", path);
    } else if (!S_ISREG(about.st_mode)) {
        status = kni_fail(err, KN_ERR_OS, "cannot read '%s': it is not a regular file", path);
    } else if (about.st_size < 0 || (uint64_t)about.st_size > limit) {
        status = fail_too_large(err, path, limit);
    } else {
        status = read_open_file(alloc, fd, (size_t)about.st_size, path, limit, out, length, err);
    }
    close(fd);
    return status;
}

bool kni_path_is_file(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

bool kni_path_is_directory(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

char *kni_path_join(const kn_alloc *alloc, const char *folder, const char *name) {
    size_t folder_length = strlen(folder), name_length = strlen(name);
    if (name[0] == '/' || folder_length == 0) return kni_text_copy(alloc, name);
    bool slash = folder[folder_length - 1] != '/';

    char *path = alloc->resize(alloc->ctx, NULL, folder_length + slash + name_length + 1);
    if (!path) return NULL;
    memcpy(path, folder, folder_length);
    if (slash) path[folder_length] = '/';
    memcpy(path + folder_length + slash, name, name_length + 1);
    return path;
}

#define LINK_TEXT_MAX 4096

kn_status kni_path_read_link(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    char text[LINK_TEXT_MAX];
    ssize_t length = readlink(path, text, sizeof text);
    *out = NULL;
    if (length < 0 || (size_t)length == sizeof text) return KN_OK;
    *out = kni_text_copy_n(kni_alloc_or_default(alloc), text, (size_t)length);
    return *out ? KN_OK : kni_no_memory(err, "reading a link");
}

kn_status kni_path_resolve(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    *out = NULL;
    char resolved[PATH_MAX];
    if (!realpath(path, resolved)) return fail_errno(err, "find", path);
    *out = kni_text_copy(kni_alloc_or_default(alloc), resolved);
    return *out ? KN_OK : kni_no_memory(err, "resolving a path");
}

static bool names_add(kni_names *names, const char *name) {
    if (!kni_reserve(names->alloc, &names->items, &names->capacity, names->count + 1,
                     sizeof *names->items)) {
        return false;
    }
    char *copy = kni_text_copy(names->alloc, name);
    if (!copy) return false;
    names->items[names->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* An entry that vanishes while it is looked at, or a broken link, is no folder. */
static bool is_folder_at(int directory, const char *name) {
    struct stat about;
    return directory >= 0 && fstatat(directory, name, &about, 0) == 0 && S_ISDIR(about.st_mode);
}

static kn_status read_folders(DIR *directory, const char *path, kni_names *out, kn_error *err) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) return errno ? fail_errno(err, "list", path) : KN_OK;
        if (entry->d_name[0] == '.' || !is_folder_at(dirfd(directory), entry->d_name)) continue;
        if (!names_add(out, entry->d_name)) return kni_no_memory(err, "listing a directory");
    }
}

kn_status kni_directory_folders(const kn_alloc *alloc, const char *path, kni_names *out,
                                kn_error *err) {
    *out = (kni_names){.alloc = kni_alloc_or_default(alloc)};
    DIR *directory = opendir(path);
    if (!directory) return fail_errno(err, "list", path);

    kn_status status = read_folders(directory, path, out, err);
    closedir(directory);
    if (status) {
        kni_names_clear(out);
    } else if (out->count) {
        qsort(out->items, out->count, sizeof *out->items, compare_names);
    }
    return status;
}

void kni_names_clear(kni_names *names) {
    for (size_t i = 0; i < names->count; i++) kni_free(names->alloc, names->items[i]);
    if (names->items) kni_free(names->alloc, names->items);
    *names = (kni_names){.alloc = names->alloc};
}

const char *kni_environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}
