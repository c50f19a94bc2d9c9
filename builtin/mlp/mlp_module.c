/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _mlp_kern: registration of the ops, and the direct calls. */
#include "activation_device.h"
#include "kb_module.h"
#include "mlp_ops.h"

static const kb_kernel kernel = {
    .name = "mlp",
    .ops = mlp_ops,
    .op_count = MLP_OP_COUNT,
    .recorders = {"silu_mul", "gelu_mul", "gelu_tanh_mul"},
};

/* Describes `gate` and the job over it and `up`, which is like it. */
static bool gate_and_up_open(const kb_fast *fast, PyObject *const *gate_and_up,
                             activation_kind kind, kb_plain *gate, activation_job *job) {
    kb_plain up;
    if (!kb_fast_is_quiet(fast) || !kb_fast_open(fast, gate_and_up[0], gate) ||
        !kb_fast_open(fast, gate_and_up[1], &up) || !gate->contiguous || !up.contiguous ||
        gate->dl.ndim < 1 || !kb_plain_is_with(&up, gate) ||
        !kb_plain_has_sizes(&up, gate->dl.ndim, gate->dl.shape))
        return false;
    *job = (activation_job){.kind = kind, .type = gate->type, .x = gate->data, .factor = up.data};
    job->width = gate->dl.shape[gate->dl.ndim - 1];
    job->x_stride = job->factor_stride = job->grad_stride = job->out_stride = job->width;
    return true;
}

static PyObject *multiply(const kb_state *state, PyObject *const *args, activation_kind kind) {
    kb_plain gate, y;
    activation_job job;
    if (!gate_and_up_open(&state->fast, args, kind, &gate, &job)) Py_RETURN_NOTIMPLEMENTED;
    if (kb_fast_any_wants_grad(&state->fast, args, 2))
        return kb_record(state, (int)kind, PyTuple_Pack(2, args[0], args[1]));
    PyObject *result = kb_fast_new(&state->fast, &gate, gate.dl.ndim, gate.dl.shape, NULL, &y);
    if (!result) return kb_fast_failed();
    job.out = y.data;
    int64_t rows = job.width ? gate.count / job.width : 0;
    return activation_run_direct(activation_gated_forward(&job, rows), gate.device, result);
}

static PyObject *multiply_backward(const kb_fast *fast, PyObject *const *args,
                                   activation_kind kind) {
    kb_plain gate, grad, gate_grad, up_grad;
    activation_job job;
    if (!gate_and_up_open(fast, args + 1, kind, &gate, &job) ||
        kb_fast_any_wants_grad(fast, args + 1, 2) || gate.count == 0 ||
        !kb_fast_open_like(fast, args[0], &gate, gate.dl.ndim, gate.dl.shape, &grad))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *first = kb_fast_new(fast, &gate, gate.dl.ndim, gate.dl.shape, NULL, &gate_grad);
    PyObject *second =
        first ? kb_fast_new(fast, &gate, gate.dl.ndim, gate.dl.shape, NULL, &up_grad) : NULL;
    PyObject *pair = second ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    if (!pair) return kb_fast_failed();
    job.grad = grad.data;
    job.out = gate_grad.data;
    job.factor_out = up_grad.data;
    int64_t rows = gate.count / job.width;
    return activation_run_direct(activation_gated_backward(&job, rows), gate.device, pair);
}

/* name(gate, up): a tensor; name_backward(grad, gate, up): the gradients of both; or
 * NotImplemented */
#define DEFINE_DIRECT(name, kind)                                                               \
    static PyObject *direct_##name(PyObject *module, PyObject *const *args, Py_ssize_t count) { \
        if (!kb_argument_count_is(count, 2)) return NULL;                                       \
        return multiply(kb_state_of(module), args, kind);                                       \
    }                                                                                           \
    static PyObject *direct_##name##_backward(PyObject *module, PyObject *const *args,          \
                                              Py_ssize_t count) {                               \
        if (!kb_argument_count_is(count, 3)) return NULL;                                       \
        return multiply_backward(&kb_state_of(module)->fast, args, kind);                       \
    }

DEFINE_DIRECT(silu_mul, ACTIVATION_SILU)
DEFINE_DIRECT(gelu_mul, ACTIVATION_GELU)
DEFINE_DIRECT(gelu_tanh_mul, ACTIVATION_GELU_TANH)

/* A contiguous matrix of this type whose rows have `width` elements, and its bias or None. */
static bool matrix_open(const kb_fast *fast, PyObject *const *weight_and_bias, kb_dtype type,
                        int64_t width, mlp_matrix *matrix, int64_t *outputs) {
    kb_plain weight, bias;
    PyObject *weight_object = weight_and_bias[0], *bias_object = weight_and_bias[1];
    if (!kb_fast_open(fast, weight_object, &weight) || !weight.contiguous || weight.type != type ||
        weight.device.type != KB_DEVICE_CPU || weight.dl.ndim != 2 || weight.dl.shape[1] != width ||
        kb_fast_wants_grad(fast, weight_object))
        return false;
    *outputs = weight.dl.shape[0];
    matrix->weight = weight.data;
    matrix->bias = NULL;
    if (bias_object == Py_None) return true;
    if (!kb_fast_open(fast, bias_object, &bias) || !bias.contiguous || bias.type != type ||
        bias.device.type != KB_DEVICE_CPU || !kb_plain_has_sizes(&bias, 1, outputs) ||
        kb_fast_wants_grad(fast, bias_object))
        return false;
    matrix->bias = bias.data;
    return true;
}

