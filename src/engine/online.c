/* SPDX-License-Identifier: Apache-2.0 */
/* The network, once it is needed: the module with its libraries, a transport that keeps its
 * connections from call to call, and one session for each call. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "engine/host.h"
#include "hub/user_agent.h"
#include "load/digest.h"
#include "load/net_library.h"
#include "os/clock.h"
#include "os/files.h"

#define CONNECTIONS 24    /* to one host */
#define CONNECT_MS 10000  /* refused connections and unknown hosts are given up after it */
#define IDLE_TRANSPORTS 4 /* kept for later calls */
#define LIFE_MS 1000      /* between signs of life to other processes */

/* ---- the module ---- */

static kn_status load_net(kn_engine *engine, kn_error *err) {
    char *path;
    const kni_net *net;
    const char *chosen = kni_environment("KERNELS_NET_LIBRARY");
    kn_status status =
        kni_net_path(engine->alloc, chosen ? chosen : engine->net_library, &path, err);
    if (status) return status;
    status = kni_net_load(path, &net, err);
    kni_free(engine->alloc, path);
    if (status) return status;
    kni_lock_take(engine->lock);
    engine->net = net; /* the same one, whoever loaded it */
    kni_lock_drop(engine->lock);
    return KN_OK;
}

kn_status kni_engine_net(kn_engine *engine, const kni_net **out, kn_error *err) {
    *out = NULL;
    for (int turn = 0; turn < 2; turn++) {
        kni_lock_take(engine->lock);
        *out = engine->net;
        kni_lock_drop(engine->lock);
        if (*out) return KN_OK;
        kn_status status = load_net(engine, err);
        if (status) return status;
    }
    return kni_fail(err, KN_ERR_RUNTIME, "the network module could not be kept");
}

kn_status kn_engine_load_network(kn_engine *engine, kn_error *err) {
    const kni_net *net;
    return kni_engine_net(engine, &net, err);
}

kn_status kni_batch_net(kni_batch *batch, const kni_net **out, kn_error *err) {
    return kni_engine_net(batch->engine, out, err);
}

kn_status kn_engine_digest_folder(kn_engine *engine, const char *folder,
                                  kn_digest_algorithm algorithm, kn_file_digests **out,
                                  kn_error *err) {
    *out = NULL;
    const kni_net *net;
    if (algorithm == KN_DIGEST_NONE)
        return kni_fail(err, KN_ERR_VALUE, "'%s': no algorithm was given to hash it", folder);
    kn_status status = kni_engine_net(engine, &net, err);
    return status ? status : kni_digest_folder(engine->alloc, folder, algorithm, net, out, err);
}

/* ---- transports ---- */

/* One that nobody uses. What came through a fork belonged to the parent, and its connections are
 * closed here: it is left alone. */
static kni_idle_transport *take_idle(kn_engine *engine) {
    kni_idle_transport *found = NULL;
    int64_t process = kni_process_id();
    kni_lock_take(engine->lock);
    while (engine->idle_count && !found) {
        kni_idle_transport *last = engine->idle[--engine->idle_count];
        if (last->process == process) found = last;
    }
    kni_lock_drop(engine->lock);
    return found;
}

static kn_status make_transport(kni_batch *batch, kn_transport *out, kn_error *err) {
    kn_engine *engine = batch->engine;
    if (engine->transport_new) return engine->transport_new(engine->transport_ctx, out, err);
    const kni_net *net;
    kn_status status = kni_batch_net(batch, &net, err);
    return status ? status : net->transport_new(engine->alloc, CONNECTIONS, out, err);
}

static kn_status get_transport(kni_batch *batch, kn_error *err) {
    if (batch->transport) return KN_OK;
    batch->transport = take_idle(batch->engine);
    if (batch->transport) return KN_OK;
    kn_engine *engine = batch->engine;
    kni_idle_transport *made = kni_new(engine->alloc, sizeof *made);
    if (!made) return kni_no_memory(err, "opening the network");
    made->process = kni_process_id();
    made->transport.size = sizeof made->transport;
    kn_status status = make_transport(batch, &made->transport, err);
    if (status)
        kni_free(engine->alloc, made);
    else
        batch->transport = made;
    return status;
}

