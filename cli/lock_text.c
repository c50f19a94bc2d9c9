/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "cli.h"

#define LOCK_MAX ((size_t)16 << 20)

/* All bytes of a file and a NUL, in memory that the next call uses again; NULL with errno. */
static const char *read_file(const char *path, size_t *length) {
    static char text[LOCK_MAX + 2];
    FILE *file = fopen(path, "rbe");
    if (!file) return NULL;
    *length = fread(text, 1, LOCK_MAX + 1, file);
    int error = ferror(file) ? errno : *length > LOCK_MAX ? EFBIG : 0;
    if (fclose(file) && !error) error = errno;
    text[error ? 0 : *length] = '\0';
    errno = error;
    return error ? NULL : text;
}

int cli_read_lock(cli *c, const char *path, const char **text, kn_lockfile **lock) {
    size_t length;
    kn_error err;
    kn_error_init(&err);
    *lock = NULL;
    *text = read_file(path, &length);
    if (!*text) {
        cli_error(c, "cannot read '%s': %s", path, strerror(errno));
        return CLI_FAILED;
    }
    return kn_lockfile_parse(NULL, *text, length, path, lock, &err) ? cli_fail(c, &err) : CLI_OK;
}
