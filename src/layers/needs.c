/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/needs.h"

typedef struct search {
    const kn_mapping *mapping;
    const kni_needs_device *devices;
    size_t device_count;
    bool all_modes;
    kni_needs_visit visit;
    void *ctx;
    kn_status status;
    kn_error *err;
} search;

static const kni_needs_device *find_device(const search *s, kn_device_type type) {
    for (size_t i = 0; i < s->device_count; i++) {
        if (s->devices[i].type == type) return &s->devices[i];
    }
    return NULL;
}

/* Whether a device may come to this entry: where its capability is known, only to the one of the
 * layer's that the mapping chooses for it. */
static bool can_come_to(const search *s, const kn_mapping_entry *entry) {
    const kni_needs_device *device = find_device(s, entry->device);
    if (!device) return false;
    if (device->capability == KN_CAPABILITY_UNKNOWN) return true;
    const kn_mode_repo *modes;
    size_t count;
    return !kn_mapping_modes(s->mapping, entry->layer, device->type, device->capability, &modes,
                             &count) &&
           modes == entry->modes;
}

static kn_status visit_mode(const search *s, const kn_mapping_entry *entry, kn_mode mode,
                            bool *found) {
    for (size_t i = 0; i < entry->mode_count; i++) {
        if (entry->modes[i].mode != mode) continue;
        *found = true;
        return s->visit(s->ctx, entry->modes[i].repo, entry->device, s->err);
    }
    return KN_OK;
}

static bool visit_entry(void *ctx, const kn_mapping_entry *entry) {
    search *s = ctx;
    if (!can_come_to(s, entry)) return true;
    kn_mode candidates[KN_MODE_CANDIDATES_MAX];
    size_t count = kn_mode_candidates(KN_MODE_INFERENCE, candidates);
    bool found = false;
    if (s->all_modes) {
        for (size_t i = 0; i < entry->mode_count && !s->status; i++)
            s->status = s->visit(s->ctx, entry->modes[i].repo, entry->device, s->err);
    } else {
        for (size_t i = 0; i < count && !found && !s->status; i++)
            s->status = visit_mode(s, entry, candidates[i], &found);
    }
    return !s->status;
}

kn_status kni_mapping_needs(const kn_mapping *mapping, const kni_needs_device *devices,
                            size_t device_count, bool all_modes, kni_needs_visit visit, void *ctx,
                            kn_error *err) {
    search s = {mapping, devices, device_count, all_modes, visit, ctx, KN_OK, err};
    kn_mapping_each(mapping, visit_entry, &s);
    return s.status;
}
