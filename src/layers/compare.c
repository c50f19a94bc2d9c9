/* SPDX-License-Identifier: Apache-2.0 */
/* What has changed in a model since a plan was made for it. */
#include <string.h>

#include "base/error.h"
#include "layers/plan.h"

#define SHOWN_MAX 8

typedef struct difference_list {
    kni_text text;
    size_t count;
} difference_list;

static void add_difference(difference_list *list, const kn_walk *walk, const kni_site *site,
                           const char *what) {
    if (++list->count > SHOWN_MAX) return;
    char *path = kni_walk_path(walk, site->node);
    if (!path)
        list->text.failed = true;
    else
        kni_text_addf(&list->text, "%s'%s' (%s)", list->count > 1 ? ", " : "", path, what);
    kni_free(walk->alloc, path);
}

/* How a site at the same place differs; NULL: it does not. */
static const char *difference_of(const kn_walk *a, const kni_site *then, const kn_walk *b,
                                 const kni_site *site) {
    const kni_class *class_then = &a->classes[then->class_id],
                    *class_now = &b->classes[site->class_id];
    if (class_then->handle != class_now->handle) return "has another class";
    if (strcmp(class_then->layer_name, class_now->layer_name) != 0) return "has another layer name";
    if ((site->flags & KN_SITE_FOREIGN) && !(then->flags & KN_SITE_FOREIGN))
        return "has a forward of its own";
    return NULL;
}

static bool is_unchanged(const kn_walk *a, const kn_walk *b) {
    bool same = a->site_count == b->site_count;
    for (size_t i = 0; same && i < a->site_count; i++) {
        same = kni_is_same_place(a, a->sites[i].node, b, b->sites[i].node) &&
               !difference_of(a, &a->sites[i], b, &b->sites[i]);
    }
    return same;
}

/* ---- sites by their path ---- */

typedef struct place {
    const kn_walk *walk;
    uint32_t node;
} place;

static uint64_t place_hash(const kn_walk *walk, uint32_t node) {
    uint64_t hash = 0;
    for (uint32_t at = node; at != KN_NO_PARENT; at = walk->nodes[at].parent) {
        hash = kni_hash_mix(hash, kni_hash_text(kni_walk_name(walk, at)));
    }
    return hash;
}

static bool is_at_place(const void *ctx, uint32_t item, const void *key) {
    const kn_walk *walk = ctx;
    const place *wanted = key;
    return kni_is_same_place(walk, walk->sites[item].node, wanted->walk, wanted->node);
}

bool kni_walk_index_sites(const kn_walk *walk, kni_index *index) {
    kni_index_init(index, walk->alloc);
    for (size_t i = 0; i < walk->site_count; i++) {
        if (!kni_index_add(index, place_hash(walk, walk->sites[i].node), (uint32_t)i)) return false;
    }
    return true;
}

const kni_site *kni_walk_find_site(const kn_walk *in, const kni_index *index, const kn_walk *from,
                                   uint32_t node) {
    const place wanted = {from, node};
    uint32_t item = kni_index_find(index, place_hash(from, node), &wanted, is_at_place, in);
    return item == KNI_NONE ? NULL : &in->sites[item];
}

static void list_differences(const kn_walk *a, const kni_index *index_a, const kn_walk *b,
                             const kni_index *index_b, difference_list *list) {
    for (size_t i = 0; i < a->site_count; i++) {
        const kni_site *then = &a->sites[i], *now = kni_walk_find_site(b, index_b, a, then->node);
        const char *what = now ? difference_of(a, then, b, now) : "is gone";
        if (what) add_difference(list, a, then, what);
    }
    for (size_t i = 0; i < b->site_count; i++) {
        if (!kni_walk_find_site(a, index_a, b, b->sites[i].node))
            add_difference(list, b, &b->sites[i], "is new");
    }
    if (list->count) return;
    /* Then both have the same places: what can differ is their order. */
    for (size_t i = 0; a->sites && b->sites && i < a->site_count; i++) {
        if (!kni_is_same_place(a, a->sites[i].node, b, b->sites[i].node)) {
            add_difference(list, a, &a->sites[i], "is in another order");
        }
    }
}

static kn_status fail_with_differences(const kn_walk *a, const kn_walk *b, kn_error *err) {
    difference_list list = {.count = 0};
    kni_text_init(&list.text, b->alloc);
    kni_index index_a, index_b;
    kni_index_init(&index_b, b->alloc);
    bool ok = kni_walk_index_sites(a, &index_a) && kni_walk_index_sites(b, &index_b);
    if (ok) list_differences(a, &index_a, b, &index_b, &list);
    if (list.count > SHOWN_MAX) kni_text_addf(&list.text, " and %zu more", list.count - SHOWN_MAX);
    char *paths = kni_text_take(&list.text);
    kn_status status =
        ok && paths
            ? kni_fail(err, KN_ERR_VALUE,
                       "the model has changed since the plan was made: %s; make a new plan", paths)
            : kni_no_memory(err, "comparing a model with its plan");
    kni_free(b->alloc, paths);
    kni_index_clear(&index_a);
    kni_index_clear(&index_b);
    return status;
}

kn_status kni_plan_compare(const kn_plan *plan, const kn_plan *now, kn_error *err) {
    if (!is_unchanged(&plan->walk, &now->walk))
        return fail_with_differences(&plan->walk, &now->walk, err);
    if (strcmp(plan->model_device, now->model_device) == 0) return KN_OK;
    return kni_fail(
        err, KN_ERR_VALUE,
        "the model has changed since the plan was made: it was on device '%s' and is on '%s'; make a new "
        "plan",
        plan->model_device, now->model_device);
}
