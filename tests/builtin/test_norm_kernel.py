# SPDX-License-Identifier: Apache-2.0
"""builtin/norm: values and gradients against float64, and against torch's own layers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Forward: relative to results of about 1; half an ulp of the dtype at 4, and a little more.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2.5e-3}
WIDTHS = [1, 2, 7, 8, 9, 31, 32, 33, 64, 100, 1000, 4097, 65536]


class LlamaRMSNorm(torch.nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.weight = torch.nn.Parameter(1 + 0.2 * torch.randn(width))
        self.variance_epsilon = eps

    def forward(self, hidden_states):
        input_dtype = hidden_states.dtype
        hidden_states = hidden_states.to(torch.float32)
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden_states.to(input_dtype)


def kernelized(module, layer):
    """What kernelize does: the layer's forward bound to the user's module."""
    module.forward = layer.forward.__get__(module)
    return module


def rms64(x, weight, eps):
    x = x.double()
    y = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight.double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_rms_norm_agrees_with_float64(norm, isa, width, dtype):
    torch.manual_seed(width)
    x, weight = torch.randn(5, width).to(dtype), (1 + 0.2 * torch.randn(width)).to(dtype)
    y = norm.rms_norm(x, weight, 1e-6)
    assert y.dtype == dtype and y.shape == x.shape
    expected = rms64(x, weight, 1e-6)
    assert torch.allclose(y.double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_layer_norm_agrees_with_float64(norm, isa, width, dtype):
    torch.manual_seed(width)
    x = (torch.randn(5, width) + 3).to(dtype)
    weight, bias = (1 + 0.2 * torch.randn(width)).to(dtype), torch.randn(width).to(dtype)
    y = norm.layer_norm(x, weight, bias, 1e-5)
    assert y.dtype == dtype and y.shape == x.shape
    expected = F.layer_norm(x.double(), (width,), weight.double(), bias.double(), 1e-5)
    assert torch.allclose(y.double(), expected, rtol=TOLERANCE[dtype], atol=2 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_llama_layer_rounds_as_the_original(norm, isa, dtype):
    torch.manual_seed(0)
    module = LlamaRMSNorm(257).to(dtype)
    x = torch.randn(64, 257).to(dtype)
    with torch.no_grad():
        expected = module(x)
        y = kernelized(module, norm.layers.RMSNorm)(x)
    # The same roundings in the same places: apart from float32's sum order, hardly any differ.
    limit = 1e-6 if dtype == torch.float32 else 0
    differing = ((y - expected).abs() > limit + limit * expected.abs()).float().mean()
    assert differing <= 0.002


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_llama_layer_with_float32_weight_has_the_dtype_of_the_original(norm, dtype, wide):
    class OlmoRMSNorm(LlamaRMSNorm):
        def forward(self, hidden_states):
            wide = hidden_states.float()
            wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
            return (self.weight * wide).to(hidden_states.dtype)

    module = (LlamaRMSNorm if wide else OlmoRMSNorm)(64)
    x = torch.randn(3, 64).to(dtype)
    expected = module(x)
    y = kernelized(module, norm.layers.RMSNorm)(x)
    assert y.dtype == expected.dtype == (torch.float32 if wide else dtype)
    assert torch.allclose(y, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [None, 1e-3])
@pytest.mark.parametrize("affine", [True, False])
def test_torch_rms_norm_layer(norm, isa, affine, eps, dtype):
    module = torch.nn.RMSNorm((3, 20), eps=eps, elementwise_affine=affine).to(dtype)
    x = (torch.randn(4, 3, 20) * 1e-3).to(dtype)
    with torch.no_grad():
        expected = module(x)
        y = kernelized(module, norm.layers.RMSNorm)(x)
    assert y.dtype == dtype
    tolerance = TOLERANCE[dtype]
    assert torch.allclose(y.float(), expected.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [20, (20,), (3, 20), (5, 3, 20)])
@pytest.mark.parametrize("affine, bias", [(True, True), (True, False), (False, False)])
def test_torch_layer_norm_layer(norm, isa, affine, bias, shape, dtype):
    module = torch.nn.LayerNorm(shape, elementwise_affine=affine, bias=bias).to(dtype)
    if affine:
        torch.nn.init.normal_(module.weight)
    x = torch.randn(2, 5, 3, 20).to(dtype)
    with torch.no_grad():
        expected = module(x)
        y = kernelized(module, norm.layers.LayerNorm)(x)
    tolerance = TOLERANCE[dtype]
    assert y.dtype == dtype and y.is_contiguous()
    assert torch.allclose(y.float(), expected.float(), rtol=tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_input_with_float32_parameters(norm, isa, dtype):
    module = torch.nn.LayerNorm(33)
    torch.nn.init.normal_(module.weight)
    x = torch.randn(4, 33).to(dtype)
    expected = module(x)
    y = kernelized(module, norm.layers.LayerNorm)(x)
    assert y.dtype == expected.dtype == dtype
    assert torch.allclose(y.float(), expected.float(), rtol=2e-2, atol=2e-2)


GRADIENT_TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 6e-3}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, width", [(1, 7), (5, 64), (70, 33), (1100, 9)])
@pytest.mark.parametrize("layer", ["RMSNorm", "LayerNorm"])
def test_gradients_agree_with_float64(norm, isa, layer, rows, width, dtype):
    torch.manual_seed(rows)
    module = getattr(torch.nn, layer)(width, eps=1e-5).to(dtype)
    torch.nn.init.normal_(module.weight)
    reference = getattr(torch.nn, layer)(width, eps=1e-5).double()
    reference.load_state_dict(module.state_dict())
    kernelized(module, getattr(norm.layers, layer))
    x = torch.randn(rows, width).to(dtype).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    grad = torch.randn(rows, width).to(dtype)
    module(x).backward(grad)
    reference(x64).backward(grad.double())
    pairs = [(x.grad, x64.grad)]
    parameters, exact_parameters = module.parameters(), reference.parameters()
    pairs += [(p.grad, q.grad) for p, q in zip(parameters, exact_parameters, strict=True)]
    assert len(pairs) == (2 if layer == "RMSNorm" else 3)
    for ours, exact in pairs:
        assert ours.dtype == dtype
        scale = exact.abs().max()
        assert ((ours.double() - exact).abs().max() / scale) <= GRADIENT_TOLERANCE[dtype]


def test_gradient_only_where_wanted(norm):
    module = kernelized(torch.nn.LayerNorm(8), norm.layers.LayerNorm)
    module.bias.requires_grad_(False)
    x = torch.randn(3, 8)
    y = module(x)
    y.sum().backward()
    assert x.grad is None and module.bias.grad is None and module.weight.grad.shape == (8,)


@pytest.mark.parametrize("layer", ["RMSNorm", "LayerNorm"])
def test_second_derivative(norm, layer):
    module = getattr(torch.nn, layer)(6)
    x = torch.randn(3, 6, requires_grad=True)

    def penalty():
        (grad,) = torch.autograd.grad(module(x).pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(grad.pow(2).sum(), x)
        return second

    expected = penalty()
    kernelized(module, getattr(norm.layers, layer))
    assert torch.allclose(penalty(), expected, rtol=1e-3, atol=1e-3)


@st.composite
def strided_tensors(draw):
    """Tensors of 1 to 5 dimensions, permuted, sliced, expanded, with sizes from 0."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5))
    steps = [draw(st.integers(1, 3)) for _ in sizes]
    order = draw(st.permutations(range(len(sizes))))
    x = torch.randn([size * step for size, step in zip(sizes, steps, strict=True)])
    x = x[tuple(slice(None, None, step) for step in steps)].permute(order)
    if draw(st.booleans()):
        x = x.unsqueeze(0).expand(draw(st.integers(0, 3)), *x.shape)
    return x


