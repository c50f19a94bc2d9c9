/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is a short chain of tables. Extending makes a new table with the layers that the
 * entries name, each merged with what the base says about it, and puts it in front of the base:
 * nothing else is copied. A chain that has grown to CHAIN_MAX tables is folded into one. A layer is
 * immutable and shared between snapshots. */
#include <kernels/mapping.h>

#include <string.h>

#include "base/error.h"
#include "base/table.h"
#include "base/text.h"
#include "os/lock.h"

#define CHAIN_MAX 8

typedef struct rule {
    kn_device_type device;
    kn_capability_range range;
    kn_mode_repo *modes;
    size_t mode_count;
    size_t mode_capacity;
} rule;

typedef struct layer {
    kni_count references;
    char *name;
    rule *rules; /* in the order of registration: of equally narrow ranges the last one wins */
    size_t count;
    size_t capacity;
} layer;

struct kn_mapping {
    kni_count references;
    const kn_alloc *alloc;
    kn_mapping *base; /* what is not found here is looked up there; may be NULL */
    size_t depth;     /* tables in the chain, this one included */
    kni_index index;
    layer **layers;
    size_t count;
    size_t capacity;
};

static void rule_clear(const kn_alloc *alloc, rule *r) {
    for (size_t i = 0; i < r->mode_count; i++) kn_repo_release(r->modes[i].repo);
    kni_free(alloc, r->modes);
    *r = (rule){0};
}

static void layer_release(const kn_alloc *alloc, layer *l) {
    if (!l || !kni_count_drop(&l->references)) return;
    for (size_t i = 0; i < l->count; i++) rule_clear(alloc, &l->rules[i]);
    kni_free(alloc, l->rules);
    kni_free(alloc, l->name);
    kni_free(alloc, l);
}

static bool rule_set_modes(const kn_alloc *alloc, rule *r, const kn_mode_repo *modes,
                           size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < r->mode_count && r->modes[at].mode != modes[i].mode) at++;
        if (at == r->mode_count) {
            if (!kni_reserve(alloc, &r->modes, &r->mode_capacity, at + 1, sizeof *r->modes))
                return false;
            r->mode_count++;
        } else {
            kn_repo_release(r->modes[at].repo);
        }
        r->modes[at] = (kn_mode_repo){modes[i].mode, kn_repo_retain(modes[i].repo)};
    }
    return true;
}

/* Replaces the rule of the same device and range, which then counts as registered last. */
static bool layer_put(const kn_alloc *alloc, layer *l, kn_device_type device,
                      kn_capability_range range, const kn_mode_repo *modes, size_t mode_count) {
    rule added = {.device = device, .range = range};
    if (!rule_set_modes(alloc, &added, modes, mode_count) ||
        !kni_reserve(alloc, &l->rules, &l->capacity, l->count + 1, sizeof *l->rules)) {
        rule_clear(alloc, &added);
        return false;
    }
    for (size_t i = 0; i < l->count; i++) {
        rule *r = &l->rules[i];
        if (r->device != device || r->range.min != range.min || r->range.max != range.max) continue;
        rule_clear(alloc, r);
        memmove(r, r + 1, (l->count - i - 1) * sizeof *r);
        l->count--;
        break;
    }
    l->rules[l->count++] = added;
    return true;
}

/* A layer of its own, with the rules of `from` (may be NULL). */
static layer *layer_new(const kn_alloc *alloc, const char *name, const layer *from) {
    layer *made = kni_new(alloc, sizeof *made);
    if (!made) return NULL;
    made->references.value = 1;
    made->name = kni_text_copy(alloc, name);
    bool ok = made->name != NULL;
    for (size_t i = 0; ok && from && i < from->count; i++) {
        const rule *r = &from->rules[i];
        ok = layer_put(alloc, made, r->device, r->range, r->modes, r->mode_count);
    }
    if (ok) return made;
    layer_release(alloc, made);
    return NULL;
}

static bool layer_has_name(const void *ctx, uint32_t item, const void *key) {
    const kn_mapping *table = ctx;
    return strcmp(table->layers[item]->name, key) == 0;
}

static layer *table_find(const kn_mapping *table, const char *name, uint64_t hash) {
    uint32_t item = kni_index_find(&table->index, hash, name, layer_has_name, table);
    return item == KNI_NONE ? NULL : table->layers[item];
}

static layer *chain_find(const kn_mapping *mapping, const char *name, uint64_t hash) {
    for (; mapping; mapping = mapping->base) {
        layer *found = table_find(mapping, name, hash);
        if (found) return found;
    }
    return NULL;
}

