/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* getrandom */

#include "os/store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define TEMPORARY_PREFIX ".tmp-"
#define TEMPORARY_MAX 32
#define COPY_BYTES ((size_t)256 << 10)

bool kni_path_stays_inside(const char *path) {
    size_t part = 0, length = 0;
    for (;; length++) {
        unsigned char c = (unsigned char)path[length];
        if (c == '/' || c == '\0') {
            const char *start = path + length - part;
            if (part == 0 || (part == 1 && start[0] == '.')) return false;
            if (part == 2 && start[0] == '.' && start[1] == '.') return false;
            if (c == '\0') return true;
            part = 0;
        } else if (c < 0x20 || c == 0x7F || c == '\\' || ++part > KNI_NAME_MAX) {
            return false;
        }
        if (length + 1 >= KNI_PATH_MAX) return false;
    }
}

static const char *advice(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return "; free some space there, or use another folder";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; use a folder that you may write to";
    case ENOTDIR:
    case ELOOP:
        return "; a folder of this path is a file or a link: remove that, or use another folder";
    default:
        return "";
    }
}

kn_status kni_fail_errno(kn_error *err, const char *doing, const char *base, const char *name) {
    int number = errno;
    if (number == ENOMEM) return kni_no_memory(err, doing);
    char text[128];
    const char *said = strerror_r(number, text, sizeof text); /* GNU's: not always in `text` */
    return kni_fail(err, KN_ERR_OS, "cannot %s '%s%s%s': %s (errno %d)%s", doing, base,
                    name ? "/" : "", name ? name : "", said, number, advice(number));
}

static void close_quietly(int fd) {
    int number = errno;
    if (fd >= 0) close(fd);
    errno = number;
}

/* Makes `path` and what is above it; the last failure's errno, as opening it tells too little. */
static int make_folders(const char *path) {
    char part[KNI_PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part) return ENAMETOOLONG;
    int number = 0;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) == 0 || errno == EEXIST) continue;
        number = errno;
    }
    return number;
}

int kni_folder_open(const char *path, bool make) {
    int folder = open(path, FOLDER_FLAGS);
    if (folder >= 0 || errno != ENOENT || !make || !*path) return folder;
    int number = make_folders(path);
    folder = open(path, FOLDER_FLAGS);
    if (folder < 0 && number) errno = number;
    return folder;
}

void kni_folder_close(int folder) { close_quietly(folder); }

/* A name below an open base folder, split into its folder and its last part. */
typedef struct place {
    const char *base_path;
    const char *name;
    const char *last;
    int base;
    int folder;
} place;

static void place_close(place *at) {
    close_quietly(at->base);
    close_quietly(at->folder);
}

static kn_status place_fail(const place *at, const char *doing, kn_error *err) {
    return kni_fail_errno(err, doing, at->base_path, at->name);
}

/* Opens the folder of at->name, part by part, following no link. */
static bool place_walk(place *at, bool make) {
    const char *rest = at->name;
    at->folder = fcntl(at->base, F_DUPFD_CLOEXEC, 0);
    const char *slash = strchr(rest, '/');
    while (at->folder >= 0 && slash) {
        char part[KNI_NAME_MAX + 1];
        memcpy(part, rest, (size_t)(slash - rest));
        part[slash - rest] = '\0';
        int next = openat(at->folder, part, FOLDER_FLAGS | O_NOFOLLOW);
        if (next < 0 && errno == ENOENT && make &&
            (mkdirat(at->folder, part, 0777) == 0 || errno == EEXIST)) {
            next = openat(at->folder, part, FOLDER_FLAGS | O_NOFOLLOW);
        }
        close_quietly(at->folder);
        at->folder = next;
        rest = slash + 1;
        slash = strchr(rest, '/');
    }
    at->last = rest;
    return at->folder >= 0;
}

static bool place_open(place *at, const char *base, const char *name, bool make) {
    *at = (place){.base_path = base, .name = name, .base = -1, .folder = -1};
    if (!kni_path_stays_inside(name)) {
        errno = EINVAL;
        return false;
    }
    at->base = kni_folder_open(base, make);
    if (at->base >= 0 && place_walk(at, make)) return true;
    place_close(at);
    return false;
}

static kn_status place_make(place *at, const char *base, const char *name, kn_error *err) {
    if (place_open(at, base, name, true)) return KN_OK;
    if (!kni_path_stays_inside(name)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "cannot write below '%s': expected a relative path that stays inside it",
                        base);
    }
    return place_fail(at, "write", err);
}

static void name_temporary(char out[TEMPORARY_MAX]) {
    uint64_t number;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        number = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec << 16 ^ (uint64_t)getpid();
    }
    snprintf(out, TEMPORARY_MAX, TEMPORARY_PREFIX "%016" PRIx64, number);
}

static bool write_all(int fd, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t wrote = write(fd, at, length);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return false;
        at += wrote;
        length -= (size_t)wrote;
    }
    return true;
}

/* What a new file gets; false and errno for a failure. */
typedef struct content {
    const void *bytes;
    size_t length;
    int from; /* -1: `bytes`; else a file to copy */
} content;

