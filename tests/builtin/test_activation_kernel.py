# SPDX-License-Identifier: Apache-2.0
"""builtin/activation: values and gradients against float64, and against torch's own layers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SIZES = [0, 1, 7, 8, 9, 64, 1001, 4096]


def silu_and_mul64(x):
    half = x.shape[-1] // 2
    return F.silu(x[..., :half]) * x[..., half:]


REFERENCES = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu_and_mul": silu_and_mul64,
}
FLAT = ["silu", "gelu", "gelu_tanh"]
# One rounding to the dtype, two for silu_and_mul.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def kernelized(module, layer):
    """What kernelize does: the layer's forward bound to the user's module."""
    module.forward = layer.forward.__get__(module)
    return module


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", list(REFERENCES))
def test_values_agree_with_float64(activation, isa, name, size, dtype):
    torch.manual_seed(size)
    x = (4 * torch.randn(3, 2 * size)).to(dtype)
    y = getattr(activation, name)(x)
    expected = REFERENCES[name](x.double())
    assert y.dtype == dtype and y.shape == expected.shape
    tolerance = TOLERANCE[dtype]
    assert torch.allclose(y.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FLAT)
def test_ends_of_the_range(activation, isa, name):
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([inf, -inf, nan, 1e30, -1e30, 0.0, -0.0, -88.5, 88.5, -15.0, -200.0, 1e-40])
    expected = REFERENCES[name](x.double())
    y = getattr(activation, name)(x)
    assert torch.allclose(y.double(), expected, rtol=1e-6, atol=1e-35, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(REFERENCES))
def test_gradients_agree_with_float64(activation, isa, name, dtype):
    torch.manual_seed(0)
    x = (3 * torch.randn(5, 66)).to(dtype).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    y = getattr(activation, name)(x)
    expected = REFERENCES[name](x64)
    grad = torch.randn(y.shape).to(dtype)
    y.backward(grad)
    expected.backward(grad.double())
    tolerance = 4 * TOLERANCE[dtype]
    assert x.grad.dtype == dtype
    assert torch.allclose(x.grad.double(), x64.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_second_derivative(activation, name):
    x = torch.randn(3, 6, requires_grad=True)

    def penalty(function):
        (grad,) = torch.autograd.grad(function(x).pow(2).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(grad.pow(2).sum(), x)
        return second

    expected = penalty(REFERENCES[name])
    assert torch.allclose(penalty(getattr(activation, name)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer, module",
    [
        ("Silu", torch.nn.SiLU()),
        ("Gelu", torch.nn.GELU()),
        ("Gelu", torch.nn.GELU(approximate="tanh")),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_layers(activation, isa, layer, module, dtype):
    x = torch.randn(4, 33).to(dtype)
    expected = type(module).forward(module, x)
    y = kernelized(module, getattr(activation.layers, layer))(x)
    tolerance = TOLERANCE[dtype]
    assert torch.allclose(y.float(), expected.float(), rtol=tolerance, atol=tolerance)


def test_transformers_layers(activation):
    activations = pytest.importorskip("transformers.activations")
    x = torch.randn(4, 33)
    pairs = [
        ("SiLUActivation", "Silu"),
        ("GELUActivation", "Gelu"),
        ("GELUTanh", "GeluTanh"),
        ("NewGELUActivation", "GeluTanh"),
        ("FastGELUActivation", "GeluTanh"),
    ]
    for original, layer in pairs:
        module = getattr(activations, original)()
        expected = module(x)
        y = kernelized(module, getattr(activation.layers, layer))(x)
        assert torch.allclose(y, expected, rtol=1e-5, atol=1e-6), original


def test_inplace_silu_changes_its_input(activation):
    x = torch.tensor([1.0, -1.0, 2.0])
    expected = F.silu(x)
    module = kernelized(torch.nn.SiLU(inplace=True), activation.layers.Silu)
    y = module(x)
    assert y is x and torch.equal(x, expected)


def test_silu_and_mul_rounds_as_two_calls(activation, isa):
    torch.manual_seed(0)
    x = torch.randn(100, 64).bfloat16()
    expected = F.silu(x[..., :32]) * x[..., 32:]
    differing = (activation.silu_and_mul(x) != expected).float().mean()
    assert differing <= 0.01  # the activation itself is not always the nearest number


@st.composite
def strided_tensors(draw):
    """Tensors of 0 to 5 dimensions, permuted, sliced, expanded, with sizes from 0."""
    sizes = draw(st.lists(st.integers(0, 5), max_size=5))
    steps = [draw(st.integers(1, 3)) for _ in sizes]
    order = draw(st.permutations(range(len(sizes))))
    x = torch.randn([size * step for size, step in zip(sizes, steps, strict=True)])
    x = x[tuple(slice(None, None, step) for step in steps)].permute(order)
    if draw(st.booleans()):
        x = x.unsqueeze(-1).expand(*x.shape, draw(st.integers(0, 3)))
    return x


@settings(max_examples=200, deadline=None)
@given(x=strided_tensors())
def test_any_layout_keeps_the_order_that_torch_keeps(activation, x):
    like = torch.empty_like(x)
    for y in (activation.silu(x), activation._ops.ops.silu(x)):
        assert y.stride() == like.stride() and y.shape == x.shape
        assert torch.allclose(y, F.silu(x), atol=1e-6)
    leaf = x.detach().requires_grad_()
    activation.gelu(leaf).sum().backward()
    expected = x.detach().clone().requires_grad_()
    F.gelu(expected).sum().backward()
    assert torch.allclose(leaf.grad, expected.grad, atol=1e-5)
    if x.ndim >= 1 and x.shape[-1] % 2 == 0:
        assert torch.allclose(activation.silu_and_mul(x), silu_and_mul64(x), atol=1e-5)


def test_large_input_in_threads(activation):
    torch.manual_seed(0)
    x = torch.randn(3, 50000)
    assert torch.allclose(activation.gelu(x).double(), F.gelu(x.double()), atol=1e-6)
    assert torch.allclose(activation.silu_and_mul(x), silu_and_mul64(x), atol=1e-5)


def test_negative_views_are_seen(activation):
    z = torch.randn(1, 1, dtype=torch.complex64).conj()
    assert z.imag.is_neg()
    assert torch.allclose(activation.silu(z.imag), F.silu(z.imag))
    many = torch.randn(8, dtype=torch.complex64).conj().imag
    assert torch.allclose(activation.silu(many), F.silu(many))


def test_other_dtypes_go_to_torch(activation):
    x = torch.randn(4, dtype=torch.float64)
    assert torch.equal(activation.gelu(x), F.gelu(x))


def test_bad_arguments_are_named(activation):
    with pytest.raises(TypeError, match="int64; float32, bfloat16 or float16 is needed"):
        activation.silu(torch.arange(3))
    with pytest.raises(TypeError, match="the input must be a torch.Tensor, not float"):
        activation.gelu(1.0)
    with pytest.raises(ValueError, match=r"must be even, the input has shape \(2, 3\)"):
        activation.silu_and_mul(torch.randn(2, 3))
    with pytest.raises(ValueError, match="must be even"):
        activation.silu_and_mul(torch.tensor(1.0))
    module = torch.nn.GELU()
    module.approximate = "erf"
    with pytest.raises(ValueError, match="approximate is 'erf'"):
        kernelized(module, activation.layers.Gelu)(torch.randn(3))
