/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of the fake host: their life, and the models that are built of them. */
#include "support/fake_object.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/unit.h"

void *fake_object_new(fake_host *host, fake_kind kind, size_t size) {
    fake_object *object = calloc(1, size);
    assert_non_null(object);
    *object = (fake_object){.host = host, .kind = kind, .references = 1, .after = host->objects};
    if (host->objects) host->objects->before = object;
    host->objects = object;
    host->live++;
    return object;
}

void fake_host_own(fake_host *host, void *object) {
    if (host->owned_count == host->owned_capacity) {
        host->owned_capacity = host->owned_capacity ? host->owned_capacity * 2 : 16;
        host->owned = realloc(host->owned, host->owned_capacity * sizeof *host->owned);
        assert_non_null(host->owned);
    }
    host->owned[host->owned_count++] = object;
}

void fake_release_or_null(void *object) {
    if (object) fake_release(object);
}

void fake_state_clear(fake_state *state) {
    fake_state old = *state;
    *state = (fake_state){0};
    fake_release_or_null(old.ours);
    fake_release_or_null(old.described);
}

fake_state fake_state_copy(const fake_state *state) {
    if (state->ours) fake_retain(state->ours);
    if (state->described) fake_retain(state->described);
    return *state;
}

static void drop_children(fake_module *module) {
    fake_child *children = module->children;
    size_t count = module->count;
    module->children = NULL;
    module->count = module->capacity = 0;
    for (size_t i = 0; i < count; i++) fake_release(children[i].module);
    free(children);
}

static void clear_forward(fake_forward *forward) {
    fake_release(forward->layer);
    const char *texts[] = {forward->info.repo, forward->info.layer_name, forward->info.mapped_name,
                           forward->info.commit, forward->info.variant};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((char *)(uintptr_t)texts[i]);
}

static void clear_module(fake_module *module) {
    drop_children(module);
    fake_state_clear(&module->forward);
    fake_release_or_null(module->cls);
}

static void object_free(fake_object *object) {
    if (object->before) object->before->after = object->after;
    if (object->after) object->after->before = object->before;
    if (object->host->objects == object) object->host->objects = object->after;
    object->host->live--;
    switch (object->kind) {
    case FAKE_MODULE:
        clear_module((fake_module *)object);
        break;
    case FAKE_FORWARD:
        clear_forward((fake_forward *)object);
        break;
    case FAKE_UNDO:
        fake_state_clear(&((fake_undo *)object)->state);
        break;
    case FAKE_REPO:
        fake_release_or_null(((fake_repo *)object)->layer);
        break;
    case FAKE_CLASS:
    case FAKE_LAYER:
    case FAKE_KERNEL:
        break;
    }
    free(object);
}

void fake_retain(void *object) {
    fake_object *counted = object;
    assert_true(__atomic_fetch_add(&counted->references, 1, __ATOMIC_RELAXED) > 0);
}

void fake_release(void *object) {
    fake_object *counted = object;
    long left = __atomic_sub_fetch(&counted->references, 1, __ATOMIC_ACQ_REL);
    assert_true(left >= 0);
    if (left == 0) object_free(counted);
}

fake_class *fake_class_new(fake_host *host, const char *name, const char *layer_name) {
    fake_class *cls = fake_object_new(host, FAKE_CLASS, sizeof *cls);
    cls->name = name;
    cls->layer_name = layer_name;
    fake_host_own(host, cls);
    return cls;
}

fake_layer *fake_layer_new(fake_host *host, const char *name) {
    fake_layer *layer = fake_object_new(host, FAKE_LAYER, sizeof *layer);
    layer->name = name;
    layer->has_backward = true;
    fake_host_own(host, layer);
    return layer;
}

static fake_module *module_new(fake_host *host, fake_class *cls) {
    fake_module *module = fake_object_new(host, FAKE_MODULE, sizeof *module);
    module->cls = cls;
    if (cls) fake_retain(cls);
    return module;
}

fake_module *fake_model_new(fake_host *host, fake_class *cls) {
    fake_module *module = module_new(host, cls);
    fake_host_own(host, module);
    return module;
}

