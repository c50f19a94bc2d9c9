# SPDX-License-Identifier: Apache-2.0
"""builtin/mlp: the fused activation and the MLP of a few rows against float64; the layers of transformers' MLP."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Two roundings.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
REFERENCES = {
    "silu_mul": F.silu,
    "gelu_mul": F.gelu,
    "gelu_tanh_mul": lambda x: F.gelu(x, approximate="tanh"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [0, 1, 7, 16, 1001, 4096])
@pytest.mark.parametrize("name", list(REFERENCES))
def test_values_and_gradients_agree_with_float64(mlp, isa, name, width, dtype):
    gate, up = (torch.randn(3, 2, width).to(dtype).requires_grad_() for _ in range(2))
    exact = [t.detach().double().requires_grad_() for t in (gate, up)]
    y, expected = getattr(mlp, name)(gate, up), REFERENCES[name](exact[0]) * exact[1]
    grad = torch.randn(y.shape).to(dtype)
    y.backward(grad)
    expected.backward(grad.double())
    assert y.dtype == dtype
    tolerance = TOLERANCE[dtype]
    pairs = [(y, expected), (gate.grad, exact[0].grad), (up.grad, exact[1].grad)]
    for ours, other in pairs:
        assert torch.allclose(ours.double(), other, rtol=4 * tolerance, atol=4 * tolerance)


def test_strided_inputs(mlp):
    both = torch.randn(3, 5, 24)
    gate, up = both[..., :12], both[..., 12:]
    assert torch.allclose(mlp.silu_mul(gate, up), F.silu(gate) * up, atol=1e-6)
    gate, up = torch.randn(12, 5).t(), torch.randn(5, 12)
    assert torch.allclose(mlp.silu_mul(gate, up), F.silu(gate) * up, atol=1e-6)


@st.composite
def layouts(draw, sizes):
    """A tensor of these sizes with its dimensions in any order in memory, and any steps between elements."""
    order = draw(st.permutations(range(len(sizes))))
    steps = [draw(st.integers(1, 2)) for _ in sizes]
    wide = torch.randn([sizes[i] * steps[i] for i in order])
    x = wide.permute([order.index(i) for i in range(len(sizes))])
    return x[tuple(slice(None, None, step) for step in steps)]


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4), data=st.data())
def test_any_layout_of_either_input(mlp, sizes, data):
    gate, up = data.draw(layouts(sizes)), data.draw(layouts(sizes))
    gate.requires_grad_()
    y = mlp.silu_mul(gate, up)
    exact = F.silu(gate.detach().double()) * up.double()
    assert y.shape == exact.shape and torch.allclose(y.double(), exact, rtol=4e-6, atol=4e-6)
    (grad,) = torch.autograd.grad(y.sum(), gate)
    s = gate.detach().double().sigmoid()
    exact = up.double() * s * (1 + gate.detach().double() * (1 - s))
    assert grad.shape == exact.shape and torch.allclose(grad.double(), exact, atol=8e-6)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_opcheck(mlp, name):
    gate, up = torch.randn(3, 8, requires_grad=True), torch.randn(3, 8)
    ops = mlp._ops.ops
    torch.library.opcheck(getattr(ops, name).default, (gate, up))
    backward = getattr(ops, f"{name}_backward").default
    torch.library.opcheck(backward, (up, gate.detach(), up))


def mlp_arguments(rows, width, hidden, out, dtype, biases):
    """x, three weights, three biases or None, with results of about 1."""
    shapes = [(hidden, width), (hidden, width), (out, hidden)]
    weights = [(torch.randn(shape) / max(1, shape[1]) ** 0.5).to(dtype) for shape in shapes]
    given = [
        torch.randn(shape[0]).to(dtype) if has else None
        for shape, has in zip(shapes, biases, strict=True)
    ]
    return [torch.randn(rows, width).to(dtype), *weights, *given]


def exact_mlp(x, gate, up, down, gate_bias, up_bias, down_bias, activation="silu"):
    """In float64, whatever the dtypes."""
    wide = [
        None if t is None else t.double()
        for t in (x, gate, gate_bias, up, up_bias, down, down_bias)
    ]
    x, *pairs = wide
    hidden = REFERENCES[f"{activation}_mul"](F.linear(x, *pairs[:2])) * F.linear(x, *pairs[2:4])
    return F.linear(hidden, *pairs[4:])


class Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name().rpartition("::")[2])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("rows", [1, 4, 5])
def test_an_mlp_agrees_with_float64(mlp, isa, rows, name, dtype):
    arguments = mlp_arguments(rows, 65, 130, 33, dtype, (True, False, True))
    y = mlp.gated_mlp(*arguments, activation=name)
    assert y.dtype == dtype
    tolerance = TOLERANCE[dtype]
    expected = exact_mlp(*arguments, name)
    assert torch.allclose(y.double(), expected, rtol=2 * tolerance, atol=2 * tolerance)


sizes = st.sampled_from([0, 1, 2, 7, 16, 31, 64, 97])


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(0, 4), width=sizes, hidden=sizes, out=sizes, dtype=st.sampled_from(DTYPES),
    biases=st.tuples(st.booleans(), st.booleans(), st.booleans()), gap=st.integers(0, 3),
    transposed=st.booleans(),
)  # fmt: skip
def test_an_mlp_of_any_shape(mlp, rows, width, hidden, out, dtype, biases, gap, transposed):
    x, gate, *rest = mlp_arguments(rows, width, hidden, out, dtype, biases)
    x = torch.cat([x, torch.ones(rows, gap).to(dtype)], dim=1)[:, :width]
    if transposed:
        gate = gate.t().contiguous().t()
    y = mlp.gated_mlp(x, gate, *rest)
    assert y.shape == (rows, out) and y.dtype == dtype and y.is_contiguous()
    tolerance = 4 * TOLERANCE[dtype]
    expected = exact_mlp(x, gate, *rest)
    assert torch.allclose(y.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_mlp_depends_neither_on_threads_nor_on_other_rows(mlp, dtype):
    x, *parameters = mlp_arguments(4, 512, 1376, 512, dtype, (False, False, False))
    threads = torch.get_num_threads()
    y = mlp.gated_mlp(x, *parameters)
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        try:
            assert torch.equal(mlp.gated_mlp(x, *parameters), y)
            for row in range(4):
                assert torch.equal(mlp.gated_mlp(x[row], *parameters), y[row])
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_opcheck_of_an_mlp(mlp, requires_grad):
    x, gate, up, down, *biases = mlp_arguments(3, 8, 24, 8, torch.float32, (True, True, False))
    op = mlp._ops.ops.gated_mlp.default
    x.requires_grad_(requires_grad)
    torch.library.opcheck(op, (x, gate, biases[0], up, biases[1], down, biases[2], 0))
    strided = x.detach().t().contiguous().t()
    torch.library.opcheck(op, (strided, gate, None, up, None, down, None, 2))


def test_an_op_refuses_matrices_that_do_not_fit(mlp):
    x, gate, up, down, *_ = mlp_arguments(3, 8, 24, 8, torch.float32, (True, True, False))
    op = mlp._ops.ops.gated_mlp.default
    for matrices, kind in [((gate[:, :7], up, down), 0), ((gate, up[:5], down), 0),
                           ((gate, up, down[:, :9]), 0), ((gate, up.double(), down), 0),
                           ((gate, up, down), 4)]:  # fmt: skip
        gate_given, up_given, down_given = matrices
        with pytest.raises(RuntimeError):
            op(x, gate_given, None, up_given, None, down_given, None, kind)
    with pytest.raises(RuntimeError):
        op(x, gate, gate[0], up, None, down, None, 0)


def test_gradients_of_an_mlp(mlp):
    arguments = mlp_arguments(3, 8, 24, 8, torch.float32, (True, True, True))
    ours = [t.clone().requires_grad_() for t in arguments]
    exact = [t.double().requires_grad_() for t in arguments]
    mlp.gated_mlp(*ours).square().sum().backward()
    exact_mlp(*exact).square().sum().backward()
    for one, other in zip(ours, exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-4, atol=1e-4)


class Mlp(torch.nn.Module):
    def __init__(self, act_fn):
        super().__init__()
        self.gate_proj, self.up_proj = torch.nn.Linear(8, 24), torch.nn.Linear(8, 24)
        self.down_proj = torch.nn.Linear(24, 8)
        self.act_fn = act_fn

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


@pytest.mark.parametrize("layer", ["SwiGLUMLP", "GeGLUMLP"])
@pytest.mark.parametrize(
    "act_fn", [torch.nn.SiLU(), torch.nn.GELU(), torch.nn.GELU("tanh"), torch.nn.Tanh(), F.relu]
)
def test_layers_compute_with_the_activation_that_the_module_has(mlp, layer, act_fn):
    module, x = Mlp(act_fn), torch.randn(2, 3, 8)
    expected = module(x)
    module.forward = getattr(mlp.layers, layer).forward.__get__(module)
    assert torch.allclose(module(x), expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(module(x), expected, atol=1e-6)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x), expected, atol=1e-6)
    torch._dynamo.reset()


def of_ours(mlp, module):
    module.forward = mlp.layers.SwiGLUMLP.forward.__get__(module)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("shape", [(1, 8), (1, 4, 8), (8,), (0, 8)])
def test_a_few_rows_through_plain_linears_are_one_op(mlp, shape):
    module, x = Mlp(torch.nn.SiLU()), torch.randn(shape)
    expected = module(x)
    of_ours(mlp, module)
    with Recorder() as recorder:
        y = module(x)
    assert recorder.names == ["gated_mlp"]
    assert torch.allclose(y, expected, atol=1e-6) and torch.equal(module(x), y)


def test_more_rows_are_for_the_products_of_torch(mlp):
    module = of_ours(mlp, Mlp(torch.nn.SiLU()))
    with Recorder() as recorder:
        module(torch.randn(5, 8))
    assert "gated_mlp" not in recorder.names and "silu_mul" in recorder.names


class Doubled(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("way", ["subclass", "forward", "hook", "pre-hook", "global hook"])
def test_a_projection_that_does_more_is_called(mlp, way):
    module, x = of_ours(mlp, Mlp(torch.nn.SiLU())), torch.randn(1, 8)
    plain, linear = module(x), module.up_proj
    handle = None
    if way == "subclass":
        linear.__class__ = Doubled
    elif way == "forward":
        linear.forward = lambda x: 2 * F.linear(x, linear.weight, linear.bias)
    elif way == "hook":
        linear.register_forward_hook(lambda module, args, y: 2 * y)
    elif way == "pre-hook":
        linear.bias.zero_()
        plain = module(x)
        linear.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    else:
        double = lambda module, args, y: 2 * y if module is linear else None  # noqa: E731
        handle = torch.nn.modules.module.register_module_forward_hook(double)
    try:
        down = F.linear(torch.zeros(1, 24), module.down_proj.weight, module.down_proj.bias)
        assert torch.allclose(module(x) - down, 2 * (plain - down), atol=1e-6)
    finally:
        if handle is not None:
            handle.remove()


def test_autocast_reaches_the_products(mlp):
    module, x = Mlp(torch.nn.SiLU()), torch.randn(1, 8)
    with torch.autocast("cpu", torch.bfloat16):
        expected = module(x)
        y = of_ours(mlp, module)(x)
    assert y.dtype == expected.dtype == torch.bfloat16
    assert torch.allclose(y.float(), expected.float(), atol=2e-2)


def test_compiled_layers_with_few_rows_and_many(mlp):
    torch._dynamo.reset()
    module = of_ours(mlp, Mlp(torch.nn.GELU("tanh")))
    graphs = []

    def backend(graph, inputs):
        graphs.append(str(graph.graph))
        return graph

    compiled = torch.compile(module, fullgraph=True, backend=backend)
    for rows, op in ((1, ".gated_mlp."), (64, ".gelu_tanh_mul."), (2, ".gated_mlp."), (48, "")):
        x = torch.randn(rows, 8)
        assert torch.allclose(compiled(x), module(x), atol=1e-6)
        assert op in graphs[-1]
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu2"])
def test_the_mlp_of_transformers(mlp, name):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    module = LlamaMLP(LlamaConfig(hidden_size=32, intermediate_size=24, hidden_act=name))
    x = torch.randn(2, 3, 32)
    expected = module(x)
    module.forward = mlp.layers.SwiGLUMLP.forward.__get__(module)
    assert torch.allclose(module(x), expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(module(x[:1, :1]), expected[:1, :1], atol=1e-6)


def test_bad_arguments_are_named(mlp):
    with pytest.raises(ValueError, match=r"gate has shape \(2,\) and up \(3,\)"):
        mlp.silu_mul(torch.ones(2), torch.ones(3))
    with pytest.raises(TypeError, match="up has dtype torch.int64"):
        mlp.silu_mul(torch.ones(2), torch.ones(2).long())
    with pytest.raises(ValueError, match="unknown activation 'relu'; silu, gelu or gelu_tanh"):
        mlp.gated_mlp(*[torch.ones(1, 1)] * 4, activation="relu")
    with pytest.raises(TypeError, match="x has dtype torch.int64"):
        mlp.gated_mlp(*[torch.ones(1, 1).long()] * 4)
