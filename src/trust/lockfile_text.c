/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_text.h"

#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

int kni_lock_entry_compare(const void *a, const void *b) {
    const kni_lock_entry *x = a, *y = b;
    int order = strcmp(x->repo_id, y->repo_id);
    if (order) return order;
    if (x->revision && y->revision) return strcmp(x->revision, y->revision);
    if (x->revision || y->revision) return x->revision ? 1 : -1;
    return (x->version > y->version) - (x->version < y->version);
}

static void add_entry(const kni_lock_entry *entry, kni_text *out) {
    kni_text_add(out, "  {\n    \"dependency\": {\n      \"repo-id\": ");
    kni_json_add_text(out, entry->repo_id);
    if (entry->revision) {
        kni_text_add(out, ",\n      \"revision\": ");
        kni_json_add_text(out, entry->revision);
    } else {
        kni_text_addf(out, ",\n      \"version\": %lld", (long long)entry->version);
    }
    kni_text_add(out, "\n    },\n    \"lock\": {\n      \"commit\": ");
    kni_json_add_text(out, entry->commit);
    kni_text_add(out, "\n    }\n  }");
}

void kni_lockfile_text(kni_lock_entry *entries, size_t count, kni_text *out) {
    if (count) qsort(entries, count, sizeof *entries, kni_lock_entry_compare);
    kni_text_add(out, "[");
    for (size_t i = 0; i < count; i++) {
        kni_text_add(out, i ? ",\n" : "\n");
        add_entry(&entries[i], out);
    }
    kni_text_add(out, count ? "\n]" : "]");
}
