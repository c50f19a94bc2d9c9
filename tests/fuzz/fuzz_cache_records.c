/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a record of the cache, read as a resolution and as a receipt. */
#include "cache/record.h"
#include "fuzz_target.h"

static bool is_commit(const char *text) {
    size_t length = strspn(text, "0123456789abcdef");
    return text[length] == '\0' && (length == 40 || length == 64);
}

static void read_resolution(const char *bytes, size_t size) {
    kni_cache cache = {.alloc = kni_alloc_or_default(NULL)};
    kni_resolution out;
    bool found;
    kn_status status = kni_resolution_parse(&cache, "version:1", bytes, size, &out, &found, NULL);
    FUZZ_CHECK(status == KN_OK);
    if (found) {
        FUZZ_CHECK(out.time >= 0);
        FUZZ_CHECK(out.redirect_repo ? out.commit[0] == '\0' : is_commit(out.commit));
    } else {
        FUZZ_CHECK(!out.ref && !out.source && !out.redirect_repo && !out.redirect_revision);
    }
    kni_resolution_clear(&cache, &out);
}

static void read_receipt(const char *bytes, size_t size) {
    kni_json *receipt = kni_receipt_parse(bytes, size);
    const kni_content content = {.oid = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad", .size = 12};
    const kni_file_facts facts = {true, true, 12, 1700000000000000007, 4711};
    kni_file_facts other = facts;
    other.inode++;
    bool known = kni_receipt_knows(receipt, "build/x", &content, &facts);
    if (known) { /* then it says all of this, and nothing else */
        FUZZ_CHECK(!kni_receipt_knows(receipt, "build/x", &content, &other));
        other = facts;
        other.mtime_ns--;
        FUZZ_CHECK(!kni_receipt_knows(receipt, "build/x", &content, &other));
    }
    FUZZ_CHECK(!receipt || !kni_receipt_knows(NULL, "build/x", &content, &facts));
    kni_json_free(receipt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = fuzz_text(data, size);
    read_resolution(bytes, size);
    read_receipt(bytes, size);
    free(bytes);
    return 0;
}
