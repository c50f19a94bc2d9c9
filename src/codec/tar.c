/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE Std 1003.1, pax, "ustar Interchange Format". */
#include "codec/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* Where the fields begin, and how long they are. */
enum {
    MODE = 100,
    UID = 108,
    GID = 116,
    ID_SIZE = 8,
    SIZE = 124,
    TIME = 136,
    NUMBER_SIZE = 12,
    SUM = 148,
    SUM_SIZE = 8,
    TYPE = 156,
    LINK = 157,
    MAGIC = 257,
    MAGIC_SIZE = 8,
    PREFIX = 345,
};

static const char magic[MAGIC_SIZE] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};

/* The sum of all bytes, those of the sum itself as blanks. */
static unsigned checksum(const unsigned char *block) {
    unsigned sum = 0;
    for (size_t i = 0; i < KNI_TAR_BLOCK; i++)
        sum += i >= SUM && i < SUM + SUM_SIZE ? (unsigned char)' ' : block[i];
    return sum;
}

/* `digits` octal digits and a NUL. */
static void write_octal(unsigned char *at, int digits, uint64_t value) {
    at[digits] = '\0';
    while (digits) {
        at[--digits] = (unsigned char)('0' + (value & 7));
        value >>= 3;
    }
}

/* Octal digits up to a blank, a NUL or the field's end; false for anything else. */
static bool read_octal(const unsigned char *at, size_t size, int64_t *out) {
    *out = 0;
    size_t i = 0;
    for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) *out = *out * 8 + (at[i] - '0');
    return i > 0 && i <= 11 && (i == size || at[i] == ' ' || at[i] == '\0');
}

kn_status kni_tar_write(const char *name, int64_t size, unsigned char out[KNI_TAR_BLOCK],
                        kn_error *err) {
    size_t length = strlen(name);
    if (!length || length > KNI_TAR_NAME_MAX || size < 0 || size > KNI_TAR_SIZE_MAX) {
        return kni_fail(err, KN_ERR_UNSUPPORTED,
                        "'%.120s' of %" PRId64 " bytes does not go into an archive: expected a "
                        "name of 1 to %d bytes, and at most 8 GiB",
                        name, size, KNI_TAR_NAME_MAX);
    }
    memset(out, 0, KNI_TAR_BLOCK);
    memcpy(out, name, length);
    write_octal(out + MODE, ID_SIZE - 1, 0644);
    write_octal(out + UID, ID_SIZE - 1, 0);
    write_octal(out + GID, ID_SIZE - 1, 0);
    write_octal(out + SIZE, NUMBER_SIZE - 1, (uint64_t)size);
    write_octal(out + TIME, NUMBER_SIZE - 1, 0);
    out[TYPE] = '0';
    memcpy(out + MAGIC, magic, sizeof magic);
    write_octal(out + SUM, SUM_SIZE - 2, checksum(out));
    out[SUM + SUM_SIZE - 1] = ' ';
    return KN_OK;
}

static bool is_zero(const unsigned char *block) {
    for (size_t i = 0; i < KNI_TAR_BLOCK; i++) {
        if (block[i]) return false;
    }
    return true;
}

kn_status kni_tar_read(const unsigned char block[KNI_TAR_BLOCK], kni_tar_entry *out, bool *end,
                       kn_error *err) {
    int64_t sum;
    char shown[KNI_TAR_NAME_MAX + 1];
    *out = (kni_tar_entry){.size = 0};
    *end = is_zero(block);
    if (*end) return KN_OK;
    if (memcmp(block + MAGIC, magic, sizeof magic) != 0)
        return kni_fail(err, KN_ERR_VALUE, "it is no tar archive of the form ustar");
    if (!read_octal(block + SUM, SUM_SIZE, &sum) || (uint64_t)sum != checksum(block))
        return kni_fail(err, KN_ERR_INTEGRITY, "a header's checksum is wrong");
    memcpy(out->name, block, KNI_TAR_NAME_MAX);
    kni_text_shown(out->name, shown, sizeof shown);
    if (block[TYPE] != '0' || block[LINK] || block[PREFIX] || !out->name[0])
        return kni_fail(err, KN_ERR_VALUE, "'%s' in it is no plain file with a short name", shown);
    if (!read_octal(block + SIZE, NUMBER_SIZE, &out->size))
        return kni_fail(err, KN_ERR_VALUE, "'%s' in it has a malformed size", shown);
    return KN_OK;
}
