/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_RUN_H
#define ACTIVATION_RUN_H

/* Dividing an activation's work among threads; used by each kernel that has activations in it. */
#include "activation_math.h"

enum {
    /* Elements of flat memory that stay together: outputs are then streamed from aligned places. */
    ACTIVATION_BLOCK = 4096,
    /* What an element costs, in the unit of kb_parallel. */
    ACTIVATION_COST = 4
};

typedef struct activation_work {
    activation_job job;
    activation_range kernel;
    int64_t count; /* of elements; of rows where gated */
    bool gated;
} activation_work;

activation_work activation_flat_forward(const activation_job *job, int64_t elements);
activation_work activation_flat_backward(const activation_job *job, int64_t elements);
activation_work activation_gated_forward(const activation_job *job, int64_t rows);
activation_work activation_gated_backward(const activation_job *job, int64_t rows);

/* What kb_parallel is called with: the number of units, the cost of one, and the function that
 * runs a range of them, whose context is the work. */
int64_t activation_units(const activation_work *work);
int64_t activation_unit_cost(const activation_work *work);
void activation_unit_range(int64_t begin, int64_t end, void *context);

#endif
