/* SPDX-License-Identifier: Apache-2.0 */
/* The stages in a row: walk, select, resolve, load, settle, apply. */
#include <string.h>

#include "base/error.h"
#include "engine/host.h"
#include "layers/repo.h"
#include "os/files.h"

static bool is_disabled(void) {
    const char *value = kni_environment("DISABLE_KERNEL_MAPPING");
    return value && strcmp(value, "0") != 0;
}

void kni_run_init(kni_run *run, kn_engine *engine, const kn_host *host, void *model) {
    *run = (kni_run){.engine = engine, .model = model};
    run->host = kni_host_complete(host, &run->completed);
}

void kni_run_clear(kni_run *run) {
    for (size_t i = 0; i < run->staged_count; i++)
        kni_claim_clear(run->engine->alloc, run->host, &run->staged[i]);
    kni_free(run->engine->alloc, run->staged);
    kn_mapping_release(run->mapping);
    kn_plan_release(run->plan);
}

kn_status kni_run_walk(kni_run *run, kn_error *err) {
    kn_status status = kni_plan_new(run->engine->alloc, run->host, &run->plan, err);
    if (!status) status = run->host->walk(run->host->ctx, run->model, &run->plan->walk, err);
    if (!status) status = kni_plan_prepare_classes(run->plan, err);
    return status;
}

/* The device that the call is for, with its capability. */
static kn_status find_device(kni_run *run, kn_error *err) {
    kn_device *device = &run->plan->device;
    if (run->request->device) {
        *device = *run->request->device;
    } else {
        *device = (kn_device){.size = sizeof *device, .index = -1};
        kn_status status = run->host->model_device(run->host->ctx, run->model, device, err);
        if (status) return status;
    }
    device->capability = KN_CAPABILITY_UNKNOWN;
    if (!kn_device_type_has_capability(device->type)) return KN_OK;
    if (run->request->capability != KN_CAPABILITY_ASK) {
        device->capability = run->request->capability;
        return KN_OK;
    }
    return run->host->capability(run->host->ctx, device->type, &device->capability, err);
}

/* Where the model is, for a plan that is kept; a model without parameters is nowhere. */
static void note_model_device(kni_run *run) {
    kn_device device = {.size = sizeof device};
    if (run->request && !run->request->device)
        device = run->plan->device;
    else if (run->host->model_device(run->host->ctx, run->model, &device, NULL))
        return;
    memcpy(run->plan->model_device, device.name, sizeof device.name);
}

/* Whether each module is to be asked for its own device: some layer's kernel depends on the
 * capability, and the machine has devices that differ in it. */
static kn_status wants_own_devices(kni_run *run, bool *out, kn_error *err) {
    *out = false;
    const kn_walk *walk = &run->plan->walk;
    if (run->request->capability != KN_CAPABILITY_ASK) return KN_OK;
    bool has_ranges = false;
    for (size_t i = 0; i < walk->class_count && !has_ranges; i++) {
        has_ranges = kn_mapping_has_ranges(run->mapping, walk->classes[i].layer_name,
                                           run->plan->device.type);
    }
    if (!has_ranges) return KN_OK;
    return run->host->has_unlike_devices(run->host->ctx, run->plan->device.type, out, err);
}

/* The device of a module: its own, else that of the nearest module above which has one, else the
 * call's. */
static kn_status own_device(kni_run *run, const kni_site *site, kn_device *out, kn_error *err) {
    const kn_walk *walk = &run->plan->walk;
    for (uint32_t at = site->node; at != KN_NO_PARENT; at = walk->nodes[at].parent) {
        bool found = false;
        kn_device device = {
            .size = sizeof device, .index = -1, .capability = KN_CAPABILITY_UNKNOWN};
        kn_status status =
            run->host->module_device(run->host->ctx, walk->nodes[at].module, &found, &device, err);
        if (status) return status;
        if (!found) continue;
        /* A module elsewhere (offloaded to the processor, say) is still planned for the call's
         * device type. */
        if (device.type == run->plan->device.type) *out = device;
        return KN_OK;
    }
    return KN_OK;
}

static bool matches_any(const char *const *patterns, size_t count, const char *path) {
    for (size_t i = 0; i < count; i++) {
        if (kni_glob_match(patterns[i], path)) return true;
    }
    return false;
}

static kn_status ask_predicate(kni_run *run, void *predicate, const char *path, void *module,
                               bool *out, kn_error *err) {
    if (!predicate) return KN_OK;
    run->user_code_ran = true;
    return run->host->predicate(run->host->ctx, predicate, path, module, out, err);
}