static void free_transport(const kn_engine *engine, kni_idle_transport *transport) {
    transport->transport.free(transport->transport.ctx);
    kni_free(engine->alloc, transport);
}

static void put_transport(kni_batch *batch) {
    kn_engine *engine = batch->engine;
    kni_idle_transport *transport = batch->transport;
    if (!transport) return;
    batch->transport = NULL;
    if (transport->process != kni_process_id()) return;
    kni_lock_take(engine->lock);
    bool kept = engine->idle_count < IDLE_TRANSPORTS;
    if (kept) engine->idle[engine->idle_count++] = transport;
    kni_lock_drop(engine->lock);
    if (!kept) free_transport(engine, transport);
}

void kni_engine_transports_free(kn_engine *engine) {
    while (engine->idle_count) {
        kni_idle_transport *last = engine->idle[--engine->idle_count];
        if (last->process == kni_process_id()) free_transport(engine, last);
    }
}

/* ---- the session ---- */

static int64_t session_now(void *ctx) {
    (void)ctx;
    return kni_clock_ms();
}

bool kni_batch_is_cancelled(kni_batch *batch) {
    const kn_host *host = batch->run->host;
    if (host->enter) host->enter(host->ctx, batch->left);
    bool cancelled = kni_host_is_cancelled(batch->engine, host);
    if (!cancelled && batch->pulled != batch->shown) {
        batch->shown = batch->pulled;
        kni_host_progress(batch->engine, host, batch->pulled, batch->to_pull);
    }
    batch->left = host->leave ? host->leave(host->ctx) : NULL;
    /* In a child that the host has just forked there are no locks and no connections to go on with.
     */
    return cancelled || kni_process_id() != batch->process;
}

static bool session_cancelled(void *ctx) {
    kni_batch *batch = ctx;
    int64_t now = kni_clock_ms();
    if (now - batch->life_ms >= LIFE_MS && batch->session.last_byte_ms > batch->life_ms) {
        batch->life_ms = now;
        kni_batch_show_life(batch);
    }
    return kni_batch_is_cancelled(batch);
}

static void session_trace(void *ctx, const char *line) {
    (void)ctx;
    fprintf(stderr, "kernels: %s\n", line);
}

static void session_progress(void *ctx, int64_t new_bytes) {
    ((kni_batch *)ctx)->pulled += new_bytes;
}

static kn_status make_agent(kni_batch *batch, kn_error *err) {
    const kn_system *system = &batch->run->system;
    const char *own = NULL;
    for (size_t i = 0; i < batch->count && !own; i++) own = batch->wants[i]->user_agent;
    kni_user_agent agent = {
        .version = kn_version(),
        .own = own,
        .python = system->python,
        .backend = system->backend,
        .arch = system->arch,
        .os = system->os,
        .glibc = kni_libc_version(),
        .torch_major = system->torch_major,
        .torch_minor = system->torch_minor,
        .tvm_ffi_major = system->tvm_ffi_major,
        .tvm_ffi_minor = system->tvm_ffi_minor,
        .telemetry_disabled = !batch->settings.telemetry,
    };
    char text[KNI_USER_AGENT_MAX];
    batch->agent = kni_text_copy(batch->alloc, kni_user_agent_write(&agent, text));
    return batch->agent ? KN_OK : kni_no_memory(err, "asking the Hub");
}

static kn_status open_session(kni_batch *batch, kn_error *err) {
    kn_status status = get_transport(batch, err);
    if (status) return status;
    batch->session.transport = &batch->transport->transport;
    batch->session.transport_failed = false;
    if (batch->agent) return KN_OK;
    status = kni_batch_read_tokens(batch, err);
    if (!status) status = make_agent(batch, err);
    batch->session = (kni_session){
        .alloc = batch->alloc,
        .transport = &batch->transport->transport,
        .origins = batch->origins,
        .origin_count = batch->source_count,
        .user_agent = batch->agent,
        .timeout_ms = batch->settings.timeout_ms,
        .connect_ms = CONNECT_MS,
        .ctx = batch,
        .now_ms = session_now,
        .cancelled = session_cancelled,
        .trace = batch->settings.trace_http ? session_trace : NULL,
        .progress = session_progress,
    };
    return status;
}

