/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

kn_status kni_fail(kn_error *err, kn_status status, const char *format, ...) {
    if (!err) return status;
    err->status = status;
    /* A caller that was built with a shorter message has room for that only. */
    size_t room = err->size - offsetof(kn_error, message);
    if (room > sizeof err->message) room = sizeof err->message;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->message, room, format, args);
    va_end(args);
    /* A cut in the middle of a UTF-8 sequence would make the message undecodable. */
    if (length >= 0 && (size_t)length >= room) {
        size_t end = room - 1;
        while (end > 0 && ((unsigned char)err->message[end - 1] & 0xC0u) == 0x80u) end--;
        if (end > 0 && (unsigned char)err->message[end - 1] >= 0xC0u) end--;
        err->message[end] = '\0';
    }
    return status;
}

kn_status kni_no_memory(kn_error *err, const char *doing) {
    return kni_fail(err, KN_ERR_NOMEM, "out of memory while %s", doing);
}

kn_status kni_best_effort(kn_status status, const char *doing, kn_error *err) {
    return status == KN_ERR_NOMEM ? kni_no_memory(err, doing) : KN_OK;
}

const char *kn_status_text(kn_status status) {
    static const char *const texts[] = {
        [KN_OK] = "ok",
        [KN_ERR_NOMEM] = "no-memory",
        [KN_ERR_VALUE] = "value",
        [KN_ERR_TYPE] = "type",
        [KN_ERR_NOT_FOUND] = "not-found",
        [KN_ERR_OS] = "os",
        [KN_ERR_RUNTIME] = "runtime",
        [KN_ERR_UNSUPPORTED] = "unsupported",
        [KN_ERR_HOST] = "host",
        [KN_ERR_CANCELLED] = "cancelled",
        [KN_ERR_NETWORK] = "network",
        [KN_ERR_TIMEOUT] = "timeout",
        [KN_ERR_REPOSITORY] = "repository",
        [KN_ERR_REVISION] = "revision",
        [KN_ERR_GATED] = "gated",
        [KN_ERR_INTEGRITY] = "integrity",
        [KN_ERR_UNTRUSTED] = "untrusted",
        [KN_ERR_DEPENDENCY] = "dependency",
        [KN_ERR_DENIED] = "denied",
    };
    bool is_known = (size_t)status < sizeof texts / sizeof *texts;
    return is_known ? texts[status] : "unknown";
}

const char *kn_version(void) { return KN_VERSION; }
