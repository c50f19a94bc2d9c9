/* SPDX-License-Identifier: Apache-2.0 */
/* A version of PEP 440 in its parts, which are borrowed from the text. Pure, allocates nothing. */
#ifndef KNI_VARIANT_VERSION_H
#define KNI_VARIANT_VERSION_H

#include <kernels/version.h>

#include "variant/variant_name.h"

typedef enum kni_pre_kind { KNI_PRE_A, KNI_PRE_B, KNI_PRE_RC, KNI_PRE_NONE } kni_pre_kind;

/* Numbers are decimal digits without leading zeros: 0 is the empty text. */
typedef struct kni_version {
    kni_part epoch;
    kni_part release; /* numbers as they were written, with dots between */
    kni_pre_kind pre_kind;
    kni_part pre;
    bool has_post, has_dev;
    kni_part post, dev;
    kni_part local; /* as it was written; `at` NULL: none */
} kni_version;

/* The length of the white space at `at`, which is what Python's str.isspace takes for it; 0: none.
 */
size_t kni_version_space(const char *at, const char *end);

static inline char kni_version_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* `text` without the white space around it, that beyond ASCII included. */
kni_part kni_version_trim(kni_part text);

/* false when `text` is no version, too long, or has white space around it. */
bool kni_version_parse(kni_part text, kni_version *out);

/* How many numbers the release has. */
size_t kni_version_release_count(const kni_version *version);

/* Each is negative, 0 or positive as `a` is older than `b`, equal or newer: in epoch and the first
 * `count` numbers of the release; in all but the local part; in everything. */
int kni_version_compare_release(const kni_version *a, const kni_version *b, size_t count);
int kni_version_compare_public(const kni_version *a, const kni_version *b);
int kni_version_compare(const kni_version *a, const kni_version *b);

/* Pre-releases and development releases. */
bool kni_version_is_prerelease(const kni_version *version);

/* Whether both have the same pre-release segment, or none. */
bool kni_version_same_pre(const kni_version *a, const kni_version *b);

/* Sets all of `*out` but its size. */
void kni_version_describe(const kni_version *version, kn_version_info *out);

/* How much of a text that is quoted in a message is shown: its length, or less, cut between
 * characters. */
int kni_version_shown(kni_part text);

#endif
