/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOSS_RUN_H
#define LOSS_RUN_H

/* Dividing the rows of a loss among threads. */
#include "kb_device.h"
#include "loss_math.h"

typedef struct loss_work {
    loss_rows rows;
    loss_job job;
    int64_t count;
    kb_device device;
} loss_work;

/* Whether each target is a class or ignore_index. They are read. */
bool loss_targets_fit(const loss_work *work);

/* For the CPU: chooses the instructions. */
void loss_work_prepare(loss_work *work);

/* What kb_parallel is called with besides `count`. */
int64_t loss_row_cost(const loss_work *work);
void loss_range(int64_t begin, int64_t end, void *context);

#endif
