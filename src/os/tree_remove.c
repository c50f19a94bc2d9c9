/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <ftw.h>
#include <stdio.h>

#include "os/store.h"
#include "os/tree.h"

#define OPEN_MAX_FOLDERS 16

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)about, (void)type, (void)where;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

kn_status kni_tree_remove(const char *path, kn_error *err) {
    int failed = nftw(path, remove_one, OPEN_MAX_FOLDERS, FTW_DEPTH | FTW_PHYS);
    return failed && errno != ENOENT ? kni_fail_errno(err, "remove", path, NULL) : KN_OK;
}
