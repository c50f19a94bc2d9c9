/* SPDX-License-Identifier: Apache-2.0 */
/* Resolve, load and settle the decisions of a plan. Each changes decisions, never the model. */
#include <string.h>

#include "base/error.h"
#include "engine/host.h"
#include "layers/repo.h"

/* Copies what a decision says about its repository. */
static kn_status note_repo(kni_run *run, kni_decision *d, const kn_repo_info *info, kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    if (d->repo_text) return KN_OK;
    d->repo_text = kni_text_copy(alloc, kni_repo_display(info));
    if (info->layer_name && !d->repo_layer) d->repo_layer = kni_text_copy(alloc, info->layer_name);
    return d->repo_text && (!info->layer_name || d->repo_layer) ? KN_OK
                                                                : kni_no_memory(err, "planning");
}

/* Where the decision's kernel is not there: keep the original, if that is allowed. */
static kn_status cannot_load(kni_run *run, size_t index, kn_error *cause, kn_error *err) {
    if (run->plan->fallback & KN_FALLBACK_CANNOT_LOAD) {
        char *message = kni_text_copy(run->engine->alloc, cause->message);
        if (!message) return kni_no_memory(err, "planning");
        kni_decision_keep(run->plan, index, KN_REASON_CANNOT_LOAD, message);
        return KN_OK;
    }
    if (err) {
        size_t size = err->size;
        memcpy(err, cause, sizeof *cause);
        err->size = size;
    }
    return KN_ERR_NOT_FOUND;
}

static bool is_pending(const kni_decision *d, kn_stage stage) {
    return d->action == KN_ACTION_REPLACE && d->stage < stage;
}

/* A decision whose kernel is sought. */
typedef struct pending {
    kni_sought *items;
    size_t *decisions;
    size_t count;
} pending;

static void pending_clear(const kni_run *run, pending *p) {
    for (size_t i = 0; i < p->count; i++) kni_free(run->engine->alloc, p->items[i].note);
    kni_free(run->engine->alloc, p->items);
    kni_free(run->engine->alloc, p->decisions);
}

/* Adds a decision, unless its host loads it. */
static kn_status add_pending(kni_run *run, pending *p, size_t index, kn_error *err) {
    kni_decision *d = &run->plan->decisions[index];
    kni_sought *sought = &p->items[p->count];
    kn_status status = kn_repo_describe(d->repo, &sought->info, err);
    if (!status) status = note_repo(run, d, &sought->info, err);
    if (status || sought->info.kind == KN_REPO_HOST) return status;
    if (!sought->info.layer_name)
        return kni_fail(err, KN_ERR_VALUE, "%s names no layer", kni_repo_display(&sought->info));
    sought->device = d->device.type;
    p->decisions[p->count++] = index;
    return KN_OK;
}

static kn_status collect_pending(kni_run *run, pending *p, kn_error *err) {
    const kn_plan *plan = run->plan;
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += is_pending(&plan->decisions[i], KN_STAGE_RESOLVE);
    if (!count) return KN_OK;
    p->items = kni_new(run->engine->alloc, count * sizeof *p->items);
    p->decisions = kni_new(run->engine->alloc, count * sizeof *p->decisions);
    if (!p->items || !p->decisions) return kni_no_memory(err, "planning");
    kn_status status = KN_OK;
    for (size_t i = 0; i < plan->count && !status; i++) {
        if (is_pending(&plan->decisions[i], KN_STAGE_RESOLVE)) status = add_pending(run, p, i, err);
    }
    return status;
}

/* Appends a remark to what the decision says. */
static kn_status add_remark(kni_run *run, kni_decision *d, const char *remark, kn_error *err) {
    kni_text text;
    kni_text_init(&text, run->engine->alloc);
    kni_text_addf(&text, "%s; %s", d->message ? d->message : "", remark);
    char *message = kni_text_take(&text);
    if (!message) return kni_no_memory(err, "planning");
    kni_free(run->engine->alloc, d->message);
    d->message = message;
    return KN_OK;
}

