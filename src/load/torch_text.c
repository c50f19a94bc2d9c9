/* SPDX-License-Identifier: Apache-2.0 */
#include "load/torch_text.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"
#define NUMBER_DIGITS_MAX 6
#define ABI_FLAG "_GLIBCXX_USE_CXX11_ABI="

/* A line, from `at` up to `end`. */
typedef struct line {
    const char *at, *end;
} line;

static void skip_blanks(line *l) {
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\t' || *l->at == '\r')) l->at++;
}

static bool take_word(line *l, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(l->end - l->at) < length || memcmp(l->at, word, length) != 0) return false;
    l->at += length;
    return true;
}

/* Behind the '=' of an assignment to `name`: "name = ...", "name: Optional[str] = ...". */
static bool take_name(line *l, const char *name) {
    if (!take_word(l, name)) return false;
    skip_blanks(l);
    if (l->at < l->end && *l->at == ':') {
        while (l->at < l->end && *l->at != '=') l->at++;
    }
    return take_word(l, "=");
}

/* The string that is the rest of the line; "" where that is anything else. */
static void take_string(line *l, char out[KNI_TORCH_TEXT_MAX]) {
    out[0] = '\0';
    skip_blanks(l);
    if (l->at == l->end || (*l->at != '\'' && *l->at != '"')) return;
    char quote = *l->at++;
    const char *start = l->at;
    while (l->at < l->end && *l->at != quote && *l->at >= 0x20 && *l->at < 0x7F && *l->at != '\\')
        l->at++;
    size_t length = (size_t)(l->at - start);
    if (l->at == l->end || *l->at != quote || length >= KNI_TORCH_TEXT_MAX) return;
    l->at++;
    skip_blanks(l);
    if (l->at < l->end && *l->at != '#') return;
    memcpy(out, start, length);
    out[length] = '\0';
}

void kni_torch_text_read(const char *bytes, size_t length, kni_torch_text *out) {
    *out = (kni_torch_text){{0}, {0}, {0}, {0}};
    const struct {
        const char *name;
        char *value;
    } wanted[] = {
        {"__version__", out->version}, {"cuda", out->cuda}, {"hip", out->hip}, {"xpu", out->xpu}};
    const char *at = bytes, *end = bytes + length;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            line l = {at, stop};
            if (take_name(&l, wanted[i].name)) take_string(&l, wanted[i].value);
        }
        at = stop < end ? stop + 1 : end;
    }
}

bool kni_major_minor(const char *version, int *major, int *minor) {
    *major = *minor = -1;
    size_t first = strspn(version, DIGITS);
    if (!first || first > NUMBER_DIGITS_MAX || version[first] != '.') return false;
    const char *rest = version + first + 1;
    size_t second = strspn(rest, DIGITS);
    if (!second || second > NUMBER_DIGITS_MAX) return false;
    *major = *minor = 0;
    for (size_t i = 0; i < first; i++) *major = *major * 10 + (version[i] - '0');
    for (size_t i = 0; i < second; i++) *minor = *minor * 10 + (rest[i] - '0');
    return true;
}

void kni_torch_backend(const kni_torch_text *torch, char out[KNI_TORCH_TEXT_MAX]) {
    int major, minor;
    snprintf(out, KNI_TORCH_TEXT_MAX, "cpu");
    if (kni_major_minor(torch->cuda, &major, &minor)) {
        snprintf(out, KNI_TORCH_TEXT_MAX, "cu%d%d", major, minor);
    } else if (kni_major_minor(torch->hip, &major, &minor)) {
        snprintf(out, KNI_TORCH_TEXT_MAX, "rocm%d%d", major, minor);
    } else if (strspn(torch->xpu, DIGITS) >= 6) { /* a date: the year, and the release in it */
        snprintf(out, KNI_TORCH_TEXT_MAX, "xpu%.4s%c", torch->xpu, torch->xpu[5]);
    }
}

int kni_torch_cxx11_abi(const char *bytes, size_t length) {
    size_t flag = sizeof ABI_FLAG - 1;
    for (size_t i = 0; i + flag < length; i++) {
        if (memcmp(bytes + i, ABI_FLAG, flag) != 0) continue;
        char value = bytes[i + flag];
        if (value == '0' || value == '1') return value - '0';
    }
    return -1;
}
