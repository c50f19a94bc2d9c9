/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/plan.h"

#include <string.h>

#include "base/error.h"

static const char *const reason_texts[KN_REASONS] = {
    [KN_REASON_MAPPED] = "mapped",
    [KN_REASON_NO_LAYER] = "no-layer",
    [KN_REASON_NO_DEVICE] = "no-device",
    [KN_REASON_NO_PROPERTIES] = "no-compatible-properties",
    [KN_REASON_NO_MODE] = "no-compatible-mode",
    [KN_REASON_MODE_UNSUPPORTED] = "mode-unsupported",
    [KN_REASON_CANNOT_LOAD] = "cannot-load",
    [KN_REASON_CONDITION] = "condition",
    [KN_REASON_EXCLUDED] = "excluded",
    [KN_REASON_FOREIGN_FORWARD] = "foreign-forward",
    [KN_REASON_SHARED_CONFLICT] = "shared-conflict",
    [KN_REASON_DISABLED] = "disabled",
    [KN_REASON_NOT_APPLIED] = "not-applied",
    [KN_REASON_NOT_KERNELIZED] = "not-kernelized",
    [KN_REASON_NUMERICS] = "numerics-differ",
    [KN_REASON_DENIED] = "denied",
};

const char *kn_reason_text(kn_reason reason) { return reason_texts[reason]; }

bool kni_is_same_device(const kn_device *a, const kn_device *b) {
    return a->type == b->type && a->capability == b->capability && strcmp(a->name, b->name) == 0;
}

bool kni_reason_is_untouched(kn_reason reason) {
    return reason == KN_REASON_CONDITION || reason == KN_REASON_EXCLUDED ||
           reason == KN_REASON_FOREIGN_FORWARD;
}

const char *kn_stage_text(kn_stage stage) {
    static const char *const texts[] = {"select", "resolve", "settle", "apply"};
    return texts[stage];
}

const char *kn_action_text(kn_action action) {
    return action == KN_ACTION_REPLACE ? "replace" : "keep";
}

kn_status kni_plan_new(const kn_alloc *alloc, const kn_host *host, kn_plan **out, kn_error *err) {
    *out = kni_new(alloc, sizeof **out);
    if (!*out) return kni_no_memory(err, "planning");
    (*out)->references.value = 1;
    (*out)->alloc = alloc;
    (*out)->walk.alloc = alloc;
    (*out)->walk.retain = host->retain;
    (*out)->walk.release = host->release;
    kni_seen_init(&(*out)->walk.seen, alloc);
    return KN_OK;
}

void kni_plan_release_model(kn_plan *plan) {
    if (plan->model_released) return;
    plan->model_released = true;
    for (size_t i = 0; i < plan->walk.node_count; i++) {
        void *module = plan->walk.nodes[i].module;
        plan->walk.nodes[i].module = NULL;
        plan->walk.release(module);
    }
    for (size_t i = 0; i < plan->walk.site_count; i++) plan->walk.sites[i].current = NULL;
    kni_seen_clear(&plan->walk.seen);
}

static void walk_clear(kn_walk *walk) {
    for (size_t i = 0; i < walk->class_count; i++) {
        walk->release(walk->classes[i].handle);
        kni_free(walk->alloc, walk->classes[i].name);
        kni_free(walk->alloc, walk->classes[i].layer_name);
    }
    kni_free(walk->alloc, walk->classes);
    kni_free(walk->alloc, walk->nodes);
    kni_free(walk->alloc, walk->names);
    kni_free(walk->alloc, walk->sites);
}

void kni_decision_clear(const kn_plan *plan, kni_decision *decision) {
    kni_free(plan->alloc, decision->message);
    kni_free(plan->alloc, decision->repo_text);
    kni_free(plan->alloc, decision->repo_layer);
    kni_free(plan->alloc, decision->commit);
    kni_free(plan->alloc, decision->variant);
    kn_repo_release(decision->repo);
    if (decision->forward) plan->walk.release(decision->forward);
    *decision = (kni_decision){0};
}

kn_plan *kn_plan_retain(kn_plan *plan) {
    kni_count_add(&plan->references);
    return plan;
}

