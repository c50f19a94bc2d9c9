/* SPDX-License-Identifier: Apache-2.0 */
/* A libtvm_ffi for the C tests: what kernels and libkernels use of it, of the version that it is
 * built as (FAKE_MINOR). */
#include <kernels/native.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define STREAM_DEVICES 4

typedef struct fake_version {
    uint32_t major, minor, patch;
} fake_version;

typedef struct fake_object {
    uint64_t count;
    int32_t type;
    uint32_t padding;
    void (*deleter)(void *self, int flags);
} fake_object;

typedef struct fake_error {
    fake_object object;
    kn_bytes kind, message, backtrace;
    char text[];
} fake_error;

static _Thread_local fake_error *raised;
static _Thread_local void *streams[STREAM_DEVICES];

EXPORT void TVMFFIGetVersion(fake_version *out);
EXPORT int TVMFFIEnvSetStream(int32_t type, int32_t id, void *stream, void **previous);
EXPORT void *TVMFFIEnvGetStream(int32_t type, int32_t id);
EXPORT void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
EXPORT void TVMFFIErrorMoveFromRaised(void **out);

void TVMFFIGetVersion(fake_version *out) { *out = (fake_version){0, FAKE_MINOR, 7}; }

int TVMFFIEnvSetStream(int32_t type, int32_t id, void *stream, void **previous) {
    if (type != KN_TENSOR_CUDA || id < 0 || id >= STREAM_DEVICES) {
        TVMFFIErrorSetRaisedFromCStr("ValueError", "no such device");
        return -1;
    }
    if (previous) *previous = streams[id];
    streams[id] = stream;
    return 0;
}

void *TVMFFIEnvGetStream(int32_t type, int32_t id) {
    return type == KN_TENSOR_CUDA && id >= 0 && id < STREAM_DEVICES ? streams[id] : NULL;
}

static void delete_error(void *self, int flags) {
    if (flags & 2) free(self);
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
    size_t first = strlen(kind), second = strlen(message);
    fake_error *error = calloc(1, sizeof *error + first + second);
    if (!error) abort();
    error->object =
        (fake_object){.count = 1 + ((uint64_t)1 << 32), .type = 67, .deleter = delete_error};
    memcpy(error->text, kind, first);
    memcpy(error->text + first, message, second);
    error->kind = (kn_bytes){error->text, first};
    error->message = (kn_bytes){error->text + first, second};
    free(raised);
    raised = error;
}

void TVMFFIErrorMoveFromRaised(void **out) {
    *out = raised;
    raised = NULL;
}
