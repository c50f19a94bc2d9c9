/* SPDX-License-Identifier: Apache-2.0 */
/* Apply: forwards are swapped one after the other; if one fails, those before it are taken back. */
#include "base/error.h"
#include "engine/host.h"

typedef struct swapped {
    void *module; /* retained */
    void *undo;   /* retained; NULL is a value */
} swapped;

struct kn_undo {
    const kn_alloc *alloc;
    void (*release)(void *);
    swapped *items;
    size_t count, capacity;
    kni_claim *claims; /* those that were given up */
    size_t claim_count;
};

static kn_undo *undo_new(const kn_alloc *alloc, const kn_host *host) {
    kn_undo *undo = kni_new(alloc, sizeof *undo);
    if (undo) *undo = (kn_undo){.alloc = alloc, .release = host->release};
    return undo;
}

void kn_undo_free(kn_undo *undo) {
    if (!undo) return;
    for (size_t i = 0; i < undo->count; i++) {
        if (undo->items[i].undo) undo->release(undo->items[i].undo);
        undo->release(undo->items[i].module);
    }
    for (size_t i = 0; i < undo->claim_count; i++) {
        kni_free(undo->alloc, undo->claims[i].root_name);
        if (undo->claims[i].forward) undo->release(undo->claims[i].forward);
        if (undo->claims[i].function) undo->release(undo->claims[i].function);
    }
    kni_free(undo->alloc, undo->claims);
    kni_free(undo->alloc, undo->items);
    kni_free(undo->alloc, undo);
}

static kn_status swap(kn_undo *undo, const kn_host *host, void *module, void *forward,
                      kn_error *err) {
    if (!kni_reserve(undo->alloc, &undo->items, &undo->capacity, undo->count + 1,
                     sizeof *undo->items)) {
        return kni_no_memory(err, "replacing forwards");
    }
    void *back = NULL;
    kn_status status = host->swap(host->ctx, module, forward, &back, err);
    if (status) return status;
    host->retain(module);
    undo->items[undo->count++] = (swapped){module, back};
    return KN_OK;
}

/* Takes everything back, the last first; goes on after a failure and reports the first. */
static kn_status take_back(const kn_undo *undo, const kn_host *host, kn_error *err) {
    kn_status first = KN_OK;
    for (size_t i = undo->count; i > 0; i--) {
        const swapped *item = &undo->items[i - 1];
        kn_status status = host->restore(host->ctx, item->module, item->undo, first ? NULL : err);
        if (!first) first = status;
    }
    return first;
}

/* User code may have changed the model since the walk: looks again at what stands there. */
static kn_status look_again(kni_run *run, kn_error *err) {
    kn_walk *walk = &run->plan->walk;
    for (size_t i = 0; i < walk->site_count; i++) {
        kni_site *site = &walk->sites[i];
        uint32_t was = site->flags, now = 0;
        kn_status status = run->host->inspect(run->host->ctx, walk->nodes[site->node].module,
                                              &site->current, &now, err);
        if (status) return status;
        site->flags = (was & KN_SITE_FUNCTION) | (now & ~KN_SITE_FUNCTION);
        if (!(now & KN_SITE_FOREIGN) || (was & KN_SITE_FOREIGN)) continue;
        uint32_t kept;
        status = kni_plan_decide_kept(
            run->plan, site->decision, KN_REASON_FOREIGN_FORWARD,
            "a forward was set on the module while it was being kernelized; it is kept", &kept,
            err);
        if (status) return status;
        kni_plan_assign(run->plan, i, kept);
    }
    return KN_OK;
}

static kn_status apply_sites(kni_run *run, kn_undo *undo, kn_error *err) {
    const kn_walk *walk = &run->plan->walk;
    for (size_t i = 0; i < walk->site_count; i++) {
        const kni_site *site = &walk->sites[i];
        const kni_decision *d = &run->plan->decisions[site->decision];
        if ((site->flags & KN_SITE_FUNCTION) || kni_reason_is_untouched(d->reason)) continue;
        void *wanted = d->action == KN_ACTION_REPLACE ? d->forward : NULL;
        bool is_stale = !wanted && (site->flags & KN_SITE_NOT_APPLIED);
        if (site->current == wanted && !is_stale) continue;
        kn_status status = swap(undo, run->host, walk->nodes[site->node].module, wanted, err);
        if (status) return status;
    }
    return KN_OK;
}

