/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for the tensors that kernels make (DLPackManagedTensorAllocator). */
#ifndef KNI_NATIVE_MEMORY_H
#define KNI_NATIVE_MEMORY_H

#include <kernels/native.h>

/* A packed tensor like `prototype`, in the processor's memory, aligned to 64 bytes; -1 after
 * `failed` was told why, for other devices and without memory. */
int kni_native_allocate(kn_tensor *prototype, kn_managed_tensor **out, void *ctx,
                        void (*failed)(void *ctx, const char *kind, const char *message));

#endif