/* The input of a product: contiguous rows on the CPU, not to be differentiated. */
static bool input_open(const kb_fast *fast, PyObject *object, kb_plain *x, int64_t *rows,
                       int64_t *width) {
    if (!kb_fast_is_quiet(fast) || !kb_fast_open(fast, object, x) || !x->contiguous ||
        x->dl.ndim < 1 || x->device.type != KB_DEVICE_CPU || kb_fast_wants_grad(fast, object))
        return false;
    *rows = kb_sizes_product(x->dl.shape, 0, x->dl.ndim - 1);
    *width = x->dl.shape[x->dl.ndim - 1];
    return true;
}

/* Of the input's sizes, but for the last one; as kb_fast_new. */
static PyObject *output_new(const kb_fast *fast, const kb_plain *x, int64_t outputs, kb_plain *y) {
    int64_t sizes[KB_MAX_DIMS];
    memcpy(sizes, x->dl.shape, (size_t)x->dl.ndim * sizeof *sizes);
    sizes[x->dl.ndim - 1] = outputs;
    return kb_fast_new(fast, x, x->dl.ndim, sizes, NULL, y);
}

static void multiply_parallel(mlp_product *product, int64_t outputs) {
    kb_fast_parallel(outputs, mlp_product_cost(product), mlp_product_range, product);
}

/* linear(x, weight, bias, most rows, most multiplications of several bfloat16 rows): a tensor;
 * NotImplemented; or None where torch's product is the quicker one, which is known first. */
static PyObject *direct_linear(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const kb_fast *fast = &kb_state_of(module)->fast;
    kb_plain x, y;
    mlp_matrix matrix;
    int64_t rows, width, outputs;
    if (!kb_argument_count_is(count, 5)) return NULL;
    if (!input_open(fast, args[0], &x, &rows, &width)) return kb_fast_failed();
    if (rows > PyLong_AsLong(args[3])) Py_RETURN_NONE;
    if (!matrix_open(fast, args + 1, x.type, width, &matrix, &outputs)) return kb_fast_failed();
    if (x.type == KB_BF16 && rows > 1 && width * outputs > PyLong_AsLong(args[4]) / rows)
        Py_RETURN_NONE;
    PyObject *result = output_new(fast, &x, outputs, &y);
    if (!result) return kb_fast_failed();
    mlp_product product = mlp_product_of(x.type, x.data, rows, width, &matrix, outputs, y.data);
    multiply_parallel(&product, outputs);
    return result;
}

/* Describes the job but for `hidden` and `out`. */
static bool mlp_open(const kb_fast *fast, PyObject *const *args, kb_plain *x, mlp_job *job) {
    int64_t up_outputs;
    long kind = PyLong_AsLong(args[7]);
    if (kind < 0 || kind >= ACTIVATION_COUNT ||
        !input_open(fast, args[0], x, &job->rows, &job->width))
        return false;
    job->kind = (activation_kind)kind;
    job->type = x->type;
    job->x = x->data;
    return matrix_open(fast, args + 1, x->type, job->width, &job->gate, &job->hidden_width) &&
           matrix_open(fast, args + 3, x->type, job->width, &job->up, &up_outputs) &&
           up_outputs == job->hidden_width &&
           matrix_open(fast, args + 5, x->type, job->hidden_width, &job->down, &job->out_width);
}

/* gated_mlp(x, gate_weight, gate_bias, up_weight, up_bias, down_weight, down_bias, kind): a tensor,
 * or NotImplemented */
static PyObject *direct_gated_mlp(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const kb_fast *fast = &kb_state_of(module)->fast;
    kb_plain x, hidden, y;
    mlp_job job = {0};
    if (!kb_argument_count_is(count, 8)) return NULL;
    if (!mlp_open(fast, args, &x, &job)) return kb_fast_failed();
    PyObject *between =
        kb_fast_new(fast, &x, 2, (int64_t[]){job.rows, job.hidden_width}, NULL, &hidden);
    PyObject *result = between ? output_new(fast, &x, job.out_width, &y) : NULL;
    if (result) {
        job.hidden = hidden.data;
        job.out = y.data;
        kb_fast_parallel(mlp_hidden_units(&job), mlp_hidden_cost(&job), mlp_hidden_range, &job);
        mlp_product product = mlp_out_product(&job);
        multiply_parallel(&product, job.out_width);
    }
    Py_XDECREF(between);
    return result ? result : kb_fast_failed();
}

static PyMethodDef module_methods[] = {
    KB_DIRECT_PAIR(silu_mul),
    KB_DIRECT_PAIR(gelu_mul),
    KB_DIRECT_PAIR(gelu_tanh_mul),
    {"linear", KB_FASTCALL(direct_linear)},
    {"gated_mlp", KB_FASTCALL(direct_gated_mlp)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(mlp)
