/* SPDX-License-Identifier: Apache-2.0 */
/* Select: what the mapping says for a class on a device in a mode. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "layers/plan.h"

/* What each answer of the mapping comes to. */
static const struct {
    kn_reason reason;
    uint32_t fallback;
} outcomes[] = {
    [KN_MAPPING_FOUND] = {KN_REASON_MAPPED, KN_FALLBACK_ALL},
    [KN_MAPPING_NO_LAYER] = {KN_REASON_NO_LAYER, KN_FALLBACK_NO_LAYER},
    [KN_MAPPING_NO_DEVICE] = {KN_REASON_NO_DEVICE, KN_FALLBACK_NO_DEVICE},
    [KN_MAPPING_NO_PROPERTIES] = {KN_REASON_NO_PROPERTIES, KN_FALLBACK_NO_COMPATIBLE_PROPERTIES},
    [KN_MAPPING_NO_MODE] = {KN_REASON_NO_MODE, KN_FALLBACK_NO_COMPATIBLE_MODE},
};

typedef struct device_list {
    const char *layer_name;
    bool has_device[KN_DEVICE_TYPES];
} device_list;

static bool note_device(void *ctx, const kn_mapping_entry *entry) {
    device_list *list = ctx;
    if (strcmp(entry->layer, list->layer_name) == 0) list->has_device[entry->device] = true;
    return true;
}

static void add_devices(kni_text *text, const kn_mapping *mapping, const char *layer_name) {
    device_list list = {.layer_name = layer_name};
    kn_mapping_each(mapping, note_device, &list);
    const char *separator = "";
    for (int type = 0; type < KN_DEVICE_TYPES; type++) {
        if (!list.has_device[type]) continue;
        kni_text_addf(text, "%s%s", separator, kn_device_type_name((kn_device_type)type));
        separator = ", ";
    }
}

static void add_modes(kni_text *text, const kn_mapping *mapping, const char *layer_name,
                      const kn_device *device) {
    const kn_mode_repo *modes;
    size_t count;
    char name[KN_MODE_TEXT_MAX];
    kn_mapping_modes(mapping, layer_name, device->type, device->capability, &modes, &count);
    if (count == 0) kni_text_add(text, "none");
    for (size_t i = 0; i < count; i++) {
        kni_text_addf(text, "%s%s", i ? ", " : "", kn_mode_text(modes[i].mode, name));
    }
}

static void explain_answer(kni_text *text, kn_mode wanted, const kn_mapping *mapping,
                           const char *name, const kn_device *device, kn_mapping_answer answer,
                           kn_mode repo_mode) {
    char mode[KN_MODE_TEXT_MAX];
    switch (answer) {
    case KN_MAPPING_FOUND:
        kni_text_addf(text, "registered for %s under %s", device->name,
                      kn_mode_text(repo_mode, mode));
        break;
    case KN_MAPPING_NO_LAYER:
        kni_text_addf(
            text,
            "No layer mapping for `%s`: the mapping in force does not name it; add it with "
            "register_kernel_mapping or use_kernel_mapping",
            name);
        break;
    case KN_MAPPING_NO_DEVICE:
        kni_text_addf(text,
                      "No layer mapping for `%s` with device type `%s`: it is registered for ",
                      name, device->name);
        add_devices(text, mapping, name);
        break;
    case KN_MAPPING_NO_PROPERTIES:
        kni_text_addf(text,
                      "No layer mapping for `%s` device `%s` with the right properties: ", name,
                      device->name);
        if (device->capability < 0) {
            kni_text_add(text, "the capability of this device cannot be asked here");
        } else {
            kni_text_addf(text, "no registered range holds capability %lld",
                          (long long)device->capability);
        }
        break;
    case KN_MAPPING_NO_MODE:
        kni_text_addf(text,
                      "No repository for `%s` for configuration mode=%s: it is registered for ",
                      name, kn_mode_text(wanted, mode));
        add_modes(text, mapping, name, device);
        break;
    }
}

