/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_digests.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/store.h"
#include "trust/lockfile_parts.h"

#define HEAD "~digests of "
#define FOLDER "build/"
#define NAMED_MAX 5 /* files that a message names */
#define NEWER                                                                                 \
    "is of a form that this version does not know; upgrade the package kernels, or lock the " \
    "project's kernels again"

/* ---- reading and writing ---- */

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const kni_locked_file *)a)->path, ((const kni_locked_file *)b)->path);
}

void kni_lockfile_digests_text(const char *commit, kni_locked_file *files, size_t count,
                               kni_text *out) {
    if (count) qsort(files, count, sizeof *files, compare_paths);
    kni_text_addf(out, HEAD "%s", commit);
    for (size_t i = 0; i < count; i++) kni_text_addf(out, "\n%s  %s", files[i].oid, files[i].path);
}

void kni_locked_digests_clear(const kn_alloc *alloc, kni_locked_digests *digests) {
    kni_free(alloc, digests->repo_id);
    kni_free(alloc, digests->commit);
    kni_free(alloc, digests->text);
    kni_free(alloc, digests->files);
    *digests = (kni_locked_digests){0};
}

/* Cuts "<oid>  <path>" into its two; what is wrong with it, or NULL. */
static const char *read_line(char *line, kni_locked_file *out) {
    size_t length = strcspn(line, " ");
    if (strncmp(line + length, "  ", 2) != 0) return "has a digest without a file's name";
    line[length] = '\0';
    *out = (kni_locked_file){line + length + 2, line};
    if (!kni_is_commit(line)) return "has a digest that is not of 40 or 64 hexadecimal digits";
    if (strncmp(out->path, FOLDER, strlen(FOLDER)) != 0 || !kni_path_stays_inside(out->path))
        return "has the digest of a file that is not in 'build/'";
    return NULL;
}

/* The lines behind the head, by their files' paths. */
static const char *read_lines(kni_locked_digests *out, char *at) {
    const char *wrong = NULL;
    while (at && !wrong) {
        char *end = strchr(at, '\n');
        if (end) *end = '\0';
        wrong = read_line(at, &out->files[out->count++]);
        at = end ? end + 1 : NULL;
    }
    if (out->count && !wrong) qsort(out->files, out->count, sizeof *out->files, compare_paths);
    for (size_t i = 1; i < out->count && !wrong; i++) {
        if (compare_paths(&out->files[i - 1], &out->files[i]) == 0)
            wrong = "has two digests of one file";
    }
    return wrong;
}

kn_status kni_locked_digests_read(const kn_alloc *alloc, const char *repo_id, const char *commit,
                                  const char *revision, kni_locked_digests *out,
                                  const char **wrong) {
    *out = (kni_locked_digests){0};
    *wrong = NEWER;
    if (strncmp(revision, HEAD, strlen(HEAD)) != 0) return KN_ERR_VALUE;
    size_t lines = 0, head = strcspn(revision, "\n");
    for (const char *at = revision; *at; at++) lines += *at == '\n';
    out->repo_id = kni_text_copy(alloc, repo_id);
    out->commit = kni_text_copy(alloc, commit);
    out->text = kni_text_copy(alloc, revision);
    out->files = kni_new(alloc, (lines + 1) * sizeof *out->files);
    if (!out->repo_id || !out->commit || !out->text || !out->files) return KN_ERR_NOMEM;
    char *rest = out->text[head] ? out->text + head + 1 : NULL;
    out->text[head] = '\0';
    *wrong = strcmp(out->text + strlen(HEAD), commit) == 0 ? read_lines(out, rest)
                                                           : "has digests of another commit";
    return *wrong ? KN_ERR_VALUE : KN_OK;
}

/* ---- using them ---- */

bool kn_lockfile_has_digests(const kn_lockfile *file) { return file->digests_count > 0; }

