# SPDX-License-Identifier: Apache-2.0
"""The kernel in this repository's build/ against torch's own functions in float64."""

from pathlib import Path

import pytest
import torch

from kernels import get_local_kernel

rotary = get_local_kernel(Path(__file__).parents[1])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Those of a rounding of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}

pytestmark = [
    pytest.mark.parametrize("dtype", list(TOLERANCE)),
    pytest.mark.parametrize("heads", [(1, 1), (8, 2)]),
    pytest.mark.parametrize("positions, width", [(1, 2), (5, 64), (33, 128), (0, 8)]),
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


def turned64(x, cos, sin):
    x, cos, sin = (each.double() for each in (x, cos.unsqueeze(1), sin.unsqueeze(1)))
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def arguments(heads, positions, width, dtype):
    q, k = (random(dtype, 2, count, positions, width) for count in heads)
    angles = torch.rand(2, positions, width, device=DEVICE)
    return q, k, angles.cos().to(dtype), angles.sin().to(dtype)


def test_apply_rotary(heads, positions, width, dtype):
    q, k, cos, sin = arguments(heads, positions, width, dtype)
    for found, x in zip(rotary.apply_rotary(q, k, cos, sin), (q, k), strict=True):
        check(found, turned64(x, cos, sin), dtype)


def test_apply_rotary_in_place(heads, positions, width, dtype):
    q, k, cos, sin = arguments(heads, positions, width, dtype)
    expected = turned64(q, cos, sin), turned64(k, cos, sin)
    rotary.apply_rotary(q, k, cos, sin, out=(q, k))
    check(q, expected[0], dtype)
    check(k, expected[1], dtype)


def test_gradients(heads, positions, width, dtype):
    q, k, cos, sin = arguments(heads, positions, width, dtype)
    for x in (q, k):
        x.requires_grad_()
    grads = torch.randn_like(q), torch.randn_like(k)
    found = torch.autograd.grad(rotary.apply_rotary(q, k, cos, sin), (q, k), grads)
    for gradient, x, grad in zip(found, (q, k), grads, strict=True):
        (expected,) = torch.autograd.grad(turned64(x, cos, sin), x, grad.double())
        check(gradient, expected, dtype)
