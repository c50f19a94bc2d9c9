/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows. After a failed append `failed` is set, further appends do nothing, and take
 * returns NULL: one check at the end is enough. */
#ifndef KNI_BASE_TEXT_H
#define KNI_BASE_TEXT_H

#include "base/alloc.h"

typedef struct kni_text {
    const kn_alloc *alloc;
    char *bytes; /* NUL-terminated once anything was appended */
    size_t length;
    size_t capacity;
    bool failed;
} kni_text;

void kni_text_init(kni_text *text, const kn_alloc *alloc);
void kni_text_clear(kni_text *text);
void kni_text_add(kni_text *text, const char *bytes);
void kni_text_add_n(kni_text *text, const char *bytes, size_t length);
void kni_text_addf(kni_text *text, const char *format, ...) KN_PRINTF(2, 3);

/* The text, now the caller's (freed with kni_free); NULL if an append had failed. The builder is
 * empty after. */
char *kni_text_take(kni_text *text);

/* The bytes of the UTF-8 sequence at `text` (RFC 3629, table in section 4), which is
 * NUL-terminated; 0 where it is malformed. */
size_t kni_utf8_sequence(const char *text);

/* `text` as a message of one line can quote it, in `out`, which is returned: at most `size` - 1
 * bytes, cut between characters; control characters become blanks, bytes that are not UTF-8 '?'. */
const char *kni_text_shown(const char *text, char *out, size_t size);

/* Whether `text` matches the shell pattern `pattern`: * any run of characters, ? one, [abc] [a-c]
 * [!a-c] one of a set; a set that is not closed stands for itself. Linear in practice, no
 * recursion. */
bool kni_glob_match(const char *pattern, const char *text);

/* A git object id: 40 or 64 lower-case hexadecimal digits. */
bool kni_is_commit(const char *text);

/* `length` bytes as lower-case hexadecimal digits, and a NUL. */
void kni_text_hex(const unsigned char *bytes, size_t length, char *out);

/* Whether both are the same but for the case of ASCII letters. */
bool kni_text_is_same_word(const char *a, const char *b);

/* Whether a name looks like that of a release, v1.2 or 1.2.3rc1: a tag, then, where only names are
 * known. "v1" is none. */
bool kni_text_is_version(const char *name);

/* FNV-1a with a final mix; for tables in memory only. */
uint64_t kni_hash_bytes(const void *bytes, size_t length);
uint64_t kni_hash_text(const char *text);
uint64_t kni_hash_mix(uint64_t a, uint64_t b);

#endif
