# SPDX-License-Identifier: Apache-2.0
"""builtin/mlp: the fused activation against float64, and the layers in the place of transformers' MLP."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu2"])
def test_the_mlp_of_transformers(mlp, name):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    module = LlamaMLP(LlamaConfig(hidden_size=32, intermediate_size=24, hidden_act=name))
    x = torch.randn(2, 3, 32)
    expected = module(x)
    module.forward = mlp.layers.SwiGLUMLP.forward.__get__(module)
    assert torch.allclose(module(x), expected, atol=1e-6)


def test_bad_arguments_are_named(mlp):
    with pytest.raises(ValueError, match=r"gate has shape \(2,\) and up \(3,\)"):
        mlp.silu_mul(torch.ones(2), torch.ones(3))
    with pytest.raises(TypeError, match="up has dtype torch.int64"):
        mlp.silu_mul(torch.ones(2), torch.ones(2).long())