/* Where kernels.toml denies the kernel: as if the mapping did not have it. */
static kn_status keep_denied(kni_run *run, size_t index, const kn_error *cause, kn_error *err) {
    if (!(run->plan->fallback & KN_FALLBACK_NO_LAYER))
        return kni_fail(err, KN_ERR_DENIED, "%s", cause->message);
    char *message = kni_text_copy(run->engine->alloc, cause->message);
    if (!message) return kni_no_memory(err, "planning");
    kni_decision_keep(run->plan, index, KN_REASON_DENIED, message);
    return KN_OK;
}

/* A decision tells the repository that a redirect led to, and where it came from. */
static kn_status note_redirect(kni_run *run, kni_decision *d, const kn_repo_info *info,
                               const kni_kernel *kernel, kn_error *err) {
    if (info->kind != KN_REPO_HUB || !kernel->repo || strcmp(kernel->repo, info->id) == 0)
        return KN_OK;
    kni_text text;
    kni_text_init(&text, run->engine->alloc);
    kni_text_addf(&text, "%s; '%s' redirected to '%s'", d->message ? d->message : "", info->id,
                  kernel->repo);
    char *message = kni_text_take(&text), *repo = kni_text_copy(run->engine->alloc, kernel->repo);
    if (!message || !repo) {
        kni_free(run->engine->alloc, message);
        kni_free(run->engine->alloc, repo);
        return kni_no_memory(err, "planning");
    }
    kni_free(run->engine->alloc, d->message);
    kni_free(run->engine->alloc, d->repo_text);
    d->message = message;
    d->repo_text = repo;
    return KN_OK;
}

/* Without `must_find` a repository that only the Hub can serve stays unresolved. */
static kn_status take_found(kni_run *run, size_t index, kni_sought *sought, bool must_find,
                            kn_error *err) {
    kni_decision *d = &run->plan->decisions[index];
    const kni_kernel *kernel = sought->kernel;
    kn_status status = sought->status;
    if (status == KN_ERR_NOT_FOUND && !must_find && sought->info.kind == KN_REPO_HUB) return KN_OK;
    if (status == KN_ERR_NOT_FOUND) return cannot_load(run, index, &sought->err, err);
    if (status == KN_ERR_DENIED) return keep_denied(run, index, &sought->err, err);
    if (status) return kni_fail(err, status, "%s", sought->err.message);
    d->variant = kni_text_copy(run->engine->alloc, kernel->source.variant);
    d->commit = kni_text_copy(run->engine->alloc, kernel->commit);
    if (!d->variant || (kernel->commit && !d->commit)) return kni_no_memory(err, "planning");
    status = note_redirect(run, d, &sought->info, kernel, err);
    if (!status && sought->note) status = add_remark(run, d, sought->note, err);
    if (status) return status;
    d->kernel = kernel;
    d->stage = KN_STAGE_RESOLVE;
    return KN_OK;
}

kn_status kni_run_resolve(kni_run *run, bool must_find, kn_error *err) {
    pending p = {0};
    kn_status status = collect_pending(run, &p, err);
    if (!status && p.count) status = kni_engine_resolve(run, p.items, p.count, must_find, err);
    for (size_t i = 0; i < p.count && !status; i++)
        status = take_found(run, p.decisions[i], &p.items[i], must_find, err);
    pending_clear(run, &p);
    return status;
}

/* The layer of a decision; comes with a reference. */
static kn_status load_layer(kni_run *run, const kni_decision *d, kn_layer *out, kn_error *err) {
    kni_kernel *kernel = kni_engine_kernel(run->engine, d->kernel);
    if (!kernel) return kni_engine_host_layer(run, d->repo, out, err);
    bool refused;
    kn_status status = kni_engine_import(run, kernel, d->repo_text, false, &refused, err);
    /* A file that the kernel's own import misses is the kernel's fault and no reason to fall back.
     */
    if (status == KN_ERR_NOT_FOUND && !refused) status = KN_ERR_HOST;
    if (!status) status = kni_engine_layer(run, kernel, d->repo_layer, d->repo_text, out, err);
    return status;
}

