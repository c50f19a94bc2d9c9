/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a page of a listing, or one that huggingface_hub recorded. */
#include "fuzz_target.h"
#include "hub/endpoint.h"

static void check_message(const kn_error *err) {
    FUZZ_CHECK(strncmp(err->message, "page: ", 6) == 0);
    for (const char *at = err->message; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
}

static void check_entry(const kni_entry *entry) {
    const char *path = entry->path;
    FUZZ_CHECK(*path && *path != '/' && strlen(path) <= 1024);
    for (const char *part = path; part;) {
        size_t length = strcspn(part, "/");
        FUZZ_CHECK(length > 0 && length <= 255);
        FUZZ_CHECK(!(length == 1 && *part == '.') && !(length == 2 && memcmp(part, "..", 2) == 0));
        part = part[length] ? part + length + 1 : NULL;
    }
    for (const char *at = path; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F && *at != '\\');
    FUZZ_CHECK(entry->size >= 0 && entry->size <= KNI_FILE_SIZE_MAX);
    FUZZ_CHECK(strlen(entry->oid) == (entry->is_lfs ? 64u : 40u) && kni_is_commit(entry->oid));
}

static void check_variants(const kni_listing *listing) {
    char **names;
    size_t count;
    FUZZ_CHECK(kni_listing_variants(listing, &names, &count, NULL) == KN_OK);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(*names[i] && !strchr(names[i], '/'));
        if (i) FUZZ_CHECK(strcmp(names[i - 1], names[i]) < 0);
    }
    while (count) kni_free(listing->alloc, names[--count]);
    kni_free(listing->alloc, names);
}

static void check_written(const kni_listing *listing) {
    char *bytes;
    size_t length;
    kni_listing again = {.alloc = listing->alloc};
    FUZZ_CHECK(kni_listing_to_json(listing, listing->alloc, &bytes, &length) == KN_OK);
    FUZZ_CHECK(kni_listing_add_page(&again, bytes, length, "page", NULL) == KN_OK);
    kni_free(listing->alloc, bytes);
    FUZZ_CHECK(again.count == listing->count);
    for (size_t i = 0; i < again.count; i++) {
        const kni_entry *one = &listing->items[i], *other = &again.items[i];
        FUZZ_CHECK(strcmp(one->path, other->path) == 0 && strcmp(one->oid, other->oid) == 0);
        FUZZ_CHECK(one->size == other->size && one->is_lfs == other->is_lfs);
    }
    kni_listing_clear(&again);
}

typedef kn_status (*add_listing)(kni_listing *listing, const char *bytes, size_t length,
                                 const char *what, kn_error *err);

static void read_with(add_listing add, const uint8_t *data, size_t size) {
    kni_listing listing = {.alloc = kni_alloc_or_default(NULL)};
    kn_error err = KN_ERROR_INIT;
    char *bytes = fuzz_text(data, size);
    kn_status status = add(&listing, bytes, size, "page", &err);
    free(bytes); /* all that is kept has been copied */
    if (status) {
        FUZZ_CHECK(status == KN_ERR_NETWORK || status == KN_ERR_INTEGRITY);
        FUZZ_CHECK(listing.count == 0);
        check_message(&err);
    } else if ((status = kni_listing_finish(&listing, "page", &err)) != KN_OK) {
        FUZZ_CHECK(status == KN_ERR_INTEGRITY && listing.count > 1);
        check_message(&err);
    } else {
        for (size_t i = 0; i < listing.count; i++) {
            check_entry(&listing.items[i]);
            FUZZ_CHECK(kni_listing_find(&listing, listing.items[i].path) == &listing.items[i]);
        }
        check_variants(&listing);
        check_written(&listing);
    }
    kni_listing_clear(&listing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_with(kni_listing_add_page, data, size);
    read_with(kni_listing_add_recorded, data, size);
    return 0;
}
