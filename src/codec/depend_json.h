/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that is needed at a version or at a revision, as metadata.json and kernels.lock write
 * it:
 * {"repo-id": "org/name", "version": 1} or {"repo-id": "org/name", "revision": "main"}. */
#ifndef KNI_CODEC_DEPEND_JSON_H
#define KNI_CODEC_DEPEND_JSON_H

#include "codec/json.h"

/* Borrowed from the document. */
typedef struct kni_depend_json {
    const char *repo_id;
    const char *revision; /* NULL: `version` counts */
    int64_t version;      /* -1: `revision` counts */
} kni_depend_json;

/* The first member of `object` that is not among the `count` names; NULL: all are. A field that
 * nobody here knows may say what to load: then an entry is understood whole or not at all. */
const char *kni_json_unknown_member(const kni_json *object, const char *const *names, size_t count);

/* What is wrong with the fields of `entry`, as the end of a sentence about it; NULL: nothing, and
 * `out` is filled. Unknown members are not looked at. */
const char *kni_depend_json_read(const kni_json *entry, kni_depend_json *out);

/* The unknown member of an entry; NULL: none. */
const char *kni_depend_json_unknown(const kni_json *entry);

#endif
