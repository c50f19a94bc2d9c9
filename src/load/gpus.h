/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_GPUS_H
#define KNI_LOAD_GPUS_H

#include <kernels/device.h>

/* The capability of the first device that kn_gpus_read tells; KN_CAPABILITY_UNKNOWN where that
 * fails or there is none. *unlike: another one differs. */
void kni_gpus_capability(int64_t *out, bool *unlike);

/* What kn_gpus_cuda tells, 130 for CUDA 13.0; 0 where there is no device. */
int kni_gpus_cuda(void);

#endif