@settings(max_examples=150, deadline=None)
@given(x=strided_tensors(), data=st.data())
def test_any_layout_gives_what_the_contiguous_tensor_gives(norm, x, data):
    ndim = data.draw(st.integers(1, x.ndim))
    shape = x.shape[x.ndim - ndim :]
    weight, bias = torch.randn(shape), torch.randn(shape)
    y = norm.layer_norm(x, weight, bias)
    assert y.shape == x.shape
    if x.numel() > 0:
        expected = F.layer_norm(x, shape, weight, bias)
        assert torch.allclose(y, expected, rtol=1e-4, atol=1e-5)
        expected = F.rms_norm(x, shape, weight)
        assert torch.allclose(norm.rms_norm(x, weight), expected, rtol=1e-4, atol=1e-5)
    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    norm.rms_norm(leaf, weight).sum().backward()
    assert leaf.grad.shape == x.shape


def test_eight_dimensions(norm):
    x = torch.randn(1, 2, 1, 3, 2, 1, 2, 5)
    assert torch.allclose(norm.rms_norm(x, torch.ones(5)), F.rms_norm(x, (5,)), atol=1e-6)


def test_many_rows_in_threads(norm):
    x = torch.randn(3000, 128)
    weight = torch.randn(128)
    expected = norm.rms_norm(x, weight)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(norm.rms_norm(x, weight), expected)
    finally:
        torch.set_num_threads(before)


