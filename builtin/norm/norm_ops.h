/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_OPS_H
#define NORM_OPS_H

#include "norm_math.h"

/* The kernels in use: chosen at import, changed by tests only. */
const norm_table *norm_active(void);
void norm_select(kb_isa isa);

/* Defines the ops in `name_space`. Returns 0, or -1 when torch refused. */
int norm_ops_register(const char *name_space);

/* Runs `rows` rows of a forward job, on torch's threads where they are many. */
void norm_run(norm_rows kernel, const norm_job *job, int64_t rows);

#endif