static bool has_filter(const kn_request *r) {
    return r->include || r->exclude_count || r->include_predicate || r->exclude_predicate;
}

static kn_status is_excluded(kni_run *run, const kni_site *site, bool *out, kn_error *err) {
    const kn_request *r = run->request;
    *out = false;
    if (!has_filter(r)) return KN_OK;
    char *path = kni_walk_path(&run->plan->walk, site->node);
    if (!path) return kni_no_memory(err, "choosing modules");
    void *module = run->plan->walk.nodes[site->node].module;
    bool included = !r->include || matches_any(r->include, r->include_count, path);
    bool excluded = matches_any(r->exclude, r->exclude_count, path);
    kn_status status = KN_OK;
    if (included && !excluded)
        status = ask_predicate(run, r->include_predicate, path, module, &included, err);
    if (!status && included && !excluded) {
        status = ask_predicate(run, r->exclude_predicate, path, module, &excluded, err);
    }
    kni_free(run->engine->alloc, path);
    *out = !included || excluded;
    return status;
}

/* What is particular to one module. */
static kn_status override_site(kni_run *run, const kni_site *site, kni_case *c, kn_error *err) {
    const kni_class *cls = &run->plan->walk.classes[site->class_id];
    bool excluded, allowed = true;
    kn_status status = is_excluded(run, site, &excluded, err);
    if (status) return status;
    if (!excluded && cls->has_condition) {
        run->user_code_ran = true;
        void *module = run->plan->walk.nodes[site->node].module;
        status = run->host->condition(run->host->ctx, module, cls->handle, &allowed, err);
        if (status) return status;
    }
    c->overridden = excluded || !allowed || (site->flags & KN_SITE_FOREIGN);
    if (excluded)
        c->reason = KN_REASON_EXCLUDED;
    else if (!allowed)
        c->reason = KN_REASON_CONDITION;
    else
        c->reason = KN_REASON_FOREIGN_FORWARD;
    return KN_OK;
}

static kn_status select_site(kni_run *run, size_t index, bool own_devices, bool disabled,
                             kn_error *err) {
    kn_plan *plan = run->plan;
    const kni_site *site = &plan->walk.sites[index];
    kni_case c = {.class_id = site->class_id, .device = plan->device};
    if (kni_host_is_cancelled(run->engine, run->host))
        return kni_fail(err, KN_ERR_CANCELLED, "stopped");
    kn_status status = override_site(run, site, &c, err);
    if (!status && own_devices && !c.overridden) status = own_device(run, site, &c.device, err);
    uint32_t decision = KNI_NONE;
    if (!status) status = kni_plan_decide(plan, run->mapping, &c, disabled, &decision, err);
    if (!status) kni_plan_assign(plan, index, decision);
    return status;
}

static kn_status select_all(kni_run *run, kn_error *err) {
    kn_plan *plan = run->plan;
    bool disabled = is_disabled(), own_devices, filtered = has_filter(run->request);
    kn_status status = wants_own_devices(run, &own_devices, err);
    for (size_t i = 0; !status && i < plan->walk.site_count; i++) {
        const kni_site *site = &plan->walk.sites[i];
        uint32_t same = plan->first_of_class[site->class_id];
        /* Where nothing can tell two modules of a class apart, they are decided alike. */
        bool reuse = same != KNI_NONE && !own_devices && !filtered &&
                     !(site->flags & KN_SITE_FOREIGN) &&
                     !plan->walk.classes[site->class_id].has_condition &&
                     !kni_reason_is_untouched(plan->decisions[same].reason);
        if (reuse)
            kni_plan_assign(plan, i, same);
        else
            status = select_site(run, i, own_devices, disabled, err);
    }
    return status;
}

static kn_status check_request(const kn_request *request, kn_error *err) {
    kn_status status = kn_mode_check_request(request->mode, err);
    if (status) return status;
    if (request->capability < 0 && request->capability != KN_CAPABILITY_ASK) {
        return kni_fail(err, KN_ERR_VALUE,
                        "capability must be major * 10 + minor, as 90 for 9.0; got %lld",
                        (long long)request->capability);
    }
    return KN_OK;
}

/* The walk and what the mapping says about it. */
static kn_status run_select(kni_run *run, kn_mapping *mapping, const kn_request *request,
                            kn_error *err) {
    kn_status status = check_request(request, err);
    if (status) return status;
    run->request = request;
    run->mapping = mapping ? kn_mapping_retain(mapping) : kn_engine_mapping(run->engine);
    status = kni_run_walk(run, err);
    if (status) return status;
    run->plan->mode = request->mode;
    run->plan->fallback = request->fallback;
    status = find_device(run, err);
    if (!status) status = select_all(run, err);
    return status;
}

