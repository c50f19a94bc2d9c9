/* SPDX-License-Identifier: Apache-2.0 */
#include "support/plain_digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kni_digest {
    const kn_alloc *alloc;
    kni_digest_kind kind;
    uint32_t state[8];
    uint64_t length;
    unsigned char block[64];
};

static const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_left(uint32_t x, unsigned bits) { return x << bits | x >> (32 - bits); }

static uint32_t load(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void sha1_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++) w[i] = load(block + 4 * i);
    for (int i = 16; i < 80; i++)
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = rotate_left(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void sha256_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) w[i] = load(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        uint32_t s0 = rotate_left(x, 25) ^ rotate_left(x, 14) ^ x >> 3;
        uint32_t s1 = rotate_left(y, 15) ^ rotate_left(y, 13) ^ y >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_left(v[4], 26) ^ rotate_left(v[4], 21) ^ rotate_left(v[4], 7);
        uint32_t chosen = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + chosen + sha256_constants[i] + w[i];
        uint32_t s0 = rotate_left(v[0], 30) ^ rotate_left(v[0], 19) ^ rotate_left(v[0], 10);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void run_block(kni_digest *digest, const unsigned char *block) {
    if (digest->kind == KNI_SHA1)
        sha1_block(digest->state, block);
    else
        sha256_block(digest->state, block);
}

static void start(kni_digest *digest, kni_digest_kind kind) {
    static const uint32_t sha1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t sha256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    digest->kind = kind;
    digest->length = 0;
    memcpy(digest->state, kind == KNI_SHA1 ? sha1 : sha256, sizeof sha1);
}

static kni_digest *digest_new(const kn_alloc *alloc, kni_digest_kind kind) {
    if (kind != KNI_SHA1 && kind != KNI_SHA256) return NULL;
    alloc = kni_alloc_or_default(alloc);
    kni_digest *digest = kni_new(alloc, sizeof *digest);
    if (!digest) return NULL;
    digest->alloc = alloc;
    start(digest, kind);
    return digest;
}

static bool digest_add(kni_digest *digest, const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    while (length) {
        size_t used = digest->length % 64, taken = 64 - used < length ? 64 - used : length;
        if (taken == 64) {
            run_block(digest, at);
        } else {
            memcpy(digest->block + used, at, taken);
            if (used + taken == 64) run_block(digest, digest->block);
        }
        digest->length += taken;
        at += taken;
        length -= taken;
    }
    return true;
}

static size_t digest_finish(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]) {
    uint64_t bits = digest->length * 8;
    unsigned char end[8];
    for (int i = 0; i < 8; i++) end[i] = (unsigned char)(bits >> (56 - 8 * i));
    digest_add(digest, "\x80", 1);
    while (digest->length % 64 != 56) digest_add(digest, "", 1);
    digest_add(digest, end, 8);
    size_t words = digest->kind == KNI_SHA1 ? 5 : 8;
    for (size_t i = 0; i < 4 * words; i++) {
        out[i] = (unsigned char)(digest->state[i / 4] >> (24 - 8 * (i % 4)));
    }
    return 4 * words;
}

static void digest_free(kni_digest *digest) { kni_free(digest->alloc, digest); }

const kni_net *plain_digests(void) {
    static const kni_net net = {
        .size = sizeof net,
        .digest_new = digest_new,
        .digest_add = digest_add,
        .digest_finish = digest_finish,
        .digest_free = digest_free,
    };
    return &net;
}

static void finish_hex(kni_digest *digest, char out[65]) {
    unsigned char bytes[KNI_DIGEST_MAX];
    size_t length = digest_finish(digest, bytes);
    for (size_t i = 0; i < length; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void plain_digest_hex(kni_digest_kind kind, const void *bytes, size_t length, char out[65]) {
    kni_digest digest = {0};
    start(&digest, kind);
    digest_add(&digest, bytes, length);
    finish_hex(&digest, out);
}

void plain_sha256(const void *bytes, size_t length, char out[65]) {
    plain_digest_hex(KNI_SHA256, bytes, length, out);
}

void plain_git_oid(const void *bytes, size_t length, char out[65]) {
    char header[40];
    int header_length = snprintf(header, sizeof header, "blob %zu", length);
    kni_digest digest = {0};
    start(&digest, KNI_SHA1);
    digest_add(&digest, header, (size_t)header_length + 1);
    digest_add(&digest, bytes, length);
    finish_hex(&digest, out);
}
