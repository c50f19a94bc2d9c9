# SPDX-License-Identifier: Apache-2.0
"""The kernel in this repository's build/ against torch's own functions in float64."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from kernels import get_local_kernel

activation = get_local_kernel(Path(__file__).parents[1])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Those of a rounding of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}

pytestmark = [
    pytest.mark.parametrize("dtype", list(TOLERANCE)),
    pytest.mark.parametrize("shape", [(2,), (3, 14), (2, 5, 1000), (4, 4096), (0, 8)]),
]
ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


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


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activation(name, shape, dtype):
    x = random(dtype, *shape)
    check(getattr(activation, name)(x), ACTIVATIONS[name](x.double()), dtype)


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh"])
def test_activation_and_product(name, shape, dtype):
    x = random(dtype, *shape)
    gate, up = x.double().chunk(2, dim=-1)
    check(getattr(activation, f"{name}_and_mul")(x), ACTIVATIONS[name](gate) * up, dtype)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_gradients(name, shape, dtype):
    x, grad = random(dtype, *shape).requires_grad_(), random(dtype, *shape)
    (expected,) = torch.autograd.grad(ACTIVATIONS[name](x.double()), x, grad.double())
    (found,) = torch.autograd.grad(getattr(activation, name)(x), x, grad)
    check(found, expected, dtype)
