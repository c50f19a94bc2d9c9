# SPDX-License-Identifier: Apache-2.0
"""The kernel in this repository's build/ against torch's own functions in float64."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from kernels import get_local_kernel

norm = get_local_kernel(Path(__file__).parents[1])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Those of a rounding of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}

pytestmark = [
    pytest.mark.parametrize("dtype", list(TOLERANCE)),
    pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 5, 1000), (4, 4096), (0, 8)]),
]


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def random(dtype, *shape):
    return torch.randn(*shape, device=DEVICE).to(dtype)


def check(found, expected, dtype):
    """`expected` was computed in float64."""
    assert found.dtype == dtype
    allowed = TOLERANCE[dtype]
    torch.testing.assert_close(found.double(), expected.double(), rtol=allowed, atol=allowed)


def rms64(x, weight):
    return F.rms_norm(x.double(), weight.shape, weight.double(), 1e-6)


def layer64(x, weight, bias):
    return F.layer_norm(x.double(), weight.shape, weight.double(), bias.double(), 1e-5)


def test_rms_norm(shape, dtype):
    x, weight = random(dtype, *shape), random(dtype, shape[-1])
    check(norm.rms_norm(x, weight, 1e-6), rms64(x, weight), dtype)


def test_layer_norm(shape, dtype):
    x, weight, bias = random(dtype, *shape), random(dtype, shape[-1]), random(dtype, shape[-1])
    check(norm.layer_norm(x, weight, bias, 1e-5), layer64(x, weight, bias), dtype)


def test_fused_add_rms_norm(shape, dtype):
    x, residual, weight = random(dtype, *shape), random(dtype, *shape), random(dtype, shape[-1])
    y, total = norm.fused_add_rms_norm(x, residual, weight, 1e-6)
    assert torch.equal(total, x + residual)
    check(y, rms64(total, weight), dtype)


def test_fused_add_layer_norm(shape, dtype):
    x, residual = random(dtype, *shape), random(dtype, *shape)
    weight, bias = random(dtype, shape[-1]), random(dtype, shape[-1])
    y, total = norm.fused_add_layer_norm(x, residual, weight, bias, 1e-5)
    assert torch.equal(total, x + residual)
    check(y, layer64(total, weight, bias), dtype)


def test_rms_norm_gated(shape, dtype):
    x, gate, weight = random(dtype, *shape), random(dtype, *shape), random(dtype, shape[-1])
    expected = rms64(x, weight) * F.silu(gate.double())
    check(norm.rms_norm_gated(x, gate, weight, 1e-6), expected, dtype)


def test_gradients(shape, dtype):
    x, weight = random(dtype, *shape).requires_grad_(), random(dtype, shape[-1])
    grad = random(dtype, *shape)
    (expected,) = torch.autograd.grad(rms64(x, weight), x, grad.double())
    (found,) = torch.autograd.grad(norm.rms_norm(x, weight, 1e-6), x, grad)
    check(found, expected, dtype)