void kn_plan_release(kn_plan *plan) {
    if (!plan || !kni_count_drop(&plan->references)) return;
    kni_plan_release_model(plan);
    for (size_t i = 0; i < plan->count; i++) kni_decision_clear(plan, &plan->decisions[i]);
    kni_free(plan->alloc, plan->decisions);
    kni_free(plan->alloc, plan->first_of_class);
    walk_clear(&plan->walk);
    kni_free(plan->alloc, plan);
}

kn_status kni_plan_prepare_classes(kn_plan *plan, kn_error *err) {
    size_t count = plan->walk.class_count;
    plan->first_of_class = kni_new(plan->alloc, (count ? count : 1) * sizeof *plan->first_of_class);
    if (!plan->first_of_class) return kni_no_memory(err, "planning");
    for (size_t i = 0; i < count; i++) plan->first_of_class[i] = KNI_NONE;
    return KN_OK;
}

kn_status kni_plan_add_decision(kn_plan *plan, kni_decision *decision, uint32_t *out,
                                kn_error *err) {
    if (!kni_reserve(plan->alloc, &plan->decisions, &plan->capacity, plan->count + 1,
                     sizeof *plan->decisions)) {
        kni_decision_clear(plan, decision);
        return kni_no_memory(err, "planning");
    }
    decision->next_of_class = plan->first_of_class[decision->class_id];
    plan->first_of_class[decision->class_id] = (uint32_t)plan->count;
    plan->decisions[plan->count] = *decision;
    *out = (uint32_t)plan->count++;
    return KN_OK;
}

void kni_decision_keep(kn_plan *plan, size_t index, kn_reason reason, char *message) {
    kni_decision *d = &plan->decisions[index];
    kni_free(plan->alloc, d->message);
    if (d->forward) plan->walk.release(d->forward);
    d->forward = NULL;
    d->action = KN_ACTION_KEEP;
    d->applied = false;
    d->reason = reason;
    d->message = message;
}

void kni_plan_assign(kn_plan *plan, size_t site, uint32_t decision) {
    kni_site *s = &plan->walk.sites[site];
    if (s->decision != KNI_NONE) plan->decisions[s->decision].site_count--;
    s->decision = decision;
    plan->decisions[decision].site_count++;
}

/* Copies the texts and retains the handles of `from`. */
static kn_status decision_copy(const kn_plan *plan, const kni_decision *from, kni_decision *out,
                               kn_error *err) {
    *out = *from;
    out->site_count = 0;
    out->repo = from->repo ? kn_repo_retain(from->repo) : NULL;
    if (out->forward) plan->walk.retain(out->forward);
    out->message = kni_text_copy(plan->alloc, from->message);
    out->repo_text = kni_text_copy(plan->alloc, from->repo_text);
    out->repo_layer = kni_text_copy(plan->alloc, from->repo_layer);
    out->commit = kni_text_copy(plan->alloc, from->commit);
    out->variant = kni_text_copy(plan->alloc, from->variant);
    bool ok = (!from->message || out->message) && (!from->repo_text || out->repo_text) &&
              (!from->repo_layer || out->repo_layer) && (!from->commit || out->commit) &&
              (!from->variant || out->variant);
    if (ok) return KN_OK;
    kni_decision_clear(plan, out);
    return kni_no_memory(err, "planning");
}

kn_status kni_plan_decide_kept(kn_plan *plan, size_t index, kn_reason reason, const char *message,
                               uint32_t *out, kn_error *err) {
    const kni_decision *like = &plan->decisions[index];
    for (uint32_t i = plan->first_of_class[like->class_id]; i != KNI_NONE;
         i = plan->decisions[i].next_of_class) {
        const kni_decision *d = &plan->decisions[i];
        if (d->reason != reason || strcmp(d->message, message) != 0) continue;
        if (!kni_is_same_device(&d->device, &like->device)) continue;
        *out = i;
        return KN_OK;
    }
    kni_decision kept;
    kn_status status = decision_copy(plan, like, &kept, err);
    if (!status) status = kni_plan_add_decision(plan, &kept, out, err);
    if (status) return status;
    char *text = kni_text_copy(plan->alloc, message);
    if (!text) return kni_no_memory(err, "planning");
    kni_decision_keep(plan, *out, reason, text);
    return KN_OK;
}

/* The new walk numbers classes in its own order: each decision takes the class of the first module
 * it is for. */
