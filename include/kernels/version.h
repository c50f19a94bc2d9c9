/* SPDX-License-Identifier: Apache-2.0 */
/* Versions and version specifiers as PEP 440 has them; what is a version, which is newer and what a
 * specifier selects is decided as the Python package `packaging` 26.3 does. Pure, thread safe,
 * allocates nothing. Numbers may have any length that a version has room for. */
#ifndef KERNELS_VERSION_H
#define KERNELS_VERSION_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KN_VERSION_LENGTH_MAX 256 /* bytes of a version, white space around it not counted */
#define KN_VERSION_TEXT_MAX 272   /* room for its normalized text, which can be a little longer */
#define KN_SPECIFIER_CLAUSES_MAX 64

/* A piece of kn_version_info.text. `length` 0: the version does not have it. */
typedef struct kn_version_span {
    uint16_t start;
    uint16_t length;
} kn_version_span;

/* A version's normalized text, such as "1!2.0rc1.post2.dev3+ubuntu.4", and where its parts are.
 * Numbers have no leading zeros. */
typedef struct kn_version_info {
    size_t size; /* sizeof(kn_version_info) of the caller */
    char text[KN_VERSION_TEXT_MAX];
    kn_version_span epoch;    /* "1"; an epoch of 0 is not written */
    kn_version_span release;  /* "2.0": there always */
    kn_version_span pre_kind; /* "a", "b" or "rc" */
    kn_version_span pre;      /* "1" */
    kn_version_span post;     /* "2" */
    kn_version_span dev;      /* "3" */
    kn_version_span local;    /* "ubuntu.4" */
} kn_version_info;

/* Reads a version in any spelling that PEP 440 allows. KN_ERR_VALUE for other text; then the text
 * in `*out` is empty. */
KN_API kn_status kn_version_parse(const char *text, kn_version_info *out, kn_error *err);

/* Sets `*out` to -1, 0 or 1: whether version `a` is older than `b`, equal to it ("1.0" is to "1"),
 * or newer. KN_ERR_VALUE where one of them is no version. */
KN_API kn_status kn_version_compare(const char *a, const char *b, int *out, kn_error *err);

/* Whether `text` is a set of version specifiers: clauses with commas between, such as
 * ">=0.1,<0.2"; an empty set is one. KN_ERR_VALUE with the clause that is none. */
KN_API kn_status kn_specifier_check(const char *text, kn_error *err);

/* Sets `*best` to the index of the newest of `tags` that satisfies `specifier`, SIZE_MAX when none
 * does. Tags are versions with or without a leading 'v'; others are left out. As PEP 440 asks for,
 * development and pre-releases are selected only where a clause names one, or where nothing else
 * satisfies the specifier. `===` compares with the tag's normalized text. Of tags for one version
 * that with the 'v' is selected, then the first by bytes. KN_ERR_VALUE as kn_specifier_check. */
KN_API kn_status kn_specifier_select(const char *specifier, const char *const *tags, size_t count,
                                     size_t *best, kn_error *err);

#ifdef __cplusplus
}
#endif

#endif
