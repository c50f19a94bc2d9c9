/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the standard alphabet and padding (RFC 4648, section 4). Pure. */
#ifndef KNI_CODEC_BASE64_H
#define KNI_CODEC_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Writes what `text` encodes to `out` and how many bytes that are to *length. False for anything
 * that an encoder does not write (other characters, a wrong length or padding, bits left over), and
 * when it is more than `capacity` bytes; then *length is 0 and `out` holds nothing of use. */
bool kni_base64_decode(const char *text, unsigned char *out, size_t capacity, size_t *length);

#define KNI_BASE64_SIZE(length) (((length) + 2) / 3 * 4 + 1)

/* Writes `length` bytes as text to `out`, which has room for KNI_BASE64_SIZE(length). */
void kni_base64_encode(const unsigned char *bytes, size_t length, char *out);

#endif