void fake_module_link(fake_module *parent, const char *name, fake_module *module) {
    if (parent->count == parent->capacity) {
        parent->capacity = parent->capacity ? parent->capacity * 2 : 4;
        parent->children = realloc(parent->children, parent->capacity * sizeof *parent->children);
        assert_non_null(parent->children);
    }
    fake_child *child = &parent->children[parent->count++];
    assert_true((size_t)snprintf(child->name, sizeof child->name, "%s", name) < sizeof child->name);
    child->module = module;
    fake_retain(module);
}

fake_module *fake_module_add(fake_module *parent, const char *name, fake_class *cls) {
    fake_module *module = module_new(parent->object.host, cls);
    fake_module_link(parent, name, module);
    fake_release(module);
    return module;
}

void fake_module_remove(fake_module *parent, const char *name) {
    for (size_t i = 0; i < parent->count; i++) {
        if (strcmp(parent->children[i].name, name) != 0) continue;
        fake_module *removed = parent->children[i].module;
        parent->count--;
        memmove(&parent->children[i], &parent->children[i + 1],
                (parent->count - i) * sizeof *parent->children);
        fake_release(removed);
        return;
    }
    fail_msg("there is no child '%s'", name);
}

void fake_module_put_on(fake_module *module, kn_device device) {
    module->has_parameter = true;
    module->device = device;
}

static void describe_only(fake_state *state) {
    if (!state->ours) return;
    fake_release_or_null(state->described);
    state->described = state->ours;
    state->ours = NULL;
}

void fake_module_set_own(fake_module *module, int value) {
    if (value) describe_only(&module->forward);
    module->forward.own = value;
}

void fake_module_unpickle(fake_module *module) { describe_only(&module->forward); }

kn_device fake_device(const char *name) {
    kn_device device = {.size = sizeof device,
                        .type = kn_device_type_find(name),
                        .index = -1,
                        .capability = KN_CAPABILITY_UNKNOWN};
    snprintf(device.name, sizeof device.name, "%s", name);
    return device;
}

kn_device fake_cpu(void) { return fake_device("cpu"); }

kn_device fake_cuda(int32_t index, int64_t capability) {
    kn_device device = fake_device("cuda");
    device.index = index;
    device.capability = capability;
    return device;
}

char *fake_text_copy(const char *text) {
    if (!text) return NULL;
    char *copy = malloc(strlen(text) + 1);
    assert_non_null(copy);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

/* ---- the end ---- */

/* Retains every module, so that none goes while their children and forwards are taken from them. */
static fake_module **all_modules(const fake_host *host, size_t *count) {
    fake_module **modules = calloc(host->live + 1, sizeof *modules);
    assert_non_null(modules);
    *count = 0;
    for (fake_object *object = host->objects; object; object = object->after) {
        if (object->kind != FAKE_MODULE) continue;
        fake_retain(object);
        modules[(*count)++] = (fake_module *)object;
    }
    return modules;
}

static void free_modules(fake_host *host) {
    size_t count;
    fake_module **modules = all_modules(host, &count);
    for (size_t i = 0; i < host->owned_count; i++) {
        if (host->owned[i]->kind != FAKE_MODULE) continue;
        fake_release(host->owned[i]);
        host->owned[i--] = host->owned[--host->owned_count];
    }
    for (size_t i = 0; i < count; i++) drop_children(modules[i]);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(modules[i]->object.references, 1); /* more: somebody holds a module */
        fake_release(modules[i]);
    }
    free(modules);
}

static void free_owned(fake_host *host, bool repositories) {
    for (size_t i = 0; i < host->owned_count; i++) {
        fake_object *object = host->owned[i];
        if ((object->kind == FAKE_REPO) != repositories) continue;
        if (repositories) kn_repo_release(((fake_repo *)object)->handle);
        assert_int_equal(object->references, 1); /* more: somebody holds it */
        fake_release(object);
        host->owned[i--] = host->owned[--host->owned_count];
    }
}

void fake_host_free(fake_host *host) {
    free_modules(host);
    free_owned(host, true);
    free_owned(host, false);
    assert_int_equal(host->live, 0); /* more: a kernel, a forward or an undo record was leaked */
    free(host->owned);
    free(host);
}
