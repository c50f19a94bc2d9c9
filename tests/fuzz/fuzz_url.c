/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the address of an answer, a line break, the Location in it. */
#include "fuzz_target.h"
#include "hub/endpoint.h"

/* Printable ASCII without blanks. */
static void check_characters(const char *url) {
    for (; *url; url++) FUZZ_CHECK(*url > 0x20 && *url < 0x7F && *url != '\\');
}

/* Where the authority of an address of ours begins. */
static const char *authority_of(const char *url) {
    bool secure = strncmp(url, "https://", 8) == 0;
    FUZZ_CHECK(secure || strncmp(url, "http://", 7) == 0);
    return url + (secure ? 8 : 7);
}

static void check_joined(const kn_alloc *alloc, const char *base, const char *location,
                         const char *url) {
    check_characters(url);
    const char *authority = authority_of(url);
    size_t host = strcspn(authority, "/");
    FUZZ_CHECK(host > 0 && authority[host] == '/');
    FUZZ_CHECK(!memchr(authority, '@', host) && !memchr(authority, '?', host));
    FUZZ_CHECK(!strchr(url, '#'));
    size_t path = strcspn(authority, "?");
    const char *dots = strstr(authority, "/../");
    FUZZ_CHECK(!dots || dots >= authority + path);
    FUZZ_CHECK(kni_url_same_origin(url, url));
    if (location[0] == '?' || (location[0] == '/' && location[1] != '/'))
        FUZZ_CHECK(kni_url_same_origin(base, url));

    /* It means the same wherever it is found. */
    char *again = kni_url_join(alloc, "http://other", url);
    FUZZ_CHECK(again && strcmp(again, url) == 0);
    kni_free(alloc, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 2048) return 0;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *base = fuzz_text(data, size), *location = fuzz_second_part(base);
    char *url = kni_url_join(alloc, base, location);
    if (url) check_joined(alloc, base, location, url);
    kni_free(alloc, url);

    FUZZ_CHECK(kni_url_same_origin(base, location) == kni_url_same_origin(location, base));

    char *file = kni_url_file(alloc, "http://h", KNI_REPO_KERNEL, "o/n", base, location);
    FUZZ_CHECK(file && strncmp(file, "http://h/kernels/o/n/resolve/", 29) == 0);
    check_characters(file);
    FUZZ_CHECK(!strpbrk(file, "?#&=+@\"'<>"));
    FUZZ_CHECK(kni_url_same_origin(file, "http://h") || strlen(file) > KNI_URL_MAX);
    kni_free(alloc, file);
    free(base);
    return 0;
}