const kni_locked_digests *kni_locked_digests_find(const kn_lockfile *file, const char *repo_id,
                                                  const char *commit) {
    for (size_t i = 0; i < file->digests_count; i++) {
        const kni_locked_digests *one = &file->digests[i];
        if (strcmp(one->repo_id, repo_id) == 0 && strcmp(one->commit, commit) == 0) return one;
    }
    return NULL;
}

static int compare_with_path(const void *path, const void *file) {
    return strcmp(path, ((const kni_locked_file *)file)->path);
}

const char *kni_lockfile_digest_find(const kn_lockfile *file, const char *repo_id,
                                     const char *commit, const char *path) {
    const kni_locked_digests *digests = kni_locked_digests_find(file, repo_id, commit);
    if (!digests || !digests->count) return NULL;
    const kni_locked_file *found =
        bsearch(path, digests->files, digests->count, sizeof *digests->files, compare_with_path);
    return found ? found->oid : NULL;
}

/* What a comparison has found. */
typedef struct findings {
    kni_text text;
    size_t count;
    const char *folder;
} findings;

static void add_finding(findings *f, const char *path, const char *what) {
    if (++f->count > NAMED_MAX) return;
    kni_text_addf(&f->text, "%s'%s%s' %s", f->count > 1 ? ", " : "", f->folder, path, what);
}

/* Both are sorted by path. */
static void compare_files(findings *f, const kni_locked_file *locked, size_t locked_count,
                          const kni_locked_file *files, size_t count) {
    size_t skip = strlen(f->folder), at = 0, i = 0;
    while (at < locked_count || i < count) {
        int order = at == locked_count ? 1
                    : i == count       ? -1
                                       : strcmp(locked[at].path + skip, files[i].path);
        if (order < 0) {
            add_finding(f, locked[at++].path + skip, "is missing");
        } else if (order > 0) {
            add_finding(f, files[i++].path, "is not in the lock file");
        } else {
            if (strcmp(locked[at].oid, files[i].oid) != 0)
                add_finding(f, files[i].path, "has another content");
            at++;
            i++;
        }
    }
}

static kn_status fail_findings(findings *f, const kni_locked_digests *digests, kn_error *err) {
    if (f->count > NAMED_MAX) kni_text_addf(&f->text, " and %zu more", f->count - NAMED_MAX);
    char *list = kni_text_take(&f->text);
    if (!list) return kni_no_memory(err, "checking a lock");
    kni_fail(err, KN_ERR_INTEGRITY,
             "Kernel `%s` (commit %s) is not what the lock file has digests of: %s; do not use it "
             "before you know why, then lock the project's kernels again",
             digests->repo_id, digests->commit, list);
    kni_free(f->text.alloc, list);
    return KN_ERR_INTEGRITY;
}

kn_status kni_lockfile_check_digests(const kn_alloc *alloc, const kn_lockfile *file,
                                     const char *repo_id, const char *commit, const char *folder,
                                     kni_locked_file *files, size_t count, kn_error *err) {
    if (!kn_lockfile_has_digests(file)) return KN_OK;
    const kni_locked_digests *digests = kni_locked_digests_find(file, repo_id, commit);
    if (!digests) {
        return kni_fail(err, KN_ERR_VALUE,
                        "Kernel `%s`: the lock file has digests of other kernels' files and none "
                        "of this one's (commit %s); lock the project's kernels again",
                        repo_id, commit);
    }
    const size_t length = strlen(folder);
    size_t first = 0, end;
    while (first < digests->count && strncmp(digests->files[first].path, folder, length) < 0)
        first++;
    for (end = first; end < digests->count; end++) {
        if (strncmp(digests->files[end].path, folder, length) != 0) break;
    }
    findings f = {.folder = folder};
    kni_text_init(&f.text, alloc);
    if (count) qsort(files, count, sizeof *files, compare_paths);
    compare_files(&f, digests->files + first, end - first, files, count);
    if (f.count) return fail_findings(&f, digests, err);
    return KN_OK;
}
