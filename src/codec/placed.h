/* SPDX-License-Identifier: Apache-2.0 */
/* A file that people write in TOML, as a tree whose values know where they stand, so that what is
 * wrong can be told with line and column. It is what kni_net.toml_to_places gives, parsed as JSON.
 */
#ifndef KNI_CODEC_PLACED_H
#define KNI_CODEC_PLACED_H

#include "codec/json.h"

/* Who says something: the file (borrowed) and where in it. `file` NULL: nobody. */
typedef struct kni_place {
    const char *file;
    int line, column;
} kni_place;

/* A value with its place. */
typedef struct kni_placed {
    const kni_json *value;
    kni_place at;
} kni_placed;

/* The document's own table. */
kni_placed kni_placed_document(const kni_json *document, const char *file);
/* The members of a table, as kni_json_next has them; NULL: no more, or it is no table. */
const char *kni_placed_next(const kni_placed *table, const char *after, kni_placed *value);
/* An item of an array (see kni_json_length of table->value). */
kni_placed kni_placed_item(const kni_placed *array, size_t index);

/* Whether `key` is one of `known` ("a b c"). */
bool kni_placed_is_key(const char *known, const char *key);

/* "FILE:LINE:COLUMN: " and the sentence, with KN_ERR_VALUE. */
kn_status kni_placed_fail(const kni_place *at, kn_error *err, const char *format, ...)
    KN_PRINTF(3, 4);
/* That `key` is none of `known` ("a b c"), with the one that was probably meant. */
kn_status kni_placed_fail_key(const kni_place *at, const char *key, const char *where,
                              const char *known, kn_error *err);
/* *out the text of a value; fails, naming `what`, where it is none, empty or of more than one line.
 */
kn_status kni_placed_text(const kni_placed *value, const char *what, const char **out,
                          kn_error *err);

#endif