def test_parametrized_weight(norm):
    module = torch.nn.LayerNorm(8)

    class Double(torch.nn.Module):
        def forward(self, weight):
            return 2 * weight

    torch.nn.utils.parametrize.register_parametrization(module, "weight", Double())
    x = torch.randn(2, 8)
    expected = module(x)
    assert torch.allclose(kernelized(module, norm.layers.LayerNorm)(x), expected, atol=1e-6)


def test_weight_as_a_plain_attribute(norm):
    module = LlamaRMSNorm(8)
    weight = module.weight.detach() * 2
    del module.weight
    module.weight = weight
    x = torch.randn(2, 8)
    with torch.no_grad():
        expected = module(x)
        assert torch.allclose(kernelized(module, norm.layers.RMSNorm)(x), expected, atol=1e-6)


def test_other_dtypes_go_to_torch(norm):
    x = torch.randn(2, 8, dtype=torch.float64)
    module = torch.nn.LayerNorm(8).double()
    expected = module(x)
    assert torch.equal(kernelized(module, norm.layers.LayerNorm)(x), expected)


def test_bad_arguments_are_named(norm):
    x = torch.randn(2, 8)
    with pytest.raises(TypeError, match="int64; float32, bfloat16 or float16 is needed"):
        norm.rms_norm(x.long(), torch.ones(8))
    with pytest.raises(TypeError, match="the input must be a torch.Tensor, not list"):
        norm.layer_norm([1.0])
    with pytest.raises(ValueError, match=r"weight has shape \(7,\)"):
        norm.rms_norm(x, torch.ones(7))
    with pytest.raises(ValueError, match=r"bias has shape \(1, 8\)"):
        norm.layer_norm(x, torch.ones(8), torch.ones(1, 8))
    with pytest.raises(ValueError, match=r"the input has shape \(\)"):
        norm.rms_norm(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="must have the normalized shape"):
        norm._ops.ops.rms_norm(x, torch.ones(7), 1, 1e-6, False)


def test_bad_arguments_are_the_runtime_errors_of_torch_as_well(norm):
    layer = kernelized(torch.nn.LayerNorm(8), norm.layers.LayerNorm)
    for wrong in (torch.ones(2, 7), torch.ones(2, 8, dtype=torch.int64)):
        with pytest.raises(RuntimeError):
            torch.nn.LayerNorm(8)(wrong)
        with pytest.raises(RuntimeError):
            layer(wrong)
