/* SPDX-License-Identifier: Apache-2.0 */
/* What a mapping can need on a machine. Pure. */
#ifndef KNI_LAYERS_NEEDS_H
#define KNI_LAYERS_NEEDS_H

#include <kernels/mapping.h>

/* A type of device that the machine has. */
typedef struct kni_needs_device {
    kn_device_type type;
    int64_t capability; /* KN_CAPABILITY_UNKNOWN: any, as its devices differ or cannot be asked */
} kni_needs_device;

/* Calls `visit` for each repository that a layer may get on one of the devices: with `all_modes`
 * those of every mode, else the one that a request for inference takes. One that several layers
 * share is visited for each. Stops with the first failure of `visit`, which is returned. */
typedef kn_status (*kni_needs_visit)(void *ctx, kn_repo *repo, kn_device_type device,
                                     kn_error *err);
kn_status kni_mapping_needs(const kn_mapping *mapping, const kni_needs_device *devices,
                            size_t device_count, bool all_modes, kni_needs_visit visit, void *ctx,
                            kn_error *err);

#endif
