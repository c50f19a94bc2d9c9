/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/depend_json.h"

#include <string.h>

const char *kni_json_unknown_member(const kni_json *object, const char *const *names,
                                    size_t count) {
    const kni_json *value;
    for (const char *name = kni_json_next(object, NULL, &value); name;
         name = kni_json_next(object, name, &value)) {
        size_t i = 0;
        while (i < count && strcmp(name, names[i]) != 0) i++;
        if (i == count) return name;
    }
    return NULL;
}

static const kni_json *given_member(const kni_json *entry, const char *name) {
    const kni_json *value = kni_json_member(entry, name);
    return kni_json_is_null(value) ? NULL : value;
}

const char *kni_depend_json_read(const kni_json *entry, kni_depend_json *out) {
    const kni_json *number = given_member(entry, "version");
    const kni_json *name = given_member(entry, "revision");
    *out = (kni_depend_json){
        .repo_id = kni_json_text(kni_json_member(entry, "repo-id")),
        .revision = kni_json_text(name),
        .version = -1,
    };
    if (!out->repo_id || !*out->repo_id) return "has no text 'repo-id'";
    if (number && name) return "has both 'version' and 'revision', which are mutually exclusive";
    if (!number && !name) return "needs either a 'version' or a 'revision'";
    if (number && (!kni_json_integer(number, &out->version) || out->version < 0))
        return "has a 'version' that is no whole number";
    if (name && (!out->revision || !*out->revision)) return "has a 'revision' that is no text";
    return NULL;
}

const char *kni_depend_json_unknown(const kni_json *entry) {
    static const char *const names[] = {"repo-id", "version", "revision"};
    return kni_json_unknown_member(entry, names, sizeof names / sizeof *names);
}
