/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_DIRECT_H
#define NORM_DIRECT_H

/* The direct calls of the norms, once their arguments are read. */
#include "kb_module.h"
#include "norm_math.h"

/* In the order of the recorders' names. */
typedef enum norm_function {
    NORM_RMS,
    NORM_LAYER,
    NORM_ADD_RMS,
    NORM_ADD_LAYER,
    NORM_RMS_GATED
} norm_function;

/* What one call works on; the objects are borrowed from the caller's arguments. */
typedef struct norm_call {
    norm_function function;
    PyObject *x;
    PyObject *weight; /* a tensor or None */
    PyObject *bias;
    PyObject *residual; /* a tensor or NULL, as the next two */
    PyObject *gate;
    PyObject *out;
    PyObject *grad;     /* of the normalized tensor; NULL in a forward */
    PyObject *sum_grad; /* of the sum, or NULL */
    int64_t inner;
    double eps;
    norm_gate gate_kind;
    bool cast_first;
    bool wants_weight, wants_bias; /* which gradients a backward makes besides that of x */
} norm_call;

/* The normalized tensor; with a residual a pair of it and the sum. */
PyObject *norm_call_forward(const kb_state *state, const norm_call *call);

/* A tuple of the gradients of x, weight and bias, or of x, gate and weight; None for those that are
 * not wanted. */
PyObject *norm_call_backward(const kb_state *state, const norm_call *call);

#endif
