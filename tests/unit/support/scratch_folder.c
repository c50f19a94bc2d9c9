/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "support/scratch_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/unit.h"

void scratch_folder_make(scratch_folder *scratch) {
    const char *base = getenv("TMPDIR");
    char pattern[SCRATCH_PATH_MAX];
    snprintf(pattern, sizeof pattern, "%s/kernels-unit-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(pattern));
    char resolved[4096];
    assert_non_null(realpath(pattern, resolved));
    assert_true(strlen(resolved) < sizeof scratch->path);
    memcpy(scratch->path, resolved, strlen(resolved) + 1);
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *place) {
    (void)about;
    (void)flag;
    (void)place;
    return remove(path);
}

void scratch_folder_remove(scratch_folder *scratch) {
    assert_int_equal(nftw(scratch->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *scratch_path(const scratch_folder *scratch, const char *relative) {
    static char paths[8][2 * SCRATCH_PATH_MAX];
    static size_t next;
    char *path = paths[next++ % 8];
    int length = snprintf(path, sizeof paths[0], "%s/%s", scratch->path, relative);
    assert_true(length > 0 && (size_t)length < sizeof paths[0]);
    return path;
}

static void make_parents(const scratch_folder *scratch, const char *relative) {
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s", scratch_path(scratch, relative));
    for (char *at = path + strlen(scratch->path) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
}

void scratch_directory(const scratch_folder *scratch, const char *relative) {
    make_parents(scratch, relative);
    assert_int_equal(mkdir(scratch_path(scratch, relative), 0700), 0);
}

void scratch_file(const scratch_folder *scratch, const char *relative, const char *text) {
    make_parents(scratch, relative);
    FILE *file = fopen(scratch_path(scratch, relative), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

void scratch_link(const scratch_folder *scratch, const char *relative, const char *target) {
    make_parents(scratch, relative);
    assert_int_equal(symlink(target, scratch_path(scratch, relative)), 0);
}
