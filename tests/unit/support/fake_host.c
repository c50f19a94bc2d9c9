/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fake_object.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/unit.h"

/* ---- faults and hooks ---- */

static const char *const call_names[FAKE_CALLS] = {
    [FAKE_CALL_SYSTEM] = "system",
    [FAKE_CALL_WALK] = "walk",
    [FAKE_CALL_MODEL_DEVICE] = "model_device",
    [FAKE_CALL_CAPABILITY] = "capability",
    [FAKE_CALL_UNLIKE_DEVICES] = "has_unlike_devices",
    [FAKE_CALL_MODULE_DEVICE] = "module_device",
    [FAKE_CALL_CONDITION] = "condition",
    [FAKE_CALL_PREDICATE] = "predicate",
    [FAKE_CALL_IMPORT] = "import_kernel",
    [FAKE_CALL_FIND_LAYER] = "find_layer",
    [FAKE_CALL_LOAD] = "load",
    [FAKE_CALL_BIND] = "bind",
    [FAKE_CALL_INSPECT] = "inspect",
    [FAKE_CALL_SWAP] = "swap",
    [FAKE_CALL_RESTORE] = "restore",
    [FAKE_CALL_DESCRIBE] = "describe",
    [FAKE_CALL_DESCRIBE_MODULE] = "describe_module",
    [FAKE_CALL_REPO_DESCRIBE] = "repository describe",
    [FAKE_CALL_REPO_HASH] = "repository hash",
    [FAKE_CALL_REPO_EQUAL] = "repository equal",
    [FAKE_CALL_WATCH] = "watch",
    [FAKE_CALL_CANCELLED] = "cancelled",
    [FAKE_CALL_LOG] = "log",
    [FAKE_CALL_CAN_IMPORT] = "can_import",
    [FAKE_CALL_GPU] = "gpu",
    [FAKE_CALL_PROGRESS] = "progress",
    [FAKE_CALL_COLLECT] = "collect",
};

const char *fake_call_name(fake_call call) { return call_names[call]; }

void fake_host_calm(fake_host *host) {
    memset(host->calls, 0, sizeof host->calls);
    memset(host->fail_at, 0, sizeof host->fail_at);
    memset(host->hooks, 0, sizeof host->hooks);
    memset(host->hook_at, 0, sizeof host->hook_at);
    host->log[0] = host->imports[0] = '\0';
}

void fake_host_fail(fake_host *host, fake_call call, size_t at, kn_status status) {
    host->fail_at[call] = at;
    host->fail_status = status;
}

void fake_host_hook(fake_host *host, fake_call call, size_t at, fake_hook hook, void *ctx) {
    host->hooks[call] = hook;
    host->hook_ctx[call] = ctx;
    host->hook_at[call] = at;
}

static kn_status enter(fake_host *host, fake_call call, kn_error *err) {
    assert_int_equal(host->left, 0);
    size_t number = __atomic_add_fetch(&host->calls[call], 1, __ATOMIC_RELAXED);
    if (host->hooks[call] && number == host->hook_at[call]) {
        host->hooks[call](host, host->hook_ctx[call]);
    }
    if (number != host->fail_at[call]) return KN_OK;
    if (err) {
        err->status = host->fail_status;
        snprintf(err->message, sizeof err->message, "the fake host failed in %s", call_names[call]);
    }
    return host->fail_status;
}

static kn_status fail_with(kn_error *err, kn_status status, const char *message) {
    if (err) {
        err->status = status;
        snprintf(err->message, sizeof err->message, "%s", message);
    }
    return status;
}

/* ---- the walk ---- */

typedef struct walk_frame {
    struct walk_frame *parent;
    fake_module *module;
    const char *name;
    uint32_t node;
} walk_frame;

static kn_status ensure_node(kn_walk *walk, walk_frame *frame, kn_error *err) {
    if (frame->node != KN_NO_PARENT) return KN_OK;
    kn_status status = frame->parent ? ensure_node(walk, frame->parent, err) : KN_OK;
    if (status) return status;
    return kn_walk_add_node(walk, frame->parent ? frame->parent->node : KN_NO_PARENT, frame->module,
                            frame->name, strlen(frame->name), &frame->node, err);
}

