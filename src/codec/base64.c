/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/base64.h"

#include <stdint.h>
#include <string.h>

/* The six bits that a character stands for; 64 for none. */
static uint32_t bits_of(char c) {
    if (c >= 'A' && c <= 'Z') return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z') return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9') return (uint32_t)(c - '0') + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : 64;
}

/* Four characters, of which `used` carry bits, into used - 1 bytes at `out`. */
static bool decode_group(const char *text, size_t used, unsigned char *out) {
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t bits = i < used ? bits_of(text[i]) : 0;
        if (bits == 64) return false;
        group = group << 6 | bits;
    }
    for (size_t i = 0; i + 1 < used; i++) out[i] = (unsigned char)(group >> (16 - 8 * i));
    return (group & (0xFFFFFFu >> (8 * (used - 1)))) == 0;
}

bool kni_base64_decode(const char *text, unsigned char *out, size_t capacity, size_t *length) {
    *length = 0;
    size_t characters = strlen(text), written = 0;
    if (characters % 4) return false;
    for (size_t at = 0; at < characters; at += 4) {
        size_t used = 4;
        if (at + 4 == characters && text[at + 3] == '=') used = text[at + 2] == '=' ? 2 : 3;
        if (used - 1 > capacity - written) return false;
        if (!decode_group(text + at, used, out + written)) return false;
        written += used - 1;
    }
    *length = written;
    return true;
}

void kni_base64_encode(const unsigned char *bytes, size_t length, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        uint32_t group = (uint32_t)bytes[at] << 16;
        if (left > 1) group |= (uint32_t)bytes[at + 1] << 8;
        if (left > 2) group |= bytes[at + 2];
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
    *out = '\0';
}