static kn_status copy_for_classes(kn_plan *plan, const kn_plan *from, uint32_t *class_of,
                                  kn_error *err) {
    for (size_t i = plan->walk.site_count; i > 0; i--) {
        class_of[from->walk.sites[i - 1].decision] = plan->walk.sites[i - 1].class_id;
    }
    for (size_t i = 0; i < from->count; i++) {
        kni_decision copy;
        uint32_t added;
        kn_status status = decision_copy(plan, &from->decisions[i], &copy, err);
        if (status) return status;
        copy.class_id = class_of[i];
        status = kni_plan_add_decision(plan, &copy, &added, err);
        if (status) return status;
    }
    for (size_t i = 0; i < plan->walk.site_count; i++)
        kni_plan_assign(plan, i, from->walk.sites[i].decision);
    return KN_OK;
}

kn_status kni_plan_copy_decisions(kn_plan *plan, const kn_plan *from, kn_error *err) {
    plan->mode = from->mode;
    plan->fallback = from->fallback;
    plan->device = from->device;
    uint32_t *class_of = kni_new(plan->alloc, (from->count + 1) * sizeof *class_of);
    if (!class_of) return kni_no_memory(err, "planning");
    kn_status status = copy_for_classes(plan, from, class_of, err);
    kni_free(plan->alloc, class_of);
    return status;
}

kn_mode kn_plan_mode(const kn_plan *plan) { return plan->mode; }

void kni_plan_compact(kn_plan *plan) {
    size_t kept = 0;
    for (size_t i = 0; i < plan->count; i++) kept += plan->decisions[i].site_count > 0;
    if (kept == plan->count) return;
    /* The chain by class is not needed any more: its field holds the new number of each decision.
     */
    kept = 0;
    for (size_t i = 0; i < plan->count; i++) {
        kni_decision d = plan->decisions[i];
        plan->decisions[i].next_of_class = (uint32_t)kept;
        if (!d.site_count)
            kni_decision_clear(plan, &d);
        else
            kept++;
    }
    for (size_t i = 0; i < plan->walk.site_count; i++) {
        kni_site *site = &plan->walk.sites[i];
        site->decision = plan->decisions[site->decision].next_of_class;
    }
    kept = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->decisions[i].site_count) plan->decisions[kept++] = plan->decisions[i];
    }
    plan->count = kept;
}

size_t kn_plan_count(const kn_plan *plan) { return plan->count; }

void kn_plan_get(const kn_plan *plan, size_t index, kn_decision *out) {
    const kni_decision *d = &plan->decisions[index];
    const kni_class *cls = &plan->walk.classes[d->class_id];
    size_t size = out->size;
    kn_decision whole = {
        .size = size,
        .layer_name = cls->layer_name,
        .module_class = cls->name,
        .class_handle = cls->handle,
        .device = d->device.name,
        .capability = d->device.capability,
        .stage = d->stage,
        .action = d->action,
        .reason = d->reason,
        .message = d->message,
        .repo = d->repo_text,
        .repo_object = d->repo ? kn_repo_object(d->repo) : NULL,
        .repo_mode = d->repo_mode,
        .repo_layer = d->repo_layer,
        .commit = d->commit,
        .variant = d->variant,
        .applied = d->applied,
        .module_count = d->site_count,
    };
    memcpy(out, &whole, size < sizeof whole ? size : sizeof whole);
}

kn_status kn_plan_each_path(const kn_plan *plan, size_t index, kn_path_visit visit, void *ctx,
                            kn_error *err) {
    char *path = NULL;
    size_t capacity = 0;
    kn_status status = KN_OK;
    for (size_t i = 0; i < plan->walk.site_count; i++) {
        const kni_site *site = &plan->walk.sites[i];
        if (site->decision != index) continue;
        size_t length = kni_walk_path_write(&plan->walk, site->node, path, capacity);
        if (length + 1 > capacity) {
            if (!kni_reserve(plan->alloc, &path, &capacity, length + 1, 1)) {
                status = kni_no_memory(err, "listing paths");
                break;
            }
            kni_walk_path_write(&plan->walk, site->node, path, capacity);
        }
        if (!visit(ctx, path, length)) break;
    }
    kni_free(plan->alloc, path);
    return status;
}

void kn_plan_text_free(const kn_plan *plan, char *text) { kni_free(plan->alloc, text); }
