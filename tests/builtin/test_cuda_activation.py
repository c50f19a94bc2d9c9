# SPDX-License-Identifier: Apache-2.0
"""builtin/activation and builtin/mlp on CUDA devices: values and gradients against float64, layouts."""

import pytest
import torch
import torch.nn.functional as F

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Relative to results of about 1: one or two roundings of the dtype.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2.5e-3}
FLAT = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}
GATED = ["silu", "gelu", "gelu_tanh"]


@pytest.fixture(scope="module")
def activation(load_cuda):
    return load_cuda("activation")


@pytest.fixture(scope="module")
def mlp(load_cuda):
    return load_cuda("mlp")


def made(*shape, dtype=torch.float32):
    return (2 * torch.randn(*shape, device="cuda")).to(dtype)


def close(found, expected, dtype):
    return torch.allclose(
        found.double(), expected, rtol=2 * TOLERANCE[dtype], atol=2 * TOLERANCE[dtype]
    )


def gated64(x, function):
    a, b = x.double().chunk(2, -1)
    return function(a) * b


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (64, 4096), (1001, 1003)])
def test_functions_agree_with_float64(activation, shape, name, dtype):
    x = made(*shape, dtype=dtype)
    y = getattr(activation, name)(x)
    assert y.dtype == dtype and close(y, FLAT[name](x.double()), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FLAT)
def test_large_and_special_arguments(activation, name, dtype):
    x = torch.tensor([-300.0, -30, -9, -5.66, -1e-3, 0, 1e-3, 5.66, 9, 30, 300], device="cuda")
    x = x.to(dtype)
    y = getattr(activation, name)(x)
    assert close(y, FLAT[name](x.double()), dtype)
    assert getattr(activation, name)(torch.full((9,), float("nan"), device="cuda")).isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("width", [1, 7, 8, 100, 4096, 5001])
@pytest.mark.parametrize("rows", [1, 33])
def test_gated_functions_agree_with_float64(activation, mlp, rows, width, name, dtype):
    x = made(rows, 2 * width, dtype=dtype)
    expected = gated64(x, FLAT[name])
    y = getattr(activation, f"{name}_and_mul")(x)
    assert close(y / 4, expected / 4, dtype)
    a, b = (t.contiguous() for t in x.chunk(2, -1))
    assert torch.equal(getattr(mlp, f"{name}_mul")(a, b), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FLAT)
def test_gradients_agree_with_float64(activation, mlp, name, dtype):
    x, grad = made(33, 514, dtype=dtype).requires_grad_(), made(33, 514, dtype=dtype)
    exact = x.detach().double().requires_grad_()
    getattr(activation, name)(x).backward(grad)
    FLAT[name](exact).backward(grad.double())
    assert close(x.grad / 4, exact.grad / 4, dtype)
    if name not in GATED:
        return
    for width in (514, 512):
        x = made(33, width, dtype=dtype).requires_grad_()
        grad = made(33, width // 2, dtype=dtype)
        exact = x.detach().double().requires_grad_()
        getattr(activation, f"{name}_and_mul")(x).backward(grad)
        gated64(exact, FLAT[name]).backward(grad.double())
        assert close(x.grad / 16, exact.grad / 16, dtype)
        a, b = (t.detach().clone().requires_grad_() for t in x.chunk(2, -1))
        getattr(mlp, f"{name}_mul")(a, b).backward(grad)
        assert torch.equal(torch.cat((a.grad, b.grad), -1), x.grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 8])
def test_rows_with_gaps_and_unaligned_memory(activation, mlp, offset, dtype):
    whole = made(9, 300, dtype=dtype)
    x = whole[:, offset : offset + 256]
    assert close(activation.silu(x), F.silu(x.double()), dtype)
    assert close(activation.silu_and_mul(x) / 4, gated64(x, F.silu) / 4, dtype)
    a, b = x[:, :128], whole[:, 172:]
    assert close(mlp.silu_mul(a, b) / 4, F.silu(a.double()) * b.double() / 4, dtype)
    flat = whole.flatten()[offset:]
    assert close(activation.silu(flat), F.silu(flat.double()), dtype)


def test_memory_order_is_kept(activation):
    x = made(3, 4, 5).permute(2, 0, 1)
    y = activation.gelu(x)
    assert y.stride() == x.stride() and close(y, F.gelu(x.double()), torch.float32)


def test_empty_inputs(activation, mlp):
    assert activation.silu(made(0, 4)).shape == (0, 4)
    assert activation.silu_and_mul(made(3, 0)).shape == (3, 0)
    assert mlp.silu_mul(made(0, 4), made(0, 4)).shape == (0, 4)


def test_more_than_two_to_the_31_elements(activation, mlp):
    count = 2**31 + 4099
    x = torch.empty(count, device="cuda", dtype=torch.bfloat16)
    x[-5000:].normal_()
    tail = x[-5000:]
    y = activation.silu(x)
    assert close(y[-5000:], F.silu(tail.double()), torch.bfloat16)
    y = mlp.silu_mul(x, x)
    assert close(y[-5000:], F.silu(tail.double()) * tail.double(), torch.bfloat16)


def test_captured_by_graphs_and_compiled_as_a_whole(activation, mlp):
    x = made(64, 512)
    graph = torch.cuda.CUDAGraph()
    activation.silu_and_mul(x)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        y = activation.silu_and_mul(x)
    x.copy_(made(64, 512))
    graph.replay()
    assert torch.equal(y, activation.silu_and_mul(x))
    compiled = torch.compile(lambda a, b: mlp.silu_mul(a, b) + 1, fullgraph=True)
    a, b = made(64, 512), made(64, 512)
    torch.testing.assert_close(compiled(a, b), mlp.silu_mul(a, b) + 1)


def test_layers_of_a_model(mlp):
    class MLP(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_proj = torch.nn.Linear(64, 128)
            self.up_proj = torch.nn.Linear(64, 128)
            self.down_proj = torch.nn.Linear(128, 64)
            self.act_fn = torch.nn.SiLU()

        def forward(self, x):
            return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))

    module, x = MLP().cuda(), made(5, 64)
    expected = module(x)
    module.forward = mlp.layers.SwiGLUMLP.forward.__get__(module)
    assert torch.allclose(module(x), expected, atol=1e-5)


def test_plain_tensors_take_the_direct_call(activation, mlp):
    x = made(4, 64)
    assert torch.is_tensor(activation._ops._activation_kern.silu(x))
    assert torch.is_tensor(mlp._ops._mlp_kern.silu_mul(x, x))
    assert mlp._ops._mlp_kern.silu_mul(x, x.cpu()) is NotImplemented
