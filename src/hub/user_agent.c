/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/user_agent.h"

#include <stdio.h>
#include <string.h>

#define OWN_MAX 480
#define VALUE_MAX 48
#define NAME_MAX_LENGTH 10 /* "platform/" */

/* The caller's parts, up to eight others with their separators, and a second value in one of them.
 */
_Static_assert(OWN_MAX + 8 * (2 + NAME_MAX_LENGTH + VALUE_MAX) + 1 + VALUE_MAX < KNI_USER_AGENT_MAX,
               "a user agent fits");

/* Appends up to `limit` printable characters of `text`. */
static char *add(char *at, const char *text, size_t limit) {
    for (; *text && limit; text++) {
        if (*text < 0x20 || *text > 0x7E) continue;
        *at++ = *text;
        limit--;
    }
    *at = '\0';
    return at;
}

/* A part of its own, unless nothing has been written yet. */
static char *begin(char *at, const char *start) { return at == start ? at : add(at, "; ", 2); }

static char *add_part(char *at, const char *start, const char *name, const char *value) {
    if (!value) return at;
    at = add(begin(at, start), name, NAME_MAX_LENGTH);
    return add(at, value, VALUE_MAX);
}

static char *add_version(char *at, const char *start, const char *name, int major, int minor) {
    char version[32];
    if (major < 0) return at;
    snprintf(version, sizeof version, "%d.%d", major, minor);
    return add_part(at, start, name, version);
}

const char *kni_user_agent_write(const kni_user_agent *agent, char out[KNI_USER_AGENT_MAX]) {
    char *at = out;
    *at = '\0';
    if (agent->telemetry_disabled) {
        add_part(at, out, "kernels/", agent->version);
        return out;
    }
    if (agent->own) at = add(at, agent->own, OWN_MAX);
    at = add_part(at, out, "kernels/", agent->version);
    at = add_part(at, out, "python/", agent->python);
    at = add_part(at, out, "backend/", agent->backend);
    if (agent->arch && agent->os) {
        at = add_part(at, out, "platform/", agent->arch);
        at = add(add(at, "-", 1), agent->os, VALUE_MAX);
    }
    at = add(begin(at, out), "file_type/kernel", 16);
    at = add_version(at, out, "torch/", agent->torch_major, agent->torch_minor);
    at = add_version(at, out, "tvm-ffi/", agent->tvm_ffi_major, agent->tvm_ffi_minor);
    add_part(at, out, "glibc/", agent->glibc);
    return out;
}
