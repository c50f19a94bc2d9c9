# SPDX-License-Identifier: Apache-2.0
"""Calls with a gradient: what goes from Python to C and back without torch's dispatcher, and what must not."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from test_kernel_modes import RecordDispatch, RecordFunction, turned
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

# The tensors that each function takes.
SHAPES = {
    "silu": [(3, 8)],
    "gelu": [(3, 8)],
    "gelu_tanh": [(3, 8)],
    "quick_gelu": [(3, 8)],
    "silu_and_mul": [(3, 8)],
    "gelu_and_mul": [(3, 8)],
    "gelu_tanh_and_mul": [(3, 8)],
    "silu_mul": [(3, 8), (3, 8)],
    "gelu_mul": [(3, 8), (3, 8)],
    "gelu_tanh_mul": [(3, 8), (3, 8)],
    "rms_norm": [(3, 8), (8,)],
    "layer_norm": [(3, 8), (8,), (8,)],
    "fused_add_rms_norm": [(3, 8), (3, 8), (8,)],
    "fused_add_layer_norm": [(3, 8), (3, 8), (8,), (8,)],
    "rms_norm_gated": [(3, 8), (3, 8), (8,)],
    "apply_rotary": [(1, 2, 3, 8), (1, 1, 3, 8), (1, 3, 8), (1, 3, 8)],
}
BACKWARD_OPS = {"fused_add_rms_norm": "rms_norm_backward", "apply_rotary": "apply",
                "fused_add_layer_norm": "layer_norm_backward"}  # fmt: skip
# How many inputs come before the parameters, or the angles.
PARAMETERS = {"rms_norm": 1, "layer_norm": 1, "fused_add_rms_norm": 2, "fused_add_layer_norm": 2,
              "rms_norm_gated": 2, "apply_rotary": 2}  # fmt: skip


@pytest.fixture
def functions(norm, activation, mlp, rotary):
    modules = (norm, activation, mlp, rotary)
    return {name: next(getattr(m, name) for m in modules if hasattr(m, name)) for name in SHAPES}


def leaves(name, dtype=torch.float32):
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in SHAPES[name]]


def outputs_of(function, inputs):
    outputs = function(*inputs)
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def gradients(function, inputs, grads=None, around=None):
    """Of those inputs that want one."""
    outputs = outputs_of(function, inputs)
    if grads is None:
        torch.manual_seed(1)
        grads = [torch.randn(y.shape).to(y.dtype) for y in outputs]
    wanted = [t for t in inputs if t.requires_grad]
    if around is None:
        return torch.autograd.grad(outputs, wanted, grads)
    with around:
        return torch.autograd.grad(outputs, wanted, grads)


def same(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SHAPES)
def test_direct_gradients_are_those_of_the_op_bit_by_bit(functions, isa, name, dtype):
    inputs = leaves(name, dtype)
    inputs = [t.detach() if i >= 2 and name == "apply_rotary" else t for i, t in enumerate(inputs)]
    mode = RecordDispatch()
    same(gradients(functions[name], inputs), gradients(functions[name], inputs, around=mode))
    op = BACKWARD_OPS.get(name, f"{name}_backward")
    assert [seen.split(".")[1] for seen in mode.seen if not seen.startswith("aten.")] == [op]


@pytest.mark.parametrize("wanted", ["first", "parameters", "last"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_only_some_inputs_want_a_gradient(functions, name, wanted):
    inputs = leaves(name)
    every = gradients(functions[name], inputs)
    count = len(inputs)
    chosen = {"first": [0], "parameters": range(PARAMETERS[name], count), "last": [count - 1]}
    some = [t.detach().requires_grad_(i in chosen[wanted]) for i, t in enumerate(inputs)]
    found = gradients(functions[name], some)
    for one, i in zip(found, chosen[wanted], strict=True):
        assert torch.allclose(one, every[i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_that_do_not_lie_contiguous(functions, name):
    inputs = leaves(name)
    outputs = outputs_of(functions[name], inputs)
    plain = [torch.randn_like(y) for y in outputs]
    strided = [g.transpose(0, -1).contiguous().transpose(0, -1) for g in plain]
    same(gradients(functions[name], inputs, strided), gradients(functions[name], inputs, plain))
    ones = [torch.ones_like(y) for y in outputs]
    expanded = [torch.ones(()).expand(y.shape) for y in outputs]
    same(gradients(functions[name], inputs, expanded), gradients(functions[name], inputs, ones))


@pytest.mark.parametrize("name", SHAPES)
def test_inputs_that_do_not_lie_contiguous(functions, name):
    inputs = leaves(name)
    strided = [
        t.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for t in inputs
    ]
    for one, other in zip(
        gradients(functions[name], strided), gradients(functions[name], inputs), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("name", ["fused_add_rms_norm", "fused_add_layer_norm", "apply_rotary"])
def test_one_of_two_results_is_used(functions, name, used):
    inputs = leaves(name)
    outputs = outputs_of(functions[name], inputs)
    grads = [torch.zeros_like(y) for y in outputs]
    grads[used] = torch.randn_like(outputs[used])
    expected = gradients(functions[name], inputs, grads)
    found = torch.autograd.grad(outputs[used], inputs, grads[used], allow_unused=True)
    same([torch.zeros_like(e) if f is None else f for f, e in zip(found, expected, strict=True)],
         expected)  # fmt: skip


@pytest.fixture
def references(norm, activation, mlp):
    eps = torch.finfo(torch.float32).eps
    norms = norm._ops
    return {
        **activation._ops.REFERENCES,
        **mlp._ops.REFERENCES,
        "rms_norm": lambda x, w: norms.rms_norm_reference(x, w, 1, eps, False),
        "layer_norm": lambda x, w, b: norms.layer_norm_reference(x, w, b, 1, 1e-5),
        "fused_add_rms_norm": lambda x, r, w: norms.fused_add_rms_norm_reference(
            x, r, w, 1, eps, False
        ),
        "fused_add_layer_norm": lambda x, r, w, b: norms.fused_add_layer_norm_reference(
            x, r, w, b, 1, 1e-5
        ),
        "rms_norm_gated": lambda x, g, w: norms.rms_norm_gated_reference(x, g, w, 1, eps, False, 1),
        "apply_rotary": lambda q, k, c, s: tuple(
            turned(x, c.unsqueeze(1), s.unsqueeze(1)) for x in (q, k)
        ),
    }


@pytest.mark.parametrize("name", SHAPES)
def test_a_gradient_of_a_gradient(functions, references, name):
    constant_angles = 2 if name == "apply_rotary" else len(SHAPES[name])
    for wanted in {constant_angles, len(SHAPES[name])}:
        inputs = [t.detach().requires_grad_(i < wanted) for i, t in enumerate(leaves(name))]
        leaf = inputs[:wanted]

        def derive(function, inputs=inputs, leaf=leaf):
            total = sum(y.pow(3).sum() for y in outputs_of(function, inputs))
            first = torch.autograd.grad(total, leaf, create_graph=True)
            return *first, *torch.autograd.grad(sum(g.pow(2).sum() for g in first), leaf)

        for one, other in zip(derive(functions[name]), derive(references[name]), strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())


def test_one_tensor_given_twice(norm, mlp):
    x = torch.randn(3, 8, requires_grad=True)
    for ours, torchs in [
        (lambda t: mlp.silu_mul(t, t), lambda t: F.silu(t) * t),
        (lambda t: norm.fused_add_rms_norm(t, t, None, 1e-6)[0],
         lambda t: F.rms_norm(t + t, (8,), None, 1e-6)),
    ]:  # fmt: skip
        for create_graph in (False, True):
            found, expected = (
                torch.autograd.grad(f(x).pow(2).sum(), x, create_graph=create_graph)[0]
                for f in (ours, torchs)
            )
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
        again = [torch.autograd.grad(g.pow(2).sum(), x)[0] for g in (found, expected)]
        assert torch.allclose(*again, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_checkpointing(functions, name, reentrant):
    inputs = leaves(name)

    def recomputed(*tensors):
        return checkpoint(functions[name], *tensors, use_reentrant=reentrant)

    def backward(function):
        for t in inputs:
            t.grad = None
        torch.autograd.backward([y.sum() for y in outputs_of(function, inputs)])
        return [t.grad for t in inputs]

    same(backward(recomputed), backward(functions[name]))


@pytest.mark.parametrize("name", SHAPES)
def test_saved_tensor_hooks_see_what_is_saved(functions, name):
    inputs, packed = leaves(name), []

    def pack(tensor):
        packed.append(tensor)
        return len(packed) - 1

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda i: packed[i].clone()):
        found = gradients(functions[name], inputs)
    assert packed
    same(found, gradients(functions[name], inputs))


@pytest.mark.parametrize("name", [name for name in SHAPES if not name.startswith("fused")])
def test_a_change_of_what_is_saved_is_noticed(functions, name):
    inputs = leaves(name)
    changed = inputs[0] * 1
    outputs = outputs_of(functions[name], [changed, *inputs[1:]])
    with torch.no_grad():
        changed.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs[0].sum().backward()


@pytest.mark.parametrize("name", ["fused_add_rms_norm", "fused_add_layer_norm", "apply_rotary"])
def test_what_the_backward_does_not_need_is_not_kept(functions, name):
    first, second, *others = leaves(name)
    others = [t.detach() for t in others]
    given = [first * 1, second * 1]
    kept = [weakref.ref(t) for t in given]
    outputs = outputs_of(functions[name], [*given, *others])
    del given
    assert [ref() for ref in kept] == [None, None]
    for graph in (True, False):
        sums = [y.sum() for y in outputs]
        found = torch.autograd.grad(sums, (first, second), create_graph=graph, retain_graph=graph)
        expected = torch.autograd.grad(
            [y.sum() for y in outputs_of(functions[name], (first, second, *others))],
            (first, second),
        )
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_hooks_run(norm):
    x, weight, seen = torch.randn(3, 8, requires_grad=True), torch.ones(8), []
    y = norm.rms_norm(x, weight)
    y.register_hook(lambda grad: seen.append("output"))
    y.grad_fn.register_hook(lambda into, out: seen.append("node"))
    x.register_hook(lambda grad: seen.append("input") or 2 * grad)
    y.sum().backward()
    assert seen == ["output", "node", "input"]
    other = x.detach().requires_grad_()
    assert torch.allclose(
        x.grad, 2 * torch.autograd.grad(F.rms_norm(other, (8,)).sum(), other)[0], atol=1e-5
    )


@pytest.fixture
def backwards(norm, activation, mlp):
    """Name, the direct backward and its arguments, contiguous ones that it takes."""
    x, grad, half, weight = torch.randn(3, 8), torch.randn(3, 8), torch.randn(3, 4), torch.randn(8)
    norm, activation, mlp = (
        norm._ops._norm_kern,
        activation._ops._activation_kern,
        mlp._ops._mlp_kern,
    )
    return {
        "silu": (activation.silu_backward, grad, x),
        "silu_and_mul": (activation.silu_and_mul_backward, half, x),
        "silu_mul": (mlp.silu_mul_backward, grad, x, x),
        "rms_norm": (norm.rms_norm_backward, grad, x, weight, 1, 1e-6, True),
        "layer_norm": (norm.layer_norm_backward, grad, x, weight, weight, 1, 1e-6, True, True),
        "rms_norm_gated": (norm.rms_norm_gated_backward, grad, x, x, weight, 1, 1e-6, 1, True),
    }


BACKWARDS = ("silu", "silu_and_mul", "silu_mul", "rms_norm", "layer_norm", "rms_norm_gated")


@pytest.mark.parametrize("name", BACKWARDS)
def test_the_direct_backward_declines_what_is_for_the_op(backwards, name):
    direct, grad, *others = backwards[name]
    assert direct(grad, *others) is not NotImplemented
    declined = {
        "strides": grad.t().contiguous().t(),
        "expanded": torch.ones(()).expand(grad.shape),
        "dtype": grad.double(),
        "another dtype": grad.bfloat16(),
        "sizes": grad[:2],
        "sign": torch._neg_view(grad),
        "subclass": grad.as_subclass(type("Sub", (torch.Tensor,), {})),
        "recorded": grad.clone().requires_grad_(),
        "meta": grad.to("meta"),
    }
    for why, tensor in declined.items():
        assert direct(tensor, *others) is NotImplemented, why
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert direct(mode.from_tensor(grad), *others) is NotImplemented
    with torch.no_grad():
        assert direct(declined["recorded"], *others) is not NotImplemented


@pytest.mark.parametrize("name", BACKWARDS)
def test_the_direct_backward_declines_where_somebody_watches(backwards, name):
    direct, *arguments = backwards[name]
    for watching in (RecordDispatch(), RecordFunction(), torch.autograd.forward_ad.dual_level(),
                     torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])):  # fmt: skip
        with watching:
            assert direct(*arguments) is NotImplemented
    assert direct(*arguments) is not NotImplemented


def test_a_wanted_gradient_is_recorded_by_the_direct_call(norm):
    x, weight = torch.randn(3, 8, requires_grad=True), torch.randn(8)
    direct = norm._ops._norm_kern.rms_norm
    assert direct(x, weight, 1, 1e-6, False).grad_fn.name() == "Direct_rms_normBackward"
    assert direct(x, weight, 1, 1e-6, False, torch.empty(3, 8)) is NotImplemented
    assert torch.func.vmap(lambda t: torch.tensor(0.0) if direct(x, weight, 1, 1e-6, False)
                           is NotImplemented else t)(torch.ones(2)).tolist() == [0.0, 0.0]  # fmt: skip


def test_an_unknown_name_records_nothing(norm):
    with pytest.raises(ValueError, match="no call 'unknown' records a gradient"):
        norm._ops._norm_kern.set_recorder("unknown", print)


def test_a_tensor_from_outside_of_a_transform_keeps_its_gradient(functions):
    for name, function in functions.items():
        inputs = leaves(name)
        outputs = torch.func.vmap(lambda t, f=function, i=inputs: outputs_of(f, i)[0] * t)(
            torch.ones(2)
        )
        found = torch.autograd.grad(outputs.sum(), inputs[0])[0]
        expected = torch.autograd.grad(2 * outputs_of(function, inputs)[0].sum(), inputs[0])[0]
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_compiled_autograd_sees_the_ops(functions):
    for name, function in functions.items():
        torch._dynamo.reset()
        inputs, graphs = leaves(name), []
        inputs = [
            t.detach() if i > 1 and name == "apply_rotary" else t for i, t in enumerate(inputs)
        ]

        def backend(graph, example, graphs=graphs):
            graphs.append(str(graph.graph))
            return graph

        compiler = torch.compile(backend=backend)
        around = torch._dynamo.compiled_autograd._enable(compiler)
        same(gradients(function, inputs, around=around), gradients(function, inputs))
        assert any(f".{BACKWARD_OPS.get(name, name + '_backward')}." in g for g in graphs), name


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_kept(functions, name):
    gc.disable()
    try:
        inputs = leaves(name)
        outputs = outputs_of(functions[name], inputs)
        kept = [weakref.ref(t) for t in (*inputs, *outputs)]
        sum(y.sum() for y in outputs).backward()
        del inputs, outputs
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_an_empty_input_has_empty_gradients(functions):
    for name in ("silu", "silu_and_mul", "silu_mul", "layer_norm"):
        inputs = [t.detach()[:0].requires_grad_() if t.ndim > 1 else t for t in leaves(name)]
        found = gradients(functions[name], inputs)
        assert [g.shape for g in found] == [t.shape for t in inputs]
        assert all(g.abs().sum() == 0 for g in found)
