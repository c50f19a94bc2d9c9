/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a walk over a model. Paths are not built: a node knows its parent and its name. */
#include <string.h>

#include "base/error.h"
#include "layers/plan.h"

int kn_walk_visit(kn_walk *walk, const void *module) { return kni_seen_add(&walk->seen, module); }

kn_status kn_walk_add_node(kn_walk *walk, uint32_t parent, void *module, const char *name,
                           size_t length, uint32_t *out, kn_error *err) {
    *out = KN_NO_PARENT;
    if (walk->node_count >= UINT32_MAX - 1 || walk->names_length + length >= UINT32_MAX - 1) {
        return kni_fail(err, KN_ERR_VALUE, "the model has more modules than can be counted");
    }
    if (!kni_reserve(walk->alloc, &walk->nodes, &walk->node_capacity, walk->node_count + 1,
                     sizeof *walk->nodes) ||
        !kni_reserve(walk->alloc, &walk->names, &walk->names_capacity,
                     walk->names_length + length + 1, 1)) {
        return kni_no_memory(err, "walking the model");
    }
    memcpy(walk->names + walk->names_length, name, length);
    walk->names[walk->names_length + length] = '\0';
    walk->nodes[walk->node_count] = (kni_node){module, parent, (uint32_t)walk->names_length};
    walk->names_length += length + 1;
    walk->retain(module);
    *out = (uint32_t)walk->node_count++;
    return KN_OK;
}

kn_status kn_walk_add_class(kn_walk *walk, const kn_class *cls, uint32_t *out, kn_error *err) {
    kni_class added = {cls->handle, kni_text_copy(walk->alloc, cls->name),
                       kni_text_copy(walk->alloc, cls->layer_name), cls->has_condition};
    if (!added.name || !added.layer_name ||
        !kni_reserve(walk->alloc, &walk->classes, &walk->class_capacity, walk->class_count + 1,
                     sizeof *walk->classes)) {
        kni_free(walk->alloc, added.name);
        kni_free(walk->alloc, added.layer_name);
        return kni_no_memory(err, "walking the model");
    }
    walk->retain(added.handle);
    walk->classes[walk->class_count] = added;
    *out = (uint32_t)walk->class_count++;
    return KN_OK;
}

kn_status kn_walk_add_site(kn_walk *walk, uint32_t node, uint32_t class_id, void *current,
                           uint32_t flags, kn_error *err) {
    if (!kni_reserve(walk->alloc, &walk->sites, &walk->site_capacity, walk->site_count + 1,
                     sizeof *walk->sites)) {
        return kni_no_memory(err, "walking the model");
    }
    if (flags & KN_SITE_FUNCTION) walk->has_functions = true;
    walk->sites[walk->site_count++] = (kni_site){current, node, class_id, flags, KNI_NONE};
    return KN_OK;
}

const char *kni_walk_name(const kn_walk *walk, uint32_t node) {
    return walk->names + walk->nodes[node].name;
}

/* Written from the end: the length comes first, then each name before the one below it. */
size_t kni_walk_path_write(const kn_walk *walk, uint32_t node, char *out, size_t capacity) {
    size_t length = 0;
    for (uint32_t at = node; at != KN_NO_PARENT; at = walk->nodes[at].parent) {
        size_t part = strlen(kni_walk_name(walk, at));
        if (part) length += part + (length ? 1 : 0);
    }
    if (capacity == 0) return length;
    out[length < capacity ? length : 0] = '\0';
    if (length >= capacity) return length;
    size_t end = length;
    for (uint32_t at = node; at != KN_NO_PARENT; at = walk->nodes[at].parent) {
        const char *name = kni_walk_name(walk, at);
        size_t part = strlen(name);
        if (!part) continue;
        if (end < length) out[--end] = '.';
        end -= part;
        memcpy(out + end, name, part);
    }
    return length;
}

char *kni_walk_path(const kn_walk *walk, uint32_t node) {
    size_t length = kni_walk_path_write(walk, node, NULL, 0);
    char *path = kni_new(walk->alloc, length + 1);
    if (path) kni_walk_path_write(walk, node, path, length + 1);
    return path;
}

bool kni_is_same_place(const kn_walk *a, uint32_t node_a, const kn_walk *b, uint32_t node_b) {
    while (node_a != KN_NO_PARENT && node_b != KN_NO_PARENT) {
        if (strcmp(kni_walk_name(a, node_a), kni_walk_name(b, node_b)) != 0) return false;
        node_a = a->nodes[node_a].parent;
        node_b = b->nodes[node_b].parent;
    }
    return node_a == node_b;
}
