# SPDX-License-Identifier: Apache-2.0
"""The kernel in this repository's build/ against torch's own functions in float64."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from kernels import get_local_kernel

mlp = get_local_kernel(Path(__file__).parents[1])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Those of a rounding of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}

ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
pytestmark = [
    pytest.mark.parametrize("dtype", list(TOLERANCE)),
    pytest.mark.parametrize("name", list(ACTIVATIONS)),
]
SHAPES = [(1,), (3, 7), (2, 5, 1000), (4, 4096), (0, 8)]


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


@pytest.mark.parametrize("shape", SHAPES)
def test_activation_times_up(name, shape, dtype):
    gate, up = random(dtype, *shape), random(dtype, *shape)
    found = getattr(mlp, f"{name}_mul")(gate, up)
    check(found, ACTIVATIONS[name](gate.double()) * up.double(), dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(name, shape, dtype):
    gate, up = (random(dtype, *shape).requires_grad_() for _ in range(2))
    grad = random(dtype, *shape)
    product = ACTIVATIONS[name](gate.double()) * up.double()
    expected = torch.autograd.grad(product, (gate, up), grad.double())
    found = torch.autograd.grad(getattr(mlp, f"{name}_mul")(gate, up), (gate, up), grad)
    for one, other in zip(found, expected, strict=True):
        check(one, other, dtype)


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
def test_gated_mlp(name, rows, dtype):
    x = random(dtype, rows, 64)
    gate, up, down = (random(dtype, *shape) / 16 for shape in ((96, 64), (96, 64), (64, 96)))
    with torch.no_grad():
        found = mlp.gated_mlp(x, gate, up, down, activation=name)
    hidden = ACTIVATIONS[name](F.linear(x.double(), gate.double()))
    hidden = hidden * F.linear(x.double(), up.double())
    check(found, F.linear(hidden, down.double()), dtype)
