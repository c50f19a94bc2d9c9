/* SPDX-License-Identifier: Apache-2.0 */
#include "os/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "os/store.h"

kn_status kni_reader_open(const char *path, kni_reader *out, kn_error *err) {
    struct stat about;
    *out = (kni_reader){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (out->fd < 0 && errno == ENOENT)
        return kni_fail(err, KN_ERR_NOT_FOUND, "there is no file '%s'", path);
    kn_status status = KN_OK;
    if (out->fd < 0 || fstat(out->fd, &about))
        status = kni_fail_errno(err, "read", path, NULL);
    else if (!S_ISREG(about.st_mode))
        status = kni_fail(err, KN_ERR_OS, "cannot read '%s': it is not a regular file", path);
    else
        out->size = about.st_size;
    if (status) kni_reader_close(out);
    return status;
}

kn_status kni_reader_read_at(const kni_reader *reader, int64_t offset, void *out, size_t length,
                             size_t *got, kn_error *err) {
    *got = 0;
    while (*got < length) {
        ssize_t count =
            pread(reader->fd, (char *)out + *got, length - *got, (off_t)(offset + (int64_t)*got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return kni_fail_errno(err, "read", reader->path, NULL);
        if (count == 0) break;
        *got += (size_t)count;
    }
    return KN_OK;
}

void kni_reader_close(kni_reader *reader) {
    if (reader->fd >= 0) close(reader->fd);
    reader->fd = -1;
}
