/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through jansson: strict, no duplicate keys, UTF-8, an object or array at the top, at most
 * KNI_JSON_LIMIT bytes, 64 levels and a million values. Memory is jansson's own (malloc). Reading a
 * document is thread safe. */
#ifndef KNI_CODEC_JSON_H
#define KNI_CODEC_JSON_H

#include "base/alloc.h"
#include "base/text.h"

#define KNI_JSON_LIMIT ((size_t)16 << 20)

typedef struct kni_json kni_json; /* a value; borrowed from the document that it is in */

/* `origin` names the input in messages. KN_ERR_VALUE with line and column for what is not JSON. The
 * caller frees with kni_json_free. */
kn_status kni_json_parse(const char *bytes, size_t length, const char *origin, kni_json **out,
                         kn_error *err);
void kni_json_free(kni_json *document);

const kni_json *kni_json_member(const kni_json *object, const char *name); /* NULL: none, or not an
                                                                              object */
size_t kni_json_length(const kni_json *array);                             /* 0 when not an array */
const kni_json *kni_json_item(const kni_json *array, size_t index);
const char *kni_json_text(const kni_json *value); /* NULL when not a string, or with a NUL in it */
bool kni_json_integer(const kni_json *value, int64_t *out); /* false when not an integer */
bool kni_json_boolean(const kni_json *value, bool *out);    /* false when not a boolean */
bool kni_json_is_object(const kni_json *value);
bool kni_json_is_array(const kni_json *value);
bool kni_json_is_null(const kni_json *value);

/* The members of an object, in the document's order: the name behind `after` (a name that this
 * function returned; NULL: the first one) with its *value; NULL: no more, or not an object. */
const char *kni_json_next(const kni_json *object, const char *after, const kni_json **value);

/* Appends `text` to `out` as a JSON string with its quotes, or null for NULL. Bytes that are not
 * UTF-8 (a path may have such) become U+FFFD, so that what comes out is always JSON. */
void kni_json_add_text(kni_text *out, const char *text);
/* Appends `value` as compact JSON, null for NULL. */
void kni_json_add(kni_text *out, const kni_json *value);

#endif