kn_status kn_engine_plan(kn_engine *engine, const kn_host *host, void *model, kn_mapping *mapping,
                         const kn_request *request, kn_plan **out, kn_error *err) {
    *out = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, model);
    kn_status status = run_select(&run, mapping, request, err);
    if (!status) note_model_device(&run);
    if (!status) status = kni_run_resolve(&run, request->fetch, err);
    if (!status && request->fetch) status = kni_run_settle(&run, err);
    if (!status) {
        kni_plan_compact(run.plan);
        kni_plan_release_model(run.plan);
        *out = kn_plan_retain(run.plan);
    }
    kni_run_clear(&run);
    return status;
}

/* Tells of modules that keep their forward for want of a kernel: once for each layer name and
 * reason. */
static void tell_fallbacks(const kni_run *run) {
    const kn_plan *plan = run->plan;
    for (size_t i = 0; i < plan->count; i++) {
        const kni_decision *d = &plan->decisions[i];
        if (d->action != KN_ACTION_KEEP || d->reason == KN_REASON_MAPPED ||
            d->reason == KN_REASON_DISABLED)
            continue;
        kni_text text;
        kni_text_init(&text, run->engine->alloc);
        if (d->reason == KN_REASON_CONDITION) /* in upstream's words, which tools look for */
            kni_text_addf(
                &text, "Skipping kernelization for `%s` using `%s` due to kernel_condition. ",
                plan->walk.classes[d->class_id].name, plan->walk.classes[d->class_id].layer_name);
        kni_text_addf(&text, "%s: keeping the original forward (%s): %s",
                      plan->walk.classes[d->class_id].layer_name, kn_reason_text(d->reason),
                      d->message);
        char *message = kni_text_take(&text);
        kni_text_addf(&text, "%s/%s", plan->walk.classes[d->class_id].layer_name,
                      kn_reason_text(d->reason));
        char *once = kni_text_take(&text);
        bool is_wish = d->reason == KN_REASON_CONDITION || d->reason == KN_REASON_EXCLUDED;
        bool is_usual =
            is_wish || d->reason == KN_REASON_NO_DEVICE || d->reason == KN_REASON_NO_PROPERTIES;
        if (message && once && kni_engine_tell_once(run->engine, once)) {
            kni_host_log(run->engine, run->host, is_usual ? KN_LOG_INFO : KN_LOG_WARNING,
                         is_wish ? KN_LOG_MODEL : KN_LOG_LAYERS, message);
        }
        kni_free(run->engine->alloc, message);
        kni_free(run->engine->alloc, once);
    }
}

/* From selected decisions to forwards in place. */
static kn_status carry_out(kni_run *run, kn_error *err) {
    kn_status status = kni_run_resolve(run, true, err);
    if (!status) status = kni_run_settle(run, err);
    return status ? status : kni_run_apply(run, err);
}

static void finish_applied(kni_run *run, kn_plan **out) {
    kni_plan_compact(run->plan);
    kni_plan_release_model(run->plan);
    kni_engine_remember(run);
    tell_fallbacks(run);
    if (out) *out = kn_plan_retain(run->plan);
}

kn_status kn_engine_kernelize(kn_engine *engine, const kn_host *host, void *model,
                              kn_mapping *mapping, const kn_request *request, kn_plan **out,
                              kn_error *err) {
    if (out) *out = NULL;
    kni_run run;
    kni_run_init(&run, engine, host, model);
    kn_status status = run_select(&run, mapping, request, err);
    if (!status) status = carry_out(&run, err);
    if (!status && out) note_model_device(&run);
    if (!status) finish_applied(&run, out);
    kni_run_clear(&run);
    return status;
}

/* ---- applying a plan that was made before ---- */

kn_status kn_engine_apply(kn_engine *engine, const kn_host *host, void *model, kn_plan *plan,
                          kn_error *err) {
    if (plan->is_account) {
        return kni_fail(err, KN_ERR_VALUE,
                        "what explain gives tells what is and cannot be applied; make a plan");
    }
    kni_run run;
    kni_run_init(&run, engine, host, model);
    kn_status status = kni_run_walk(&run, err);
    if (!status) {
        note_model_device(&run);
        status = kni_plan_compare(plan, run.plan, err);
    }
    if (!status) status = kni_plan_copy_decisions(run.plan, plan, err);
    if (!status) status = carry_out(&run, err);
    if (!status) finish_applied(&run, NULL);
    kni_run_clear(&run);
    return status;
}
