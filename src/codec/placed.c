/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/placed.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define WORD_MAX 32    /* bytes of a word that is compared */
#define DISTANCE_MAX 2 /* letters by which a word that was meant may differ */
#define SHOWN_MAX 101

kni_placed kni_placed_document(const kni_json *document, const char *file) {
    return (kni_placed){document, {file, 1, 1}};
}

static kni_placed read_placed(const kni_json *node, const char *file) {
    int64_t line = 0, column = 0;
    kni_json_integer(kni_json_item(node, 0), &line);
    kni_json_integer(kni_json_item(node, 1), &column);
    return (kni_placed){kni_json_item(node, 2), {file, (int)line, (int)column}};
}

const char *kni_placed_next(const kni_placed *table, const char *after, kni_placed *value) {
    const kni_json *node;
    const char *name = kni_json_next(table->value, after, &node);
    if (name) *value = read_placed(node, table->at.file);
    return name;
}

kni_placed kni_placed_item(const kni_placed *array, size_t index) {
    return read_placed(kni_json_item(array->value, index), array->at.file);
}

kn_status kni_placed_fail(const kni_place *at, kn_error *err, const char *format, ...) {
    char message[KN_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return kni_fail(err, KN_ERR_VALUE, "%s:%d:%d: %s", at->file, at->line, at->column, message);
}

bool kni_placed_is_key(const char *known, const char *key) {
    size_t length = strlen(key);
    while (*known) {
        size_t one = strcspn(known, " ");
        if (one == length && memcmp(known, key, one) == 0) return true;
        known += one + strspn(known + one, " ");
    }
    return false;
}

/* How many letters have to be put in, left out or changed to make one word of the other (the
 * distance of Levenshtein). */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t row[WORD_MAX + 1];
    for (size_t i = 0; i <= b_length; i++) row[i] = i;
    for (size_t k = 1; k <= a_length; k++) {
        size_t before = row[0];
        row[0] = k;
        for (size_t i = 1; i <= b_length; i++) {
            size_t changed = before + (a[k - 1] != b[i - 1]), least = row[i] + 1;
            if (row[i - 1] + 1 < least) least = row[i - 1] + 1;
            before = row[i];
            row[i] = changed < least ? changed : least;
        }
    }
    return row[b_length];
}

/* The word of `known` that is most like `word`; *length 0: none is. */
static const char *nearest(const char *word, const char *known, size_t *length) {
    size_t best = DISTANCE_MAX + 1, word_length = strlen(word);
    const char *found = known;
    *length = 0;
    while (*known && word_length <= WORD_MAX) {
        size_t one = strcspn(known, " ");
        size_t far = one <= WORD_MAX ? distance(word, word_length, known, one) : best;
        if (far < best) {
            best = far;
            found = known;
            *length = one;
        }
        known += one + strspn(known + one, " ");
    }
    return found;
}

kn_status kni_placed_fail_key(const kni_place *at, const char *key, const char *where,
                              const char *known, kn_error *err) {
    size_t length;
    char shown[SHOWN_MAX];
    const char *meant = nearest(key, known, &length);
    kni_text_shown(key, shown, sizeof shown);
    if (length)
        return kni_placed_fail(at, err, "unknown key '%s' in %s; did you mean '%.*s'?", shown,
                               where, (int)length, meant);
    return kni_placed_fail(at, err, "unknown key '%s' in %s; there are: %s", shown, where, known);
}

kn_status kni_placed_text(const kni_placed *value, const char *what, const char **out,
                          kn_error *err) {
    *out = kni_json_text(value->value);
    bool is_line = *out && **out && !(*out)[strcspn(*out, "\r\n")];
    return is_line ? KN_OK
                   : kni_placed_fail(&value->at, err, "%s: expected a text of one line", what);
}
