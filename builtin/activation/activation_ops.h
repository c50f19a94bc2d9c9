/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_OPS_H
#define ACTIVATION_OPS_H

#include "activation_math.h"

/* The kernels in use: chosen at import, changed by tests only. */
const activation_table *activation_active(void);
void activation_select(kb_isa isa);

/* Defines the ops in `name_space`. Returns 0, or -1 when torch refused. */
int activation_ops_register(const char *name_space);

/* Runs `count` elements or rows of `cost` elements, on torch's threads where they are many. */
void activation_run(activation_range kernel, const activation_job *job, int64_t count,
                    int64_t cost);

#endif
