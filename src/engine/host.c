/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/host.h"

#include <kernels/native.h>
#include <string.h>

#include "base/error.h"
#include "load/gpus.h"

static void no_handle(void *handle) { (void)handle; }

static kn_status cannot(kn_error *err, const char *callback) {
    return kni_fail(err, KN_ERR_UNSUPPORTED, "the host has no callback '%s', which this call needs",
                    callback);
}

/* ---- what a host need not have ---- */

static kn_status default_model_device(void *ctx, void *model, kn_device *out, kn_error *err) {
    (void)ctx, (void)model, (void)err;
    *out = (kn_device){sizeof *out, KN_DEVICE_CPU, -1, KN_CAPABILITY_UNKNOWN, "cpu"};
    return KN_OK;
}

static kn_status default_unlike(void *ctx, kn_device_type type, bool *out, kn_error *err) {
    (void)ctx, (void)type, (void)err;
    *out = false;
    return KN_OK;
}

/* The CUDA driver's answers, for a host that does not tell the capability. */
static kn_status driver_capability(void *ctx, kn_device_type type, int64_t *out, kn_error *err) {
    (void)ctx, (void)err;
    bool unlike;
    *out = KN_CAPABILITY_UNKNOWN;
    if (type == KN_DEVICE_CUDA) kni_gpus_capability(out, &unlike);
    return KN_OK;
}

static kn_status driver_unlike(void *ctx, kn_device_type type, bool *out, kn_error *err) {
    (void)ctx, (void)err;
    int64_t capability;
    *out = false;
    if (type == KN_DEVICE_CUDA) kni_gpus_capability(&capability, out);
    return KN_OK;
}

/* Of unlike devices it is not known which is meant. */
static kn_status driver_gpu(void *ctx, kn_gpu *out, kn_error *err) {
    (void)ctx, (void)err;
    bool unlike;
    out->gcn_arch = NULL;
    kni_gpus_capability(&out->capability, &unlike);
    if (unlike) out->capability = KN_CAPABILITY_UNKNOWN;
    return KN_OK;
}

static kn_status default_module_device(void *ctx, void *module, bool *found, kn_device *out,
                                       kn_error *err) {
    (void)ctx, (void)module, (void)out, (void)err;
    *found = false;
    return KN_OK;
}

static kn_status default_describe(void *ctx, void *object, kn_forward_info *out, kn_error *err) {
    (void)ctx, (void)object, (void)err;
    out->repo = NULL;
    return KN_OK;
}

static bool default_watch(void *ctx, void *object) {
    (void)ctx, (void)object;
    return false;
}

static const char *default_model_name(void *ctx, void *model) {
    (void)ctx, (void)model;
    return "the model";
}

/* ---- what it must have for a model ---- */

static kn_status no_walk(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    (void)ctx, (void)model, (void)walk;
    return cannot(err, "walk");
}

static kn_status no_condition(void *ctx, void *module, void *class_handle, bool *out,
                              kn_error *err) {
    (void)ctx, (void)module, (void)class_handle;
    *out = false;
    return cannot(err, "condition");
}

static kn_status no_predicate(void *ctx, void *predicate, const char *path, void *module, bool *out,
                              kn_error *err) {
    (void)ctx, (void)predicate, (void)path, (void)module;
    *out = false;
    return cannot(err, "predicate");
}

static kn_status no_import(void *ctx, const kn_kernel_info *info, void **out, kn_error *err) {
    (void)ctx, (void)info;
    *out = NULL;
    return cannot(err, "import_kernel");
}

static kn_status no_find_layer(void *ctx, void *kernel, const char *name, const char *repo,
                               kn_layer *out, kn_error *err) {
    (void)ctx, (void)kernel, (void)name, (void)repo;
    out->handle = NULL;
    return cannot(err, "find_layer");
}

static kn_status no_load(void *ctx, void *repo_object, kn_layer *out, kn_error *err) {
    (void)ctx, (void)repo_object;
    out->handle = NULL;
    return cannot(err, "load");
}

static kn_status no_bind(void *ctx, void *layer, void *class_handle, const kn_forward_info *info,
                         void **out, kn_error *err) {
    (void)ctx, (void)layer, (void)class_handle, (void)info;
    *out = NULL;
    return cannot(err, "bind");
}

static kn_status no_inspect(void *ctx, void *module, void **current, uint32_t *flags,
                            kn_error *err) {
    (void)ctx, (void)module;
    *current = NULL;
    *flags = 0;
    return cannot(err, "inspect");
}

static kn_status no_swap(void *ctx, void *module, void *forward, void **undo, kn_error *err) {
    (void)ctx, (void)module, (void)forward;
    *undo = NULL;
    return cannot(err, "swap");
}

static kn_status no_restore(void *ctx, void *module, void *undo, kn_error *err) {
    (void)ctx, (void)module, (void)undo;
    return cannot(err, "restore");
}

#define DEFAULT(callback, value) \
    if (!room->callback) room->callback = (value)

const kn_host *kni_host_complete(const kn_host *host, kn_host *room) {
    *room = (kn_host){.size = 0};
    if (host) memcpy(room, host, host->size < sizeof *room ? host->size : sizeof *room);
    room->size = sizeof *room;
    DEFAULT(retain, no_handle);
    DEFAULT(release, no_handle);
    DEFAULT(walk, no_walk);
    DEFAULT(model_device, default_model_device);
    if (!room->capability) {
        DEFAULT(gpu, driver_gpu);
        DEFAULT(has_unlike_devices, driver_unlike);
        room->capability = driver_capability;
    }
    DEFAULT(has_unlike_devices, default_unlike);
    DEFAULT(module_device, default_module_device);
    DEFAULT(condition, no_condition);
    DEFAULT(predicate, no_predicate);
    DEFAULT(import_kernel, no_import);
    DEFAULT(find_layer, no_find_layer);
    DEFAULT(load, no_load);
    DEFAULT(bind, no_bind);
    DEFAULT(inspect, no_inspect);
    DEFAULT(swap, no_swap);
    DEFAULT(restore, no_restore);
    DEFAULT(describe, default_describe);
    DEFAULT(describe_module, default_describe);
    DEFAULT(watch, default_watch);
    DEFAULT(model_name, default_model_name);
    return room;
}

/* ---- told and asked here or there ---- */

kn_status kni_host_system(kn_engine *engine, const kn_host *host, kn_system *out, kn_error *err) {
    if (host->system) return host->system(host->ctx, out, err);
    if (!engine->system) return kn_engine_native_system(engine, out, err);
    const kn_system *given = engine->system;
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    out->size = sizeof *out;
    return KN_OK;
}

void kni_host_log(kn_engine *engine, const kn_host *host, kn_log_level level, kn_log_topic topic,
                  const char *message) {
    if (host->log)
        host->log(host->ctx, level, topic, message);
    else if (engine->log)
        engine->log(engine->sink_ctx, level, topic, message);
}

void kni_host_progress(kn_engine *engine, const kn_host *host, int64_t done, int64_t total) {
    if (host->progress)
        host->progress(host->ctx, done, total);
    else if (engine->progress)
        engine->progress(engine->sink_ctx, done, total);
}

bool kni_host_is_cancelled(kn_engine *engine, const kn_host *host) {
    if (kni_flag_is_set(&engine->cancelled)) return true;
    return host->cancelled && host->cancelled(host->ctx);
}
