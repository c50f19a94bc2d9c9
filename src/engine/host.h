/* SPDX-License-Identifier: Apache-2.0 */
/* A host with what its program left out: the defaults of include/kernels/host.h, and the sinks of
 * the engine. Thread safe. */
#ifndef KNI_ENGINE_HOST_H
#define KNI_ENGINE_HOST_H

#include "engine/state.h"

/* `host` (NULL: one without callbacks) in `room`, with a default for what it does not have, and
 * NULL for what is told or asked by the functions below. Returns room. */
const kn_host *kni_host_complete(const kn_host *host, kn_host *room);

/* The host's system, or the engine's. */
kn_status kni_host_system(kn_engine *engine, const kn_host *host, kn_system *out, kn_error *err);
/* To the host, or to the engine's sinks. */
void kni_host_log(kn_engine *engine, const kn_host *host, kn_log_level level, kn_log_topic topic,
                  const char *message);
void kni_host_progress(kn_engine *engine, const kn_host *host, int64_t done, int64_t total);
/* Whether the host or kn_engine_cancel wants the call to end. */
bool kni_host_is_cancelled(kn_engine *engine, const kn_host *host);

#endif