/* A layer that was registered for a mode which it cannot do is a mistake in the mapping, whatever
 * is asked for. */
static kn_status check_registration(const kn_plan *plan, const kni_decision *d,
                                    const kn_layer *layer, kn_error *err) {
    char mode[KN_MODE_TEXT_MAX];
    const char *lacks = NULL;
    if ((d->repo_mode & KN_MODE_TRAINING) && !layer->has_backward) lacks = "backward";
    if ((d->repo_mode & KN_MODE_TORCH_COMPILE) && !layer->can_torch_compile)
        lacks = "torch.compile";
    if (!lacks) return KN_OK;
    const char *name = d->repo_layer;
    return kni_fail(
        err, KN_ERR_VALUE,
        "Function/layer %s%s%sfrom repo %s does not support %s. Was registered for `%s` "
        "with mode `%s`; register it for a mode that it supports",
        name ? "`" : "", name ? name : "", name ? "` " : "", d->repo_text, lacks,
        plan->walk.classes[d->class_id].layer_name, kn_mode_text(d->repo_mode, mode));
}

static kn_status check_mode(kni_run *run, size_t index, const kn_layer *layer, bool *kept,
                            kn_error *err) {
    const kni_decision *d = &run->plan->decisions[index];
    kn_mode wanted = run->plan->mode;
    const char *lacks = NULL;
    if ((wanted & KN_MODE_TRAINING) && !layer->has_backward) lacks = "backward";
    if ((wanted & KN_MODE_TORCH_COMPILE) && !layer->can_torch_compile) lacks = "torch.compile";
    *kept = lacks != NULL;
    if (!lacks) return KN_OK;
    char mode[KN_MODE_TEXT_MAX];
    kni_text text;
    kni_text_init(&text, run->engine->alloc);
    kni_text_addf(&text, "Available kernel does not support mode: %s: %s has no support for %s",
                  kn_mode_text(wanted, mode), d->repo_text, lacks);
    char *message = kni_text_take(&text);
    if (!message) return kni_no_memory(err, "planning");
    if (!(run->plan->fallback & KN_FALLBACK_NO_COMPATIBLE_MODE)) {
        kn_status status = kni_fail(err, KN_ERR_VALUE, "%s (layer `%s`)", message,
                                    run->plan->walk.classes[d->class_id].layer_name);
        kni_free(run->engine->alloc, message);
        return status;
    }
    kni_decision_keep(run->plan, index, KN_REASON_MODE_UNSUPPORTED, message);
    return KN_OK;
}

static kn_status bind_forward(kni_run *run, kni_decision *d, const kn_layer *layer, kn_error *err) {
    const kni_class *cls = &run->plan->walk.classes[d->class_id];
    kn_forward_info info = {
        .size = sizeof info,
        .repo = d->repo_text,
        .layer_name = d->repo_layer,
        .mapped_name = cls->layer_name,
        .commit = d->commit,
        .variant = d->variant,
    };
    return kni_engine_bind(run, layer->handle, cls->handle, &info, &d->forward, err);
}

static kn_status settle_one(kni_run *run, size_t index, kn_error *err) {
    kn_layer layer = {.size = sizeof layer};
    kn_error cause;
    kn_error_init(&cause);
    kni_decision *d = &run->plan->decisions[index];
    kn_status status = load_layer(run, d, &layer, &cause);
    if (status == KN_ERR_NOT_FOUND) return cannot_load(run, index, &cause, err);
    if (status) return kni_fail(err, status, "%s", cause.message);

    bool kept = false;
    status = check_registration(run->plan, d, &layer, err);
    if (!status) status = check_mode(run, index, &layer, &kept, err);
    if (!status && !kept) status = bind_forward(run, d, &layer, err);
    if (!status) d->stage = KN_STAGE_SETTLE;
    run->host->release(layer.handle);
    return status;
}