static kn_status apply_functions(kni_run *run, kn_undo *undo, kn_error *err) {
    for (size_t i = 0; i < run->staged_count; i++) {
        const kni_claim *claim = &run->staged[i];
        char *other;
        kn_status status = kni_claims_find_conflict(run->engine, claim->function, run->model,
                                                    claim->forward, &other, err);
        if (status) return status;
        void *wanted = other ? NULL : claim->forward, *current = NULL;
        kni_free(run->engine->alloc, other);
        uint32_t flags = 0;
        status = run->host->inspect(run->host->ctx, claim->function, &current, &flags, err);
        bool stays = current == wanted || (flags & KN_SITE_FOREIGN);
        if (!status && !stays) status = swap(undo, run->host, claim->function, wanted, err);
        if (status) return status;
    }
    return KN_OK;
}

static void mark_applied(kn_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        kni_decision *d = &plan->decisions[i];
        if (d->action != KN_ACTION_REPLACE) continue;
        d->stage = KN_STAGE_APPLY;
        d->applied = true;
    }
}

/* So that the claims that are staged can be made. */
static kn_status prepare_claims(kni_run *run, kn_error *err) {
    if (!run->staged_count) return KN_OK;
    kn_status status = kni_claims_reserve(run->engine, run->staged_count, err);
    /* Without a way to learn that the model is gone its claims would never end. */
    if (!status && !run->host->watch(run->host->ctx, run->model)) {
        status = kni_fail(err, KN_ERR_TYPE,
                          "the model cannot be watched for its end, which shared functions need");
    }
    return status;
}

static kn_status apply_all(kni_run *run, kn_undo *undo, kn_error *err) {
    kn_status status = run->user_code_ran ? look_again(run, err) : KN_OK;
    if (!status) status = prepare_claims(run, err);
    if (!status) status = apply_sites(run, undo, err);
    if (!status) status = apply_functions(run, undo, err);
    return status;
}

/* Ends a call that swapped: the claims are made or, after a failure, everything is taken back. */
static void conclude(kni_run *run, kn_undo *undo, kn_status status) {
    if (!status) {
        for (size_t i = 0; i < run->staged_count; i++)
            kni_claims_set(run->engine, run->host, &run->staged[i]);
    } else if (take_back(undo, run->host, NULL)) {
        kni_host_log(
            run->engine, run->host, KN_LOG_WARNING, KN_LOG_LAYERS,
            "some modules could not be taken back after a failed call; they keep the new forward");
    }
    kn_undo_free(undo);
}

kn_status kni_run_apply(kni_run *run, kn_error *err) {
    kn_undo *undo = undo_new(run->engine->alloc, run->host);
    if (!undo) return kni_no_memory(err, "replacing forwards");
    kn_status status = apply_all(run, undo, err);
    conclude(run, undo, status);
    if (!status) mark_applied(run->plan);
    return status;
}

/* The site of `module`, where a kernel is in place; NULL: none. */
static kni_site *find_applied(const kn_walk *walk, const void *module) {
    for (size_t i = 0; i < walk->site_count; i++) {
        kni_site *site = &walk->sites[i];
        if (site->current && walk->nodes[site->node].module == module) return site;
    }
    return NULL;
}

static kn_status refuse_one(kni_run *run, const kn_refusal *refusal, kn_undo *undo, kn_error *err) {
    kn_walk *walk = &run->plan->walk;
    kni_site *site = find_applied(walk, refusal->module);
    if (!site)
        return kni_fail(err, KN_ERR_VALUE,
                        "no kernel is in place at the module whose kernel is to be taken out");
    site->current = NULL;
    uint32_t kept;
    kn_status status = kni_plan_decide_kept(run->plan, site->decision, KN_REASON_NUMERICS,
                                            refusal->message, &kept, err);
    if (status) return status;
    kni_plan_assign(run->plan, (size_t)(site - walk->sites), kept);
    if (site->flags & KN_SITE_FUNCTION) return kni_run_stage_claim(run, refusal->module, NULL, err);
    return swap(undo, run->host, refusal->module, NULL, err);
}

static kn_status refuse_all(kni_run *run, const kn_refusal *refusals, size_t count, kn_error *err) {
    kn_undo *undo = undo_new(run->engine->alloc, run->host);
    if (!undo) return kni_no_memory(err, "restoring forwards");
    kn_status status = KN_OK;
    for (size_t i = 0; !status && i < count; i++) status = refuse_one(run, &refusals[i], undo, err);
    if (!status) status = prepare_claims(run, err);
    if (!status) status = apply_functions(run, undo, err);
    conclude(run, undo, status);
    return status;
}

