/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_DEVICE_H
#define KB_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

/* Where a tensor lies. */
typedef enum kb_device_type { KB_DEVICE_CPU, KB_DEVICE_CUDA } kb_device_type;

typedef struct kb_device {
    kb_device_type type;
    int32_t index; /* 0 for the CPU */
} kb_device;

static inline bool kb_device_equal(kb_device a, kb_device b) {
    return a.type == b.type && a.index == b.index;
}

/* Only variants built with KB_HAS_CUDA know CUDA devices; in the others this is a constant, and
 * what stands behind it is not compiled in. */
#ifdef KB_HAS_CUDA
#define KB_ON_CUDA(device) ((device).type == KB_DEVICE_CUDA)
#else
#define KB_ON_CUDA(device) false
#endif

#endif