kn_status kni_run_stage_claim(kni_run *run, void *function, void *forward, kn_error *err) {
    const kn_alloc *alloc = run->engine->alloc;
    kni_claim claim = {.function = function, .root = run->model, .forward = forward};
    claim.root_name = kni_text_copy(alloc, run->host->model_name(run->host->ctx, run->model));
    if (!claim.root_name || !kni_reserve(alloc, &run->staged, &run->staged_capacity,
                                         run->staged_count + 1, sizeof *run->staged)) {
        kni_free(alloc, claim.root_name);
        return kni_no_memory(err, "settling a shared function");
    }
    run->host->retain(function);
    if (forward) run->host->retain(forward);
    run->staged[run->staged_count++] = claim;
    return KN_OK;
}

/* The name of a live model that wants a function differently. A model that is gone may wait for the
 * host's collection of garbage. */
static kn_status find_opponent(kni_run *run, const void *function, const void *forward,
                               char **other, kn_error *err) {
    kn_engine *engine = run->engine;
    kn_status status = kni_claims_find_conflict(engine, function, run->model, forward, other, err);
    if (status || !*other || !run->host->collect) return status;
    if (!kni_claims_doubt(engine, function, run->model, forward)) return KN_OK;
    kni_free(engine->alloc, *other);
    run->user_code_ran = true;
    run->host->collect(run->host->ctx);
    return kni_claims_find_conflict(engine, function, run->model, forward, other, err);
}

/* A function that other live models want differently runs its original. */
static kn_status settle_function(kni_run *run, size_t index, kn_error *err) {
    kn_plan *plan = run->plan;
    const kni_site *site = &plan->walk.sites[index];
    const kni_decision *d = &plan->decisions[site->decision];
    if (kni_reason_is_untouched(d->reason)) return KN_OK;
    void *function = plan->walk.nodes[site->node].module;
    kn_status status = kni_run_stage_claim(run, function, d->forward, err);
    char *other = NULL;
    if (!status) status = find_opponent(run, function, d->forward, &other, err);
    if (status || !other) return status;
    char *message =
        kni_claims_dispute_text(run->engine->alloc, plan->walk.classes[d->class_id].layer_name,
                                other, run->staged[run->staged_count - 1].root_name);
    kni_free(run->engine->alloc, other);
    if (!message) return kni_no_memory(err, "planning");
    uint32_t kept = KNI_NONE;
    if (!(plan->fallback & KN_FALLBACK_NO_COMPATIBLE_MODE)) {
        status = kni_fail(err, KN_ERR_VALUE, "%s", message);
    } else {
        status = kni_plan_decide_kept(plan, site->decision, KN_REASON_SHARED_CONFLICT, message,
                                      &kept, err);
    }
    kni_free(run->engine->alloc, message);
    if (!status) kni_plan_assign(plan, index, kept);
    return status;
}

kn_status kni_run_settle(kni_run *run, kn_error *err) {
    kn_plan *plan = run->plan;
    for (size_t i = 0; i < plan->count; i++) {
        if (kni_host_is_cancelled(run->engine, run->host))
            return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        if (!is_pending(&plan->decisions[i], KN_STAGE_SETTLE)) continue;
        kn_status status = settle_one(run, i, err);
        if (status) return status;
    }
    for (size_t i = 0; plan->walk.has_functions && i < plan->walk.site_count; i++) {
        if (!(plan->walk.sites[i].flags & KN_SITE_FUNCTION)) continue;
        kn_status status = settle_function(run, i, err);
        if (status) return status;
    }
    return KN_OK;
}
