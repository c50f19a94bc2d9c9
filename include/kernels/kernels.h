/* SPDX-License-Identifier: Apache-2.0 */
/* libkernels: everything that is public. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <kernels/bundle.h>
#include <kernels/common.h>
#include <kernels/device.h>
#include <kernels/engine.h>
#include <kernels/environment.h>
#include <kernels/host.h>
#include <kernels/hub.h>
#include <kernels/lock.h>
#include <kernels/lockfile.h>
#include <kernels/mapping.h>
#include <kernels/metadata.h>
#include <kernels/mode.h>
#include <kernels/native.h>
#include <kernels/object.h>
#include <kernels/plan.h>
#include <kernels/prefetch.h>
#include <kernels/repo.h>
#include <kernels/serve.h>
#include <kernels/stored.h>
#include <kernels/transport.h>
#include <kernels/variant.h>
#include <kernels/version.h>

#endif