/* Takes over the caller's reference to `l`, also on failure. */
static bool table_add(kn_mapping *table, layer *l, uint64_t hash) {
    if (!kni_reserve(table->alloc, &table->layers, &table->capacity, table->count + 1,
                     sizeof *table->layers) ||
        !kni_index_add(&table->index, hash, (uint32_t)table->count)) {
        layer_release(table->alloc, l);
        return false;
    }
    table->layers[table->count++] = l;
    return true;
}

/* Adds to `table` what the chain `from` has and `table` has not. */
static bool table_fold(kn_mapping *table, const kn_mapping *from) {
    for (; from; from = from->base) {
        for (size_t i = 0; i < from->count; i++) {
            layer *l = from->layers[i];
            uint64_t hash = kni_hash_text(l->name);
            if (table_find(table, l->name, hash)) continue;
            kni_count_add(&l->references);
            if (!table_add(table, l, hash)) return false;
        }
    }
    return true;
}

static kn_mapping *table_new(const kn_alloc *alloc, kn_mapping *base) {
    kn_mapping *table = kni_new(alloc, sizeof *table);
    if (!table) return NULL;
    *table = (kn_mapping){.references = {1}, .alloc = alloc, .depth = base ? base->depth + 1 : 1};
    kni_index_init(&table->index, alloc);
    if (table->depth > CHAIN_MAX) {
        table->depth = 1;
        if (!table_fold(table, base)) {
            kn_mapping_release(table);
            return NULL;
        }
    } else {
        table->base = base ? kn_mapping_retain(base) : NULL;
    }
    return table;
}

static kn_status check_entry(const kn_mapping_entry *entry, kn_error *err) {
    if (entry->device <= KN_DEVICE_OTHER || entry->device >= KN_DEVICE_TYPES) {
        return kni_fail(err, KN_ERR_VALUE,
                        "layer '%s': no kernel can be registered for device type %d", entry->layer,
                        (int)entry->device);
    }
    bool covers_all = entry->range.min == 0 && entry->range.max == KN_CAPABILITY_MAX;
    if (!covers_all && !kn_device_type_has_capability(entry->device)) {
        return kni_fail(err, KN_ERR_VALUE, "layer '%s': '%s' devices have no capabilities",
                        entry->layer, kn_device_type_name(entry->device));
    }
    kn_status status = kn_capability_range_check(entry->range, err);
    for (size_t i = 0; !status && i < entry->mode_count; i++)
        status = kn_mode_check(entry->modes[i].mode, err);
    return status;
}

static bool table_put(kn_mapping *table, const kn_mapping_entry *entry) {
    uint64_t hash = kni_hash_text(entry->layer);
    layer *own = table_find(table, entry->layer, hash);
    /* A layer that a fold brought in is shared with the base and must not be changed. */
    if (!own || kni_count_get(&own->references) > 1) {
        layer *made = layer_new(table->alloc, entry->layer,
                                own ? own : chain_find(table->base, entry->layer, hash));
        if (!made) return false;
        if (!own) {
            if (!table_add(table, made, hash)) return false;
        } else {
            uint32_t item =
                kni_index_find(&table->index, hash, entry->layer, layer_has_name, table);
            table->layers[item] = made;
            layer_release(table->alloc, own);
        }
        own = made;
    }
    return layer_put(table->alloc, own, entry->device, entry->range, entry->modes,
                     entry->mode_count);
}

kn_status kn_mapping_extend(const kn_alloc *alloc, kn_mapping *base,
                            const kn_mapping_entry *entries, size_t count, kn_mapping **out,
                            kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc ? alloc : base ? base->alloc : NULL);
    for (size_t i = 0; i < count; i++) {
        kn_status status = check_entry(&entries[i], err);
        if (status) return status;
    }
    if (base && count == 0) {
        *out = kn_mapping_retain(base);
        return KN_OK;
    }
    kn_mapping *table = table_new(alloc, base);
    bool ok = table != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = table_put(table, &entries[i]);
    if (!ok) {
        kn_mapping_release(table);
        return kni_no_memory(err, "extending a kernel mapping");
    }
    *out = table;
    return KN_OK;
}

kn_mapping *kn_mapping_retain(kn_mapping *mapping) {
    kni_count_add(&mapping->references);
    return mapping;
}