static void state_of(const fake_module *module, void **current, uint32_t *flags) {
    *current = module->forward.ours;
    *flags = 0;
    if (module->cls && module->cls->is_function) *flags |= KN_SITE_FUNCTION;
    if (module->forward.ours) return;
    if (module->forward.described) *flags |= KN_SITE_NOT_APPLIED;
    if (module->forward.own) *flags |= KN_SITE_FOREIGN;
}

static kn_status add_site(fake_host *host, kn_walk *walk, walk_frame *frame, kn_error *err) {
    fake_class *cls = frame->module->cls;
    kn_status status = ensure_node(walk, frame, err);
    if (!status && cls->walk != host->stamp) {
        const kn_class described = {sizeof described, cls, cls->name, cls->layer_name,
                                    cls->has_condition};
        status = kn_walk_add_class(walk, &described, &cls->walk_id, err);
        if (!status) cls->walk = host->stamp;
    }
    if (status) return status;
    void *current;
    uint32_t flags;
    state_of(frame->module, &current, &flags);
    return kn_walk_add_site(walk, frame->node, cls->walk_id, current, flags, err);
}

static kn_status walk_frames(fake_host *host, kn_walk *walk, walk_frame *frame, kn_error *err) {
    int is_new = kn_walk_visit(walk, frame->module);
    if (is_new == 0) return KN_OK;
    if (is_new < 0) return fail_with(err, KN_ERR_NOMEM, "out of memory while walking");
    kn_status status = KN_OK;
    const fake_class *cls = frame->module->cls;
    if (cls && cls->layer_name) status = add_site(host, walk, frame, err);
    for (size_t i = 0; !status && i < frame->module->count; i++) {
        const fake_child *child = &frame->module->children[i];
        walk_frame below = {frame, child->module, child->name, KN_NO_PARENT};
        status = walk_frames(host, walk, &below, err);
    }
    return status;
}

static kn_status host_walk(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    fake_host *host = ctx;
    host->stamp++;
    walk_frame root = {NULL, model, "", KN_NO_PARENT};
    kn_status status = walk_frames(host, walk, &root, err);
    /* A host that fails does so at any point of the walk. */
    return status ? status : enter(host, FAKE_CALL_WALK, err);
}

/* ---- devices ---- */

static const kn_device *first_device(const fake_host *host, fake_module *module) {
    if (module->stamp == host->stamp) return NULL;
    module->stamp = host->stamp;
    if (module->has_parameter) return &module->device;
    for (size_t i = 0; i < module->count; i++) {
        const kn_device *found = first_device(host, module->children[i].module);
        if (found) return found;
    }
    return NULL;
}

static kn_status host_system(void *ctx, kn_system *out, kn_error *err) {
    fake_host *host = ctx;
    *out = host->system;
    return enter(host, FAKE_CALL_SYSTEM, err);
}

static kn_status host_model_device(void *ctx, void *model, kn_device *out, kn_error *err) {
    fake_host *host = ctx;
    kn_status status = enter(host, FAKE_CALL_MODEL_DEVICE, err);
    if (status) return status;
    host->stamp++;
    const kn_device *found = first_device(host, model);
    if (!found) {
        return fail_with(err, KN_ERR_VALUE, "the model has no parameters: provide `device`");
    }
    *out = *found;
    return KN_OK;
}

static kn_status host_capability(void *ctx, kn_device_type type, int64_t *out, kn_error *err) {
    fake_host *host = ctx;
    assert_true(kn_device_type_has_capability(type));
    *out = host->capability;
    return enter(host, FAKE_CALL_CAPABILITY, err);
}

static kn_status host_has_unlike_devices(void *ctx, kn_device_type type, bool *out, kn_error *err) {
    fake_host *host = ctx;
    assert_true(kn_device_type_has_capability(type));
    *out = host->has_unlike_devices;
    return enter(host, FAKE_CALL_UNLIKE_DEVICES, err);
}

static kn_status host_module_device(void *ctx, void *module, bool *found, kn_device *out,
                                    kn_error *err) {
    fake_host *host = ctx;
    kn_status status = enter(host, FAKE_CALL_MODULE_DEVICE, err);
    if (status) return status;
    host->stamp++;
    const kn_device *device = first_device(host, module);
    *found = device != NULL;
    if (device) *out = *device;
    return KN_OK;
}

