/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LAUNCH_H
#define KB_LAUNCH_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cudaLaunchKernelExC by a shorter way: the handle of a kernel is looked up once a thread. */
int kb_cuda_launch(const cudaLaunchConfig_t *config, const void *kernel, void **arguments);

#ifdef __cplusplus
}
#endif

#endif
