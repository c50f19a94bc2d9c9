/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_CALL_H
#define ACTIVATION_CALL_H

/* An activation's work inside a call of a tvm-ffi variant, where its tensors lie. */
#include "activation_run.h"
#include "kb_call.h"

void activation_call_run(kb_call *call, activation_work work);

#endif