/* ---- user code ---- */

static kn_status host_condition(void *ctx, void *module, void *class_handle, bool *out,
                                kn_error *err) {
    fake_host *host = ctx;
    fake_module *asked = module;
    assert_ptr_equal(asked->cls, class_handle);
    *out = !asked->refused;
    return enter(host, FAKE_CALL_CONDITION, err);
}

/* A predicate is the text that it looks for. */
void *fake_predicate(const char *part) { return (void *)(uintptr_t)part; }

static kn_status host_predicate(void *ctx, void *predicate, const char *path, void *module,
                                bool *out, kn_error *err) {
    assert_int_equal(((fake_object *)module)->kind, FAKE_MODULE);
    *out = strstr(path, predicate) != NULL;
    return enter(ctx, FAKE_CALL_PREDICATE, err);
}

/* What is imported of what: a line for the test. */
static void note_import(fake_host *host, const kn_kernel_info *info) {
    char *line = host->imports + strlen(host->imports);
    size_t room = sizeof host->imports - strlen(host->imports);
    snprintf(line, room, "%s of %s at %s:", info->id, info->repo_id ? info->repo_id : "-",
             info->revision ? info->revision : "-");
    for (size_t i = 0; i < info->depend_count; i++) {
        const fake_kernel *on = info->depends[i];
        assert_int_equal(on->object.kind, FAKE_KERNEL);
        size_t length = strlen(line);
        snprintf(line + length, room - length, " %s=%s", info->depend_ids[i], on->id);
    }
    size_t length = strlen(line);
    assert_true(length + 2 < room);
    memcpy(line + length, "\n", 2);
}

static kn_status host_import_kernel(void *ctx, const kn_kernel_info *info, void **out,
                                    kn_error *err) {
    fake_host *host = ctx;
    kn_status status = enter(host, FAKE_CALL_IMPORT, err);
    if (status) return status;
    snprintf(host->imported, sizeof host->imported, "%s", info->folder);
    note_import(host, info);
    fake_kernel *kernel = fake_object_new(host, FAKE_KERNEL, sizeof *kernel);
    snprintf(kernel->id, sizeof kernel->id, "%s", info->id);
    *out = kernel;
    return KN_OK;
}

static void give_layer(fake_layer *layer, kn_layer *out) {
    fake_retain(layer);
    out->handle = layer;
    out->has_backward = layer->has_backward;
    out->can_torch_compile = layer->can_torch_compile;
}

static kn_status host_find_layer(void *ctx, void *kernel, const char *name, const char *repo,
                                 kn_layer *out, kn_error *err) {
    fake_host *host = ctx;
    assert_int_equal(((fake_object *)kernel)->kind, FAKE_KERNEL);
    assert_non_null(repo);
    kn_status status = enter(host, FAKE_CALL_FIND_LAYER, err);
    if (status) return status;
    for (fake_object *object = host->objects; object; object = object->after) {
        if (object->kind != FAKE_LAYER || strcmp(((fake_layer *)object)->name, name) != 0) continue;
        give_layer((fake_layer *)object, out);
        return KN_OK;
    }
    return fail_with(err, KN_ERR_VALUE, "the kernel has no such layer");
}

static kn_status host_load(void *ctx, void *repo_object, kn_layer *out, kn_error *err) {
    fake_repo *repo = repo_object;
    assert_int_equal(repo->object.kind, FAKE_REPO);
    kn_status status = enter(ctx, FAKE_CALL_LOAD, err);
    if (status) return status;
    if (repo->load_status) return fail_with(err, repo->load_status, "this repository cannot load");
    give_layer(repo->layer, out);
    return KN_OK;
}

static kn_status host_bind(void *ctx, void *layer, void *class_handle, const kn_forward_info *info,
                           void **out, kn_error *err) {
    fake_host *host = ctx;
    fake_layer *bound = layer;
    const fake_class *cls = class_handle;
    assert_int_equal(bound->object.kind, FAKE_LAYER);
    assert_int_equal(cls->object.kind, FAKE_CLASS);
    kn_status status = enter(host, FAKE_CALL_BIND, err);
    if (status) return status;
    if (bound->signature != cls->signature) {
        return fail_with(err, KN_ERR_TYPE, "the forwards have different signatures");
    }
    fake_forward *forward = fake_object_new(host, FAKE_FORWARD, sizeof *forward);
    forward->layer = bound;
    fake_retain(bound);
    forward->info =
        (kn_forward_info){sizeof(kn_forward_info),          fake_text_copy(info->repo),
                          fake_text_copy(info->layer_name), fake_text_copy(info->mapped_name),
                          fake_text_copy(info->commit),     fake_text_copy(info->variant)};
    *out = forward;
    return KN_OK;
}