static void explain_override(kni_text *text, const char *class_name, kn_reason reason) {
    switch (reason) {
    case KN_REASON_CONDITION:
        kni_text_addf(text, "the condition of `%s` refused this module", class_name);
        break;
    case KN_REASON_EXCLUDED:
        kni_text_add(text, "left out by include or exclude");
        break;
    case KN_REASON_FOREIGN_FORWARD:
        kni_text_add(
            text, "the module has a forward of its own that this library did not set; it is kept");
        break;
    case KN_REASON_DISABLED:
        kni_text_add(text, "DISABLE_KERNEL_MAPPING is set");
        break;
    default:
        kni_text_add(text, kn_reason_text(reason));
        break;
    }
}

static uint32_t find_like(const kn_plan *plan, const kni_case *c) {
    for (uint32_t i = plan->first_of_class[c->class_id]; i != KNI_NONE;
         i = plan->decisions[i].next_of_class) {
        const kni_decision *d = &plan->decisions[i];
        bool overridden = kni_reason_is_untouched(d->reason);
        if (overridden != c->overridden || (overridden && d->reason != c->reason)) continue;
        if (kni_is_same_device(&d->device, &c->device)) return i;
    }
    return KNI_NONE;
}

kn_mapping_answer kn_mapping_explain(const kn_mapping *mapping, const char *layer,
                                     kn_device_type device, int64_t capability, kn_mode mode,
                                     kn_mode_repo *out, char message[KN_MAPPING_TEXT_MAX]) {
    kn_device about = {.size = sizeof about, .type = device, .capability = capability};
    snprintf(about.name, sizeof about.name, "%s", kn_device_type_name(device));
    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(NULL));
    *out = (kn_mode_repo){0, NULL};
    kn_mapping_answer answer = kn_mapping_find(mapping, layer, device, capability, mode, out);
    explain_answer(&text, mode, mapping, layer, &about, answer, out->mode);
    snprintf(message, KN_MAPPING_TEXT_MAX, "%s",
             text.length && !text.failed ? text.bytes : kn_reason_text(outcomes[answer].reason));
    kni_text_clear(&text);
    return answer;
}

kn_status kni_plan_decide(kn_plan *plan, const kn_mapping *mapping, const kni_case *c,
                          bool disabled, uint32_t *out, kn_error *err) {
    *out = find_like(plan, c);
    if (*out != KNI_NONE) return KN_OK;

    const kni_class *cls = &plan->walk.classes[c->class_id];
    kni_decision made = {.class_id = c->class_id, .device = c->device, .reason = c->reason};
    kn_mode_repo found = {0, NULL};
    kn_mapping_answer answer = KN_MAPPING_FOUND;
    kni_text text;
    kni_text_init(&text, plan->alloc);
    if (c->overridden || disabled) {
        if (!c->overridden) made.reason = KN_REASON_DISABLED;
        explain_override(&text, cls->name, made.reason);
    } else {
        answer = kn_mapping_find(mapping, cls->layer_name, c->device.type, c->device.capability,
                                 plan->mode, &found);
        made.reason = outcomes[answer].reason;
        explain_answer(&text, plan->mode, mapping, cls->layer_name, &c->device, answer, found.mode);
    }
    made.message = kni_text_take(&text);
    if (!made.message) return kni_no_memory(err, "planning");
    if (!(plan->fallback & outcomes[answer].fallback) && answer != KN_MAPPING_FOUND) {
        kn_status status = kni_fail(err, KN_ERR_VALUE, "%s", made.message);
        kni_decision_clear(plan, &made);
        return status;
    }
    if (found.repo) {
        made.action = KN_ACTION_REPLACE;
        made.repo = kn_repo_retain(found.repo);
        made.repo_mode = found.mode;
    }
    return kni_plan_add_decision(plan, &made, out, err);
}