kn_status kn_engine_refuse(kn_engine *engine, const kn_host *host, void *model,
                           const kn_refusal *refusals, size_t count, kn_error *err) {
    kni_run run;
    kni_run_init(&run, engine, host, model);
    kn_status status = kni_run_account(&run, err);
    if (!status) status = refuse_all(&run, refusals, count, err);
    if (!status) {
        kni_plan_compact(run.plan);
        kni_plan_release_model(run.plan);
        kni_engine_remember(&run);
    }
    kni_run_clear(&run);
    return status;
}

static kn_status swap_for_good(const kn_host *host, void *module, void *forward, kn_error *err) {
    void *back = NULL;
    kn_status status = host->swap(host->ctx, module, forward, &back, err);
    if (!status && back) host->release(back);
    return status;
}

/* Brings a function to what the live models agree on. Without `undo` there is no way back and no
 * memory is needed. */
static kn_status follow_claims(kn_engine *engine, const kn_host *host, void *function,
                               kn_undo *undo, kn_error *err) {
    void *wanted = kni_claims_effective(engine, host, function), *current = NULL;
    uint32_t flags = 0;
    kn_status status = host->inspect(host->ctx, function, &current, &flags, err);
    if (!status && current != wanted && !(flags & KN_SITE_FOREIGN)) {
        status = undo ? swap(undo, host, function, wanted, err)
                      : swap_for_good(host, function, wanted, err);
    }
    if (wanted) host->release(wanted);
    return status;
}

static void put_claims_back(kn_engine *engine, const kn_host *host, kn_undo *undo) {
    for (size_t i = 0; i < undo->claim_count; i++) {
        if (undo->claims[i].function) kni_claims_set(engine, host, &undo->claims[i]);
    }
}

static kn_status undo_sites(const kn_walk *walk, const kn_host *host, kn_undo *undo,
                            kn_error *err) {
    for (size_t i = 0; i < walk->site_count; i++) {
        const kni_site *site = &walk->sites[i];
        if (site->flags & KN_SITE_FUNCTION) continue;
        if (!site->current && !(site->flags & KN_SITE_NOT_APPLIED)) continue;
        kn_status status = swap(undo, host, walk->nodes[site->node].module, NULL, err);
        if (status) return status;
    }
    return KN_OK;
}

kn_status kn_engine_unkernelize(kn_engine *engine, const kn_host *own, void *model, kn_undo **out,
                                kn_error *err) {
    if (out) *out = NULL;
    kn_host completed;
    const kn_host *host = kni_host_complete(own, &completed);
    kn_undo *undo = undo_new(engine->alloc, host);
    if (!undo) return kni_no_memory(err, "restoring forwards");
    kn_plan *plan = NULL;
    kn_status status = kni_plan_new(engine->alloc, host, &plan, err);
    if (!status) status = host->walk(host->ctx, model, &plan->walk, err);
    if (!status) status = undo_sites(&plan->walk, host, undo, err);
    if (!status) status = kni_claims_take(engine, model, &undo->claims, &undo->claim_count, err);
    for (size_t i = 0; !status && i < undo->claim_count; i++) {
        status = follow_claims(engine, host, undo->claims[i].function, undo, err);
    }
    if (status) {
        take_back(undo, host, NULL);
        put_claims_back(engine, host, undo);
    }
    kn_plan_release(plan);
    /* Undone for good: what was decided no longer tells why modules run what they run. */
    if (!status && !out) kni_engine_forget_plan(engine, model);
    if (!status && out)
        *out = undo;
    else
        kn_undo_free(undo);
    return status;
}

kn_status kn_engine_restore(kn_engine *engine, const kn_host *own, kn_undo *undo, kn_error *err) {
    kn_host completed;
    const kn_host *host = kni_host_complete(own, &completed);
    kn_status first = take_back(undo, host, err);
    for (size_t i = 0; i < undo->claim_count; i++) {
        void *function = undo->claims[i].function;
        if (!function) continue;
        host->retain(function);
        kni_claims_set(engine, host, &undo->claims[i]);
        /* What other models claim may have changed since. */
        kn_status status = follow_claims(engine, host, function, NULL, first ? NULL : err);
        if (!first) first = status;
        host->release(function);
    }
    return first;
}

void kni_engine_release_claims(kn_engine *engine, const kn_host *host, const void *root) {
    kni_claim claim;
    while (kni_claims_take_one(engine, root, &claim)) {
        follow_claims(engine, host, claim.function, NULL, NULL);
        kni_claim_clear(engine->alloc, host, &claim);
    }
}