/* ---- forwards ---- */

static kn_status host_inspect(void *ctx, void *module, void **current, uint32_t *flags,
                              kn_error *err) {
    assert_int_equal(((fake_object *)module)->kind, FAKE_MODULE);
    kn_status status = enter(ctx, FAKE_CALL_INSPECT, err);
    if (!status) state_of(module, current, flags);
    return status;
}

static kn_status host_swap(void *ctx, void *module, void *forward, void **undo, kn_error *err) {
    fake_host *host = ctx;
    fake_module *swapped = module;
    assert_int_equal(swapped->object.kind, FAKE_MODULE);
    kn_status status = enter(host, FAKE_CALL_SWAP, err);
    if (status) return status;
    fake_state *state = &swapped->forward;
    *undo = NULL;
    if (state->ours || state->described || state->own) {
        fake_undo *record = fake_object_new(host, FAKE_UNDO, sizeof *record);
        record->state = fake_state_copy(state);
        *undo = record;
    }
    fake_state made = {.ours = forward, .own = state->own};
    if (forward) fake_retain(forward);
    fake_state_clear(state);
    *state = made;
    return KN_OK;
}

static kn_status host_restore(void *ctx, void *module, void *undo, kn_error *err) {
    fake_module *restored = module;
    assert_int_equal(restored->object.kind, FAKE_MODULE);
    kn_status status = enter(ctx, FAKE_CALL_RESTORE, err);
    if (status) return status;
    fake_state before = {0};
    if (undo) before = fake_state_copy(&((fake_undo *)undo)->state);
    fake_state_clear(&restored->forward);
    restored->forward = before;
    return KN_OK;
}

static kn_status host_describe(void *ctx, void *forward, kn_forward_info *out, kn_error *err) {
    assert_int_equal(((fake_object *)forward)->kind, FAKE_FORWARD);
    *out = ((fake_forward *)forward)->info;
    return enter(ctx, FAKE_CALL_DESCRIBE, err);
}

static kn_status host_describe_module(void *ctx, void *module, kn_forward_info *out,
                                      kn_error *err) {
    *out = ((fake_module *)module)->forward.described->info;
    return enter(ctx, FAKE_CALL_DESCRIBE_MODULE, err);
}

/* ---- repositories ---- */

static int repo_equal(void *a, void *b) {
    const fake_repo *left = a, *right = b;
    if (enter(left->object.host, FAKE_CALL_REPO_EQUAL, NULL)) return -1;
    return left->equals && right->equals && strcmp(left->equals, right->equals) == 0;
}

static bool repo_hash(void *object, uint64_t *out) {
    const fake_repo *repo = object;
    *out = 7; /* all alike, so that comparing is what tells them apart */
    return enter(repo->object.host, FAKE_CALL_REPO_HASH, NULL) == KN_OK;
}

static kn_status repo_describe(void *object, kn_repo_info *out, kn_error *err) {
    const fake_repo *repo = object;
    *out = repo->info;
    return enter(repo->object.host, FAKE_CALL_REPO_DESCRIBE, err);
}

static const kn_repo_ops repo_ops = {
    sizeof(kn_repo_ops), fake_retain, fake_release, repo_equal, repo_hash, repo_describe,
};

fake_repo *fake_repo_of_kind(fake_host *host, kn_repo_kind kind, const char *id,
                             const char *layer_name) {
    fake_repo *repo = fake_object_new(host, FAKE_REPO, sizeof *repo);
    repo->info =
        (kn_repo_info){.size = sizeof repo->info, .kind = kind, .id = id, .layer_name = layer_name};
    assert_int_equal(kn_repo_new(NULL, repo, &repo_ops, &repo->handle, NULL), KN_OK);
    fake_host_own(host, repo);
    return repo;
}

