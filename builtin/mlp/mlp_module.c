/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _mlp_kern: registration of the ops, and the direct calls. */
#include "kb_module.h"
#include "mlp_ops.h"

static const kb_kernel kernel = {.name = "mlp", .ops = mlp_ops, .op_count = MLP_OP_COUNT};

static PyObject *multiply(PyObject *module, PyObject *const *args, Py_ssize_t count,
                          activation_kind kind) {
    const kb_fast *fast = &kb_state_of(module)->fast;
    kb_plain gate, up, y;
    if (!kb_argument_count_is(count, 2)) return NULL;
    if (!kb_fast_is_quiet(fast) || !kb_fast_open(fast, args[0], &gate) ||
        !kb_fast_open(fast, args[1], &up) || !gate.contiguous || !up.contiguous ||
        gate.dl.ndim < 1 || gate.type != up.type ||
        !kb_plain_has_sizes(&up, gate.dl.ndim, gate.dl.shape) ||
        kb_fast_wants_grad(fast, args[0]) || kb_fast_wants_grad(fast, args[1]))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = kb_fast_new(fast, gate.dl.ndim, gate.dl.shape, NULL, gate.type, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.kind = kind, .type = gate.type, .x = gate.data, .out = y.data};
    job.factor = up.data;
    job.width = gate.dl.shape[gate.dl.ndim - 1];
    job.x_stride = job.factor_stride = job.out_stride = job.width;
    activation_work work = activation_gated_forward(&job, job.width ? gate.count / job.width : 0);
    kb_fast_parallel(activation_units(&work), activation_unit_cost(&work), activation_unit_range,
                     &work);
    return result;
}

/* name(gate, up): a tensor, or NotImplemented */
#define DEFINE_DIRECT(name, kind)                                                               \
    static PyObject *direct_##name(PyObject *module, PyObject *const *args, Py_ssize_t count) { \
        return multiply(module, args, count, kind);                                             \
    }

DEFINE_DIRECT(silu_mul, ACTIVATION_SILU)
DEFINE_DIRECT(gelu_mul, ACTIVATION_GELU)
DEFINE_DIRECT(gelu_tanh_mul, ACTIVATION_GELU_TANH)

static PyMethodDef module_methods[] = {
    {"silu_mul", KB_FASTCALL(direct_silu_mul)},
    {"gelu_mul", KB_FASTCALL(direct_gelu_mul)},
    {"gelu_tanh_mul", KB_FASTCALL(direct_gelu_tanh_mul)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(mlp)