static kn_status transfer_from_web(kni_batch *batch, kni_transfer *const *transfers, size_t count,
                                   bool impatient, kn_error *err) {
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = open_session(batch, &cause);
    if (kni_is_fatal(status)) return kni_fail(err, status, "%s", cause.message);
    batch->session.impatient = impatient;
    for (size_t i = 0; status && i < count; i++) {
        kn_error_init(&transfers[i]->err);
        transfers[i]->status = kni_fail(&transfers[i]->err, status, "%s", cause.message);
    }
    if (status) return KN_OK;
    status = kni_session_run(&batch->session, transfers, count, err);
    if (batch->session.transport_failed) {
        free_transport(batch->engine, batch->transport);
        batch->transport = NULL;
    }
    return status == KN_ERR_TIMEOUT ? KN_OK : status; /* each transfer says so itself */
}

/* Makes those from directories, and lists the others in `web`; how many those are. KN_ERR_NOMEM in
 * `err` is found by its status. */
static size_t transfer_from_directories(kni_batch *batch, kni_transfer *const *transfers,
                                        size_t count, kni_transfer **web, kn_status *status) {
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (kni_url_is_directory(transfers[i]->url)) {
            kni_directory_transfer(batch, transfers[i]);
            if (transfers[i]->status == KN_ERR_NOMEM) *status = KN_ERR_NOMEM;
        } else {
            web[left++] = transfers[i];
        }
    }
    return left;
}

kn_status kni_batch_transfer(kni_batch *batch, kni_transfer *const *transfers, size_t count,
                             bool impatient, kn_error *err) {
    bool has_directories = false;
    for (size_t i = 0; i < count; i++)
        has_directories = has_directories || kni_url_is_directory(transfers[i]->url);
    if (!has_directories) return transfer_from_web(batch, transfers, count, impatient, err);
    kni_transfer **web = kni_new(batch->alloc, count * sizeof(kni_transfer *));
    if (!web) return kni_no_memory(err, "asking the sources");
    kn_status status = KN_OK;
    size_t left = transfer_from_directories(batch, transfers, count, web, &status);
    if (status)
        kni_no_memory(err, "asking the sources");
    else if (left)
        status = transfer_from_web(batch, web, left, impatient, err);
    kni_free(batch->alloc, web);
    return status;
}

void kni_batch_close_session(kni_batch *batch) {
    put_transport(batch);
    for (size_t i = 0; i < batch->source_count; i++) {
        kni_free(batch->alloc, batch->tokens[i]);
        batch->tokens[i] = NULL;
    }
    kni_free(batch->alloc, batch->agent);
    batch->agent = NULL;
}

/* ---- warnings ---- */

static kn_status add_warning(kni_batch *batch, kn_log_level level, kn_log_topic topic,
                             const char *message) {
    char *copy = kni_text_copy(batch->alloc, message);
    if (!copy || !kni_reserve(batch->alloc, &batch->warnings, &batch->warning_capacity,
                              batch->warning_count + 1, sizeof *batch->warnings)) {
        kni_free(batch->alloc, copy);
        return KN_ERR_NOMEM;
    }
    batch->warnings[batch->warning_count++] = (struct kni_warning){copy, level, topic};
    return KN_OK;
}

kn_status kni_batch_warn(kni_batch *batch, kn_log_topic topic, const char *format, ...) {
    char message[KN_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return add_warning(batch, KN_LOG_WARNING, topic, message);
}

kn_status kni_batch_tell(kni_batch *batch, kn_log_level level, kn_log_topic topic,
                         const char *format, ...) {
    char message[KN_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return add_warning(batch, level, topic, message);
}
