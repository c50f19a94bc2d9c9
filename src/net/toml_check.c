/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused before the parser sees it. The parser limits how deep values nest, but not how
 * many parts a dotted key has, and each makes a table within a table. */
#include <string.h>

#include "base/error.h"
#include "net/net_parts.h"

typedef struct scanner {
    const char *at, *end;
    size_t depth; /* of brackets */
    size_t dots;  /* in what may be a key */
} scanner;

static bool starts(const scanner *scan, const char *text) {
    size_t length = strlen(text);
    return (size_t)(scan->end - scan->at) >= length && memcmp(scan->at, text, length) == 0;
}

/* Behind the string that begins here. One that is not closed in its line ends there: the parser
 * will stop at the same place. */
static void skip_string(scanner *scan) {
    char quote = *scan->at;
    const char *delimiter = quote == '"' ? "\"\"\"" : "'''";
    bool lines = starts(scan, delimiter);
    scan->at += lines ? 3 : 1;
    while (scan->at < scan->end) {
        if (quote == '"' && *scan->at == '\\' && scan->end - scan->at > 1) {
            scan->at += 2;
        } else if (lines ? starts(scan, delimiter) : *scan->at == quote) {
            scan->at += lines ? 3 : 1;
            /* Up to two quotes before the three that close belong to the text. */
            for (int i = 0; lines && i < 2 && scan->at < scan->end && *scan->at == quote; i++)
                scan->at++;
            return;
        } else if (!lines && *scan->at == '\n') {
            return;
        } else {
            scan->at++;
        }
    }
}

static void skip_comment(scanner *scan) {
    while (scan->at < scan->end && *scan->at != '\n') scan->at++;
}

/* Takes one character that is in no string or comment. */
static void take(scanner *scan) {
    switch (*scan->at++) {
    case '.':
        scan->dots++;
        break;
    case '[':
    case '{':
        scan->depth++;
        scan->dots = 0;
        break;
    case ']':
    case '}':
        if (scan->depth) scan->depth--;
        scan->dots = 0;
        break;
    case '\n':
    case ',':
    case '=':
        scan->dots = 0;
        break;
    default:
        break;
    }
}

kn_status kni_toml_check(const char *bytes, size_t length, const char *origin, kn_error *err) {
    if (length > KNI_TOML_LIMIT) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: %zu bytes are too many, at most %zu are read as TOML", origin, length,
                        KNI_TOML_LIMIT);
    }
    scanner scan = {.at = bytes, .end = bytes + length};
    while (scan.at < scan.end) {
        if (*scan.at == '"' || *scan.at == '\'') {
            skip_string(&scan);
        } else if (*scan.at == '#') {
            skip_comment(&scan);
        } else {
            take(&scan);
        }
        if (scan.depth > KNI_TOML_DEPTH_MAX || scan.dots >= KNI_TOML_DEPTH_MAX) {
            return kni_fail(err, KN_ERR_VALUE,
                            "%s: not acceptable TOML: nested deeper than %d levels", origin,
                            KNI_TOML_DEPTH_MAX);
        }
    }
    return KN_OK;
}