fake_repo *fake_repo_new(fake_host *host, const char *id, fake_layer *layer) {
    fake_repo *repo = fake_repo_of_kind(host, KN_REPO_HOST, id, NULL);
    repo->layer = layer;
    if (layer)
        fake_retain(layer);
    else
        repo->load_status = KN_ERR_NOT_FOUND;
    return repo;
}

/* ---- the rest ---- */

static bool host_watch(void *ctx, void *object) {
    fake_retain(object); /* it must be alive */
    fake_release(object);
    return enter(ctx, FAKE_CALL_WATCH, NULL) == KN_OK;
}

static const char *host_model_name(void *ctx, void *model) {
    (void)ctx;
    const fake_module *module = model;
    return module->cls ? module->cls->name : "a model";
}

static void host_log(void *ctx, kn_log_level level, kn_log_topic topic, const char *message) {
    fake_host *host = ctx;
    enter(host, FAKE_CALL_LOG, NULL);
    host->topic = topic;
    size_t length = strlen(host->log);
    const char *name = level == KN_LOG_WARNING ? "warning"
                       : level == KN_LOG_INFO  ? "info"
                                               : "debug";
    snprintf(host->log + length, sizeof host->log - length, "%s: %s\n", name, message);
}

static void *host_leave(void *ctx) {
    fake_host *host = ctx;
    host->leaves++;
    host->left++;
    return &host->left;
}

static void host_enter(void *ctx, void *left) {
    fake_host *host = ctx;
    assert_ptr_equal(left, &host->left);
    assert_true(host->left-- > 0);
}

static bool host_cancelled(void *ctx) { return enter(ctx, FAKE_CALL_CANCELLED, NULL) != KN_OK; }

static kn_status host_can_import(void *ctx, const char *name, bool *out, kn_error *err) {
    fake_host *host = ctx;
    *out = !host->missing || strcmp(host->missing, name) != 0;
    return enter(host, FAKE_CALL_CAN_IMPORT, err);
}

static kn_status host_gpu(void *ctx, kn_gpu *out, kn_error *err) {
    fake_host *host = ctx;
    *out = host->gpu;
    return enter(host, FAKE_CALL_GPU, err);
}

static void host_progress(void *ctx, int64_t done, int64_t total) {
    fake_host *host = ctx;
    enter(host, FAKE_CALL_PROGRESS, NULL);
    host->progress_done = done;
    host->progress_total = total;
}

static void host_collect(void *ctx) { enter(ctx, FAKE_CALL_COLLECT, NULL); }

size_t fake_host_logged(const fake_host *host, const char *part) {
    size_t lines = 0;
    for (const char *line = host->log; *line;) {
        const char *end = strchr(line, '\n');
        const char *found = strstr(line, part);
        lines += found && end && found < end;
        line = end ? end + 1 : line + strlen(line);
    }
    return lines;
}

fake_host *fake_host_new(void) {
    fake_host *host = calloc(1, sizeof *host);
    assert_non_null(host);
    host->capability = KN_CAPABILITY_UNKNOWN;
    host->gpu = (kn_gpu){sizeof host->gpu, KN_CAPABILITY_UNKNOWN, NULL};
    host->system = (kn_system){sizeof(kn_system), 2,       13,    1,    -1,    -1,   "cpu",
                               "x86_64",          "linux", false, NULL, false, false};
    host->table = (kn_host){
        .size = sizeof host->table,
        .ctx = host,
        .retain = fake_retain,
        .release = fake_release,
        .system = host_system,
        .walk = host_walk,
        .model_device = host_model_device,
        .capability = host_capability,
        .has_unlike_devices = host_has_unlike_devices,
        .module_device = host_module_device,
        .condition = host_condition,
        .predicate = host_predicate,
        .import_kernel = host_import_kernel,
        .find_layer = host_find_layer,
        .load = host_load,
        .bind = host_bind,
        .inspect = host_inspect,
        .swap = host_swap,
        .restore = host_restore,
        .describe = host_describe,
        .describe_module = host_describe_module,
        .watch = host_watch,
        .model_name = host_model_name,
        .log = host_log,
        .leave = host_leave,
        .enter = host_enter,
        .can_import = host_can_import,
        .gpu = host_gpu,
        .progress = host_progress,
        .cancelled = host_cancelled,
        .collect = host_collect,
    };
    return host;
}
