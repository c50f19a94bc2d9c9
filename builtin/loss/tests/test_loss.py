# SPDX-License-Identifier: Apache-2.0
"""The kernel in this repository's build/ against torch's own functions in float64."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from kernels import get_local_kernel

loss = get_local_kernel(Path(__file__).parents[1])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Those of a rounding of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}

DTYPES = list(TOLERANCE)
SHAPES = [(1, 2), (3, 7), (2, 5, 1000), (4, 32768)]


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


def arguments(shape, dtype):
    """Logits, and targets of which the first does not count where there are several."""
    target = torch.randint(shape[-1], shape[:-1], device=DEVICE)
    if target.numel() > 1:
        target.view(-1)[0] = -100
    return random(dtype, *shape).requires_grad_(), target


def cross_entropy64(logits, target, **options):
    flat = logits.double().reshape(-1, logits.shape[-1])
    return F.cross_entropy(flat, target.reshape(-1), **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_and_its_gradient(shape, dtype, reduction, smoothing):
    logits, target = arguments(shape, dtype)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    expected = cross_entropy64(logits, target, **options)
    found = loss.cross_entropy(logits, target, **options)
    check(found, expected, torch.float32)
    (wanted,) = torch.autograd.grad(expected, logits)
    (gradient,) = torch.autograd.grad(found, logits)
    check(gradient, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_losses_of_rows(shape, dtype):
    logits, target = arguments(shape, dtype)
    expected = cross_entropy64(logits, target, reduction="none").reshape(target.shape)
    check(loss.cross_entropy(logits, target, reduction="none"), expected, torch.float32)
