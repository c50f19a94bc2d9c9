/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testhub.h"

void *must(void *memory) {
    if (!memory) {
        fprintf(stderr, "test_hub: out of memory\n");
        abort();
    }
    return memory;
}

char *text_copy(const char *text) { return must(strdup(text)); }

char *text_format(const char *format, ...) {
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) text = NULL;
    va_end(arguments);
    return must(text);
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

char *hex_decode(const char *hex, size_t *length) {
    size_t digits = strlen(hex);
    char *out = must(malloc(digits / 2 + 1));

    *length = 0;
    for (size_t at = 0; at + 1 < digits + digits % 2; at += 2) {
        int high = digit_value(hex[at]), low = digit_value(hex[at + 1]);
        if (high < 0 || low < 0) {
            free(out);
            return NULL;
        }
        out[(*length)++] = (char)(high * 16 + low);
    }
    out[*length] = '\0';
    return out;
}

void hex_encode(const unsigned char *bytes, size_t count, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t at = 0; at < count; at++) {
        out[2 * at] = digits[bytes[at] >> 4];
        out[2 * at + 1] = digits[bytes[at] & 15];
    }
    out[2 * count] = '\0';
}

static double clock_read(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double clock_now(void) { return clock_read(CLOCK_REALTIME); }

double clock_monotonic(void) { return clock_read(CLOCK_MONOTONIC); }

void clock_sleep(double seconds) {
    if (seconds <= 0) return;
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

const char *json_text(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

long long json_number(const json_t *object, const char *key, long long otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? (long long)json_number_value(value) : otherwise;
}

bool json_flag(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}
