/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700 /* getpwnam_r */

#include "os/expand.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "os/files.h"

#define RECORD_MAX ((size_t)1 << 20) /* of the password database */
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "reading a path"); }

/* The home of `user` (NULL: this process's) in the password database, as a copy; *out NULL: none.
 */
static kn_status find_recorded_home(const kn_alloc *alloc, const char *user, char **out,
                                    kn_error *err) {
    char *buffer = NULL;
    *out = NULL;
    for (size_t size = 1024;; size *= 2) {
        struct passwd entry, *found = NULL;
        char *grown = alloc->resize(alloc->ctx, buffer, size);
        if (!grown) {
            kni_free(alloc, buffer);
            return no_memory(err);
        }
        buffer = grown;
        int number = user ? getpwnam_r(user, &entry, buffer, size, &found)
                          : getpwuid_r(getuid(), &entry, buffer, size, &found);
        if ((number == EINTR || number == ERANGE) && size < RECORD_MAX) continue;
        bool is_known = number == 0 && found && found->pw_dir;
        if (is_known) *out = kni_text_copy(alloc, found->pw_dir);
        kni_free(alloc, buffer);
        return is_known && !*out ? no_memory(err) : KN_OK;
    }
}

/* The home that the `length` characters of `name` mean, none for this user's, as a copy. */
static kn_status find_home(const kn_alloc *alloc, const char *name, size_t length, char **out,
                           kn_error *err) {
    const char *own = length ? NULL : kni_environment("HOME");
    *out = NULL;
    if (own) {
        *out = kni_text_copy(alloc, own);
        return *out ? KN_OK : no_memory(err);
    }
    char *user = length ? kni_text_copy_n(alloc, name, length) : NULL;
    if (length && !user) return no_memory(err);
    kn_status status = find_recorded_home(alloc, user, out, err);
    if (!status && !*out) {
        status = user ? kni_fail(err, KN_ERR_NOT_FOUND, "there is no user '%s'", user)
                      : kni_fail(err, KN_ERR_NOT_FOUND, "HOME is not set, and this user has none");
    }
    kni_free(alloc, user);
    return status;
}

static kn_status expand_home(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    *out = NULL;
    if (path[0] != '~') {
        *out = kni_text_copy(alloc, path);
        return *out ? KN_OK : no_memory(err);
    }
    size_t length = strcspn(path + 1, "/");
    char *home;
    kn_status status = find_home(alloc, path + 1, length, &home, err);
    if (!home) return status;
    size_t kept = strlen(home);
    while (kept && home[kept - 1] == '/') kept--;
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_add_n(&text, home, kept);
    kni_text_add(&text, path + 1 + length);
    if (!text.length) kni_text_add(&text, "/");
    kni_free(alloc, home);
    *out = kni_text_take(&text);
    return *out ? KN_OK : no_memory(err);
}

/* Adds the value of the variable at `path`, which is a '$', and returns what is behind it; where
 * there is no such variable its name stands for itself. */
static const char *add_variable(kni_text *text, const char *path) {
    bool braced = path[1] == '{';
    const char *name = path + 1 + braced;
    size_t length = braced ? strcspn(name, "}") : strspn(name, LETTERS);
    bool is_name = braced ? name[length] == '}' : length > 0;
    const char *end = is_name ? name + length + braced : path + 1;
    kni_text variable;
    kni_text_init(&variable, text->alloc);
    kni_text_add_n(&variable, name, length);
    char *copy = kni_text_take(&variable);
    const char *value = is_name && copy ? getenv(copy) : NULL;
    if (!copy) text->failed = true;
    if (value)
        kni_text_add(text, value);
    else
        kni_text_add_n(text, path, (size_t)(end - path));
    kni_free(text->alloc, copy);
    return end;
}

kn_status kni_path_expand(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = NULL;
    char *from_home;
    kn_status status = expand_home(alloc, path, &from_home, err);
    if (!from_home) return status;
    kni_text text;
    kni_text_init(&text, alloc);
    for (const char *at = from_home; *at;) {
        size_t plain = strcspn(at, "$");
        kni_text_add_n(&text, at, plain);
        at += plain;
        if (*at) at = add_variable(&text, at);
    }
    kni_free(alloc, from_home);
    *out = kni_text_take(&text);
    return *out ? KN_OK : no_memory(err);
}

kn_status kni_path_absolute(const kn_alloc *alloc, const char *path, char **out, kn_error *err) {
    char here[PATH_MAX];
    alloc = kni_alloc_or_default(alloc);
    *out = NULL;
    if (path[0] != '/' && !getcwd(here, sizeof here)) {
        return kni_fail(err, KN_ERR_OS,
                        "'%s' is a relative path, and the working directory cannot be found (errno "
                        "%d); go to a directory that exists, or name an absolute path",
                        path, errno);
    }
    *out = path[0] == '/' ? kni_text_copy(alloc, path) : kni_path_join(alloc, here, path);
    return *out ? KN_OK : no_memory(err);
}
