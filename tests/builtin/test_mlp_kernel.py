# SPDX-License-Identifier: Apache-2.0
"""builtin/mlp: the fused activation, linear layers and the MLP of a few rows against float64; the layers."""

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
        self.names, self.full = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.full.append(func.name())
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


def linear_arguments(rows, width, outputs, dtype, has_bias):
    """x, weight, bias or None, with results of about 1."""
    weight = (torch.randn(outputs, width) / max(1, width) ** 0.5).to(dtype)
    bias = torch.randn(outputs).to(dtype) if has_bias else None
    return torch.randn(rows, width).to(dtype), weight, bias


def exact_linear(x, weight, bias):
    return F.linear(x.double(), weight.double(), None if bias is None else bias.double())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_a_product_agrees_with_float64(mlp, isa, rows, has_bias, dtype):
    arguments = linear_arguments(rows, 301, 33, dtype, has_bias)
    y, expected = mlp.linear(*arguments), exact_linear(*arguments)
    # One rounding.
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}[dtype]
    assert y.dtype == dtype
    assert torch.allclose(y.double(), expected, rtol=tolerance, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(
    lead=st.lists(st.integers(0, 2), max_size=3), width=sizes, outputs=sizes,
    dtype=st.sampled_from(DTYPES), has_bias=st.booleans(), gap=st.integers(0, 3),
    transposed=st.booleans(),
)  # fmt: skip
def test_a_product_of_any_shape(mlp, lead, width, outputs, dtype, has_bias, gap, transposed):
    _, weight, bias = linear_arguments(1, width, outputs, dtype, has_bias)
    x = torch.randn(*lead, width + gap).to(dtype)[..., :width]
    if transposed:
        weight = weight.t().contiguous().t()
    y, expected = mlp.linear(x, weight, bias), exact_linear(x, weight, bias)
    assert y.shape == (*lead, outputs) and y.dtype == dtype and y.is_contiguous()
    tolerance = 2 * TOLERANCE[dtype]
    assert torch.allclose(y.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_depends_neither_on_threads_nor_on_other_rows(mlp, dtype):
    x, weight, bias = linear_arguments(4, 515, 254, dtype, True)
    threads = torch.get_num_threads()
    y = mlp.linear(x, weight, bias)
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        try:
            for first in range(4):
                for last in range(first + 1, 5):
                    assert torch.equal(mlp.linear(x[first:last], weight, bias), y[first:last])
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_opcheck_of_a_product(mlp, requires_grad):
    x, weight, bias = linear_arguments(3, 8, 24, torch.float32, True)
    op = mlp._ops.ops.linear.default
    strided = x.t().contiguous().t()
    torch.library.opcheck(op, (x.requires_grad_(requires_grad), weight, bias))
    torch.library.opcheck(op, (strided, weight.requires_grad_(requires_grad), None))


def test_the_op_of_a_product_refuses_what_does_not_fit(mlp):
    x, weight, bias = linear_arguments(3, 8, 24, torch.float32, True)
    op = mlp._ops.ops.linear.default
    for arguments in [(x[0, 0], weight, bias), (x, weight[:, :7], bias), (x, weight[0], None),
                      (x, weight, bias[:5]), (x, weight.double(), bias)]:  # fmt: skip
        with pytest.raises(RuntimeError):
            op(*arguments)


def test_gradients_of_a_product(mlp):
    arguments = [t.requires_grad_() for t in linear_arguments(3, 8, 24, torch.float32, True)]
    exact = [t.detach().double().requires_grad_() for t in arguments]
    mlp.linear(*arguments).square().sum().backward()
    F.linear(*exact).square().sum().backward()
    for one, other in zip(arguments, exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-5, atol=1e-5)


def test_a_product_is_written_to_out(mlp):
    x, weight, bias = linear_arguments(2, 8, 24, torch.float32, True)
    expected = mlp.linear(x, weight, bias)
    for out in (torch.zeros(2, 24), torch.zeros(24, 2).t()):
        assert mlp.linear(x, weight, bias, out=out) is out and torch.equal(out, expected)
    square = torch.randn(8, 8)
    expected = mlp.linear(x, square)
    assert torch.equal(mlp.linear(x, square, out=x), expected) and torch.equal(x, expected)
    with pytest.raises(ValueError, match="out has shape"):
        mlp.linear(x, weight, out=torch.zeros(5))


def of_linear(mlp, module):
    module.forward = mlp.layers.Linear.forward.__get__(module)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("shape", [(1, 8), (1, 4, 8), (8,), (0, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_of_few_rows_is_one_op(mlp, bias, shape):
    module, x = torch.nn.Linear(8, 24, bias=bias), torch.randn(shape)
    expected = module(x)
    of_linear(mlp, module)
    with Recorder() as recorder:
        y = module(input=x)
    assert recorder.full == [mlp._ops.ops.linear.default.name()]
    assert torch.allclose(y, expected, atol=1e-6) and torch.equal(module(x), y)


class Kept(torch.nn.Parameter):
    """A parameter that could be stored in another form."""


def variants_of_linear():
    """Name, a change of an nn.Linear(8, 24), dtype of its input."""
    half = torch.nn.Parameter(torch.randn(8, 24)).t
    return [
        ("transposed", lambda m: setattr(m, "weight", torch.nn.Parameter(half().detach()))),
        ("subclass", lambda m: setattr(m, "weight", Kept(m.weight.detach()))),
        ("broadcast bias", lambda m: setattr(m, "bias", torch.nn.Parameter(torch.ones(1)))),
        ("float64", lambda m: m.double()),
        ("vector", lambda m: (setattr(m, "weight", torch.nn.Parameter(torch.ones(8))),
                              setattr(m, "bias", None))),
    ]  # fmt: skip


@pytest.mark.parametrize("name, change", variants_of_linear())
def test_other_weights_are_for_the_product_of_torch(mlp, name, change):
    module = torch.nn.Linear(8, 24)
    change(module)
    x = torch.randn(2, 8, dtype=module.weight.dtype)
    with torch.no_grad():
        expected = module(x)
        of_linear(mlp, module)
        with Recorder() as recorder:
            y = module(x)
    assert torch.equal(y, expected) and mlp._ops.ops.linear.default.name() not in recorder.full
    assert type(y) is type(expected)


@pytest.mark.parametrize(
    "rows, outputs, dtype, ours",
    [(2, 512, torch.bfloat16, True), (2, 513, torch.bfloat16, False), (1, 513, torch.bfloat16, True),
     (2, 513, torch.float16, True), (4, 257, torch.bfloat16, False)],
)  # fmt: skip
def test_large_products_of_several_bfloat16_rows_are_for_torch(mlp, rows, outputs, dtype, ours):
    module = of_linear(mlp, torch.nn.Linear(512, outputs, bias=False).to(dtype))
    x = torch.randn(rows, 512).to(dtype)
    with Recorder() as recorder:
        module(x)
    assert (mlp._ops.ops.linear.default.name() in recorder.full) is ours


def test_more_rows_through_a_linear_are_for_the_product_of_torch(mlp):
    module, x = torch.nn.Linear(8, 24), torch.randn(5, 8)
    expected = module(x).detach()
    with Recorder() as recorder:
        y = of_linear(mlp, module)(x)
    assert torch.equal(y, expected) and "addmm" in recorder.names


def test_parametrized_and_derived_linears_compute_what_they_did(mlp):
    from torch.nn.utils import parametrizations

    x = torch.randn(2, 8)
    derived = Doubled(8, 24)
    for module in (parametrizations.weight_norm(torch.nn.Linear(8, 24)), derived):
        expected = module(x)
        assert torch.allclose(of_linear(mlp, module)(x), expected, atol=1e-6)
        assert torch.allclose(torch.compile(module, backend="eager")(x), expected, atol=1e-6)
    torch._dynamo.reset()


def test_a_linear_under_autocast_and_with_gradients_is_as_before(mlp):
    module, x = torch.nn.Linear(8, 24), torch.randn(2, 8)
    expected = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        low = module(x)
    module.forward = mlp.layers.Linear.forward.__get__(module)
    y = module(x)
    assert y.requires_grad and torch.equal(y, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == torch.bfloat16 and torch.equal(module(x), low)


def test_errors_of_a_linear_are_those_of_torch(mlp):
    module = of_linear(mlp, torch.nn.Linear(8, 24))
    for x in (torch.randn(2, 7), torch.randn(2, 8).double(), torch.ones(2, 8).long(), [1.0]):
        with pytest.raises((RuntimeError, TypeError)) as expected:
            F.linear(x, module.weight, module.bias)
        with pytest.raises(type(expected.value)) as found:
            module(x)
        assert str(found.value) == str(expected.value)


def test_a_compiled_linear_with_few_rows_and_many(mlp):
    torch._dynamo.reset()
    module, graphs = of_linear(mlp, torch.nn.Linear(8, 24)), []

    def backend(graph, inputs):
        graphs.append(str(graph.graph))
        return graph

    compiled = torch.compile(module, fullgraph=True, backend=backend)
    name = f"{mlp._ops.ops.linear.default.name().partition('::')[0]}.linear"
    for rows, ours in ((1, True), (64, False), (2, True)):
        x = torch.randn(rows, 8)
        assert torch.allclose(compiled(x), module(x), atol=1e-6)
        assert (name in graphs[-1]) is ours
    torch._dynamo.reset()


class Mlp(torch.nn.Module):
    def __init__(self, act_fn, width=8, hidden=24):
        super().__init__()
        self.gate_proj, self.up_proj = (torch.nn.Linear(width, hidden) for _ in range(2))
        self.down_proj = torch.nn.Linear(hidden, width)
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


def test_projections_that_are_ours_stay_part_of_the_one_op(mlp):
    module = of_ours(mlp, Mlp(torch.nn.SiLU()))
    for linear in (module.gate_proj, module.up_proj, module.down_proj):
        of_linear(mlp, linear)
    x = torch.randn(1, 8)
    with Recorder() as recorder:
        module(x)
    assert recorder.names == ["gated_mlp"]


def test_more_rows_are_for_the_products_of_torch(mlp):
    module = of_ours(mlp, Mlp(torch.nn.SiLU()))
    with Recorder() as recorder:
        module(torch.randn(5, 8))
    assert "gated_mlp" not in recorder.names and "silu_mul" in recorder.names


@pytest.mark.parametrize(
    "rows, hidden, dtype, ours",
    [(4, 512, torch.bfloat16, True), (4, 513, torch.bfloat16, False), (3, 683, torch.bfloat16, False),
     (2, 1025, torch.bfloat16, True), (4, 513, torch.float16, True), (4, 513, torch.float32, True)],
)  # fmt: skip
def test_large_mlps_of_three_or_four_bfloat16_rows_are_for_torch(mlp, rows, hidden, dtype, ours):
    module = of_ours(mlp, Mlp(torch.nn.SiLU(), 512, hidden).to(dtype))
    x = torch.randn(rows, 512).to(dtype)
    with Recorder() as recorder:
        module(x)
    assert ("gated_mlp" in recorder.names) is ours
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), module(x))
    torch._dynamo.reset()


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
