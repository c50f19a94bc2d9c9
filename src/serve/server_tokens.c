/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"
#include "serve/server.h"

#define FILE_MAX ((size_t)64 * 1024)

static bool digest_of(const char *text, size_t length, unsigned char out[32]) {
    return EVP_Digest(text, length, out, NULL, EVP_sha256(), NULL) == 1;
}

static kn_status add(const kn_alloc *alloc, kni_tokens *out, size_t *capacity, const char *line,
                     size_t length, kn_error *err) {
    if (!kni_reserve(alloc, &out->digests, capacity, out->count + 1, sizeof *out->digests) ||
        !digest_of(line, length, out->digests[out->count])) {
        return kni_no_memory(err, "reading tokens");
    }
    out->count++;
    return KN_OK;
}

kn_status kni_tokens_read(const kn_alloc *alloc, const char *path, kni_tokens *out, kn_error *err) {
    char *text;
    size_t length, capacity = 0;
    *out = (kni_tokens){0};
    kn_status status = kni_file_read(alloc, path, FILE_MAX, &text, &length, err);
    if (status) return status;
    for (const char *line = text; *line && !status; line += *line == '\n') {
        size_t whole = strcspn(line, "\n"), count = strcspn(line, "\r\n");
        while (count && (line[count - 1] == ' ' || line[count - 1] == '\t')) count--;
        if (count && line[0] != '#') status = add(alloc, out, &capacity, line, count, err);
        line += whole;
    }
    if (!status && !out->count)
        status =
            kni_fail(err, KN_ERR_VALUE, "%s: there is no token in it: write one on a line", path);
    OPENSSL_cleanse(text, length);
    kni_free(alloc, text);
    if (status) kni_tokens_clear(out, alloc);
    return status;
}

void kni_tokens_clear(kni_tokens *tokens, const kn_alloc *alloc) {
    kni_free(alloc, tokens->digests);
    *tokens = (kni_tokens){0};
}

bool kni_tokens_have(const kni_tokens *tokens, const char *token) {
    unsigned char digest[32];
    int found = 0;
    if (!digest_of(token, strlen(token), digest)) return false;
    for (size_t i = 0; i < tokens->count; i++)
        found |= CRYPTO_memcmp(digest, tokens->digests[i], sizeof digest) == 0;
    return found != 0;
}