void kn_mapping_release(kn_mapping *mapping) {
    while (mapping && kni_count_drop(&mapping->references)) {
        kn_mapping *base = mapping->base;
        for (size_t i = 0; i < mapping->count; i++)
            layer_release(mapping->alloc, mapping->layers[i]);
        kni_index_clear(&mapping->index);
        kni_free(mapping->alloc, mapping->layers);
        kni_free(mapping->alloc, mapping);
        mapping = base;
    }
}

static bool is_narrower(kn_capability_range a, kn_capability_range b) {
    return (uint64_t)a.max - (uint64_t)a.min <= (uint64_t)b.max - (uint64_t)b.min;
}

kn_mapping_answer kn_mapping_modes(const kn_mapping *mapping, const char *layer_name,
                                   kn_device_type device, int64_t capability,
                                   const kn_mode_repo **out, size_t *count) {
    *out = NULL;
    *count = 0;
    const layer *l = chain_find(mapping, layer_name, kni_hash_text(layer_name));
    if (!l) return KN_MAPPING_NO_LAYER;
    bool by_capability = kn_device_type_has_capability(device), has_device = false;
    const rule *best = NULL;
    for (size_t i = 0; i < l->count; i++) {
        const rule *r = &l->rules[i];
        if (r->device != device) continue;
        has_device = true;
        if (by_capability && (capability < r->range.min || capability > r->range.max)) continue;
        if (!best || is_narrower(r->range, best->range)) best = r;
    }
    if (!has_device) return KN_MAPPING_NO_DEVICE;
    if (!best || (by_capability && capability < 0)) return KN_MAPPING_NO_PROPERTIES;
    *out = best->modes;
    *count = best->mode_count;
    return KN_MAPPING_FOUND;
}

kn_mapping_answer kn_mapping_find(const kn_mapping *mapping, const char *layer_name,
                                  kn_device_type device, int64_t capability, kn_mode mode,
                                  kn_mode_repo *out) {
    *out = (kn_mode_repo){0, NULL};
    const kn_mode_repo *modes;
    size_t count;
    kn_mapping_answer answer =
        kn_mapping_modes(mapping, layer_name, device, capability, &modes, &count);
    if (answer) return answer;
    kn_mode tried[KN_MODE_CANDIDATES_MAX];
    size_t candidates = kn_mode_candidates(mode, tried);
    for (size_t c = 0; c < candidates; c++) {
        for (size_t i = 0; i < count; i++) {
            if (modes[i].mode != tried[c]) continue;
            *out = modes[i];
            return KN_MAPPING_FOUND;
        }
    }
    return KN_MAPPING_NO_MODE;
}

bool kn_mapping_has_ranges(const kn_mapping *mapping, const char *layer_name,
                           kn_device_type device) {
    if (!kn_device_type_has_capability(device)) return false;
    const layer *l = chain_find(mapping, layer_name, kni_hash_text(layer_name));
    for (size_t i = 0; l && i < l->count; i++) {
        const rule *r = &l->rules[i];
        if (r->device == device && (r->range.min > 0 || r->range.max < KN_CAPABILITY_MAX))
            return true;
    }
    return false;
}

void kn_mapping_each(const kn_mapping *mapping, kn_mapping_visit visit, void *ctx) {
    for (const kn_mapping *table = mapping; table; table = table->base) {
        for (size_t i = 0; i < table->count; i++) {
            const layer *l = table->layers[i];
            if (chain_find(mapping, l->name, kni_hash_text(l->name)) != l) continue;
            for (size_t j = 0; j < l->count; j++) {
                const rule *r = &l->rules[j];
                kn_mapping_entry entry = {l->name, r->device, r->range, r->modes, r->mode_count};
                if (!visit(ctx, &entry)) return;
            }
        }
    }
}

static int each_owned_of(const layer *l, kn_mapping_repo_visit visit, void *ctx) {
    for (size_t j = 0; j < l->count; j++) {
        for (size_t k = 0; k < l->rules[j].mode_count; k++) {
            const kn_repo *repo = l->rules[j].modes[k].repo;
            if (kn_repo_references(repo) > 1) continue;
            int result = visit(ctx, kn_repo_object(repo));
            if (result) return result;
        }
    }
    return 0;
}

int kn_mapping_each_owned(const kn_mapping *mapping, kn_mapping_repo_visit visit, void *ctx) {
    for (; mapping && kni_count_get(&mapping->references) == 1; mapping = mapping->base) {
        for (size_t i = 0; i < mapping->count; i++) {
            if (kni_count_get(&mapping->layers[i]->references) > 1) continue;
            int result = each_owned_of(mapping->layers[i], visit, ctx);
            if (result) return result;
        }
    }
    return 0;
}
