/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* sync_file_range */

#include "os/partial.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static kn_status partial_fail(const kni_partial *partial, const char *doing, kn_error *err) {
    return kni_fail_errno(err, doing, partial->path, partial->name);
}

void kni_partial_close(kni_partial *partial) {
    int number = errno;
    if (partial->fd >= 0) close(partial->fd);
    kni_folder_close(partial->folder);
    partial->fd = partial->folder = -1;
    errno = number;
}

void kni_partial_remove(kni_partial *partial) {
    if (partial->folder >= 0) unlinkat(partial->folder, partial->name, 0);
    kni_partial_close(partial);
}

kn_status kni_partial_open(const char *folder, const char *name, kni_partial *out, kn_error *err) {
    *out = (kni_partial){.path = folder, .folder = -1, .fd = -1};
    size_t length = strlen(name);
    assert(length <= KNI_NAME_MAX && kni_path_stays_inside(name));
    memcpy(out->name, name, length + 1);

    out->folder = kni_folder_open(folder, true);
    if (out->folder < 0) return kni_fail_errno(err, "make", folder, NULL);
    out->fd =
        openat(out->folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    struct stat about;
    kn_status status;
    if (out->fd < 0 || fstat(out->fd, &about)) {
        status = partial_fail(out, "write", err);
    } else if (!S_ISREG(about.st_mode)) {
        status =
            kni_fail(err, KN_ERR_OS, "cannot write '%s/%s': it is not a regular file; remove it",
                     folder, name);
    } else {
        out->length = about.st_size;
        return KN_OK;
    }
    kni_partial_close(out);
    return status;
}

/* At its own place and not at the file's end: where locks do not work, as on some network file
 * systems, two processes write the same bytes to the same places. */
kn_status kni_partial_write(kni_partial *partial, const void *bytes, size_t length, kn_error *err) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t wrote = pwrite(partial->fd, at, length, partial->length);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return partial_fail(partial, "write", err);
        at += wrote;
        length -= (size_t)wrote;
        partial->length += wrote;
    }
    return KN_OK;
}

kn_status kni_partial_empty(kni_partial *partial, kn_error *err) {
    if (ftruncate(partial->fd, 0)) return partial_fail(partial, "empty", err);
    partial->length = 0;
    return KN_OK;
}

void kni_partial_flush(const kni_partial *partial, int64_t from, int64_t length) {
    sync_file_range(partial->fd, from, length, SYNC_FILE_RANGE_WRITE); /* it is only a hint */
}

/* Whether `name` is a file of the length that this one has. */
static bool another_kept_it(const kni_partial *partial, const char *name) {
    kni_file_facts facts;
    kni_file_look(partial->folder, name, &facts);
    return facts.regular && facts.size == partial->length;
}

kn_status kni_partial_keep(kni_partial *partial, const char *name, kn_error *err) {
    kn_status status = KN_OK;
    if (fsync(partial->fd)) {
        status = partial_fail(partial, "write", err);
    } else if (renameat(partial->folder, partial->name, partial->folder, name) &&
               !(errno == ENOENT && another_kept_it(partial, name))) {
        status = kni_fail_errno(err, "write", partial->path, name);
    }
    if (status) {
        kni_partial_remove(partial);
        return status;
    }
    fsync(partial->folder); /* it is under its name whether or not the file system can do this */
    kni_partial_close(partial);
    return KN_OK;
}
