/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_GPUS_H
#define KNI_LOAD_GPUS_H

#include <kernels/device.h>

/* The capability of the first device that kn_gpus_read tells; KN_CAPABILITY_UNKNOWN where that
 * fails or there is none. *unlike: another one differs. */
void kni_gpus_capability(int64_t *out, bool *unlike);

#endif
