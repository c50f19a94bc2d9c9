/* SPDX-License-Identifier: Apache-2.0 */
/* How the library names itself to a Hub, as upstream does: "kernels/0.17.2; python/3.11;
 * backend/cu130; platform/x86_64-linux; file_type/kernel; torch/2.13; glibc/2.39". Pure. */
#ifndef KNI_HUB_USER_AGENT_H
#define KNI_HUB_USER_AGENT_H

#include <kernels/common.h>

/* Texts are NULL, and versions -1, where there is none: that part is left out. */
typedef struct kni_user_agent {
    const char *version; /* the library's; needed */
    const char *own;     /* the caller's parts, "; " between them; they come first */
    const char *python;  /* "3.11" */
    const char *backend; /* "cu130" */
    const char *arch;    /* "x86_64" */
    const char *os;      /* "linux"; only together with `arch` */
    const char *glibc;   /* "2.39" */
    int torch_major, torch_minor;
    int tvm_ffi_major, tvm_ffi_minor;
    bool telemetry_disabled; /* "kernels/<version>" and nothing else */
} kni_user_agent;

#define KNI_USER_AGENT_MAX 1024 /* bytes, NUL included */

/* Writes the header's value and returns `out`. What is not printable ASCII is left out of each
 * text; `own` is cut at 480 bytes and the others at 48. */
const char *kni_user_agent_write(const kni_user_agent *agent, char out[KNI_USER_AGENT_MAX]);

#endif