static bool copy_all(int to, int from) {
    char buffer[16384];
    for (;;) {
        ssize_t got = read(from, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0;
        if (!write_all(to, buffer, (size_t)got)) return false;
    }
}

static bool fill_file(int fd, const content *what) {
    bool written =
        what->from >= 0 ? copy_all(fd, what->from) : write_all(fd, what->bytes, what->length);
    return written && fsync(fd) == 0;
}

static kn_status place_put(place *at, const content *what, kn_error *err) {
    char temporary[TEMPORARY_MAX];
    name_temporary(temporary);
    int fd = openat(at->base, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return place_fail(at, "write", err);

    bool whole = fill_file(fd, what);
    if (!whole) {
        close_quietly(fd);
    } else {
        whole = close(fd) == 0 && renameat(at->base, temporary, at->folder, at->last) == 0;
    }
    if (!whole) {
        kn_status status = place_fail(at, "write", err);
        unlinkat(at->base, temporary, 0);
        return status;
    }
    fsync(at->folder); /* it is under its name whether or not the file system can do this */
    return KN_OK;
}

kn_status kni_store_write(const char *base, const char *name, const void *bytes, size_t length,
                          kn_error *err) {
    place at;
    kn_status status = place_make(&at, base, name, err);
    if (status) return status;
    status = place_put(&at, &(content){.bytes = bytes, .length = length, .from = -1}, err);
    place_close(&at);
    return status;
}

kn_status kni_store_copy(const char *base, const char *name, const char *from, kn_error *err) {
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source < 0) return kni_fail_errno(err, "read", from, NULL);
    place at;
    kn_status status = place_make(&at, base, name, err);
    if (!status) {
        status = place_put(&at, &(content){.from = source}, err);
        place_close(&at);
    }
    close_quietly(source);
    return status;
}

static bool has_no_links(int number) {
    return number == EPERM || number == ENOTSUP || number == ENOSYS;
}

/* Replaces what is there by a link. */
static bool place_relink(const place *at, const char *target) {
    char temporary[TEMPORARY_MAX];
    name_temporary(temporary);
    if (symlinkat(target, at->base, temporary)) return false;
    if (renameat(at->base, temporary, at->folder, at->last) == 0) return true;
    int number = errno;
    unlinkat(at->base, temporary, 0);
    errno = number;
    return false;
}

kn_status kni_store_link(const char *base, const char *name, const char *target, bool *supported,
                         kn_error *err) {
    *supported = true;
    place at;
    kn_status status = place_make(&at, base, name, err);
    if (status) return status;
    assert(at.last);
    if (symlinkat(target, at.folder, at.last) && (errno != EEXIST || !place_relink(&at, target))) {
        *supported = !has_no_links(errno);
        if (*supported) status = place_fail(&at, "link", err);
    }
    place_close(&at);
    return status;
}

bool kni_store_is_link_to(const char *base, const char *name, const char *target) {
    place at;
    if (!place_open(&at, base, name, false)) return false;
    char text[KNI_PATH_MAX];
    ssize_t length = readlinkat(at.folder, at.last, text, sizeof text);
    place_close(&at);
    return length >= 0 && (size_t)length == strlen(target) &&
           memcmp(text, target, (size_t)length) == 0;
}

kn_status kni_store_remove(const char *base, const char *name, kn_error *err) {
    place at;
    if (!place_open(&at, base, name, false)) {
        return errno == ENOENT ? KN_OK : kni_fail_errno(err, "remove", base, name);
    }
    kn_status status = KN_OK;
    if (unlinkat(at.folder, at.last, 0) && errno != ENOENT) {
        status = place_fail(&at, "remove", err);
    }
    place_close(&at);
    return status;
}

void kni_store_sweep(const char *base, int64_t seconds) {
    DIR *directory = opendir(base);
    if (!directory) return;
    struct dirent *entry;
    struct stat about;
    time_t now = time(NULL);
    while ((entry = readdir(directory))) {
        const char *name = entry->d_name;
        if (strncmp(name, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) == 0 &&
            fstatat(dirfd(directory), name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            !S_ISDIR(about.st_mode) && now - about.st_mtime > seconds) {
            unlinkat(dirfd(directory), name, 0);
        }
    }
    closedir(directory);
}

static kni_file_facts facts_of(const struct stat *about) {
    return (kni_file_facts){
        .there = true,
        .regular = S_ISREG(about->st_mode),
        .size = about->st_size,
        .mtime_ns = (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec,
        .inode = (int64_t)about->st_ino,
    };
}

void kni_file_look(int folder, const char *name, kni_file_facts *out) {
    struct stat about;
    *out = fstatat(folder, name, &about, 0) ? (kni_file_facts){0} : facts_of(&about);
}

static kn_status each_piece(int fd, const char *name, char *buffer, kni_take_bytes take, void *ctx,
                            kn_error *err) {
    for (;;) {
        ssize_t got = read(fd, buffer, COPY_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return kni_fail_errno(err, "read", name, NULL);
        if (got == 0) return KN_OK;
        if (!take(ctx, buffer, (size_t)got)) {
            return kni_fail(err, KN_ERR_RUNTIME, "reading '%s' was stopped", name);
        }
    }
}

kn_status kni_file_each(const kn_alloc *alloc, int folder, const char *name, kni_take_bytes take,
                        void *ctx, kni_file_facts *facts, kn_error *err) {
    *facts = (kni_file_facts){0};
    alloc = kni_alloc_or_default(alloc);
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0) return kni_fail_errno(err, "read", name, NULL);

    kn_status status;
    char *buffer = NULL;
    struct stat about;
    if (fstat(fd, &about)) {
        status = kni_fail_errno(err, "read", name, NULL);
    } else if (*facts = facts_of(&about), !facts->regular) {
        status = kni_fail(err, KN_ERR_OS, "cannot read '%s': it is not a regular file", name);
    } else if (!(buffer = alloc->resize(alloc->ctx, NULL, COPY_BYTES))) {
        status = kni_no_memory(err, "reading a file");
    } else {
        status = each_piece(fd, name, buffer, take, ctx, err);
    }
    kni_free(alloc, buffer);
    close_quietly(fd);
    return status;
}
