/* SPDX-License-Identifier: Apache-2.0 */
/* Explain: what modules run now, and why. A walk, what the modules carry, and the plan that was
 * last applied. */
#include <string.h>

#include "base/error.h"
#include "engine/state.h"

/* Why a shared function runs its original, where models want it differently; *out NULL where that
 * is not so. */
static kn_status explain_dispute(kni_run *run, const kni_site *site, char **out, kn_error *err) {
    *out = NULL;
    if (site->current || !(site->flags & KN_SITE_FUNCTION)) return KN_OK;
    const kn_walk *walk = &run->plan->walk;
    char *other;
    kn_status status = kni_claims_find_dispute(run->engine, walk->nodes[site->node].module,
                                               run->model, &other, err);
    if (status || !other) return status;
    *out = kni_claims_dispute_text(run->engine->alloc, walk->classes[site->class_id].layer_name,
                                   other, run->host->model_name(run->host->ctx, run->model));
    kni_free(run->engine->alloc, other);
    return *out ? KN_OK : kni_no_memory(err, "explaining");
}

/* What was last decided for a model. */
typedef struct recalled {
    const kn_plan *plan; /* NULL: nothing */
    kni_index index;     /* of its sites; filled when it is first needed */
} recalled;

/* The decision for a site of the fresh walk `walk`; *out NULL: none. */
static kn_status recall_decision(recalled *last, const kn_walk *walk, size_t index,
                                 const kni_decision **out, kn_error *err) {
    *out = NULL;
    if (!last->plan) return KN_OK;
    const kn_walk *earlier = &last->plan->walk;
    const kni_site *site = index < earlier->site_count ? &earlier->sites[index] : NULL;
    if (!site || !kni_is_same_place(earlier, site->node, walk, walk->sites[index].node)) {
        if (!last->index.count && !kni_walk_index_sites(earlier, &last->index))
            return kni_no_memory(err, "explaining");
        site = kni_walk_find_site(earlier, &last->index, walk, walk->sites[index].node);
    }
    if (site) *out = &last->plan->decisions[site->decision];
    return KN_OK;
}

static kn_status explain_decision(kni_run *run, size_t index, recalled *last, kni_decision *out,
                                  kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    const kn_plan *plan = run->plan;
    const kni_site *site = &plan->walk.sites[index];
    void *module = plan->walk.nodes[site->node].module;
    const kni_decision *decided;
    kn_status status = recall_decision(last, &plan->walk, index, &decided, err);
    if (status) return status;
    *out = (kni_decision){.class_id = site->class_id, .stage = KN_STAGE_APPLY};
    out->device = last->plan ? last->plan->device
                             : (kn_device){.size = sizeof out->device,
                                           .capability = KN_CAPABILITY_UNKNOWN,
                                           .name = "-"};
    if (decided) out->device = decided->device;
    kn_forward_info info = {.size = sizeof info};
    const char *message;
    char *dispute;
    status = explain_dispute(run, site, &dispute, err);
    if (status) return status;
    if (site->current) {
        out->action = KN_ACTION_REPLACE;
        out->applied = true;
        bool is_told = decided && decided->action == KN_ACTION_REPLACE;
        message = is_told ? decided->message : "put in place by kernelize";
        if (is_told) out->repo_mode = decided->repo_mode;
        status = run->host->describe(run->host->ctx, site->current, &info, err);
    } else if (site->flags & KN_SITE_NOT_APPLIED) {
        out->reason = KN_REASON_NOT_APPLIED;
        message = "described but not in place, as after unpickling: kernelize the model again";
        status = run->host->describe_module(run->host->ctx, module, &info, err);
    } else if (site->flags & KN_SITE_FOREIGN) {
        out->reason = KN_REASON_FOREIGN_FORWARD;
        message = "the module has a forward of its own that this library did not set";
    } else if (dispute) {
        out->reason = KN_REASON_SHARED_CONFLICT;
        message = dispute;
    } else if (decided && decided->action == KN_ACTION_KEEP) {
        out->reason = decided->reason;
        message = decided->message;
    } else {
        out->reason = KN_REASON_NOT_KERNELIZED;
        message = "runs its original forward: it was not kernelized, or that was undone";
    }
    if (!status) out->message = kni_text_copy(alloc, message);
    kni_free(alloc, dispute);
    if (status) return status;
    out->repo_text = kni_text_copy(alloc, info.repo);
    out->repo_layer = kni_text_copy(alloc, info.layer_name);
    out->commit = kni_text_copy(alloc, info.commit);
    out->variant = kni_text_copy(alloc, info.variant);
    bool ok = out->message && (!info.repo || out->repo_text) &&
              (!info.layer_name || out->repo_layer) && (!info.commit || out->commit) &&
              (!info.variant || out->variant);
    if (ok) return KN_OK;
    kni_decision_clear(plan, out);
    return kni_no_memory(err, "explaining");
}

static bool is_same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static uint32_t find_same(const kn_plan *plan, const kni_decision *d) {
    for (uint32_t i = plan->first_of_class[d->class_id]; i != KNI_NONE;
         i = plan->decisions[i].next_of_class) {
        const kni_decision *other = &plan->decisions[i];
        if (other->reason == d->reason && other->action == d->action &&
            is_same_text(other->message, d->message) &&
            is_same_text(other->repo_text, d->repo_text) &&
            is_same_text(other->variant, d->variant) &&
            is_same_text(other->repo_layer, d->repo_layer) &&
            is_same_text(other->commit, d->commit) &&
            other->device.capability == d->device.capability &&
            is_same_text(other->device.name, d->device.name)) {
            return i;
        }
    }
    return KNI_NONE;
}

static kn_status explain_site(kni_run *run, size_t index, recalled *last, kn_error *err) {
    kni_decision made;
    kn_status status = explain_decision(run, index, last, &made, err);
    if (status) return status;
    uint32_t decision = find_same(run->plan, &made);
    if (decision != KNI_NONE)
        kni_decision_clear(run->plan, &made);
    else
        status = kni_plan_add_decision(run->plan, &made, &decision, err);
    if (!status) kni_plan_assign(run->plan, index, decision);
    return status;
}

kn_status kni_run_account(kni_run *run, kn_error *err) {
    kn_plan *plan = kni_engine_recall(run->engine, run->model);
    recalled last = {.plan = plan};
    kni_index_init(&last.index, run->engine->alloc);
    kn_status status = kni_run_walk(run, err);
    if (!status) run->plan->is_account = true;
    if (!status && plan) {
        run->plan->mode = plan->mode;
        run->plan->device = plan->device;
    }
    for (size_t i = 0; !status && i < run->plan->walk.site_count; i++)
        status = explain_site(run, i, &last, err);
    kni_index_clear(&last.index);
    kn_plan_release(plan);
    return status;
}

kn_status kn_engine_explain(kn_engine *engine, const kn_host *host, void *model, kn_plan **out,
                            kn_error *err) {
    *out = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, model);
    kn_status status = kni_run_account(&run, err);
    if (!status) {
        kni_plan_release_model(run.plan);
        *out = kn_plan_retain(run.plan);
    }
    kni_run_clear(&run);
    return status;
}
