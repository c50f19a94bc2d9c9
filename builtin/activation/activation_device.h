/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_DEVICE_H
#define ACTIVATION_DEVICE_H

/* An activation's work where its tensors lie: on torch's threads, or on a CUDA device. */
#include "activation_run.h"
#include "kb_fast.h"

/* Inside an op. Throws. */
void activation_run(activation_work work, kb_device device);

/* In a direct call: gives `result`, or NULL with an error. Takes the reference. */
PyObject *activation_run_direct(activation_work work, kb_device device, PyObject *result);

#endif
