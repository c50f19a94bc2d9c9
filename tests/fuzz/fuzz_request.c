/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the address that a client asks the served Hub for, a line break, a Range. */
#include "fuzz_target.h"
#include "serve/serve_parts.h"

static void check_path(const char *path) {
    FUZZ_CHECK(kni_path_stays_inside(path));
    FUZZ_CHECK(path[0] != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0);
    FUZZ_CHECK(!strstr(path, "/../") && !strchr(path, '\\') && !strchr(path, '\n'));
    size_t length = strlen(path);
    FUZZ_CHECK(length < 3 || strcmp(path + length - 3, "/..") != 0);
}

static void check_parts(kni_scratch *scratch, const char *path) {
    kni_parts parts;
    size_t used;
    kni_parts_of(scratch, path, &parts);
    for (size_t i = 0; i < parts.count; i++) FUZZ_CHECK(!strchr(parts.items[i], '/'));
    for (size_t from = 0; from <= parts.count; from++) {
        kni_parts rest = kni_parts_after(&parts, from);
        const char *inside = kni_path_of_parts(scratch, &rest);
        if (inside && inside[0]) check_path(inside);
        const char *revision = kni_revision_of(scratch, &rest, &used);
        FUZZ_CHECK(used <= rest.count);
        if (revision) check_path(revision);
        if (from < parts.count && kni_is_served_name(parts.items[from]))
            FUZZ_CHECK(!strpbrk(parts.items[from], "/\\%") && parts.items[from][0] != '.');
    }
}

static void check_range(const char *text, int64_t size) {
    kni_byte_range range = kni_range_parse(text, size);
    if (!range.asked || range.wrong) {
        FUZZ_CHECK(range.count == 0);
        return;
    }
    FUZZ_CHECK(range.first >= 0 && range.count > 0);
    FUZZ_CHECK(range.first < size && range.count <= size - range.first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096) return 0;
    kni_scratch scratch;
    kni_scratch_init(&scratch, kni_alloc_or_default(NULL));
    char *target = fuzz_text(data, size), *range = fuzz_second_part(target);
    check_range(range, 0);
    check_range(range, 1);
    check_range(range, 102400);
    check_range(range, INT64_MAX);

    const char *query = strchr(target, '?');
    kni_query_get(&scratch, query ? query + 1 : "", "cursor");
    target[strcspn(target, "?")] = '\0';
    check_parts(&scratch, target);
    const char *escaped = kni_escape(&scratch, target, false);
    FUZZ_CHECK(strcmp(kni_unescape(&scratch, escaped, strlen(escaped)), target) == 0);
    kni_scratch_clear(&scratch);
    free(target);
    return 0;
}
